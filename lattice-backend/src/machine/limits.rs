//! Limits on the host resources that the code of a store type may use for one op.
//!
//! The limits stop code that would not terminate or would use all memory. A limit has a constant
//! part, a part for the payload, which its author paid for, and a part that is earned by the rows
//! that the host returns: rows of other authors pay for their own handling. So code whose work is
//! proportional to its payload and the rows that it reads never faults, whatever history other
//! authors write.

use core::cell::Cell;
use core::fmt;
use core::num::NonZero;

use crate::backend::{BackendError, Result};
use crate::machine::{Limit, LogicFault};

/// Constant limit of calls, and of rows read, per op.
const BASE: u64 = 1 << 20;
/// Constant limit of rows written per op.
const BASE_ROWS: u64 = 1 << 16;
/// Constant limit of bytes written per op.
const BASE_BYTES: u64 = 64 << 20;
/// The most bytes that an op earns for writing by reading. Without this limit, code could read one
/// long row repeatedly and fill the memory.
const MAX_EARNED_BYTES: u64 = 256 << 20;
/// How many times code may read as many rows as its longest range has, and how many calls it may
/// make per row of that range.
const PASSES: u64 = 16;

/// Counts what one op uses of the host, and enforces the limits.
///
/// With p bytes of payload, r rows and b bytes read, and l rows in the longest range read:
/// * host calls: 2^20 + 16 p + 16 l;
/// * rows read by ranges: 2^20 + 16 p + 16 l;
/// * rows written: 2^16 + p + 2 r;
/// * bytes of keys and values written: 64 MiB + 4 p + 2 b, of which 2 b counts up to 256 MiB.
#[derive(Debug)]
pub struct Limits {
    payload: u64,
    /// Divides the constant parts: 1 in a store.
    divisor: u64,
    calls: Cell<u64>,
    rows_read: Cell<u64>,
    longest_range: Cell<u64>,
    bytes_read: Cell<u64>,
    rows_written: Cell<u64>,
    bytes_written: Cell<u64>,
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn add(cell: &Cell<u64>, more: u64) -> u64 {
    let sum = cell.get().saturating_add(more);
    cell.set(sum);
    sum
}

fn check(limit: Limit, used: u64, allowed: u64) -> Result<()> {
    if used <= allowed {
        return Ok(());
    }
    let fault = LogicFault::Limit { limit, allowed };
    Err(BackendError::Fault(fault))
}

impl Limits {
    /// The limits for an op with a payload of this many bytes.
    pub fn new(payload_bytes: usize) -> Self {
        Self::tightened(payload_bytes, NonZero::<u64>::MIN)
    }

    /// The same with the constant parts (2^20, 2^16 and 64 MiB) divided. With short histories,
    /// tests can then find code whose work grows with what other authors wrote.
    pub fn tightened(payload_bytes: usize, divisor: NonZero<u64>) -> Self {
        let zero = || Cell::new(0);
        Self {
            payload: count(payload_bytes),
            divisor: divisor.get(),
            calls: zero(),
            rows_read: zero(),
            longest_range: zero(),
            bytes_read: zero(),
            rows_written: zero(),
            bytes_written: zero(),
        }
    }

    fn base(&self, base: u64) -> u64 {
        base / self.divisor
    }

    fn earned(&self) -> u64 {
        let passes = PASSES.saturating_mul(self.longest_range.get());
        let paid = PASSES.saturating_mul(self.payload);
        self.base(BASE).saturating_add(paid).saturating_add(passes)
    }

    /// Counts a host call.
    ///
    /// # Errors
    /// [`LogicFault::Limit`]; this holds for all methods here.
    pub fn call(&self) -> Result<()> {
        check(Limit::Calls, add(&self.calls, 1), self.earned())
    }

    /// Counts a row read by its key.
    pub fn value_read(&self, bytes: usize) -> Result<()> {
        add(&self.bytes_read, count(bytes));
        add(&self.rows_read, 1);
        Ok(())
    }

    /// Counts a row that a range returned, the `nth` of its range, from 1.
    pub fn row_read(&self, nth: u64, bytes: usize) -> Result<()> {
        self.longest_range.set(self.longest_range.get().max(nth));
        add(&self.bytes_read, count(bytes));
        check(Limit::RowsRead, add(&self.rows_read, 1), self.earned())
    }

    /// Counts a row written or removed.
    pub fn row_written(&self, bytes: usize) -> Result<()> {
        let rows = add(&self.rows_written, 1);
        let earned = self.rows_read.get().saturating_mul(2);
        let allowed = self.base(BASE_ROWS).saturating_add(self.payload);
        check(Limit::RowsWritten, rows, allowed.saturating_add(earned))?;
        let written = add(&self.bytes_written, count(bytes));
        let earned = self.bytes_read.get().saturating_mul(2);
        let earned = earned.min(MAX_EARNED_BYTES);
        let paid = self.payload.saturating_mul(4);
        let allowed = self
            .base(BASE_BYTES)
            .saturating_add(paid)
            .saturating_add(earned);
        check(Limit::BytesWritten, written, allowed)
    }
}

/// Formats the usage so far.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls of the host, {} rows and {} bytes read (longest range: {} rows), {} rows and \
             {} bytes written, for a payload of {} bytes",
            self.calls.get(),
            self.rows_read.get(),
            self.bytes_read.get(),
            self.longest_range.get(),
            self.rows_written.get(),
            self.bytes_written.get(),
            self.payload,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of calls before the limit stops them.
    fn calls(limits: &Limits) -> u64 {
        (0..).find(|_| limits.call().is_err()).expect("it stops")
    }

    #[test]
    fn the_payload_and_a_range_earn_calls_beside_the_base() {
        let divisor = NonZero::new(4096).expect("it is not zero");
        assert_eq!(calls(&Limits::tightened(0, divisor)), 256);
        let earning = Limits::tightened(2, divisor);
        earning.row_read(3, 10).expect("it is allowed");
        assert_eq!(calls(&earning), 256 + 2 * 16 + 3 * 16);
        assert_eq!(calls(&Limits::new(1)), BASE + 16);
    }
}
