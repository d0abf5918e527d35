//! Reads a bundle once or twice, from a file, or from a stream that can be read only once.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use lattice_backend::bundle::{BundleCode, BundleError, BundleReader, BundleSummary, Follows};
use lattice_meta::Genesis;

use crate::program::failure::Failure;
use crate::program::pipes::{Input, Opened, nearest};
use crate::program::progress::Counts;

const BUFFER_BYTES: usize = 64 << 10;

impl Opened {
    fn begin(&self, what: &'static str) {
        let total = self.input.len();
        self.progress.begin(what, Counts::Bytes, total);
    }

    /// Verifies the bundle in one pass; does not keep a copy of a stream.
    pub(in crate::program) fn verify(self) -> Result<BundleSummary, Failure> {
        self.begin("verifying the bundle");
        let input = self.progress.reading(self.input.into_reader());
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        let verified = BundleReader::new(input).and_then(BundleReader::verify);
        verified.map_err(|error| within(&self.name, error))
    }

    /// Reads the bundle to its end, and compares counts and digest. Copies a stream to an unnamed
    /// file in or near `dir`, because applying the bundle will need space there too.
    pub(in crate::program) fn read_through(self, dir: &Path) -> Result<Intact, Failure> {
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
        follows: reader.follows().cloned(),
        ops,
    };
    Ok((head, reader.digest()))
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
    follows: Option<Follows>,
    ops: u64,
}

/// A bundle that was read to its end and is intact. It is read again through the same open file, so
/// a file that replaces it is not applied.
pub(in crate::program) struct Intact {
    pub(super) name: String,
    pub(super) file: File,
    head: Head,
    pub(super) digest: Option<[u8; 32]>,
}

impl Intact {
    /// How many ops the first pass has read.
    pub(super) fn ops(&self) -> u64 {
        self.head.ops
    }

    pub(super) fn genesis(&self) -> &Genesis {
        &self.head.genesis
    }

    pub(super) fn code(&self) -> Option<&BundleCode> {
        self.head.code.as_ref()
    }

    pub(super) fn follows(&self) -> Option<&Follows> {
        self.head.follows.as_ref()
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
