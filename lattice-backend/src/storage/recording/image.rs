//! What a recorded disk holds after a loss of power.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Change, Naming, Node, Step};
use crate::conformance::Rng;
use crate::storage::MemoryDisk;

/// The units that a disk writes atomically, if it does so at all, and an operating system writes
/// back together.
const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

/// What becomes of unsynced changes.
pub(super) enum Fate<'a> {
    /// All are kept, or none.
    All(bool),
    /// The n-th is kept if bit n is set. Counts the changes.
    Chosen { bits: usize, count: u32 },
    /// Each is kept, lost or torn at random.
    Random(&'a mut Rng),
}

impl Fate<'_> {
    pub(super) const fn chosen(bits: usize) -> Self {
        Self::Chosen { bits, count: 0 }
    }

    /// The number of choices between the changes that were counted, if it fits.
    pub(super) fn choices(&self) -> Option<usize> {
        match self {
            Self::Chosen { count, .. } => 1_usize.checked_shl(*count),
            Self::All(_) | Self::Random(_) => None,
        }
    }

    /// Whether the next change is kept, as a whole.
    fn keeps(&mut self) -> bool {
        match self {
            Self::All(kept) => *kept,
            Self::Chosen { bits, count } => {
                let kept = bits.checked_shr(*count).is_some_and(|bits| bits % 2 == 1);
                *count += 1;
                kept
            }
            Self::Random(rng) => rng.one_in(2),
        }
    }

    fn make(&mut self, change: &Change, file: &mut Vec<u8>) {
        match self {
            Self::Random(rng) => change.make_some(file, rng),
            Self::All(_) | Self::Chosen { .. } => {
                if self.keeps() {
                    change.make(file);
                }
            }
        }
    }
}

/// A change that is not synced.
struct Pending<T> {
    change: T,
    /// A sync of it failed: later syncs do not write it.
    is_dropped: bool,
}

impl<T> Pending<T> {
    fn new(change: T) -> Self {
        Self {
            change,
            is_dropped: false,
        }
    }
}

#[derive(Default)]
struct File<'a> {
    durable: Vec<u8>,
    pending: Vec<Pending<&'a Change>>,
}

#[derive(Default)]
struct Names<'a> {
    durable: BTreeMap<&'a Path, Node>,
    pending: Vec<Pending<&'a Naming>>,
}

impl<'a> File<'a> {
    /// What was written before a sync that failed was lost or kept at that time.
    fn sync(&mut self, succeeded: bool, fate: &mut Fate<'_>) {
        if !succeeded {
            self.pending
                .iter_mut()
                .for_each(|pending| pending.is_dropped = true);
            return;
        }
        for Pending { change, is_dropped } in self.pending.drain(..) {
            match is_dropped {
                true => fate.make(change, &mut self.durable),
                false => change.make(&mut self.durable),
            }
        }
    }

    fn end(mut self, fate: &mut Fate<'_>) -> Vec<u8> {
        for pending in self.pending {
            fate.make(pending.change, &mut self.durable);
        }
        self.durable
    }
}

impl<'a> Names<'a> {
    fn sync(&mut self, of: &Path, succeeded: bool, fate: &mut Fate<'_>) {
        let covered = self
            .pending
            .extract_if(.., |pending| pending.change.directory() == of);
        let mut covered: Vec<_> = covered.collect();
        if !succeeded {
            covered
                .iter_mut()
                .for_each(|pending| pending.is_dropped = true);
            self.pending.extend(covered);
            return;
        }
        for Pending { change, is_dropped } in covered {
            if !is_dropped || fate.keeps() {
                self.make(change);
            }
        }
    }

    fn make(&mut self, change: &'a Naming) {
        if let Some(removed) = &change.removed {
            self.durable.remove(&**removed);
        }
        if let Some((path, node)) = &change.added {
            self.durable.insert(path, *node);
        }
    }
}

/// The disk after the first `count` steps.
pub(super) fn of(steps: &[Step], count: usize, fate: &mut Fate<'_>) -> MemoryDisk {
    let (mut files, mut names) = (BTreeMap::<Node, File<'_>>::new(), Names::default());
    for step in steps.iter().take(count) {
        match step {
            Step::Named(change) => names.pending.push(Pending::new(change)),
            Step::SyncedNames(of, succeeded) => names.sync(of, *succeeded, fate),
            Step::Changed(node, change) => {
                let file = files.entry(*node).or_default();
                file.pending.push(Pending::new(change));
            }
            Step::Synced(node, succeeded) => {
                files.entry(*node).or_default().sync(*succeeded, fate);
            }
        }
    }
    // All files, so that the number of choices does not depend on the names that are kept.
    let contents: BTreeMap<Node, Vec<u8>> = files
        .into_iter()
        .map(|(node, file)| (node, file.end(fate)))
        .collect();
    for pending in std::mem::take(&mut names.pending) {
        if fate.keeps() {
            names.make(pending.change);
        }
    }
    let left = MemoryDisk::new();
    for (path, node) in names.durable {
        left.insert(path, contents.get(&node).cloned().unwrap_or_else(Vec::new));
    }
    left
}

impl Change {
    fn make(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(file, *offset, bytes),
            Self::Resize(len) => file.resize(*len, 0),
        }
    }

    /// Applies a random part of the change, or nothing.
    fn make_some(&self, file: &mut Vec<u8>, rng: &mut Rng) {
        let (fate, Self::Write { offset, bytes }) = (rng.below(6), self) else {
            if rng.one_in(2) {
                self.make(file);
            }
            return;
        };
        match fate {
            0 => {}
            1 => self.make(file),
            2 => write(file, *offset, &bytes[..rng.below(bytes.len() + 1)]),
            3 => grow(file, offset + bytes.len()),
            4 => write_units(file, *offset, bytes, PAGE_BYTES, rng),
            _ => write_units(file, *offset, bytes, SECTOR_BYTES, rng),
        }
    }
}

/// Writes any of the aligned units that a write touches.
fn write_units(file: &mut Vec<u8>, offset: usize, bytes: &[u8], unit: usize, rng: &mut Rng) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let in_unit = (unit - at % unit).min(rest.len());
        let (part, behind) = rest.split_at(in_unit);
        if rng.one_in(2) {
            write(file, at, part);
        }
        at += in_unit;
        rest = behind;
    }
}

fn grow(file: &mut Vec<u8>, end: usize) {
    if file.len() < end {
        file.resize(end, 0);
    }
}

fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        let end = offset + bytes.len();
        grow(file, end);
        file[offset..end].copy_from_slice(bytes);
    }
}
