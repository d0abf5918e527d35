//! Snapshots of a store.

use core::ops::{ControlFlow, RangeBounds};

use lattice_backend::backend::{BackendError, Direction, PrefixSpan, Table};
use lattice_backend::engine::read::Snapshot;
use lattice_backend::machine::DataRead;
use lattice_meta::{Hlc, StateHash};

use crate::range::KeyRange;
use crate::{ConflictedKeys, Scan, Sibling, read, rows};

/// A store as it was when the snapshot was taken; later writes are not visible. Clones share the
/// same view.
///
/// While a snapshot exists, the file of a store that is written grows.
#[derive(Debug, Clone)]
pub struct KvSnapshot {
    snapshot: Snapshot,
}

impl KvSnapshot {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot }
    }

    /// The value of a key; see [`KvStore::get`](crate::KvStore::get).
    ///
    /// # Errors
    /// Errors of the backend; the same holds for all methods that read.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, BackendError> {
        read::value(&self.snapshot, key.as_ref())
    }

    /// Passes the value of a key to `see`, if it has one, without copying it. Returns the result of
    /// `see`.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn show<T>(
        &self,
        key: impl AsRef<[u8]>,
        see: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, BackendError> {
        let (mut see, mut seen) = (Some(see), None);
        let mut once = |value: &[u8]| seen = see.take().map(|see| see(value));
        read::show(&self.snapshot, key.as_ref(), &mut once)?;
        Ok(seen)
    }

    /// Whether a key has a value.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, BackendError> {
        read::contains(&self.snapshot, key.as_ref())
    }

    /// All keys and their values, in order of keys, lazily and from either end.
    pub fn iter(&self) -> Scan {
        Scan::new(self.snapshot.clone(), KeyRange::ALL)
    }

    /// The keys in a range and their values; see [`KvStore::scan`](crate::KvStore::scan).
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        Scan::new(self.snapshot.clone(), KeyRange::new(&range))
    }

    /// The keys that start with a prefix and their values, lazily and from either end.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        Scan::new(self.snapshot.clone(), KeyRange::prefix(prefix.as_ref()))
    }

    /// The keys in a range that start with a prefix, and their values, lazily and from either end.
    pub fn scan_prefix<K: AsRef<[u8]>>(
        &self,
        prefix: impl AsRef<[u8]>,
        range: impl RangeBounds<K>,
    ) -> Scan {
        let range = KeyRange::new(&range).with_prefix(prefix.as_ref());
        Scan::new(self.snapshot.clone(), range)
    }

    /// Passes the keys in a range and their values to `each`, one after another, until `each`
    /// breaks. Copies nothing: for a long range this takes about half the time of
    /// [`scan`](Self::scan).
    ///
    /// # Errors
    /// Errors of the backend.
    pub fn visit<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
        direction: Direction,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        read::scan(&self.snapshot, &KeyRange::new(&range), direction, &mut each)
    }

    /// The same with the time at which the op was made that put the current value.
    ///
    /// # Errors
    /// Errors of the backend.
    pub fn visit_times<K: AsRef<[u8]>>(
        &self,
        range: impl RangeBounds<K>,
        direction: Direction,
        mut each: impl FnMut(&[u8], &[u8], Hlc) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        let (range, history) = (KeyRange::new(&range), self.snapshot.history());
        read::scan_times(&self.snapshot, &history, &range, direction, &mut each)
    }

    /// How many keys have a value; see [`KvStore::count`](crate::KvStore::count).
    pub fn count(&self) -> Result<u64, BackendError> {
        // Each value is one element. Few keys have several values; each of those has a sibling row.
        let values = self.snapshot.element_count()?;
        let (keys, siblings) = self.conflicted()?;
        let others = siblings.checked_sub(keys);
        let keys = others.and_then(|others| values.checked_sub(others));
        keys.ok_or_else(|| {
            let found = format!("{values}, and {siblings} siblings");
            BackendError::row(Table::System, "a count of all values of the store", found)
        })
    }

    /// All concurrent values of a key, the current one first; see
    /// [`KvStore::conflicts`](crate::KvStore::conflicts).
    pub fn conflicts(&self, key: impl AsRef<[u8]>) -> Result<Vec<Sibling>, BackendError> {
        read::conflicts(&self.snapshot, &self.snapshot.history(), key.as_ref())
    }

    /// The keys that have more than one value; see
    /// [`KvStore::conflicted_keys`](crate::KvStore::conflicted_keys).
    pub fn conflicted_keys(&self) -> ConflictedKeys {
        ConflictedKeys::new(self.snapshot.clone())
    }

    /// The hash of the whole state: equal on replicas that have applied the same ops.
    pub fn state_hash(&self) -> Result<StateHash, BackendError> {
        self.snapshot.state_hash()
    }

    /// The number of keys with several values, and the number of those values.
    fn conflicted(&self) -> Result<(u64, u64), BackendError> {
        let span = PrefixSpan::new(&rows::SIBLING_PREFIX);
        let mut cursor = self.snapshot.range(span.span(), Direction::Forward)?;
        let (mut keys, mut siblings, mut last) = (0, 0, Vec::new());
        while let Some(row) = cursor.next()? {
            let key = rows::key_of_sibling(row.key)?;
            siblings += 1;
            if keys == 0 || key != last {
                keys += 1;
                last.clear();
                last.extend_from_slice(key);
            }
        }
        Ok((keys, siblings))
    }
}
