//! What a backend says of the soundness of a file.

/// What the backend's own checksums say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// They match.
    Intact,
    /// They do not.
    Damaged {
        /// What the backend found.
        detail: String,
    },
    /// The file is open for writing, so they cannot be checked.
    InUse,
    /// The backend keeps none.
    None,
}
