//! Reads bundles.

use std::collections::BTreeMap;
use std::io::{self, Read};

use lattice_meta::{Cid, Genesis, PubKey};

use crate::bundle::code::MAX_CLAIMS_BYTES;
use crate::bundle::follows::MAX_FOLLOWS_BYTES;
use crate::bundle::{
    BundleCode, BundleCodeError, BundleError, BundlePart, BundleSummary, Claims, DIGEST_BYTES,
    END_MARK, Follows, Format, MAGIC, MAX_GENESIS_BYTES, MAX_MODULE_BYTES, MAX_MODULES, Module,
    Total, checked,
};
use crate::op::{MAX_OP_BYTES, OpHasher};
use lattice_meta::readable;

/// Bytes to allocate before any byte of a record has arrived.
const FIRST_BYTES: usize = 4096;
/// Authors whose ops are counted separately.
const MAX_AUTHORS: usize = 1 << 16;

/// Reads a bundle op by op, to the end of its input. Treat nothing it returns as intact until
/// [`next_op`](Self::next_op) returns `None`: counts and digest come last.
#[derive(Debug)]
pub struct BundleReader<R> {
    reader: R,
    code: Option<BundleCode>,
    follows: Option<Follows>,
    genesis: Genesis,
    total: Total,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// An op or the end mark is next.
    Reading,
    /// Counts and digest match, and nothing follows them.
    Ended,
    /// An error was returned. No later call may report an intact end.
    Refused,
}

impl<R: Read> BundleReader<R> {
    /// Reads the part before the ops. It makes many short reads of the input, so wrap a file in a
    /// [`BufReader`](io::BufReader).
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn new(mut reader: R) -> Result<Self, BundleError> {
        let format = read_magic(&mut reader)?;
        let mut total = Total::new(format);
        let (code, follows) = match format {
            Format::History => (None, None),
            Format::Code => (Some(read_code(&mut reader, &mut total)?), None),
            Format::After => (None, Some(read_follows(&mut reader, &mut total)?)),
        };
        let part = BundlePart::Genesis;
        let length = u32::from_le_bytes(read_array(&mut reader, part)?);
        let record = read_bytes(&mut reader, length, MAX_GENESIS_BYTES, part)?;
        total.record(&record);
        Ok(Self {
            reader,
            code,
            follows,
            genesis: Genesis::decode(&record)?,
            total,
            state: State::Reading,
        })
    }

    /// The code that the bundle carries, and what its sender claims. Each module is the one that
    /// its content id names. `None` unless the bundle has format 2.
    pub fn code(&self) -> Option<&BundleCode> {
        self.code.as_ref()
    }

    /// What the bundle follows. `None` unless it has format 3.
    pub fn follows(&self) -> Option<&Follows> {
        self.follows.as_ref()
    }

    /// The store's genesis record, as the bundle claims it.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The digest, once [`next_op`](Self::next_op) has returned `None`. Bundles with equal digests
    /// hold the same ops in the same order.
    pub fn digest(&self) -> Option<[u8; DIGEST_BYTES]> {
        (self.state == State::Ended).then(|| self.total.digest())
    }

    /// The next op's bytes. Their form and signature are not checked. `None` at the end of an
    /// intact bundle.
    ///
    /// # Errors
    /// See [`BundleError`]. All later calls fail, too.
    pub fn next_op(&mut self) -> Result<Option<Vec<u8>>, BundleError> {
        match self.state {
            State::Reading => {}
            State::Ended => return Ok(None),
            State::Refused => return Err(BundleError::Refused),
        }
        self.state = State::Refused;
        let index = self.total.counts.ops;
        let length = u32::from_le_bytes(read_array(&mut self.reader, BundlePart::Next { index })?);
        if length == END_MARK {
            self.read_end()?;
            self.state = State::Ended;
            return Ok(None);
        }
        let limit = u32::try_from(MAX_OP_BYTES).expect("16 MiB");
        let op = read_bytes(&mut self.reader, length, limit, BundlePart::Op { index })?;
        self.total.add(&op);
        self.state = State::Reading;
        Ok(Some(op))
    }

    /// Compares counts and digest after the end mark with what was read.
    fn read_end(&mut self) -> Result<(), BundleError> {
        let claimed = u64::from_le_bytes(read_array(&mut self.reader, BundlePart::Counts)?);
        let claimed_bytes = u64::from_le_bytes(read_array(&mut self.reader, BundlePart::Counts)?);
        let digest = read_array(&mut self.reader, BundlePart::Digest)?;
        let found = self.total.counts;
        if claimed != found.ops {
            return Err(BundleError::OpCount {
                claimed,
                found: found.ops,
            });
        }
        if claimed_bytes != found.op_bytes {
            return Err(BundleError::ByteCount {
                claimed: claimed_bytes,
                found: found.op_bytes,
            });
        }
        if digest != self.total.digest() {
            return Err(BundleError::Digest);
        }
        match read_some(&mut self.reader, &mut [0])? {
            0 => Ok(()),
            _ => Err(BundleError::Trailing),
        }
    }

    /// Reads to the end, and checks form and signature of each op that was not read before. Reports
    /// an invalid op only if the digest matches; if it does not, the bundle was altered in transit.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn verify(mut self) -> Result<BundleSummary, BundleError> {
        let hasher = OpHasher::new(&self.genesis.hash());
        let mut authors = OpsOfAuthors::new(MAX_AUTHORS);
        let mut invalid = None;
        let mut index = self.total.counts.ops;
        while let Some(bytes) = self.next_op()? {
            if invalid.is_none() {
                match checked(bytes, &hasher) {
                    Ok(op) => authors.add(op.reference().author),
                    Err(source) => invalid = Some(BundleError::Op { index, source }),
                }
            }
            index += 1;
        }
        match invalid {
            Some(invalid) => Err(invalid),
            None => Ok(BundleSummary {
                genesis: self.genesis,
                code: self.code,
                follows: self.follows,
                counts: self.total.counts,
                authors: authors.counted,
                other_ops: authors.other_ops,
            }),
        }
    }
}

