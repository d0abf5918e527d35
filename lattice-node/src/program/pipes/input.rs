//! Inputs: files that can be read again, and streams that cannot.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lattice_registry::files::{Partial, create_private};

use super::FileArg;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::program::progress::Progress;

const BUFFER_BYTES: usize = 64 << 10;

/// An opened input that has not been read yet.
pub(in crate::program) struct Opened {
    pub(in crate::program) name: String,
    pub(in crate::program) input: Input,
    /// Shows how much of it is read.
    pub(in crate::program) progress: Progress,
}

pub(in crate::program) enum Input {
    /// A regular file, which can be read again.
    File(File),
    /// A pipe, a device or standard input, which can be read only once.
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// The length in bytes, if it is known.
    pub(in crate::program) fn len(&self) -> Option<u64> {
        match self {
            Self::File(file) => file.metadata().ok().map(|metadata| metadata.len()),
            Self::Stream(_) => None,
        }
    }

    pub(in crate::program) fn into_reader(self) -> Box<dyn Read> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Stream(stream) => stream,
        }
    }
}

impl FileArg {
    /// Opens an input. `argument` names it in the message for a terminal as standard input, which
    /// is refused: a forgotten pipe would look like a hang.
    pub(in crate::program) fn open(
        &self,
        context: &Context<'_>,
        argument: &str,
    ) -> Result<Opened, Failure> {
        let name = self.to_string();
        let file = match self {
            Self::Path(path) => path,
            Self::Stdio => {
                context.check_stdin(argument)?;
                let input = Input::Stream(Box::new(io::stdin()));
                let progress = context.progress.clone();
                return Ok(Opened {
                    name,
                    input,
                    progress,
                });
            }
        };
        let failed = |error| Failure::file(file, error);
        let opened = File::open(file).map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let input = match metadata.is_file() {
            true => Input::File(opened),
            false => Input::Stream(Box::new(opened)),
        };
        let progress = context.progress.clone();
        Ok(Opened {
            name,
            input,
            progress,
        })
    }
}

impl Opened {
    /// Reads all of it, but at most `most` bytes.
    pub(in crate::program) fn read_at_most(self, most: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let mut input = self.input.into_reader().take(most);
        let read = input.read_to_end(&mut bytes);
        read.map_err(|error| Failure::file(Path::new(&self.name), error))?;
        Ok(bytes)
    }
}

/// A private copy of a stream, for code that needs a file with a path. It is removed when this
/// value is dropped; if the process is killed, the next command that makes a file there removes it.
pub(in crate::program) struct Spool {
    partial: Partial,
    /// Where it is.
    dir: PathBuf,
}

impl Spool {
    /// An empty place in a directory, where no file is yet.
    pub(in crate::program) fn within(dir: &Path) -> Result<Self, Failure> {
        let partial = Partial::beside(&dir.join("copy"));
        let partial = partial.map_err(|error| Failure::of(Kind::Failed, &error))?;
        let dir = dir.to_path_buf();
        Ok(Self { partial, dir })
    }

    pub(in crate::program) fn file(&self) -> PathBuf {
        self.partial.file()
    }

    /// Copies a stream to its end. After the first 64 KiB, `check` looks at the file and can end
    /// the copy, so that a stream that is something else does not fill the disk.
    pub(in crate::program) fn fill(
        &self,
        name: &str,
        mut stream: impl Read,
        check: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let path = self.file();
        let written = |error: io::Error| {
            let place = self.dir.display();
            Failure::from(error).within(&format!("cannot keep a copy of {name} in {place}"))
        };
        let mut copy = create_private(&path).map_err(written)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut length, mut check) = (0, Some(check));
        loop {
            let count = match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|error| Failure::file(Path::new(name), error))?,
            };
            copy.write_all(&buffer[..count]).map_err(written)?;
            length += count;
            if (length >= BUFFER_BYTES || count == 0)
                && let Some(check) = check.take()
            {
                check(&path)?;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Removes the name of the file, and returns the file: nothing is left, however the process
    /// ends from here on.
    pub(in crate::program) fn into_unnamed(self) -> io::Result<File> {
        let file = File::open(self.file())?;
        fs::remove_file(self.file())?;
        Ok(file)
    }
}

/// The directory, or its nearest ancestor that exists.
pub(in crate::program) fn nearest(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find(|dir| dir.is_dir());
    found.unwrap_or(Path::new(".")).to_path_buf()
}
