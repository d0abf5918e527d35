//! What a backend says of the soundness of a file.

/// What the engine's own checksums say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// They hold.
    Whole,
    /// They do not.
    Damaged {
        /// What the engine found.
        detail: String,
    },
    /// Somebody has the file open for writing, so they cannot be looked at.
    InUse,
    /// The engine keeps none.
    None,
}
