//! Takes changes of elements, and sums up their hashes.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cores::{Ahead, has_several, helper};
use crate::state::lthash::{LTHASH_BYTES, LtHash};
use crate::state::xof::{Batch, CHUNK_LEN, Change};
use crate::state::{ElementChanges, ElementHasher, Expansion, len_u32};

/// So many changes are hashed before a second thread helps: it takes about 10 us to start, and an
/// element about 0.5.
const ALONE: u64 = 512;
/// Changes are handed to the other thread in pieces of this many bytes.
const PIECE: usize = 32 << 10;
/// So many pieces wait for it at most; this thread hashes what it has no room for.
const WAITING: usize = 32;

/// Takes changes of elements.
pub(crate) struct Gathering<'a> {
    changes: ElementChanges,
    hasher: &'a ElementHasher,
    here: Hashing<'a>,
    taken: u64,
    piece: Piece,
    beside: Option<Beside>,
}

/// Another thread, which hashes pieces.
struct Beside {
    queue: Ending,
    sum: Ahead<LtHash>,
}

/// The queue of another thread, which ends when this value is dropped.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Changes of which another thread may still hash some.
pub(crate) struct Gathered {
    changes: ElementChanges,
    beside: Option<Beside>,
}

/// Pieces that no thread has taken yet.
struct Queue {
    hasher: ElementHasher,
    pieces: Mutex<Pieces>,
    changed: Condvar,
}

#[derive(Default)]
struct Pieces {
    waiting: VecDeque<Piece>,
    /// Whether no more will come.
    are_all: bool,
}

impl Queue {
    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece, unless too many wait.
    fn push(&self, piece: Piece) -> Option<Piece> {
        let mut pieces = self.pieces();
        if pieces.waiting.len() == WAITING {
            return Some(piece);
        }
        pieces.waiting.push_back(piece);
        self.changed.notify_one();
        None
    }

    fn end(&self) {
        self.pieces().are_all = true;
        self.changed.notify_one();
    }

