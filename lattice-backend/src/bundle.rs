//! Bundles: a store's history, or a part of it, in one file that needs nothing else to be verified.
//!
//! FORMAT.md has the bytes. A bundle is read as a stream: memory does not grow with it, and no length
//! in it is believed before it has been held against what is left.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use lattice_meta::{Genesis, GenesisError, PubKey};

use crate::{BackendError, MAX_OP_BYTES, Op, OpError, OpHasher, readable};

/// What every bundle starts with; the last byte is the format's number.
const MAGIC: [u8; 16] = *b"lattice bundle\n\x01";
const CONTEXT: &str = "lattice 2026 bundle v1";
const DIGEST_BYTES: usize = 32;
/// The longest genesis record, with room for what later formats add.
const MAX_GENESIS_BYTES: usize = 1024;

/// Why a bundle cannot be written, or is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be read or written.
    #[error("the bundle cannot be {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What was reported.
        #[source]
        source: io::Error,
    },
    /// The store's ops cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// It starts with something else.
    #[error("expected a bundle, found something that starts with \"{found}\"")]
    NotABundle {
        /// What it starts with.
        found: String,
    },
    /// Its format is not known.
    #[error("expected a bundle of format {}, found format {found}; a newer program may take it", MAGIC[15])]
    Format {
        /// Its format.
        found: u8,
    },
    /// Its genesis record is none.
    #[error("the bundle's genesis record is damaged")]
    Genesis(#[from] GenesisError),
    /// It ends before it should.
    #[error("the bundle is cut: it ends in {part}")]
    Cut {
        /// What it ends in.
        part: &'static str,
    },
    /// A length in it is not possible.
    #[error("the bundle is damaged: {part} of {found} bytes, where at most {limit} can be")]
    Length {
        /// What has the length.
        part: &'static str,
        /// The length it says.
        found: u64,
        /// What it can be at the most.
        limit: u64,
    },
    /// Its bytes are not those that were written.
    #[error("the bundle is altered: its digest does not hold")]
    Digest,
    /// Something follows it.
    #[error("the bundle is followed by something else")]
    Trailing,
    /// An op of the store is none, and the bundle would be refused by everybody.
    #[error("the store's history is damaged: op {place} of those to be written is none")]
    BadOp {
        /// Which one, from 0.
        place: u64,
        /// What is wrong with it.
        #[source]
        source: OpError,
    },
    /// An op in it is none.
    #[error("op {place} of the bundle is none")]
    Op {
        /// Which one, from 0.
        place: u64,
        /// What is wrong with it.
        #[source]
        source: OpError,
    },
}

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSummary {
    /// The record that the store began with.
    pub genesis: Genesis,
    /// How many ops.
    pub ops: u64,
    /// Bytes of all ops.
    pub op_bytes: u64,
    /// Ops of each author; empty until they have been read.
    pub authors: BTreeMap<PubKey, u64>,
}

fn io(doing: &'static str) -> impl Fn(io::Error) -> BundleError {
    move |source| BundleError::Io { doing, source }
}

fn length_u32(bytes: &[u8]) -> [u8; 4] {
    // Genesis records and ops are far shorter than 4 GiB.
    u32::try_from(bytes.len())
        .expect("it is short")
        .to_le_bytes()
}

/// Hashes a bundle: records as they come, what is counted at the end.
struct Digest(blake3::Hasher);

impl Digest {
    fn new(genesis: &[u8]) -> Self {
        let mut digest = Self(blake3::Hasher::new_derive_key(CONTEXT));
        digest.record(genesis);
        digest
    }

    fn record(&mut self, bytes: &[u8]) {
        self.0.update(&length_u32(bytes));
        self.0.update(bytes);
    }

    fn finish(mut self, ops: u64, op_bytes: u64) -> [u8; DIGEST_BYTES] {
        self.0.update(&ops.to_le_bytes());
        self.0.update(&op_bytes.to_le_bytes());
        *self.0.finalize().as_bytes()
    }
}

/// Writes a bundle of ops, which must be in causal order. Each op's form and signature are checked
/// before it is written: what comes out is accepted elsewhere. What is counted stands in front of the ops
/// and is written last.
///
/// # Errors
/// See [`BundleError`]. What has been written is then no bundle.
pub fn write_bundle<W: Write + Seek>(
    out: &mut W,
    genesis: &Genesis,
    ops: &mut dyn Iterator<Item = Result<Vec<u8>, BackendError>>,
) -> Result<BundleSummary, BundleError> {
    let failed = io("written");
    let record = genesis.encode();
    let mut digest = Digest::new(&record);
    out.write_all(&MAGIC)
        .and_then(|()| out.write_all(&length_u32(&record)))
        .and_then(|()| out.write_all(&record))
        .map_err(&failed)?;
    let counts = out.stream_position().map_err(&failed)?;
    out.write_all(&[0; 8 + 8 + DIGEST_BYTES]).map_err(&failed)?;
    let (mut count, mut op_bytes) = (0_u64, 0_u64);
    let hasher = OpHasher::new(&genesis.hash());
    for op in ops {
        let op = op?;
        let op = checked(op, &hasher).map_err(|source| BundleError::BadOp {
            place: count,
            source,
        })?;
        let op = op.bytes();
        digest.record(op);
        out.write_all(&length_u32(op))
            .and_then(|()| out.write_all(op))
            .map_err(&failed)?;
        count += 1;
        op_bytes += u64::try_from(op.len()).expect("an op is short");
    }
    let digest = digest.finish(count, op_bytes);
    out.seek(SeekFrom::Start(counts))
        .and_then(|_| out.write_all(&count.to_le_bytes()))
        .and_then(|()| out.write_all(&op_bytes.to_le_bytes()))
        .and_then(|()| out.write_all(&digest))
        .and_then(|()| out.seek(SeekFrom::End(0)))
        .and_then(|_| out.flush())
        .map_err(&failed)?;
    Ok(BundleSummary {
        genesis: genesis.clone(),
        ops: count,
        op_bytes,
        authors: BTreeMap::new(),
    })
}

