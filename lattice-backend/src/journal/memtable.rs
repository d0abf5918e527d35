//! The rows of one generation of the journal, in memory and in order, in several versions.
//!
//! One thread writes at a time; any number of threads read beside it. A row has a version for each
//! commit that changed it and that a snapshot may need.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::{Entry, Range};

use crate::backend::merge::LayerRows;
use crate::backend::{Direction, Span, Table};

/// A value of a row; `None` if the row was removed.
pub(super) type Value = Option<Arc<[u8]>>;
type Key = Box<[u8]>;
/// The versions of a row, ascending by their numbers.
type Versions = RwLock<Vec<Version>>;

/// The memory of a row beside its bytes: the node, the lock, the list of versions.
const ROW_OVERHEAD: usize = 160;
/// The memory of one more version beside its bytes.
const VERSION_OVERHEAD: usize = 48;

#[derive(Debug, Default)]
pub(super) struct Memtable {
    tables: [SkipMap<Key, Versions>; Table::ALL.len()],
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct Version {
    seq: u64,
    value: Value,
}

impl Version {
    fn bytes(&self) -> usize {
        VERSION_OVERHEAD + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// The newest version that a snapshot of this number sees.
fn visible(versions: &Versions, seq: u64) -> Option<Value> {
    let versions = versions.read().unwrap_or_else(PoisonError::into_inner);
    let seen = versions.iter().rev().find(|version| version.seq <= seq);
    seen.map(|version| version.value.clone())
}

impl Memtable {
    /// The memory that the rows take, approximately.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self, table: Table) -> bool {
        self.tables[table.position()].is_empty()
    }

    /// Adds a version. `oldest` is the number of the oldest snapshot that is in use or can still be
    /// taken: versions that only older ones would see are dropped.
    pub(super) fn insert(&self, table: Table, key: &[u8], value: Value, seq: u64, oldest: u64) {
        let rows = &self.tables[table.position()];
        let version = Version { seq, value };
        let mut added = version.bytes();
        let mut dropped = 0;
        match rows.get(key) {
            Some(row) => {
                let mut versions = row.value().write().unwrap_or_else(PoisonError::into_inner);
                let seen = versions.iter().rposition(|version| version.seq <= oldest);
                for version in versions.drain(..seen.unwrap_or(0)) {
                    dropped += version.bytes();
                }
                versions.push(version);
            }
            None => {
                added += ROW_OVERHEAD + key.len();
                rows.insert(key.into(), RwLock::new(vec![version]));
            }
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.bytes.fetch_sub(dropped, Ordering::Relaxed);
    }

    /// The value that a snapshot of this number sees, if this generation has one.
    pub(super) fn get(&self, table: Table, key: &[u8], seq: u64) -> Option<Value> {
        visible(self.tables[table.position()].get(key)?.value(), seq)
    }

    /// The rows that a snapshot of this number sees.
    pub(super) fn range(
        &self,
        table: Table,
        (start, end): Span<'_>,
        direction: Direction,
        seq: u64,
    ) -> MemtableRows<'_> {
        let span = (start.map(Key::from), end.map(Key::from));
        MemtableRows {
            rows: self.tables[table.position()].range(span),
            direction,
            seq,
            current: None,
        }
    }
}

/// Rows of a [`Memtable`], in order.
pub(super) struct MemtableRows<'a> {
    rows: Range<'a, Key, (Bound<Key>, Bound<Key>), Key, Versions>,
    direction: Direction,
    seq: u64,
    current: Option<(Entry<'a, Key, Versions>, Value)>,
}

impl LayerRows for MemtableRows<'_> {
    fn advance(&mut self) {
        self.current = loop {
            let row = match self.direction {
                Direction::Forward => self.rows.next(),
                Direction::Backward => self.rows.next_back(),
            };
            let Some(row) = row else {
                break None;
            };
            if let Some(value) = visible(row.value(), self.seq) {
                break Some((row, value));
            }
        };
    }

    fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let (row, value) = self.current.as_ref()?;
        Some((row.key(), value.as_deref()))
    }
}

/// The numbers of the snapshots that are in use.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<BTreeMap<u64, usize>>);

impl Pins {
    /// Keeps the versions that a snapshot of this number sees, until the pin is dropped.
    pub(super) fn pin(self: &Arc<Self>, seq: u64) -> Pin {
        *self.lock().entry(seq).or_default() += 1;
        Pin {
            pins: Arc::clone(self),
            seq,
        }
    }

    /// The number of the oldest snapshot in use, or `newest`.
    pub(super) fn oldest(&self, newest: u64) -> u64 {
        let oldest = self.lock().keys().next().copied();
        oldest.map_or(newest, |oldest| oldest.min(newest))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Pin {
    pins: Arc<Pins>,
    seq: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.seq) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.seq);
            }
        }
    }
}
