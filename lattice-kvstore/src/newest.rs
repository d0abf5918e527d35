//! Copies the keys that were written last to a new store.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use lattice_backend::backend::{BackendError, Cause, Direction};
use lattice_meta::Hlc;
use lattice_registry::{Calls, Keep, StoreHandle};

use crate::copy::{BATCH_BYTES, BATCH_KEYS, of, puts};
use crate::{KvSnapshot, copy_keys};

/// All keys.
const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

/// Makes a key-value store with the keys of another one that were written last: the same as
/// [`copy_keys`], for a part of the keys.
///
/// A key was written when the op was made that put its current value. Keys that were written at the
/// same time, as by one batch, are taken in the order of their bytes: the greater key counts as the
/// later one. What is kept depends on the old store alone, so that an interrupted copy can be
/// resumed. Memory: about 40 bytes for each op that put a key that is kept.
///
/// # Errors
/// The old store has a different type, or cannot be read.
pub fn copy_newest(old: &dyn StoreHandle, keep: Keep) -> Result<Calls<'_>, Cause> {
    if keep == Keep::All {
        return copy_keys(old);
    }
    let snapshot = of(old)?.snapshot()?;
    let Some(cut) = Cut::find(&snapshot, keep)? else {
        return Ok(Box::new(std::iter::empty()));
    };
    let batches = Batches {
        snapshot,
        cut,
        next: Some(Bound::Unbounded),
    };
    Ok(Box::new(
        batches.map(|rows| Ok(("batch".into(), puts(rows?)))),
    ))
}

/// The oldest write that is kept: its time, and its key, before which keys of the same time are
/// left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    hlc: Hlc,
    key: Vec<u8>,
}

impl Cut {
    fn at(hlc: Hlc) -> Self {
        let key = Vec::new();
        Self { hlc, key }
    }

    fn keeps(&self, key: &[u8], hlc: Hlc) -> bool {
        (hlc, key) >= (self.hlc, &self.key[..])
    }

    /// `None` if nothing is kept.
    fn find(snapshot: &KvSnapshot, keep: Keep) -> Result<Option<Self>, BackendError> {
        let (limit, unit) = match keep {
            Keep::Newer(ms) => return Self::newer(snapshot, ms),
            Keep::Last(count) => (count, Unit::Keys),
            Keep::Bytes(bytes) => (bytes, Unit::Bytes),
            Keep::All => return Ok(Some(Self::at(Hlc::from_u64(0)))),
        };
        // How much was written at each time. What is certainly left out is dropped.
        let (mut times, mut total) = (BTreeMap::<Hlc, u64>::new(), 0_u64);
        snapshot.visit_times::<&[u8]>(ALL, Direction::Forward, |key, value, hlc| {
            let amount = unit.of(key, value);
            *times.entry(hlc).or_insert(0) += amount;
            total += amount;
            while let Some(oldest) = times.first_entry()
                && total - *oldest.get() > limit
            {
                total -= oldest.remove();
            }
            ControlFlow::Continue(())
        })?;
        let (mut left, mut cut) = (limit, None);
        for (hlc, amount) in times.iter().rev() {
            match left.checked_sub(*amount) {
                Some(rest) => (left, cut) = (rest, Some(Self::at(*hlc))),
                None => return Ok(Self::within(snapshot, *hlc, left, unit)?.or(cut)),
            }
        }
        Ok(cut)
    }

    /// The keys of at most so many milliseconds before the last write.
    fn newer(snapshot: &KvSnapshot, ms: u64) -> Result<Option<Self>, BackendError> {
        let mut newest = None;
        snapshot.visit_times::<&[u8]>(ALL, Direction::Forward, |_, _, hlc| {
            newest = newest.max(Some(hlc));
            ControlFlow::Continue(())
        })?;
        let from_ms = |newest: Hlc| newest.ms().saturating_sub(ms);
        // The time was smaller before, so it fits.
        let from = newest.map(|newest| Hlc::from_parts(from_ms(newest), 0));
        Ok(from.map(|from| Self::at(from.unwrap_or(Hlc::from_u64(0)))))
    }

    /// The last keys of one time that fit.
    fn within(
        snapshot: &KvSnapshot,
        hlc: Hlc,
        mut left: u64,
        unit: Unit,
    ) -> Result<Option<Self>, BackendError> {
        let mut cut = None;
        snapshot.visit_times::<&[u8]>(ALL, Direction::Backward, |key, value, written| {
            if written != hlc {
                return ControlFlow::Continue(());
            }
            let Some(rest) = left.checked_sub(unit.of(key, value)) else {
                return ControlFlow::Break(());
            };
            let key = key.to_vec();
            (left, cut) = (rest, Some(Self { hlc, key }));
            ControlFlow::Continue(())
        })?;
        Ok(cut)
    }
}

/// What is counted of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Keys,
    /// Those of the key and its value.
    Bytes,
}

impl Unit {
    fn of(self, key: &[u8], value: &[u8]) -> u64 {
        match self {
            Self::Keys => 1,
            Self::Bytes => u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX),
        }
    }
}

/// The kept keys and their values, in order of keys. Each item is what one op puts.
struct Batches {
    snapshot: KvSnapshot,
    cut: Cut,
    /// Where the next batch begins; `None` after the last.
    next: Option<Bound<Vec<u8>>>,
}

impl Iterator for Batches {
    type Item = Result<Vec<(Vec<u8>, Vec<u8>)>, BackendError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let range = (from.as_ref().map(Vec::as_slice), Bound::Unbounded);
        let (mut rows, mut bytes, mut is_full) = (Vec::new(), 0, false);
        let visited =
            self.snapshot
                .visit_times::<&[u8]>(range, Direction::Forward, |key, value, hlc| {
                    if !self.cut.keeps(key, hlc) {
                        return ControlFlow::Continue(());
                    }
                    let size = key.len() + value.len();
                    is_full =
                        rows.len() == BATCH_KEYS || !rows.is_empty() && bytes + size > BATCH_BYTES;
                    if is_full {
                        return ControlFlow::Break(());
                    }
                    bytes += size;
                    rows.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                });
        if let Err(error) = visited {
            return Some(Err(error));
        }
        let (last, _) = rows.last()?;
        self.next = is_full.then(|| Bound::Excluded(last.clone()));
        Some(Ok(rows))
    }
}
