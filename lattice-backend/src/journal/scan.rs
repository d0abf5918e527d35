//! Reads the chain of records: for a writer that recovers, and for readers.

use std::io;
use std::sync::Arc;

use crate::backend::{BackendError, Result, Table};
use crate::journal::layout::{ChainValue, Generation, Keys, Mark, Published, RECORDS};
use crate::journal::memtable::Memtable;
use crate::journal::record::{ALIGN, HEAD_BYTES, Head};
use crate::journal::segment::Segments;

/// A place in the chain of records, after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) generation: Generation,
    /// Where the next record begins.
    pub(super) offset: u64,
    /// The number of the last transaction.
    pub(super) seq: u64,
    /// The chain value after it.
    pub(super) chain: ChainValue,
}

impl Position {
    /// The place after which the backend holds nothing.
    pub(super) fn folded(mark: &Mark) -> Self {
        Self {
            generation: Generation(mark.folded).next(),
            offset: RECORDS,
            seq: mark.seq,
            chain: mark.chain,
        }
    }

    /// The start of the next generation.
    pub(super) fn next_generation(self) -> Self {
        Self {
            generation: self.generation.next(),
            offset: RECORDS,
            ..self
        }
    }

    /// Whether everything up to this place was published, and so is on disk.
    pub(super) fn is_published(&self, published: Option<&Published>) -> bool {
        published.is_some_and(|end| (end.seq, end.chain) == (self.seq, self.chain))
    }

    pub(super) fn published(&self, segments: &Segments) -> Published {
        Published {
            salt: segments.keys().salt(),
            generation: self.generation,
            end: self.offset,
            seq: self.seq,
            chain: self.chain,
        }
    }
}

/// A record as it is on disk.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) generation: Generation,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

impl Written {
    /// Whether it is the record that ends at a place.
    pub(super) fn is_before(&self, end: &Position) -> bool {
        let len = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        self.generation == end.generation && self.offset.saturating_add(len) == end.offset
    }
}

/// What a journal holds that the backend does not.
#[derive(Debug)]
pub(super) struct Chain {
    /// The end of the chain.
    pub(super) end: Position,
    /// The end of the generation before that of `end`, if that is not folded.
    pub(super) frozen_end: Option<Position>,
    pub(super) frozen: Option<Arc<Memtable>>,
    pub(super) active: Arc<Memtable>,
    /// The last record that was read.
    pub(super) last: Option<Written>,
}

impl Chain {
    /// Before the first record.
    pub(super) fn new(mark: &Mark) -> Self {
        Self {
            end: Position::folded(mark),
            frozen_end: None,
            frozen: None,
            active: Arc::default(),
            last: None,
        }
    }

    /// The chain before the first record of the next generation.
    fn before_next(&self) -> Self {
        Self {
            end: self.end.next_generation(),
            frozen_end: Some(self.end),
            frozen: Some(Arc::clone(&self.active)),
            active: Arc::default(),
            last: None,
        }
    }

    /// Reads on, in at most two generations: to what is published, or to the end of the chain. The
    /// snapshots in use are at `oldest` or later.
    pub(super) fn read_on(
        &mut self,
        segments: &Segments,
        limit: Option<&Published>,
        oldest: Option<u64>,
    ) -> Result<()> {
        self.read_generation(segments, limit, oldest)?;
        let next = self.end.next_generation();
        let is_over = limit.is_some_and(|limit| limit.generation < next.generation);
        let held = segments.generation(next.generation.file());
        if is_over || self.frozen.is_some() || held.map_err(unreadable)? != Some(next.generation) {
            return Ok(());
        }
        let mut later = self.before_next();
        later.read_generation(segments, limit, oldest)?;
        // A writer that has gone to the next generation leaves no trace before its first record.
        if later.end != next {
            *self = later;
        }
        Ok(())
    }

    fn read_generation(
        &mut self,
        segments: &Segments,
        limit: Option<&Published>,
        oldest: Option<u64>,
    ) -> Result<()> {
        let generation = self.end.generation;
        let to = limit.filter(|limit| limit.generation == generation);
        let to = to.map(|limit| limit.end);
        let bytes = read(segments, generation.file(), self.end.offset, to)?;
        self.read_records(&bytes, segments.keys(), limit, oldest)
    }

    /// Reads on, whatever the headers of the files say, as far as records follow each other. What
    /// cannot be read ends a file.
    pub(super) fn read_damaged(&mut self, keys: &Keys, file: impl Fn(usize) -> Vec<u8>) {
        let records = |end: &Position| {
            let bytes = file(end.generation.file());
            let from = usize::try_from(end.offset).unwrap_or(usize::MAX);
            bytes.get(from..).map_or_else(Vec::new, <[u8]>::to_vec)
        };
        // What was read before an error is part of the chain.
        drop(self.read_records(&records(&self.end), keys, None, None));
        let next = self.end.next_generation();
        let mut later = self.before_next();
        drop(later.read_records(&records(&next), keys, None, None));
        if later.end != next {
            *self = later;
        }
    }

