//! Rows out of the bytes of a file that cannot be opened.

use std::fmt::Debug;

use crate::backend::FileError;

/// Where the value of a row stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawPlace {
    /// Which of the store's files: 0 is the file that was searched, others belong to its journal.
    pub file: u8,
    /// Its first byte, from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// A row that was found.
#[derive(Debug, Clone, Copy)]
pub struct RawRow<'a> {
    /// Where its value stands.
    pub place: RawPlace,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Finds rows in a file without its header, roots and branches. The rows are of any table, of any
/// commit, and of transactions that were never committed. Nothing proves them.
pub trait RawRows: Debug + Send {
    /// Passes every row of a few KiB to `each`. A row can be found several times, in old copies of
    /// its page. What cannot be read is left out.
    ///
    /// # Errors
    /// See [`FileError`].
    fn each(&self, each: &mut dyn FnMut(RawRow<'_>)) -> Result<(), FileError>;

    /// Reads a value again.
    ///
    /// # Errors
    /// See [`FileError`].
    fn value(&self, place: RawPlace) -> Result<Vec<u8>, FileError>;
}
