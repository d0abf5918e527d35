//! Measures what an op costs the backend, by the layout of `system`, `ops` and `applied`.
//!
//! Writes the same ops through candidate layouts and the same rows through redb alone, alternating,
//! in one run and one mode. Prints the median of the ratios of all rounds, and the bytes that a key
//! takes on disk after compaction. docs/layout.md says which layout was chosen, and why. The
//! candidates are bare write sets: keys are 16 random bytes, values 100 bytes; hashing and signing
//! are real.
//!
//! `cargo bench -p lattice-backend --bench write_set` (about two minutes).
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_types)] // Ratios of times; no state is computed here.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ed25519_dalek::{Signer, SigningKey};
use lattice_backend::state::ElementHasher;
use lattice_backend::state::lthash::{LTHASH_BYTES, LtHash};
use redb::{Builder, ConcurrencyMode, Database, TableDefinition, WriteTransaction};

type Def = TableDefinition<'static, &'static [u8], &'static [u8]>;
const DATA: Def = TableDefinition::new("data");
const OPS: Def = TableDefinition::new("ops");
const APPLIED: Def = TableDefinition::new("applied");
const SYSTEM: Def = TableDefinition::new("system");
const META: Def = TableDefinition::new("meta");

const VALUE: [u8; 100] = [0xab; 100];
/// Number of ops after which a stepwise index is updated.
const STEP: usize = 256;
const ROUNDS: usize = 7;

/// A candidate layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    name: &'static str,
    /// `ops` by author, with a row in `applied` for each op; otherwise `ops` by index.
    ops_by_author: bool,
    /// The index by author is written every [`STEP`] ops; otherwise with every op.
    stepwise_index: bool,
    /// Frontier and accumulator are written every [`STEP`] ops; otherwise with every op. (To update
    /// them on open, a store would have to keep what each op replaced.)
    stepwise_system: bool,
    /// The op's record is split into rows of this many bytes.
    part_bytes: Option<usize>,
    /// Bytes before a value in `data`: the author of the put, and its time.
    head_bytes: usize,
}

const FIVE_TABLES: Layout = Layout {
    name: "five tables, ops by author",
    ops_by_author: true,
    stepwise_index: false,
    stepwise_system: false,
    part_bytes: None,
    head_bytes: 84,
};
const BY_INDEX: Layout = Layout {
    name: "ops by index, index by author with every op",
    ops_by_author: false,
    ..FIVE_TABLES
};
const STEPWISE: Layout = Layout {
    name: "the same, index in steps",
    stepwise_index: true,
    ..BY_INDEX
};
const PARTS: Layout = Layout {
    name: "the same, records in parts of 1,340",
    part_bytes: Some(1340),
    ..STEPWISE
};
const SYSTEM_STEPWISE: Layout = Layout {
    name: "the same, frontier and accumulator in steps",
    stepwise_system: true,
    ..PARTS
};
const SMALL_FRONTIER: Layout = Layout {
    name: "the one before that, 2 bytes before a value (chosen)",
    head_bytes: 2,
    ..PARTS
};
const LAYOUTS: [Option<Layout>; 7] = [
    None,
    Some(FIVE_TABLES),
    Some(BY_INDEX),
    Some(STEPWISE),
    Some(PARTS),
    Some(SYSTEM_STEPWISE),
    Some(SMALL_FRONTIER),
];

struct Store {
    db: Database,
    path: PathBuf,
    layout: Option<Layout>,
    author: SigningKey,
    applied: u64,
    tip: [u8; 32],
    tail: Vec<[u8; 72]>,
    sum: LtHash,
    hasher: ElementHasher,
    random: u64,
}

impl Store {
    fn new(path: PathBuf, layout: Option<Layout>) -> Self {
        let db = Builder::new()
            .set_cache_size(64 << 20)
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .create(&path)
            .unwrap();
        let tx = db.begin_write().unwrap();
        for table in [DATA, OPS, APPLIED, SYSTEM, META] {
            tx.open_table(table).unwrap();
        }
        tx.commit().unwrap();
        let random = 0x9e37_79b9_7f4a_7c15;
        let (author, sum) = (SigningKey::from_bytes(&[7; 32]), LtHash::default());
        let hasher = ElementHasher::default();
        let (applied, tip, tail) = (0, [0; 32], Vec::new());
        Self {
            db,
            path,
            layout,
            author,
            applied,
            tip,
            tail,
            sum,
            hasher,
            random,
        }
    }