    /// Takes a piece; waits for one until no more will come.
    fn take(&self) -> Option<Piece> {
        let mut pieces = self.pieces();
        loop {
            if let Some(piece) = pieces.waiting.pop_front() {
                return Some(piece);
            }
            if pieces.are_all {
                return None;
            }
            let woken = self.changed.wait(pieces);
            pieces = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hashes pieces until no more will come.
    fn hash_all(&self, sum: &mut LtHash) {
        let mut hashing = Hashing::new(&self.hasher);
        while let Some(piece) = self.take() {
            hashing.piece(&piece, sum);
        }
        hashing.finish(sum);
    }
}

impl Beside {
    fn start(hasher: &ElementHasher) -> Option<Self> {
        let queue = Arc::new(Queue {
            hasher: hasher.clone(),
            pieces: Mutex::default(),
            changed: Condvar::new(),
        });
        let shared = Arc::clone(&queue);
        let sum = helper(move || {
            let mut sum = LtHash::default();
            shared.hash_all(&mut sum);
            sum
        });
        let queue = Ending(queue);
        Some(Self { queue, sum: sum? })
    }
}

impl<'a> Gathering<'a> {
    pub(super) fn new(hasher: &'a ElementHasher) -> Self {
        Self {
            changes: ElementChanges::default(),
            hasher,
            here: Hashing::new(hasher),
            taken: 0,
            piece: Piece::default(),
            beside: None,
        }
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.changes.inserted += 1;
        self.change(key, value, Change::Add);
    }

    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.changes.removed += 1;
        self.change(key, value, Change::Remove);
    }

    fn change(&mut self, key: &[u8], value: &[u8], change: Change) {
        self.changes.bytes += u64::from(len_u32(key)) + u64::from(len_u32(value));
        self.taken += 1;
        if self.taken <= ALONE || !has_several() {
            return self.here.change(key, value, change, &mut self.changes.sum);
        }
        self.piece.push(key, value, change);
        if self.piece.0.len() >= PIECE {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let piece = take(&mut self.piece);
        if self.beside.is_none() {
            self.beside = Beside::start(self.hasher);
        }
        let left = match &self.beside {
            Some(beside) => beside.queue.0.push(piece),
            None => Some(piece),
        };
        if let Some(piece) = left {
            self.here.piece(&piece, &mut self.changes.sum);
        }
    }

    /// No more changes come.
    pub(crate) fn end(mut self) -> Gathered {
        let sum = &mut self.changes.sum;
        self.here.piece(&self.piece, sum);
        self.here.finish(sum);
        if let Some(beside) = &self.beside {
            beside.queue.0.end();
        }
        Gathered {
            changes: self.changes,
            beside: self.beside,
        }
    }

    /// Sums up all changes.
    pub(crate) fn sum(self) -> ElementChanges {
        self.end().sum()
    }
}

impl Gathered {
    /// Sums up all changes: hashes what the other thread has not come to.
    pub(crate) fn sum(mut self) -> ElementChanges {
        if let Some(Beside { queue, sum }) = self.beside {
            queue.0.hash_all(&mut self.changes.sum);
            self.changes.sum.add_all(&sum.wait());
        }
        self.changes
    }
}

/// A change with the key and the value.
type Given<'a> = (Change, &'a [u8], &'a [u8]);

/// Changes, each with its direction, the lengths of key and value, and both.
#[derive(Default)]
struct Piece(Vec<u8>);

impl Piece {
    fn push(&mut self, key: &[u8], value: &[u8], change: Change) {
        self.0.push(u8::from(change == Change::Remove));
        self.0.extend(len_u32(key).to_le_bytes());
        self.0.extend(len_u32(value).to_le_bytes());
        self.0.extend(key);
        self.0.extend(value);
    }

    /// The first change, and the rest.
    fn split(bytes: &[u8]) -> Option<(Given<'_>, &[u8])> {
        let (direction, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let len = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
        let (key, rest) = rest.split_at_checked(len(key)?)?;
        let (value, rest) = rest.split_at_checked(len(value)?)?;
        let change = match direction {
            0 => Change::Add,
            _ => Change::Remove,
        };
        Some(((change, key, value), rest))
    }
}

/// Hashes changes on one thread.
struct Hashing<'a> {
    short: Batch<'a>,
    long: &'a blake3::Hasher,
    expansion: Expansion,
}

impl<'a> Hashing<'a> {
    fn new(hasher: &'a ElementHasher) -> Self {
        Self {
            short: hasher.short.batch(),
            long: &hasher.long,
            expansion: hasher.expansion.unwrap_or_else(Expansion::fastest),
        }
    }

    fn piece(&mut self, piece: &Piece, sum: &mut LtHash) {
        let mut bytes = &piece.0[..];
        while let Some(((change, key, value), rest)) = Piece::split(bytes) {
            self.change(key, value, change, sum);
            bytes = rest;
        }
    }

    fn change(&mut self, key: &[u8], value: &[u8], change: Change, sum: &mut LtHash) {
        let (value_at, len) = (4 + key.len(), 4 + key.len() + value.len());
        if len <= CHUNK_LEN && self.expansion == Expansion::Vectors {
            let mut input = [0; CHUNK_LEN];
            input[..4].copy_from_slice(&len_u32(key).to_le_bytes());
            input[4..value_at].copy_from_slice(key);
            input[value_at..len].copy_from_slice(value);
            return self.short.change(&input[..len], sum.words_mut(), change);
        }
        let mut hasher = self.long.clone();
        hasher.update(&len_u32(key).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        let mut expanded = [0; LTHASH_BYTES];
        hasher.finalize_xof().fill(&mut expanded);
        match change {
            Change::Add => sum.add(&expanded),
            Change::Remove => sum.remove(&expanded),
        }
    }

    /// All changes are in the sum after this.
    fn finish(&mut self, sum: &mut LtHash) {
        self.short.finish(sum.words_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::state::Accumulator;

    #[test]
    fn many_changes_have_the_sum_of_single_ones() {
        for expansion in Expansion::EACH {
            let hasher = ElementHasher::by(expansion);
            for count in [0, 1, 511, 512, 513, 3000] {
                let mut one_by_one = Accumulator::default();
                let mut elements = hasher.gather();
                for nth in 0_u32..count {
                    let key = nth.to_le_bytes();
                    let value = vec![7; usize::try_from(nth).unwrap() % 100 * 20];
                    elements.insert(&key, &value);
                    one_by_one.insert(&hasher, &key, &value);
                    if nth % 3 == 0 {
                        elements.remove(&key, &value);
                        one_by_one.remove(&hasher, &key, &value).unwrap();
                    }
                }
                let many = elements.sum();
                assert_eq!(many.sum.to_bytes(), one_by_one.sum.to_bytes(), "{count}");
                assert_eq!(many.hashed().0, u64::from(count + count.div_ceil(3)));
            }
        }
    }

    /// As after an error of the code that gives the elements.
    #[test]
    fn the_other_thread_ends_with_what_it_works_for() {
        let hasher = ElementHasher::default();
        let mut elements = hasher.gather();
        for nth in 0_u32..3000 {
            elements.insert(&nth.to_le_bytes(), &[7; 100]);
        }
        let Some(beside) = &elements.beside else {
            assert!(!has_several());
            return;
        };
        let queue = Arc::downgrade(&beside.queue.0);
        drop(elements);
        let until = Instant::now() + Duration::from_secs(60);
        while queue.strong_count() > 0 {
            assert!(Instant::now() < until, "it waits for pieces");
            std::thread::yield_now();
        }
    }
}
