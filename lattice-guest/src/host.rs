//! The host's interface for state machines.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ops::Bound;

use lattice_backend::backend::{Direction, Result, Row, RowCursor, Rows, Span};
use lattice_backend::machine::{DataRead, DataWrite, History};
use lattice_backend::op::{ApplyIndex, OpRef, OpView, Stamp};
use lattice_meta::Hlc;

use crate::panic::fail as failed;
use crate::sys;

/// Set in the result of `scan` if the range has no more rows.
const SCAN_ENDED: i64 = 1 << 62;
/// Bytes of the first page of a range. Most ranges have no row or one.
const FIRST_PAGE: usize = 256;
/// Size of the largest page, in bytes; a single longer row may exceed it.
const LARGEST_PAGE: usize = 65_536;
/// Bytes of a value or an op that one call can read.
const BUFFER: usize = 256;

/// Ends the module with a message.
pub(crate) fn fail(message: &[u8]) -> ! {
    // SAFETY: the slice has `len` bytes at its address; the same holds for all slices below.
    unsafe { sys::fail(message.as_ptr(), message.len()) }
}

/// Passes an element of the row with this number, counted from 0, to the host.
pub(crate) fn element(row: u32, key: &[u8], value: &[u8]) {
    // SAFETY: as above.
    unsafe { sys::element(row, key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

/// Converts a length that the host has returned.
fn len(length: i64) -> usize {
    usize::try_from(length)
        .unwrap_or_else(|_| failed(format_args!("the host gave a length below 0")))
}

/// Reads the result of a call into a buffer, or takes it from the host if it does not fit. The
/// first argument of the call is the buffer, the second its length.
fn read(call: impl FnOnce(*mut u8, usize) -> i64) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(BUFFER);
    let length = call(bytes.as_mut_ptr(), BUFFER);
    if length < 0 {
        return None;
    }
    let length = len(length);
    if length > BUFFER {
        return Some(take(length));
    }
    // SAFETY: the host has written this many bytes.
    unsafe { bytes.set_len(length) };
    Some(bytes)
}

/// Takes a result that did not fit into the buffer of a call; `length` is what the host returned.
fn take(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    // SAFETY: the host copies `length` bytes, as it has just announced.
    unsafe {
        sys::take(bytes.as_mut_ptr());
        bytes.set_len(length);
    }
    bytes
}

/// The rows and the history of the store.
pub(crate) struct Host;

impl DataRead for Host {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        DataRead::show(self, key, &mut |value| found = Some(value.to_vec()))?;
        Ok(found)
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER];
        let start = buffer.as_mut_ptr().cast::<u8>();
        // SAFETY: key and buffer have the lengths that are passed.
        let length = unsafe { sys::get(key.as_ptr(), key.len(), start, BUFFER) };
        if length < 0 {
            return Ok(false);
        }
        match len(length) {
            // SAFETY: the host has written this many bytes.
            length @ ..=BUFFER => see(unsafe { core::slice::from_raw_parts(start, length) }),
            length => see(&take(length)),
        }
        Ok(true)
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        let mut pages = Pages {
            page: Vec::new(),
            next: 0,
            last: 0,
            capacity: FIRST_PAGE,
            is_last: false,
            direction,
            end: Bound::Unbounded,
        };
        // Most ranges end with the first page, and need no copy of their bounds.
        pages.fill(span);
        if !pages.is_last {
            let end = match direction {
                Direction::Forward => span.1,
                Direction::Backward => span.0,
            };
            pages.end = end.map(<[u8]>::to_vec);
        }
        Ok(Box::new(pages))
    }
}

/// The flag of `scan` for a bound, and the bound's key.
fn flag(bound: Bound<&[u8]>) -> (u32, &[u8]) {
    match bound {
        Bound::Unbounded => (0, &[]),
        Bound::Included(key) => (1, key),
        Bound::Excluded(key) => (2, key),
    }
}

/// The rows of a range, a page at a time. The host keeps no state between two pages: the next page
/// begins after the last row of the one before.
struct Pages {
    page: Vec<u8>,
    /// Where the next row begins.
    next: usize,
    /// Where the most recently returned row begins.
    last: usize,
    capacity: usize,
    /// Whether the range ends with this page.
    is_last: bool,
    direction: Direction,
    /// The bound at which the last page ends.
    end: Bound<Vec<u8>>,
}

/// Parses a row of a page: key length and value length (u32, little endian), key, value. Also
/// returns where the next row begins.
pub(crate) fn row_at(page: &[u8], at: usize) -> (Row<'_>, usize) {
    let number = |at: usize| {
        let bytes = page.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let number = u32::from_le_bytes(bytes.unwrap_or_else(|| cut(at)));
        usize::try_from(number).unwrap_or_else(|_| cut(at))
    };
    let (key_len, value_len, keys) = (number(at), number(at + 4), at + 8);
    let values = keys + key_len;
    let end = values + value_len;
    let part = |from: usize, to: usize| page.get(from..to).unwrap_or_else(|| cut(at));
    let row = Row {
        key: part(keys, values),
        value: part(values, end),
    };
    (row, end)
}

fn cut(at: usize) -> ! {
    failed(format_args!("the host gave a page that is cut at {at}"))
}

