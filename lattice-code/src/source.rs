//! Sources of code beyond files: a seam for peers, bundles and other carriers.
//!
//! A [`CodeSource`] supplies bytes and never trust. It may be remote and hostile, so the library
//! refuses a wrong length before it reads, reads at most one byte more than the length, keeps what
//! it reads in memory (a module has at most 1 MiB), and stores the module in the cache only once
//! its hash is the requested content id. A source that fails therefore leaves no file.
//!
//! The named files and the directories of the search path are no sources in this sense: the library
//! reads them in place, names the file that it found, and never copies it.

use std::fmt::{self, Debug};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use lattice_backend::backend::Cause;
use lattice_meta::Cid;
use lattice_wasm::abi::MAX_CODE_BYTES;

/// Supplies modules by content id, for example from a peer.
pub trait CodeSource: Send + Sync + Debug {
    /// The name of this source in messages, such as the address of a peer.
    fn name(&self) -> String;

    /// Offers a module, or `None` if this source does not have it.
    ///
    /// The library checks length and hash. It waits for as long as a read blocks, so a source that
    /// uses a network limits the time of each read.
    ///
    /// # Errors
    /// Why the source cannot answer. The library then asks the next source.
    fn open(&self, cid: &Cid) -> Result<Option<Offer>, Cause>;
}

/// A module that a source offers.
pub struct Offer {
    /// The length of the module in bytes.
    pub length: u64,
    /// The bytes of the module.
    pub bytes: Box<dyn Read + Send>,
}

impl Offer {
    /// An offer of a stream of `length` bytes.
    pub fn new(length: u64, bytes: impl Read + Send + 'static) -> Self {
        Self {
            length,
            bytes: Box::new(bytes),
        }
    }
}

impl Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Modules in a directory that others fill, such as a shared folder: `<content id>` or
/// `<content id>.wasm`. A module that a store needs is copied from there into the cache.
///
/// ```
/// use lattice_code::{CodeLibrary, DirectorySource};
///
/// let library = CodeLibrary::new("data").source(DirectorySource::new("/mnt/team/modules"));
/// assert!(library.sources()[1].contains("/mnt/team/modules"));
/// ```
#[derive(Debug, Clone)]
pub struct DirectorySource {
    dir: PathBuf,
}

impl DirectorySource {
    /// The modules of a directory, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
}

impl CodeSource for DirectorySource {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn open(&self, cid: &Cid) -> Result<Option<Offer>, Cause> {
        for name in [cid.to_string(), format!("{cid}.wasm")] {
            let file = match File::open(self.dir.join(name)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let metadata = file.metadata()?;
            // Reading a pipe would block.
            if metadata.is_file() {
                return Ok(Some(Offer::new(metadata.len(), file)));
            }
        }
        Ok(None)
    }
}

/// Why a source did not supply a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source cannot answer.
    #[error("it cannot answer")]
    Open(#[source] Cause),
    /// No module has the length that the source offers.
    #[error("it offers {offered} bytes, and a module has 1 to {MAX_CODE_BYTES}")]
    Length {
        /// The offered length in bytes.
        offered: u64,
    },
    /// Reading failed.
    #[error("reading failed after {received} of {offered} bytes")]
    Read {
        /// The offered length in bytes.
        offered: u64,
        /// Bytes received before the failure.
        received: usize,
        /// The error of the stream.
        #[source]
        source: io::Error,
    },
    /// The stream ended early.
    #[error("it offered {offered} bytes and sent {received}")]
    Short {
        /// The offered length in bytes.
        offered: u64,
        /// Bytes received.
        received: usize,
    },
    /// The stream has more bytes than offered.
    #[error("it offered {offered} bytes and sent more")]
    Long {
        /// The offered length in bytes.
        offered: u64,
    },
    /// The bytes are not those of the requested content id.
    #[error("it sent other bytes, with the content id {found}")]
    Differs {
        /// The content id of the bytes.
        found: Cid,
    },
}

/// A source that failed, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct SourceFailure {
    /// The name of the source.
    pub name: String,
    /// Why it did not supply the module.
    pub reason: SourceError,
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)?;
        let mut cause = std::error::Error::source(&self.reason);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Requests a module from a source. The bytes returned have the requested content id.
pub(crate) fn receive(source: &dyn CodeSource, cid: &Cid) -> Result<Option<Vec<u8>>, SourceError> {
    match source.open(cid).map_err(SourceError::Open)? {
        Some(offer) => read(offer, cid).map(Some),
        None => Ok(None),
    }
}

fn read(offer: Offer, cid: &Cid) -> Result<Vec<u8>, SourceError> {
    let offered = offer.length;
    let length = usize::try_from(offered).ok();
    let length = length.filter(|length| (1..=MAX_CODE_BYTES).contains(length));
    let length = length.ok_or(SourceError::Length { offered })?;
    let mut wasm = Vec::with_capacity(length);
    // One byte more shows that the stream does not end where it should.
    let read = offer.bytes.take(offered + 1).read_to_end(&mut wasm);
    let received = wasm.len();
    read.map_err(|source| SourceError::Read {
        offered,
        received,
        source,
    })?;
    if received < length {
        return Err(SourceError::Short { offered, received });
    }
    if received > length {
        return Err(SourceError::Long { offered });
    }
    match cid.is_of(&wasm) {
        true => Ok(wasm),
        false => Err(SourceError::Differs {
            found: Cid::of(&wasm),
        }),
    }
}
