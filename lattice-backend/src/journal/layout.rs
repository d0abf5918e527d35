//! The bytes of a journal beside its records: the mark in the backend, the headers of a segment,
//! and the published end. All integers are little-endian.

use std::fmt;

/// The key of the mark in the table `system`.
pub(crate) const MARK: &[u8] = b"journal";

/// The two copies of a segment's header. A torn header leaves the other copy as it was.
const HEADERS: [u64; 2] = [0, 4096];
/// The published end. It is written in the segment that is not appended to.
pub(super) const SLOT: u64 = 8192;
/// The first record.
pub(super) const RECORDS: u64 = 12288;

pub(super) const HEADER_BYTES: usize = 64;
pub(super) const SLOT_BYTES: usize = 64;
const MARK_BYTES: usize = 56;
const MAGIC: [u8; 8] = *b"LATJRNL1";
const MARK_VERSION: u8 = 1;

/// Identifies a session of a journal: random, and new for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt(pub(super) [u8; 16]);

/// The number of a segment within its session, from 1. Each has a file's records once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(pub(super) u64);

/// What a record names as the record before it, and so all records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChainValue(pub(super) [u8; 16]);

/// The keys and values of a session's keyed hashes. Rows hold bytes that strangers chose, and the
/// body of a record must not look like a record.
#[derive(Clone)]
pub(super) struct Keys {
    salt: Salt,
    key: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("salt", &self.salt)
            .finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(salt: Salt) -> Self {
        Self {
            salt,
            key: blake3::derive_key("lattice journal v1", &salt.0),
        }
    }

    pub(super) fn salt(&self) -> Salt {
        self.salt
    }

    /// The keyed hash, cut to its first bytes.
    pub(super) fn hash<const N: usize>(&self, parts: &[&[u8]]) -> [u8; N] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(part);
        }
        let mut cut = [0; N];
        hasher.finalize_xof().fill(&mut cut);
        cut
    }

    /// The chain value before the first record of the session.
    pub(super) fn first_chain(&self) -> ChainValue {
        ChainValue(self.salt.0)
    }

    /// The chain value after a transaction that was written to the backend. `random` makes it
    /// differ from that of another transaction with this number, in a copy of the store.
    pub(super) fn direct_chain(&self, chain: ChainValue, seq: u64, random: [u8; 16]) -> ChainValue {
        ChainValue(self.hash(&[b"direct", &chain.0, &seq.to_le_bytes(), &random]))
    }
}

impl Generation {
    /// The first one of a session.
    pub(super) const FIRST: Self = Self(1);

    pub(super) fn next(self) -> Self {
        // Only the mark of another program has a number that is near the greatest.
        Self(self.0.wrapping_add(1))
    }

    /// The file that holds it.
    pub(super) fn file(self) -> usize {
        usize::from(!self.0.is_multiple_of(2))
    }

    /// The other file.
    pub(super) fn other_file(self) -> usize {
        1 - self.file()
    }

    /// The offset of its header.
    pub(super) fn header_offset(self) -> u64 {
        HEADERS[usize::from(!(self.0 / 2).is_multiple_of(2))]
    }
}

/// Takes fixed-size fields from the start of some bytes.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The backend's row about the journal: what of it the backend holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Whether the session has not ended. The store is then the backend's rows and the journal's.
    pub(super) is_open: bool,
    pub(super) salt: Salt,
    /// The last generation that was folded; 0 at first.
    pub(super) folded: u64,
    /// The number of the last transaction that the backend holds.
    pub(super) seq: u64,
    /// The chain value after it.
    pub(super) chain: ChainValue,
}

impl Mark {
    pub(super) fn to_bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[0] = MARK_VERSION;
        bytes[1] = u8::from(self.is_open);
        bytes[8..24].copy_from_slice(&self.salt.0);
        bytes[24..32].copy_from_slice(&self.folded.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
        bytes[40..].copy_from_slice(&self.chain.0);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let [version, state] = fields.array()?;
        let is_open = match state {
            0 => false,
            1 => true,
            _ => return None,
        };
        let rest: [u8; 6] = fields.array()?;
        if version != MARK_VERSION || rest != [0; 6] || bytes.len() != MARK_BYTES {
            return None;
        }
        Some(Self {
            is_open,
            salt: Salt(fields.array()?),
            folded: fields.u64()?,
            seq: fields.u64()?,
            chain: ChainValue(fields.array()?),
        })
    }
}

/// The header of a segment.
pub(super) fn header(salt: Salt, generation: Generation) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..24].copy_from_slice(&salt.0);
    bytes[24..32].copy_from_slice(&generation.0.to_le_bytes());
    let sum = checksum::<16>(&bytes[..48]);
    bytes[48..].copy_from_slice(&sum);
    bytes
}

/// What the header of a segment says; `None` if it is not intact.
pub(super) fn read_header(bytes: &[u8; HEADER_BYTES]) -> Option<(Salt, Generation)> {
    let (text, sum) = bytes.split_at(48);
    let mut fields = Fields(text);
    let is_intact = fields.array()? == MAGIC && sum == checksum::<16>(text);
    let (salt, generation) = (Salt(fields.array()?), Generation(fields.u64()?));
    let is_zero = fields.array::<16>()? == [0; 16];
    (is_intact && is_zero).then_some((salt, generation))
}

/// The offsets of both copies of a header.
pub(super) fn header_offsets() -> [u64; 2] {
    HEADERS
}

/// How far the records of a session are on disk. A writer publishes it after a sync, so it claims
/// nothing that a crash could lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) salt: Salt,
    pub(super) generation: Generation,
    /// The offset at which the next record begins.
    pub(super) end: u64,
    /// The number of the last transaction.
    pub(super) seq: u64,
    /// The chain value after it.
    pub(super) chain: ChainValue,
}

impl Published {
    pub(super) fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..16].copy_from_slice(&self.salt.0);
        bytes[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.end.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.chain.0);
        let sum = checksum::<8>(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum);
        bytes
    }

    /// `None` if nothing is published, or it is being written.
    pub(super) fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> Option<Self> {
        let (text, sum) = bytes.split_at(56);
        if sum != checksum::<8>(text) {
            return None;
        }
        let mut fields = Fields(text);
        Some(Self {
            salt: Salt(fields.array()?),
            generation: Generation(fields.u64()?),
            end: fields.u64()?,
            seq: fields.u64()?,
            chain: ChainValue(fields.array()?),
        })
    }
}

/// BLAKE3, cut to its first bytes.
fn checksum<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut cut = [0; N];
    blake3::Hasher::new()
        .update(bytes)
        .finalize_xof()
        .fill(&mut cut);
    cut
}
