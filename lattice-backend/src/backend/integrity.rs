//! The result of a backend's integrity check.

/// What the backend's own checksums say about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// They match.
    Intact,
    /// They do not match.
    Damaged {
        /// What the backend found.
        detail: String,
    },
    /// The file is open for writing, so they cannot be checked.
    InUse,
    /// The backend has no checksums.
    None,
}
