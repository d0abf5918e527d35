//! Unix sockets.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::program::failure::{Failure, Kind};
use crate::sync::Stream;

/// The name of a socket in the directory in which it is made.
const NAME: &str = "s";

/// Connects to a socket.
///
/// # Errors
/// A socket that is not there, that no process serves, or that this user may not use.
pub(super) fn connect(path: &Path) -> Result<Stream, Failure> {
    let connected = UnixStream::connect(path).and_then(stream);
    connected.map_err(|error| {
        let shown = path.display();
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::NoFile,
            _ => Kind::Failed,
        };
        let failure = Failure::of(kind, &error).within(&format!("cannot connect to {shown}"));
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                failure.and("no process serves this socket: start `serve --unix` there")
            }
            _ => failure,
        }
    })
}

fn stream(socket: UnixStream) -> io::Result<Stream> {
    // A socket of a listener that does not block may not block, too.
    socket.set_nonblocking(false)?;
    let (read, write) = (socket.try_clone()?, socket.try_clone()?);
    Ok(Stream {
        read: Box::new(read),
        write: Box::new(write),
        // An error means that it is shut down.
        end: Box::new(move || drop(socket.shutdown(Shutdown::Both))),
    })
}

/// A socket that only this user can connect to. It is removed with this value.
#[derive(Debug)]
pub(in crate::program) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the socket's file.
    file: (u64, u64),
}

impl Listener {
    /// Makes a socket. One that no process serves is replaced.
    ///
    /// # Errors
    /// A socket that a process serves, a file that is no socket, and what the system reports.
    pub(in crate::program) fn bind(path: &Path) -> Result<Self, Failure> {
        let within = |error: io::Error| {
            let shown = path.display();
            Failure::from(error).within(&format!("cannot make the socket {shown}"))
        };
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        // Two processes that replace the socket take turns.
        let turn = File::open(dir).map_err(within)?;
        turn.lock().map_err(within)?;
        check(path)?;
        // The permissions of a new socket are those of the umask, so it is made in a private
        // directory, and moved when they are right.
        let mut private = tempfile::Builder::new();
        let private = private
            .prefix(".lattice-")
            .permissions(Permissions::from_mode(0o700));
        let private = private.tempdir_in(dir).map_err(within)?;
        let made = private.path().join(NAME);
        let listener = UnixListener::bind(&made).map_err(within)?;
        fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(within)?;
        listener.set_nonblocking(true).map_err(within)?;
        let file = file_of(&made).map_err(within)?;
        fs::rename(&made, path).map_err(within)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
        })
    }

    /// The next connection, if there is one.
    ///
    /// # Errors
    /// What the system reports.
    pub(in crate::program) fn accept(&self) -> io::Result<Option<Stream>> {
        match self.listener.accept() {
            Ok((socket, _)) => stream(socket).map(Some),
            Err(error) => match error.kind() {
                // The peer has left again.
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let is_own = file_of(&self.path).is_ok_and(|file| file == self.file);
        if is_own {
            // What stays is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_of(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Checks that the socket can be made: there is nothing, or a socket that no process serves.
fn check(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let failed =
        |error: io::Error| Failure::from(error).within(&format!("cannot look for {shown}"));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(Failure::usage(format!(
                "{shown} is there and is no socket; name another path"
            )));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(Failure::new(
            Kind::InUse,
            format!("a process serves the socket {shown}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use super::*;

    fn accepted(listener: &Listener) -> Stream {
        loop {
            if let Some(stream) = listener.accept().unwrap() {
                return stream;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_socket_is_private_and_is_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut there = connect(&path).unwrap();
        let mut here = accepted(&listener);
        there.write.write_all(b"bytes").unwrap();
        let mut bytes = [0; 5];
        here.read.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"bytes");
        let waiting = thread::spawn(move || here.read.read(&mut [0; 8]).unwrap());
        (here.end)();
        assert_eq!(waiting.join().unwrap(), 0);
        drop(listener);
        // Neither the socket nor the directory in which it was made.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(connect(&path).err().unwrap().code(), 3);
    }

    #[test]
    fn a_socket_that_is_served_stays_and_a_stale_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let first = Listener::bind(&path).unwrap();
        let refused = Listener::bind(&path).unwrap_err();
        assert_eq!(refused.code(), 5, "{}", refused.message());
        connect(&path).unwrap();
        drop(first);
        // As after `kill -9`: the socket is there, and no process has it open.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert_eq!(connect(&path).err().unwrap().code(), 1);
        let second = Listener::bind(&path).unwrap();
        connect(&path).unwrap();
        accepted(&second);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        fs::write(&path, "text").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for place in [&path, &link, &dir.path().to_owned()] {
            assert_eq!(Listener::bind(place).unwrap_err().code(), 2);
        }
        assert_eq!(fs::read_to_string(&link).unwrap(), "text");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_socket_that_was_replaced_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let first = Listener::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "text").unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
