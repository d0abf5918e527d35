//! How much of its host the code of a store type may use for one op.
//!
//! The limits end code that would never end, or would take all memory. A part of them is a
//! constant, a part comes with the payload, which its author paid for, and a part is earned by the
//! rows that the host hands in: what others wrote pays for its own handling. So no history of
//! others makes code fault whose work is proportional to its payload and to the rows that it reads.

use core::cell::Cell;
use core::fmt;
use core::num::NonZero;

use crate::backend::{BackendError, Result};
use crate::machine::{Limit, LogicFault};

/// Calls and rows that each op may use.
const BASE: u64 = 1 << 20;
/// Rows that each op may write.
const BASE_ROWS: u64 = 1 << 16;
/// Bytes that each op may write.
const BASE_BYTES: u64 = 64 << 20;
/// The most bytes that what an op reads lets it write, so that reading one long row again and again
/// does not let it fill the memory.
const MAX_EARNED_BYTES: u64 = 256 << 20;
/// How often code may read as many rows as its longest range has, or call the host for each.
const PASSES: u64 = 16;

/// What one op may use of the host, and what it has used.
///
/// With p bytes of payload, r rows and b bytes read, and l rows in the longest range read:
/// * calls of the host: 2^20 + 16 p + 16 l;
/// * rows read by ranges: 2^20 + 16 p + 16 l;
/// * rows written: 2^16 + p + 2 r;
/// * bytes of keys and values written: 64 MiB + 4 p + 2 b, of which 2 b counts up to 256 MiB.
#[derive(Debug)]
pub struct Limits {
    payload: u64,
    /// What the constant parts are divided by: 1 in a store.
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
    /// For an op with a payload of so many bytes.
    pub fn new(payload_bytes: usize) -> Self {
        Self::tightened(payload_bytes, NonZero::<u64>::MIN)
    }

    /// The same with the constant parts divided: 2^20, 2^16 and 64 MiB. Tests find with it code
    /// whose work grows with what others wrote, in histories that are short.
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

    /// Counts a call of the host.
    ///
    /// # Errors
    /// [`LogicFault::Limit`]; so for all of these.
    pub fn call(&self) -> Result<()> {
        check(Limit::Calls, add(&self.calls, 1), self.earned())
    }

    /// Counts a row that was read by its key.
    pub fn value_read(&self, bytes: usize) -> Result<()> {
        add(&self.bytes_read, count(bytes));
        add(&self.rows_read, 1);
        Ok(())
    }

    /// Counts a row that a range gave, the `nth` of its range, from 1.
    pub fn row_read(&self, nth: u64, bytes: usize) -> Result<()> {
        self.longest_range.set(self.longest_range.get().max(nth));
        add(&self.bytes_read, count(bytes));
        check(Limit::RowsRead, add(&self.rows_read, 1), self.earned())
    }

    /// Counts a row that is written or removed.
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

/// What has been used.
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

    /// Calls that are made before the limit stops them.
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