    fn random_key(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        for half in key.chunks_exact_mut(8) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            half.copy_from_slice(&self.random.to_be_bytes());
        }
        key
    }

    /// Commits a batch of new keys, as one op or as raw rows.
    fn commit(&mut self, batch: usize) {
        let mut keys: Vec<_> = (0..batch).map(|_| self.random_key()).collect();
        let tx = self.db.begin_write().unwrap();
        match self.layout {
            None => {
                let mut data = tx.open_table(DATA).unwrap();
                for key in &keys {
                    data.insert(key.as_slice(), VALUE.as_slice()).unwrap();
                }
            }
            Some(layout) => {
                keys.sort_unstable();
                self.write_op(&tx, layout, &keys);
            }
        }
        tx.commit().unwrap();
    }

    fn write_op(&mut self, tx: &WriteTransaction, layout: Layout, keys: &[[u8; 16]]) {
        let mut record = vec![0; 16 + 114];
        for key in keys {
            record.extend_from_slice(&[0; 25]);
            record.extend_from_slice(key);
            record.extend_from_slice(&VALUE);
        }
        let id = *blake3::hash(&record).as_bytes();
        record.extend_from_slice(&self.author.sign(&id).to_bytes());
        let effect = self.write_data(tx, layout, keys);
        record[..16].copy_from_slice(&effect);

        let mut reference = [9; 72];
        reference[32..40].copy_from_slice(&self.applied.to_be_bytes());
        reference[40..].copy_from_slice(&id);
        let index = self.applied.to_be_bytes();
        if layout.ops_by_author {
            let mut ops = tx.open_table(OPS).unwrap();
            ops.insert(reference.as_slice(), &record[16..]).unwrap();
            let applied = [reference.as_slice(), &effect].concat();
            tx.open_table(APPLIED)
                .unwrap()
                .insert(index.as_slice(), applied.as_slice())
                .unwrap();
        } else {
            self.write_by_index(tx, layout, &record);
            self.tail.push(reference);
        }
        let due = self.tail.len() >= STEP;
        if due || !layout.stepwise_index {
            let mut by_author = tx.open_table(APPLIED).unwrap();
            for reference in self.tail.drain(..) {
                by_author
                    .insert(reference.as_slice(), index.as_slice())
                    .unwrap();
            }
        }
        if due || !layout.stepwise_system {
            let mut system = tx.open_table(SYSTEM).unwrap();
            let ledger = [[0; 32].as_slice(), &self.sum.to_bytes()].concat();
            system
                .insert(b"ledger".as_slice(), ledger.as_slice())
                .unwrap();
            system
                .remove([b"frontier/", self.tip.as_slice()].concat().as_slice())
                .unwrap();
            let row = [b"frontier/", id.as_slice()].concat();
            system.insert(row.as_slice(), [0; 8].as_slice()).unwrap();
        }
        let tip = [b"tip/".as_slice(), &[9; 32]].concat();
        tx.open_table(META)
            .unwrap()
            .insert(tip.as_slice(), id.as_slice())
            .unwrap();
        (self.tip, self.applied) = (id, self.applied + 1);
    }

    fn write_by_index(&self, tx: &WriteTransaction, layout: Layout, record: &[u8]) {
        let mut ops = tx.open_table(OPS).unwrap();
        let part_bytes = layout.part_bytes.unwrap_or(record.len());
        for (part, bytes) in (0_u32..).zip(record.chunks(part_bytes)) {
            let mut key = self.applied.to_be_bytes().to_vec();
            if part > 0 {
                key.extend_from_slice(&part.to_be_bytes());
            }
            ops.insert(key.as_slice(), bytes).unwrap();
        }
    }

    /// Reads, writes and hashes the rows, as a state machine and its host do.
    fn write_data(&mut self, tx: &WriteTransaction, layout: Layout, keys: &[[u8; 16]]) -> [u8; 16] {
        let mut data = tx.open_table(DATA).unwrap();
        let row = [vec![5; layout.head_bytes], VALUE.to_vec()].concat();
        let mut effect = blake3::Hasher::new();
        for key in keys {
            assert!(
                redb::ReadableTable::get(&data, key.as_slice())
                    .unwrap()
                    .is_none()
            );
        }
        for key in keys {
            data.insert(key.as_slice(), row.as_slice()).unwrap();
            let expanded: [u8; LTHASH_BYTES] = self.hasher.expand(key, &row);
            self.sum.add(&expanded);
            effect.update(key).update(&row);
        }
        *effect.finalize().as_bytes().first_chunk().unwrap()
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[allow(clippy::as_conversions)]
fn measure(dir: &Path, batch: usize, before: usize, commits: usize) {
    let mut stores: Vec<_> = LAYOUTS
        .iter()
        .enumerate()
        .map(|(place, layout)| Store::new(dir.join(format!("{batch}-{place}.db")), *layout))
        .collect();
    for store in &mut stores {
        (0..before).for_each(|_| store.commit(batch));
    }
    let mut rates = vec![Vec::new(); stores.len()];
    for _ in 0..ROUNDS {
        for (store, rates) in stores.iter_mut().zip(&mut rates) {
            let started = Instant::now();
            (0..commits).for_each(|_| store.commit(batch));
            rates.push((commits * batch) as f64 / started.elapsed().as_secs_f64());
        }
    }
    println!("\n{batch} new keys a commit, after {} keys", before * batch);
    println!("{:>9}  {:>8}  {:>8}  layout", "keys/s", "of raw", "bytes");
    let keys = ((before + ROUNDS * commits) * batch) as f64;
    let raw = rates[0].clone();
    for (mut store, rates) in stores.into_iter().zip(rates) {
        let ratios = rates
            .iter()
            .zip(&raw)
            .map(|(rate, raw)| rate / raw)
            .collect();
        store.db.compact().unwrap();
        drop(store.db);
        let bytes = std::fs::metadata(&store.path).unwrap().len() as f64 / keys;
        let name = store
            .layout
            .map_or("raw rows, redb alone", |layout| layout.name);
        println!(
            "{:>9.0}  {:>8.2}  {:>8.0}  {name}",
            median(rates),
            median(ratios),
            bytes
        );
    }
}

fn main() {
    // `cargo test --benches` runs this too; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    measure(dir.path(), 1, 2000, 600);
    measure(dir.path(), 100, 200, 60);
    measure(dir.path(), 10_000, 8, 4);
}
