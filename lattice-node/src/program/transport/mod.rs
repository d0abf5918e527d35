//! Streams to peers: a child process, a Unix socket, and this process's own standard input and
//! output.

mod peer;
mod process;
mod pump;
#[cfg(unix)]
mod socket;
mod stdio;

use std::ffi::OsString;
use std::path::PathBuf;

use super::failure::Failure;
use crate::sync::Stream;
pub(super) use peer::Peer;
pub(super) use process::{Ended, Process, Say};
#[cfg(unix)]
pub(super) use socket::Listener;
pub(super) use stdio::own;

/// A stream to a peer, and the process behind it.
pub(super) struct Link {
    pub(super) stream: Stream,
    pub(super) process: Option<Process>,
}

/// What this program is called with for a peer that it starts itself.
pub(super) struct Serving {
    /// The options of `serve --stdio`, with the command.
    pub(super) words: Vec<OsString>,
    /// The module files of this command line, for a directory on this machine.
    pub(super) code: Vec<PathBuf>,
}

/// Reaches a peer. `say` gets what a child process prints on standard error.
///
/// # Errors
/// A directory or a socket that is not there, and a program that cannot be started.
pub(super) fn reach(peer: &Peer, serving: &Serving, say: Say) -> Result<Link, Failure> {
    let command = match peer {
        Peer::Dir(dir) => process::serving(dir, serving)?,
        Peer::Ssh(ssh) => process::ssh(ssh, serving),
        Peer::Via(command) => process::shell(command),
        #[cfg(unix)]
        Peer::Unix(path) => {
            let stream = socket::connect(path)?;
            let process = None;
            return Ok(Link { stream, process });
        }
        #[cfg(not(unix))]
        Peer::Unix(_) => return Err(Failure::usage("this system has no Unix sockets")),
    };
    let (stream, process) = process::start(command, say)?;
    let process = Some(process);
    Ok(Link { stream, process })
}
