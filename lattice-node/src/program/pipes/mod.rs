//! FILE arguments: a path, or `-` for standard input or standard output.

mod input;
mod output;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub(super) use input::{Input, Opened, Spool, nearest};
pub(super) use output::{Sink, Target};

/// A FILE argument. `./-` names a file called `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileArg {
    /// `-`: standard input or standard output.
    Stdio,
    Path(PathBuf),
}

impl From<OsString> for FileArg {
    fn from(argument: OsString) -> Self {
        match argument == "-" {
            true => Self::Stdio,
            false => Self::Path(argument.into()),
        }
    }
}

/// What a message calls an input.
impl fmt::Display for FileArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio => f.write_str("standard input"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FileArg;

    #[test]
    fn a_dash_alone_is_standard_input_or_output() {
        let given = |text: &str| FileArg::from(std::ffi::OsString::from(text));
        assert_eq!(given("-"), FileArg::Stdio);
        for path in ["./-", "--", "-x", "", "x-"] {
            assert_eq!(given(path), FileArg::Path(path.into()), "{path:?}");
        }
    }
}
