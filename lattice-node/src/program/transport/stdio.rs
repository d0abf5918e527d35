//! The stream to the process that has started this one.

use std::io::{self, IsTerminal};

use super::pump::Ending;
use crate::program::failure::Failure;
use crate::sync::Stream;

/// Standard input and output of this process.
///
/// # Errors
/// A usage error if one of them is a terminal, and if there are no threads.
pub(in crate::program) fn own() -> Result<Stream, Failure> {
    if io::stdin().is_terminal() || io::stdout().is_terminal() {
        return Err(Failure::usage(
            "serve --stdio speaks to a program on standard input and output, not to a terminal: \
             `sync` starts it",
        ));
    }
    let mut ending = Ending::default();
    let read = ending.reader("stdin", io::stdin())?;
    let write = ending.writer("stdout", output()?)?;
    let end = Box::new(move || ending.end());
    Ok(Stream { read, write, end })
}

/// Standard output without the buffer for lines.
#[cfg(unix)]
fn output() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}