    /// Takes the records at the start of some bytes, which begin at the end of the chain.
    fn read_records(
        &mut self,
        bytes: &[u8],
        keys: &Keys,
        limit: Option<&Published>,
        oldest: Option<u64>,
    ) -> Result<()> {
        let generation = self.end.generation;
        let from = self.end.offset;
        let mut rest = bytes;
        let mut last = None;
        while let Some((head, body)) = next_record(rest, keys) {
            let limit = limit.map_or(u64::MAX, |limit| limit.seq);
            let place = &self.end;
            let follows = head.generation == generation
                && place.seq.checked_add(1) == Some(head.seq)
                && head.prev == place.chain;
            if !follows || head.seq > limit || !head.is_body(body, keys) {
                break;
            }
            let oldest = oldest.unwrap_or(head.seq).min(head.seq);
            let table = &self.active;
            let read = head.rows(body, |name, key, value| {
                table.insert(name, key, value.map(Arc::from), head.seq, oldest);
            });
            read.map_err(|wrong| damaged(place, wrong))?;
            last = Some((self.end.offset, HEAD_BYTES + body.len()));
            self.end.offset += u64::from(head.len);
            (self.end.seq, self.end.chain) = (head.seq, head.chain);
            rest = &rest[HEAD_BYTES + body.len()..];
        }
        if let Some((offset, len)) = last {
            let start = usize::try_from(offset - from).expect("it was read into memory");
            self.last = Some(Written {
                generation,
                offset,
                bytes: bytes[start..start + len].to_vec(),
            });
        }
        Ok(())
    }
}

/// The record at the start of some bytes, if its tag is right and its body is there.
fn next_record<'a>(bytes: &'a [u8], keys: &Keys) -> Option<(Head, &'a [u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let head = Head::read(head, keys)?;
    Some((head, rest.get(..head.body_bytes()?)?))
}

/// Whether what stands behind the end of the chain can be what a crash left of the last record. It
/// cannot if a later record is there, one that follows another history, or a published end that is
/// not reached: something before it was lost then.
pub(super) fn check_tail(
    segments: &Segments,
    end: &Position,
    published: Option<&Published>,
) -> Result<()> {
    if let Some(published) = published
        && published.seq > end.seq
    {
        let wrong = format!("it was written up to transaction {}", published.seq);
        return Err(damaged(end, &wrong));
    }
    let next = end.next_generation();
    for place in [end, &next] {
        let file = place.generation.file();
        let bytes = read(segments, file, place.offset, None)?;
        for (index, rest) in bytes.chunks(ALIGN).enumerate() {
            let at = index * ALIGN;
            let Some(head) = bytes[at..].first_chunk::<HEAD_BYTES>() else {
                break;
            };
            // Most of what is there are zeros, or records of an earlier generation.
            if rest == [0; ALIGN] || Head::claimed_generation(head) != Some(place.generation) {
                continue;
            }
            let Some(head) = Head::read(head, segments.keys()) else {
                continue;
            };
            if head.seq > end.seq.saturating_add(1) {
                let wrong = format!("transaction {} follows it", head.seq);
                return Err(damaged(end, &wrong));
            }
            let is_next = at == 0 && end.seq.checked_add(1) == Some(head.seq);
            let is_whole = |(head, body): (Head, &[u8])| head.is_body(body, segments.keys());
            if is_next
                && head.prev != end.chain
                && next_record(&bytes, segments.keys()).is_some_and(is_whole)
            {
                return Err(damaged(end, "the next transaction follows another one"));
            }
        }
    }
    Ok(())
}

/// Whether both segments are there that a session needs: the one after the folded generation, and
/// the one before it or after it.
pub(super) fn has_both(segments: &Segments, mark: &Mark) -> Result<bool> {
    // No writer gets there: a segment is written at most a few hundred times a second.
    if mark.folded > u64::MAX / 2 {
        return Ok(false);
    }
    let first = Generation(mark.folded).next();
    let held = segments.generation(first.file()).map_err(unreadable)?;
    let other = segments
        .generation(first.other_file())
        .map_err(unreadable)?;
    let others = [Some(Generation(mark.folded)), Some(first.next())];
    // Before the first fold the other file already has the second generation.
    Ok(held == Some(first) && others.contains(&other))
}

/// Reads a file from an offset to its end, or to another offset.
fn read(segments: &Segments, file: usize, from: u64, to: Option<u64>) -> Result<Vec<u8>> {
    let storage = segments.storage(file);
    let len = storage.len_bytes().map_err(unreadable)?;
    let to = to.map_or(len, |to| to.min(len));
    let bytes = usize::try_from(to.saturating_sub(from));
    let mut bytes = vec![0; bytes.map_err(|error| unreadable(io::Error::other(error)))?];
    // A file that was cut can end before.
    if !bytes.is_empty() {
        storage.read_at(from, &mut bytes).map_err(unreadable)?;
    }
    Ok(bytes)
}

pub(super) fn unreadable(error: io::Error) -> BackendError {
    BackendError::storage("reading the journal", error)
}

fn damaged(end: &Position, wrong: &str) -> BackendError {
    BackendError::Damaged {
        detail: format!(
            "the journal can be read up to transaction {} (generation {}, offset {}), but {wrong}",
            end.seq, end.generation.0, end.offset
        ),
    }
}

/// The mark in a snapshot of the backend.
pub(super) fn read_mark(base: &dyn crate::backend::ReadTx) -> Result<Option<Mark>> {
    let Some(row) = base.get(Table::System, crate::journal::layout::MARK)? else {
        return Ok(None);
    };
    let found = || format!("{} bytes", row.len());
    let mark = Mark::from_bytes(&row);
    mark.map(Some)
        .ok_or_else(|| BackendError::row(Table::System, "the mark of a journal, 56 bytes", found()))
}