/// Counts ops by author, for at most `limit` authors: a bundle can have as many authors as ops.
struct OpsOfAuthors {
    limit: usize,
    counted: BTreeMap<PubKey, u64>,
    other_ops: u64,
}

impl OpsOfAuthors {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            counted: BTreeMap::new(),
            other_ops: 0,
        }
    }

    fn add(&mut self, author: PubKey) {
        let is_full = self.counted.len() >= self.limit;
        match self.counted.get_mut(&author) {
            Some(ops) => *ops += 1,
            None if is_full => self.other_ops += 1,
            None => {
                self.counted.insert(author, 1);
            }
        }
    }
}

/// Reads the magic and the format number.
fn read_magic(reader: &mut impl Read) -> Result<Format, BundleError> {
    let mut magic = [0; MAGIC.len() + 1];
    let filled = read_some(reader, &mut magic)?;
    if filled == 0 {
        return Err(BundleError::Empty);
    }
    if filled < magic.len() && MAGIC.starts_with(&magic[..filled]) {
        let part = BundlePart::Magic;
        return Err(BundleError::Cut { part });
    }
    let (start, found) = (&magic[..MAGIC.len()], magic[MAGIC.len()]);
    if start != MAGIC {
        let found = readable(&magic[..filled]);
        return Err(BundleError::NotABundle { found });
    }
    Format::from_number(found).ok_or(BundleError::Format { found })
}

/// Reads claims and modules. Refuses a module whose bytes differ from those that its content id
/// names.
fn read_code(reader: &mut impl Read, total: &mut Total) -> Result<BundleCode, BundleError> {
    let at = |part| move |source: BundleCodeError| BundleError::Code { part, source };
    let part = BundlePart::Claims;
    let length = u32::from_le_bytes(read_array(reader, part)?);
    let record = read_bytes(reader, length, MAX_CLAIMS_BYTES, part)?;
    total.record(&record);
    let claims = Claims::decode(&record).map_err(at(part))?;
    let part = BundlePart::ModuleCount;
    let [count] = read_array(reader, part)?;
    total.fixed(&[count]);
    let count = usize::from(count);
    // Checked before a module is read, so that no bundle makes the reader hold more of them.
    if !(1..=MAX_MODULES).contains(&count) {
        return Err(at(part)(BundleCodeError::ModuleCount { found: count }));
    }
    let mut modules = Vec::with_capacity(count);
    for index in 0..count {
        let part = BundlePart::Module { index };
        modules.push(read_module(reader, part, total)?);
    }
    BundleCode::new(claims, modules).map_err(at(part))
}

fn read_follows(reader: &mut impl Read, total: &mut Total) -> Result<Follows, BundleError> {
    let part = BundlePart::Follows;
    let length = u32::from_le_bytes(read_array(reader, part)?);
    let record = read_bytes(reader, length, MAX_FOLLOWS_BYTES, part)?;
    total.record(&record);
    Ok(Follows::decode(&record)?)
}

fn read_module(
    reader: &mut impl Read,
    part: BundlePart,
    total: &mut Total,
) -> Result<Module, BundleError> {
    let invalid = |source| BundleError::Code { part, source };
    let cid: [u8; Cid::LEN] = read_array(reader, part)?;
    total.fixed(&cid);
    let cid = Cid::from_bytes(&cid).map_err(|error| invalid(error.into()))?;
    let length = u32::from_le_bytes(read_array(reader, part)?);
    let limit = u32::try_from(MAX_MODULE_BYTES).expect("4 MiB");
    let bytes = read_bytes(reader, length, limit, part)?;
    total.record(&bytes);
    Module::new(cid, bytes).map_err(invalid)
}

/// Reads until the buffer is full or the input ends; returns the number of bytes.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, BundleError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BundleError::Read(error)),
        }
    }
    Ok(filled)
}

fn read_array<const N: usize>(
    reader: &mut impl Read,
    part: BundlePart,
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
    limit: u32,
    part: BundlePart,
) -> Result<Vec<u8>, BundleError> {
    if length > limit {
        let found = length;
        return Err(BundleError::Length { part, found, limit });
    }
    let length = usize::try_from(length).expect("the limit is far below 4 GiB");
    let mut bytes = Vec::new();
    while bytes.len() < length {
        // At most doubles what has arrived, and ends at exactly the length.
        let filled = bytes.len();
        let more = filled.max(FIRST_BYTES).min(length - filled);
        bytes.reserve_exact(more);
        bytes.resize(filled + more, 0);
        if read_some(reader, &mut bytes[filled..])? < more {
            return Err(BundleError::Cut { part });
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use crate::bundle::read::OpsOfAuthors;
    use crate::op::SecretKey;

    #[test]
    fn ops_of_authors_beyond_the_limit_are_counted_together() {
        let author = |seed| SecretKey::from_bytes(&[seed; 32]).public();
        let mut authors = OpsOfAuthors::new(2);
        for seed in [1, 2, 1, 3, 4, 3, 2] {
            authors.add(author(seed));
        }
        let counted: Vec<_> = [1, 2].map(|seed| authors.counted[&author(seed)]).into();
        assert_eq!((counted, authors.other_ops), (vec![2, 2], 3));
        assert_eq!(authors.counted.len(), 2);
    }
}
