//! Why a store is in use.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Why a file is in use, and how long the caller waited for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Busy {
    /// The time that the caller waited.
    pub waited: Duration,
    /// What another process does with the file, if it is long work that it has named: the name of
    /// the work, and the process.
    pub holder: Option<Holder>,
}

/// A process that does long work on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The name of the work, such as `rebuild`.
    pub work: String,
    /// The id of the process.
    pub process: u32,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(Holder { work, process }) => {
                write!(f, "process {process} is busy with `{work}`")?;
            }
            None => f.write_str("another handle or process holds a lock on it")?,
        }
        match self.waited.as_secs() {
            0 => {}
            secs => write!(f, "; gave up after {secs} s")?,
        }
        f.write_str("; try again later, or with a longer wait")
    }
}
