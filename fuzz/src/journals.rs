//! Journals of a store, as a crash or a hostile file leaves them.

use std::path::Path;

use arbitrary::{Result, Unstructured};
use lattice_backend::backend::{
    BackendError, Direction, EVERYTHING, MemoryBackend, OpenOptions, ReadTx, StateBackend, Table,
};
use lattice_backend::journal::JournaledBackend;
use lattice_backend::storage::MemoryDisk;

const STORE: &str = "state.db";
const SALT: [u8; 16] = [7; 16];
const SLOT: usize = 8192;
const RECORDS: usize = 12288;
const MAX_RECORDS: usize = 8;

/// A store's own row and its two segments.
struct Journal {
    row: Vec<u8>,
    segments: [Vec<u8>; 2],
}

/// Opens a store with this journal for reading, and then for writing. A writer and a reader find
/// the same, and what is written then is there.
pub(crate) fn journal(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok(journal) = made(&mut input) else {
        return;
    };
    let (inner, disk) = (MemoryBackend::new(), MemoryDisk::new());
    let created = inner.create(STORE.as_ref(), &mut |tx| {
        tx.put(Table::System, b"journal", &journal.row)
    });
    created.expect("it is new");
    for (file, bytes) in journal.segments.into_iter().enumerate() {
        disk.insert(Path::new(&format!("{STORE}.journal-{file}")), bytes);
    }
    let backend = JournaledBackend::over(inner, disk);
    let read = || {
        let db = backend.open(STORE.as_ref(), &OpenOptions::read_only());
        let db = db.expect("a reader reads nothing yet");
        let found = db.snapshot().and_then(|view| rows(&*view));
        db.close().map(|()| found)
    };
    let Ok(before) = read().expect("memory does not fail") else {
        return;
    };
    let written = (|| {
        let db = backend
            .open(STORE.as_ref(), &OpenOptions::read_write())
            .ok()?;
        let mut tx = db.begin_write().ok()?;
        let found = rows(&*tx).expect("a reader found them");
        assert_eq!(found, before, "a writer and a reader differ");
        tx.put(Table::Data, b"written", b"on").ok()?;
        tx.commit().ok()?.wait().ok()?;
        db.close().ok()
    })();
    if written.is_some() {
        let mut wanted = before;
        let place = (Table::Data, b"written".to_vec());
        wanted.retain(|(of, _)| *of != place);
        wanted.push((place, b"on".to_vec()));
        wanted.sort_unstable();
        let after = read().expect("memory does not fail");
        assert_eq!(after.expect("it was just written"), wanted);
    }
}

type RowsFound = Vec<((Table, Vec<u8>), Vec<u8>)>;

fn rows(view: &dyn ReadTx) -> std::result::Result<RowsFound, BackendError> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut rows = view.range(table, EVERYTHING, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            found.push(((table, row.key.to_vec()), row.value.to_vec()));
        }
    }
    Ok(found)
}

/// Bytes as they are, or structures with right checksums around bytes of the input.
fn made(input: &mut Unstructured<'_>) -> Result<Journal> {
    if input.ratio(1, 8)? {
        let row = input.bytes(56)?.to_vec();
        let half = input.len() / 2;
        let first = input.bytes(half)?.to_vec();
        let second = input.take_rest_of()?;
        return Ok(Journal {
            row,
            segments: [first, second],
        });
    }
    let folded: u64 = match input.ratio(1, 16)? {
        true => input.arbitrary()?,
        false => 0,
    };
    let mut row = vec![1, 1, 0, 0, 0, 0, 0, 0];
    row.extend(SALT);
    row.extend(folded.to_le_bytes());
    row.extend(0_u64.to_le_bytes());
    row.extend(SALT);
    let mut segments = [vec![0; RECORDS + 4096], vec![0; RECORDS + 4096]];
    let mut place = Place {
        generation: folded.wrapping_add(1),
        seq: 0,
        chain: SALT,
        at: RECORDS,
    };
    for generation in [folded.wrapping_add(1), folded.wrapping_add(2)] {
        segments[file(generation)].splice(copy(generation), header(generation));
    }
    for _ in 0..input.int_in_range(0..=MAX_RECORDS)? {
        record(input, &mut place, &mut segments)?;
    }
    if input.ratio(1, 4)? {
        let seq = place.seq.wrapping_add(u64::from(input.ratio(1, 8)?));
        let slot = published(&place, seq);
        segments[1 - file(place.generation)].splice(SLOT..SLOT + 64, slot);
    }
    // An input that is used up gives the same answer for ever.
    while !input.is_empty() && input.ratio(1, 4)? {
        // Damage somewhere.
        let segment = &mut segments[usize::from(input.arbitrary::<bool>()?)];
        let at = input.choose_index(segment.len())?;
        segment[at] ^= input.arbitrary::<u8>()?;
    }
    Ok(Journal { row, segments })
}