/// An op whose form and signature are as they must be.
fn checked(bytes: Vec<u8>, hasher: &OpHasher) -> Result<Op, OpError> {
    let op = Op::decode(bytes, hasher)?;
    op.verify()?;
    Ok(op)
}

/// Reads a bundle op by op. Only when [`next_op`](Self::next_op) has given nothing is it known to be
/// whole.
#[derive(Debug)]
pub struct BundleReader<R> {
    reader: R,
    summary: BundleSummary,
    digest: Option<Digest>,
    expected: [u8; DIGEST_BYTES],
    left_bytes: u64,
    read: u64,
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

impl<R: Read> BundleReader<R> {
    /// Reads what stands in front of the ops.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn new(mut reader: R) -> Result<Self, BundleError> {
        let mut magic = [0; MAGIC.len()];
        let found = read_some(&mut reader, &mut magic)?;
        if (1..MAGIC.len()).contains(&found) && MAGIC.starts_with(&magic[..found]) {
            return Err(BundleError::Cut { part: "its magic" });
        }
        let (start, format) = (&magic[..MAGIC.len() - 1], magic[MAGIC.len() - 1]);
        if start != &MAGIC[..MAGIC.len() - 1] {
            let found = readable(&magic[..found]);
            return Err(BundleError::NotABundle { found });
        }
        if format != MAGIC[MAGIC.len() - 1] {
            return Err(BundleError::Format { found: format });
        }
        let length = u32::from_le_bytes(read_array(&mut reader, "its genesis record")?);
        let limit = u64::try_from(MAX_GENESIS_BYTES).expect("a small number");
        let genesis = read_bytes(&mut reader, length, limit, "its genesis record")?;
        let digest = Digest::new(&genesis);
        let ops = u64::from_le_bytes(read_array(&mut reader, "its counts")?);
        let op_bytes = u64::from_le_bytes(read_array(&mut reader, "its counts")?);
        let expected = read_array(&mut reader, "its digest")?;
        Ok(Self {
            reader,
            summary: BundleSummary {
                genesis: Genesis::decode(&genesis)?,
                ops,
                op_bytes,
                authors: BTreeMap::new(),
            },
            digest: Some(digest),
            expected,
            left_bytes: op_bytes,
            read: 0,
        })
    }

    /// What the bundle says of itself.
    pub fn summary(&self) -> &BundleSummary {
        &self.summary
    }

    /// The next op's bytes, as they stand there. Nothing at the end of a bundle that is whole.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn next_op(&mut self) -> Result<Option<Vec<u8>>, BundleError> {
        if self.read == self.summary.ops {
            self.end()?;
            return Ok(None);
        }
        let length = u32::from_le_bytes(read_array(&mut self.reader, "an op")?);
        let most = u64::try_from(MAX_OP_BYTES).expect("16 MiB");
        let op = read_bytes(&mut self.reader, length, most.min(self.left_bytes), "an op")?;
        self.left_bytes -= u64::from(length);
        self.read += 1;
        if let Some(digest) = &mut self.digest {
            digest.record(&op);
        }
        Ok(Some(op))
    }

    fn end(&mut self) -> Result<(), BundleError> {
        let Some(digest) = self.digest.take() else {
            return Ok(());
        };
        if digest.finish(self.summary.ops, self.summary.op_bytes) != self.expected
            || self.left_bytes > 0
        {
            return Err(BundleError::Digest);
        }
        match read_some(&mut self.reader, &mut [0])? {
            0 => Ok(()),
            _ => Err(BundleError::Trailing),
        }
    }

    /// Reads to the end, and checks every op's form and signature on the way. Nothing but the bundle
    /// is needed for it.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn verify(mut self) -> Result<BundleSummary, BundleError> {
        let hasher = OpHasher::new(&self.summary.genesis.hash());
        let mut authors = BTreeMap::<PubKey, u64>::new();
        while let Some(bytes) = self.next_op()? {
            let place = self.read - 1;
            let wrong = |source| BundleError::Op { place, source };
            let op = checked(bytes, &hasher).map_err(wrong)?;
            *authors.entry(op.reference().author).or_insert(0) += 1;
        }
        Ok(BundleSummary {
            authors,
            ..self.summary
        })
    }
}

/// Fills as much of the buffer as there is; says how much.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, BundleError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io("read")(error)),
        }
    }
    Ok(filled)
}

fn read_array<const N: usize>(
    reader: &mut impl Read,
    part: &'static str,
) -> Result<[u8; N], BundleError> {
    let mut array = [0; N];
    match read_some(reader, &mut array)? {
        filled if filled == N => Ok(array),
        _ => Err(BundleError::Cut { part }),
    }
}

fn read_bytes(
    reader: &mut impl Read,
    length: u32,
    limit: u64,
    part: &'static str,
) -> Result<Vec<u8>, BundleError> {
    let found = u64::from(length);
    if found > limit {
        return Err(BundleError::Length { part, found, limit });
    }
    // What is there is read, and nothing allocated for what only a length says.
    let mut bytes = Vec::new();
    let read = reader.take(found).read_to_end(&mut bytes);
    let read = read.map_err(io("read"))?;
    match u64::try_from(read) == Ok(found) {
        true => Ok(bytes),
        false => Err(BundleError::Cut { part }),
    }
}
