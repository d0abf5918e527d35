//! Raw redb: the upper limit.

use std::path::Path;

use lattice_backend::backend::Sharing;
use redb::{ConcurrencyMode, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::Subject;
use crate::data::{CACHE_BYTES, Key, VALUE, look};

/// The table of a [`Raw`].
pub const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

fn open(path: &Path, sharing: Sharing) -> Database {
    redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_concurrency_mode(match sharing {
            Sharing::SingleWriter => ConcurrencyMode::SingleWriter,
            Sharing::Exclusive => ConcurrencyMode::ExclusiveWriter,
        })
        .create(path)
        .expect("it is new")
}

/// Rows of one table.
pub struct Raw(pub Database);

impl Raw {
    /// Creates an empty table.
    pub fn new(dir: &Path, sharing: Sharing) -> Self {
        Self(open(&dir.join("raw.db"), sharing))
    }
}

impl Subject for Raw {
    fn name(&self) -> &'static str {
        "raw redb"
    }

    fn commit(&mut self, keys: &[Key]) {
        let tx = self.0.begin_write().expect("it writes");
        let mut rows = tx.open_table(ROWS).expect("a table");
        for key in keys {
            rows.insert(&key[..], &VALUE[..]).expect("a row");
        }
        drop(rows);
        tx.commit().expect("it commits");
    }

    fn get(&mut self, key: &Key) -> usize {
        let tx = self.0.begin_read().expect("it reads");
        let rows = tx.open_table(ROWS).expect("a table");
        let found = rows.get(&key[..]).expect("it reads");
        found.map_or(0, |value| look(value.value()))
    }

    fn scan(&mut self) -> usize {
        let tx = self.0.begin_read().expect("it reads");
        let rows = tx.open_table(ROWS).expect("a table");
        let mut count = 0;
        for row in rows.iter().expect("it reads") {
            let (key, value) = row.expect("it reads");
            std::hint::black_box((key.value().len(), look(value.value())));
            count += 1;
        }
        count
    }
}

impl Raw {
    /// Copies all keys and values into owned memory; returns their number.
    pub fn scan_owned(&self) -> usize {
        let tx = self.0.begin_read().expect("it reads");
        let rows = tx.open_table(ROWS).expect("a table");
        let copied = rows.iter().expect("it reads").map(|row| {
            let (key, value) = row.expect("it reads");
            (key.value().to_vec(), value.value().to_vec())
        });
        copied
            .inspect(|(key, value)| {
                std::hint::black_box((key.len(), look(value)));
            })
            .count()
    }
}

/// The rows that Lattice writes, written by redb alone: same tables, keys and lengths, no
/// signatures and no hashes. FORMAT.md describes the rows.
pub struct SameRows {
    database: Database,
    applied: u64,
    tail: Vec<[u8; 72]>,
    head: [u8; 72],
}

/// The rows that are specific to one op.
pub struct SameOp {
    row: Vec<u8>,
    cell: Vec<u8>,
    record_bytes: usize,
}

const TABLES: [&str; 5] = ["meta", "system", "ops", "applied", "data"];
/// Effect, body and signature of an op, without its payload.
const BARE_RECORD_BYTES: usize = 16 + 114 + 64;
/// The payload of one put.
const PUT_BYTES: usize = 158;
/// The length after which records are split.
const PART_BYTES: usize = 1340;
/// The length of the op number before a value.
const CELL_HEADER_BYTES: usize = 2;
const LEDGER_BYTES: usize = 2080;
const STEP: usize = 256;

impl SameOp {
    /// A put of one new key.
    pub fn put(key: &Key) -> Self {
        Self {
            row: [b"c", &key[..]].concat(),
            cell: [&[3; CELL_HEADER_BYTES][..], &VALUE].concat(),
            record_bytes: BARE_RECORD_BYTES + PUT_BYTES,
        }
    }

    /// An append of entries to a log, later than the appends before it.
    pub fn append(nth: u64, entries: usize) -> Self {
        let mut row = vec![8; 40];
        row[..8].copy_from_slice(&nth.to_be_bytes());
        Self {
            row,
            cell: vec![3; CELL_HEADER_BYTES + 1],
            record_bytes: BARE_RECORD_BYTES + 1 + 8 + entries * (8 + VALUE.len()),
        }
    }
}

impl SameRows {
    /// Creates an empty store.
    pub fn new(dir: &Path, name: &str) -> Self {
        let database = open(&dir.join(name), Sharing::SingleWriter);
        let tail = Vec::new();
        let (applied, head) = (0, [9; 72]);
        Self {
            database,
            applied,
            tail,
            head,
        }
    }

    /// Writes ops in one transaction.
    pub fn write(&mut self, ops: &[SameOp]) {
        let tx = self.database.begin_write().expect("it writes");
        {
            let [mut meta, mut system, mut records, mut applied, mut data] = TABLES.map(|name| {
                let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(name);
                tx.open_table(definition).expect("a table")
            });
            let before = self.head;
            for op in ops {
                let there = data.get(&op.row[..]).expect("it reads").is_some();
                assert!(!there, "keys are new");
                data.insert(&op.row[..], &op.cell[..]).expect("a row");
                let index = self.applied.to_be_bytes();
                let record = vec![7; op.record_bytes];
                for (part, bytes) in (0_u32..).zip(record.chunks(PART_BYTES)) {
                    let key = match part {
                        0 => index.to_vec(),
                        part => [&index[..], &part.to_be_bytes()].concat(),
                    };
                    records.insert(&key[..], bytes).expect("a row");
                }
                self.head[32..40].copy_from_slice(&index);
                self.tail.push(self.head);
                self.applied += 1;
            }
            system
                .remove(&[b"frontier/", &before[..]].concat()[..])
                .expect("a row");
            system
                .insert(&[b"frontier/", &self.head[..]].concat()[..], &[1; 8][..])
                .expect("a row");
            if self.tail.len() >= STEP {
                for head in self.tail.drain(..) {
                    applied.insert(&head[..], &[1; 8][..]).expect("a row");
                }
            }
            system
                .insert(&b"ledger"[..], &[5; LEDGER_BYTES][..])
                .expect("a row");
            meta.insert(&[b"tip/", &[9; 32][..]].concat()[..], &self.head[40..])
                .expect("a row");
        }
        tx.commit().expect("it commits");
    }
}

impl Subject for SameRows {
    fn name(&self) -> &'static str {
        "the same rows"
    }

    fn reads(&self) -> bool {
        false
    }

    fn commit(&mut self, keys: &[Key]) {
        let ops: Vec<SameOp> = keys.iter().map(SameOp::put).collect();
        self.write(&ops);
    }

    fn get(&mut self, _: &Key) -> usize {
        0
    }

    fn scan(&mut self) -> usize {
        0
    }
}