/// The rest of the input.
trait TakeRest {
    fn take_rest_of(&mut self) -> Result<Vec<u8>>;
}

impl TakeRest for Unstructured<'_> {
    fn take_rest_of(&mut self) -> Result<Vec<u8>> {
        let rest = self.len();
        self.bytes(rest).map(<[u8]>::to_vec)
    }
}

struct Place {
    generation: u64,
    seq: u64,
    chain: [u8; 16],
    at: usize,
}

fn file(generation: u64) -> usize {
    usize::from(generation % 2 == 1)
}

fn copy(generation: u64) -> std::ops::Range<usize> {
    match (generation / 2).is_multiple_of(2) {
        true => 0..64,
        false => 4096..4096 + 64,
    }
}

fn cut<const N: usize>(hash: blake3::Hash) -> [u8; N] {
    *hash.as_bytes().first_chunk().expect("a hash is longer")
}

fn header(generation: u64) -> Vec<u8> {
    let mut bytes = b"LATJRNL1".to_vec();
    bytes.extend(SALT);
    bytes.extend(generation.to_le_bytes());
    bytes.extend([0; 16]);
    let sum = cut::<16>(blake3::hash(&bytes));
    bytes.extend(sum);
    bytes
}

fn published(place: &Place, seq: u64) -> Vec<u8> {
    let mut bytes = SALT.to_vec();
    bytes.extend(place.generation.to_le_bytes());
    bytes.extend(u64::try_from(place.at).expect("it is short").to_le_bytes());
    bytes.extend(seq.to_le_bytes());
    bytes.extend(place.chain);
    let sum = cut::<8>(blake3::hash(&bytes));
    bytes.extend(sum);
    bytes
}

/// Adds a record with right hashes; its fields and its body are as a writer makes them, or not.
fn record(
    input: &mut Unstructured<'_>,
    place: &mut Place,
    segments: &mut [Vec<u8>; 2],
) -> Result<()> {
    if input.ratio(1, 6)? {
        place.generation = place.generation.wrapping_add(1);
        place.at = RECORDS;
    }
    let mut meta = 0;
    let body = match input.ratio(1, 4)? {
        true => {
            let len = usize::from(input.arbitrary::<u8>()?);
            meta = u32::from(input.arbitrary::<u8>()?);
            input.bytes(len.min(input.len()))?.to_vec()
        }
        false => {
            let mut body = Vec::new();
            for table in 2..=6_u8 {
                if input.arbitrary()? {
                    let value = input.arbitrary::<Option<[u8; 3]>>()?;
                    body.push(table);
                    body.extend(1_u32.to_le_bytes());
                    body.extend(value.map_or(u32::MAX, |_| 3).to_le_bytes());
                    body.push(input.arbitrary()?);
                    body.extend(value.iter().flatten());
                }
            }
            body
        }
    };
    let mut bytes = vec![0; 64];
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let mut len = u32::try_from(bytes.len()).expect("it is short");
    let mut seq = place.seq.wrapping_add(1);
    if input.ratio(1, 16)? {
        len = input.arbitrary()?;
    }
    if input.ratio(1, 16)? {
        seq = input.arbitrary()?;
    }
    let key = blake3::derive_key("lattice journal v1", &SALT);
    let hash = blake3::keyed_hash(&key, &bytes[64..]);
    bytes.splice(0..4, len.to_le_bytes());
    bytes.splice(4..8, meta.to_le_bytes());
    bytes.splice(8..16, place.generation.to_le_bytes());
    bytes.splice(16..24, seq.to_le_bytes());
    bytes.splice(24..40, place.chain);
    bytes.splice(40..56, cut::<16>(hash));
    let tag = cut::<8>(blake3::keyed_hash(&key, &bytes[..56]));
    bytes.splice(56..64, tag);
    let segment = &mut segments[file(place.generation)];
    let end = place.at + bytes.len();
    if segment.len() < end {
        segment.resize(end, 0);
    }
    place.chain = cut(blake3::keyed_hash(&key, &bytes[..64]));
    place.seq = seq;
    segment.splice(place.at..end, bytes);
    place.at = end;
    Ok(())
}
