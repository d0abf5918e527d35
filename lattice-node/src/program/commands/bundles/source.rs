//! The input of a bundle: a file, or a stream that can be read only once.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use lattice_backend::bundle::{BundleCode, BundleError, BundleReader, BundleSummary};
use lattice_meta::Genesis;

use super::STDIO;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::progress::{Counts, Progress};

const BUFFER_BYTES: usize = 64 << 10;

/// An opened bundle that has not been read yet.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) input: Input,
    pub(super) progress: Progress,
}

pub(super) enum Input {
    /// A regular file, which can be read again.
    File(File),
    /// A pipe, a device or standard input, which can be read only once.
    Stream(Box<dyn Read>),
}

impl Source {
    pub(super) fn open(context: &Context<'_>, file: &Path) -> Result<Self, Failure> {
        if file == Path::new(STDIO) {
            context.check_stdin("FILE")?;
            return Ok(Self {
                name: "standard input".into(),
                input: Input::Stream(Box::new(io::stdin())),
                progress: context.progress.clone(),
            });
        }
        let failed = |error| Failure::file(file, error);
        let opened = File::open(file).map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self {
            name: file.display().to_string(),
            input: match metadata.is_file() {
                true => Input::File(opened),
                false => Input::Stream(Box::new(opened)),
            },
            progress: context.progress.clone(),
        })
    }

    /// Shows how much of the bundle is read.
    fn begin(&self, what: &'static str) {
        let total = match &self.input {
            Input::File(file) => file.metadata().ok().map(|metadata| metadata.len()),
            Input::Stream(_) => None,
        };
        self.progress.begin(what, Counts::Bytes, total);
    }

    /// Verifies the bundle in one pass; does not keep a copy of a stream.
    pub(super) fn verify(self) -> Result<BundleSummary, Failure> {
        self.begin("verifying the bundle");
        let input: Box<dyn Read> = match self.input {
            Input::File(file) => Box::new(file),
            Input::Stream(stream) => stream,
        };
        let input = self.progress.reading(input);
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        let verified = BundleReader::new(input).and_then(BundleReader::verify);
        verified.map_err(|error| within(&self.name, error))
    }

    /// Reads the bundle to its end, and compares counts and digest. Copies a stream to an unnamed
    /// file in or near `dir`, because applying the bundle will need space there too.
    pub(super) fn read_through(self, dir: &Path) -> Result<Intact, Failure> {
        self.begin("reading the bundle");
        let Self {
            name,
            input,
            progress,
        } = self;
        let (read, file) = match input {
            Input::File(file) => (read_through(progress.reading(&file)), file),
            Input::Stream(stream) => {
                let dir = nearest(dir);
                let failed = |error| {
                    Failure::from(error).within(&format!(
                        "cannot keep a copy of {name} in {}",
                        dir.display()
                    ))
                };
                let copy = private_file(&dir).map_err(failed)?;
                let mut tee = Tee::new(progress.reading(stream), copy);
                let read = read_through(&mut tee);
                if let Some(error) = tee.failed {
                    return Err(failed(error));
                }
                (read, tee.copy)
            }
        };
        let (head, digest) = read.map_err(|error| within(&name, error))?;
        Ok(Intact {
            name,
            file,
            head,
            digest,
        })
    }
}

fn within(name: &str, error: BundleError) -> Failure {
    Failure::from(error).within(name)
}

fn read_through(input: impl Read) -> Result<(Head, Option<[u8; 32]>), BundleError> {
    let mut reader = BundleReader::new(BufReader::with_capacity(BUFFER_BYTES, input))?;
    let mut ops = 0;
    while reader.next_op()?.is_some() {
        ops += 1;
    }
    let head = Head {
        genesis: reader.genesis().clone(),
        code: reader.code().cloned(),
        ops,
    };
    Ok((head, reader.digest()))
}

/// The directory, or its nearest ancestor that exists.
fn nearest(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find(|dir| dir.is_dir());
    found.unwrap_or(Path::new(".")).to_path_buf()
}

/// An unnamed file that only this user can access.
fn private_file(dir: &Path) -> io::Result<File> {
    let file = tempfile::tempfile_in(dir)?;
    // Until here, only the umask limits who can read it.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// A reader that copies what passes through it.
pub(super) struct Tee<R> {
    reader: R,
    copy: File,
    /// The error of writing the copy.
    pub(super) failed: Option<io::Error>,
}

impl<R> Tee<R> {
    pub(super) fn new(reader: R, copy: File) -> Self {
        Self {
            reader,
            copy,
            failed: None,
        }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Err(error) = self.copy.write_all(&buffer[..count]) {
            self.failed = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(count)
    }
}

/// What a bundle has before its ops.
struct Head {
    genesis: Genesis,
    code: Option<BundleCode>,
    ops: u64,
}

/// A bundle that was read to its end and is intact. It is read again through the same open file, so
/// a file that replaces it is not applied.
pub(super) struct Intact {
    pub(super) name: String,
    pub(super) file: File,
    head: Head,
    digest: Option<[u8; 32]>,
}

impl Intact {
    pub(super) fn genesis(&self) -> &Genesis {
        &self.head.genesis
    }

    /// How many ops the first pass has read.
    pub(super) fn ops(&self) -> u64 {
        self.head.ops
    }

    pub(super) fn code(&self) -> Option<&BundleCode> {
        self.head.code.as_ref()
    }

    /// Starts the second pass.
    pub(super) fn again(&self) -> Result<Again<'_>, Failure> {
        let mut file = &self.file;
        file.rewind()
            .map_err(|error| within(&self.name, BundleError::Read(error)))?;
        let reader = BundleReader::new(BufReader::with_capacity(BUFFER_BYTES, file));
        let reader = reader.map_err(|error| self.changed(error))?;
        if *reader.genesis() != self.head.genesis {
            return Err(self.changed(BundleError::Digest));
        }
        Ok(Again {
            bundle: self,
            reader,
        })
    }

    /// An error that the first pass did not report.
    fn changed(&self, error: BundleError) -> Failure {
        let is_change = !matches!(error, BundleError::Read(_));
        let failure = within(&self.name, error);
        match is_change {
            true => failure.and("the file was changed while it was read; apply it again"),
            false => failure,
        }
    }
}

/// The second pass over a bundle.
pub(super) struct Again<'a> {
    bundle: &'a Intact,
    reader: BundleReader<BufReader<&'a File>>,
}

impl Again<'_> {
    /// The next op. An error at the end means that the ops differ from those of the first pass: the
    /// file was modified in place between the passes or during the second.
    pub(super) fn next_op(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let op = self.reader.next_op();
        let op = op.map_err(|error| self.bundle.changed(error))?;
        if op.is_none() && self.reader.digest() != self.bundle.digest {
            return Err(self.bundle.changed(BundleError::Digest));
        }
        Ok(op)
    }
}