impl Pages {
    /// Reads the first rows of a range.
    fn fill(&mut self, (start, end): Span<'_>) {
        let ((start_flag, start), (end_flag, end)) = (flag(start), flag(end));
        let backward = u32::from(self.direction == Direction::Backward);
        loop {
            self.page.clear();
            self.page.reserve(self.capacity);
            // SAFETY: keys and buffer have the lengths that are passed.
            let filled = unsafe {
                sys::scan(
                    start_flag | end_flag << 2 | backward << 4,
                    start.as_ptr(),
                    start.len(),
                    end.as_ptr(),
                    end.len(),
                    self.page.as_mut_ptr(),
                    self.capacity,
                )
            };
            if filled >= 0 {
                self.is_last = filled & SCAN_ENDED != 0;
                // SAFETY: the host has written this many bytes.
                unsafe { self.page.set_len(len(filled & !SCAN_ENDED)) };
                (self.next, self.last) = (0, 0);
                return;
            }
            self.capacity = len(-filled);
        }
    }

    /// Reads the page after the last row.
    fn load(&mut self) {
        let after = row_at(&self.page, self.last).0.key.to_vec();
        let end = core::mem::replace(&mut self.end, Bound::Unbounded);
        self.capacity = (self.capacity * 4).min(LARGEST_PAGE);
        let (after, bound) = (Bound::Excluded(&after[..]), end.as_ref().map(Vec::as_slice));
        self.fill(match self.direction {
            Direction::Forward => (after, bound),
            Direction::Backward => (bound, after),
        });
        self.end = end;
    }
}

impl RowCursor for Pages {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        if self.next == self.page.len() {
            if self.is_last {
                return Ok(None);
            }
            self.load();
            if self.page.is_empty() {
                return Ok(None);
            }
        }
        self.last = self.next;
        let (row, next) = row_at(&self.page, self.last);
        self.next = next;
        Ok(Some(row))
    }
}

impl DataWrite for Host {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // SAFETY: both slices have the lengths that are passed.
        unsafe { sys::put(key.as_ptr(), key.len(), value.as_ptr(), value.len()) };
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        // SAFETY: as above.
        unsafe { sys::remove(key.as_ptr(), key.len()) };
        Ok(())
    }
}

/// Length of an op's reference, and of its stamp (timestamp and reference).
const REF_LEN: usize = 72;
const STAMP_LEN: usize = 8 + REF_LEN;

/// Parses a stamp at the front: timestamp (u64, little endian), author, sequence number (u64, big
/// endian), op id.
fn stamp_of(bytes: &[u8]) -> Option<(Stamp, &[u8])> {
    let (hlc, rest) = bytes.split_first_chunk::<8>()?;
    let (op, rest) = rest.split_first_chunk::<REF_LEN>()?;
    let stamp = Stamp {
        hlc: Hlc::from_u64(u64::from_le_bytes(*hlc)),
        op: OpRef::from_key(op)?,
    };
    Some((stamp, rest))
}

/// Caches the stamp of the last query: all rows of one op have the same stamp.
struct Last(Cell<Option<(ApplyIndex, Stamp)>>);

// SAFETY: a module of this interface has one thread.
unsafe impl Sync for Last {}

static LAST: Last = Last(Cell::new(None));

impl History for Host {
    fn count(&self) -> Result<u64> {
        // SAFETY: the call takes no arguments.
        Ok(unsafe { sys::count() })
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        let (op, mut index) = (op.to_key(), [0; 8]);
        // SAFETY: the op has 72 bytes, and the index has room for 8.
        let is_applied = unsafe { sys::number(op.as_ptr(), index.as_mut_ptr()) } != 0;
        Ok(is_applied.then(|| ApplyIndex::new(u64::from_le_bytes(index))))
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        if let Some((known, stamp)) = LAST.0.get()
            && known == index
        {
            return Ok(stamp);
        }
        let mut bytes = [0; STAMP_LEN];
        // SAFETY: there is room for 80 bytes.
        unsafe { sys::stamp(index.get(), bytes.as_mut_ptr()) };
        match stamp_of(&bytes) {
            Some((stamp, _)) => {
                LAST.0.set(Some((index, stamp)));
                Ok(stamp)
            }
            None => failed(format_args!("the host gave a malformed stamp")),
        }
    }

    fn hash(&self, bytes: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        // SAFETY: the bytes have the length that is passed, and there is room for 32.
        unsafe { sys::hash(bytes.as_ptr(), bytes.len(), hash.as_mut_ptr()) };
        hash
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        // SAFETY: the buffer has the length that is passed.
        let bytes = read(|buffer, capacity| unsafe { sys::op(index.get(), buffer, capacity) });
        let bytes = bytes.unwrap_or(Vec::new());
        match stamp_of(&bytes) {
            Some((stamp, payload)) => see(&OpView {
                index,
                hlc: stamp.hlc,
                reference: stamp.op,
                payload,
            }),
            None => failed(format_args!("the host gave a malformed op")),
        }
        Ok(())
    }
}

/// An op as an entry point receives it: apply index (u64, little endian), stamp, payload.
pub(crate) fn op_of(input: &[u8]) -> OpView<'_> {
    let parsed = input.split_first_chunk::<8>().and_then(|(index, rest)| {
        let (stamp, payload) = stamp_of(rest)?;
        Some(OpView {
            index: ApplyIndex::new(u64::from_le_bytes(*index)),
            hlc: stamp.hlc,
            reference: stamp.op,
            payload,
        })
    });
    parsed.unwrap_or_else(|| failed(format_args!("the host gave an op of {} bytes", input.len())))
}
