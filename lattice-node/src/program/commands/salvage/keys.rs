//! The keys of a damaged key-value store.

use std::ops::Bound;

use lattice_backend::backend::Span;
use lattice_kvstore::KvSnapshot;
use serde_json::Map;

use super::{Rows, Sources, doubt, typed};
use crate::KvStore;
use crate::program::failure::Failure;
use crate::program::output::{echo, json_bytes};

/// How often what is between two readable rows is divided, each time by one more byte of the key.
const MAX_DEPTH: u32 = 2;

pub(super) fn write(sources: &Sources, rows: &mut Rows<'_, '_>) -> Result<(), Failure> {
    let snapshot = |kv: Option<KvStore>| kv.map(|kv| kv.snapshot()).transpose();
    let replay = snapshot(typed(sources.replay.as_ref()))?;
    let stored = snapshot(typed(sources.stored.as_ref()))?;
    if let Some(replay) = &replay {
        for row in replay.scan::<&[u8]>(..) {
            let (key, value) = row?;
            let doubt = match stored.as_ref().map(|stored| stored.get(&key)) {
                Some(Ok(Some(found))) if found == value => None,
                Some(Ok(Some(_))) => Some(doubt::DIFFERS),
                Some(Err(_)) => Some(doubt::UNREADABLE),
                Some(Ok(None)) => Some(doubt::ONLY_HISTORY),
                None => Some(sources.unstored()),
            };
            put(rows, &key, &value, doubt)?;
        }
    }
    let Some(stored) = &stored else {
        return Ok(());
    };
    let mut each = |key: &[u8], value: &[u8]| {
        if let Some(replay) = &replay
            && replay.contains(key)?
        {
            return Ok(());
        }
        put(rows, key, value, sources.alone)
    };
    let mut gaps = Vec::new();
    let everything = Between {
        after: None,
        before: None,
    };
    read(stored, &everything, 0, &mut each, &mut gaps)?;
    // What the replay has is not missing.
    if replay.is_none() {
        gaps.into_iter().for_each(|gap| rows.missing(gap.text()));
    }
    Ok(())
}

fn put(
    rows: &mut Rows<'_, '_>,
    key: &[u8],
    value: &[u8],
    doubt: Option<&str>,
) -> Result<(), Failure> {
    let mut row = Map::new();
    json_bytes(&mut row, "key", key);
    json_bytes(&mut row, "value", value);
    rows.row(row, doubt)
}

/// The keys between two others, both excluded.
#[derive(Debug, Clone)]
struct Between {
    after: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
}

impl Between {
    fn span(&self) -> Span<'_> {
        let (after, before) = (self.after.as_deref(), self.before.as_deref());
        (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            before.map_or(Bound::Unbounded, Bound::Excluded),
        )
    }

    fn is_empty(&self) -> bool {
        let ends = self.after.as_ref().zip(self.before.as_ref());
        ends.is_some_and(|(after, before)| after >= before)
    }

    fn text(&self) -> String {
        let name = |key: &Vec<u8>| format!("\"{}\"", echo(key));
        match (&self.after, &self.before) {
            (None, None) => "all keys".to_owned(),
            (Some(after), None) => format!("keys after {}", name(after)),
            (None, Some(before)) => format!("keys before {}", name(before)),
            (Some(after), Some(before)) => {
                format!("keys after {} and before {}", name(after), name(before))
            }
        }
    }

    /// The same keys by the next byte after what all of them begin with.
    fn parts(&self) -> Vec<Self> {
        let (after, before) = (self.after.as_deref(), self.before.as_deref());
        let pairs = after.unwrap_or(&[]).iter().zip(before.unwrap_or(&[]));
        let common = pairs.take_while(|(one, other)| one == other).count();
        let prefix = after.map_or(&[][..], |after| &after[..common.min(after.len())]);
        let start = |byte: u8| Some([prefix, &[byte]].concat());
        let ends = (0..=u8::MAX).map(|byte| (start(byte), byte.checked_add(1).and_then(start)));
        let parts = ends.map(|(from, to)| Self {
            // A part has the key that is its start.
            after: from.max(self.after.clone()),
            before: match (to, &self.before) {
                (Some(to), Some(before)) => Some(to.min(before.clone())),
                (to, before) => to.or_else(|| before.clone()),
            },
        });
        parts.filter(|part| !part.is_empty()).collect()
    }
}

/// Takes a key and its value.
type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), Failure>;

/// Reads all rows that can be read, from both ends of each damaged place.
fn read(
    stored: &KvSnapshot,
    between: &Between,
    depth: u32,
    each: Each<'_>,
    gaps: &mut Vec<Between>,
) -> Result<(), Failure> {
    let mut gap = between.clone();
    let mut is_cut = false;
    for row in stored.scan::<&[u8]>(between.span()) {
        let Ok((key, value)) = row else {
            is_cut = true;
            break;
        };
        each(&key, &value)?;
        gap.after = Some(key);
    }
    if !is_cut {
        return Ok(());
    }
    for row in stored.scan::<&[u8]>(gap.span()).rev() {
        let Ok((key, value)) = row else {
            break;
        };
        each(&key, &value)?;
        gap.before = Some(key);
    }
    if depth == MAX_DEPTH {
        gaps.push(gap);
        return Ok(());
    }
    let first = gaps.len();
    for part in gap.parts() {
        // The key that a part begins with is no part of it.
        if let Some(start) = part
            .after
            .as_deref()
            .filter(|start| Some(*start) != gap.after.as_deref())
            && let Ok(Some(value)) = stored.get(start)
        {
            each(start, &value)?;
        }
        read(stored, &part, depth + 1, each, gaps)?;
    }
    // Neighbouring gaps are one.
    if gaps.len() > first {
        let last = gaps.pop().and_then(|gap| gap.before);
        let rest: Vec<_> = gaps.drain(first..).collect();
        let start = rest.into_iter().next().and_then(|gap| gap.after);
        gaps.push(Between {
            after: start.or(gap.after),
            before: last.or(gap.before),
        });
    }
    Ok(())
}
