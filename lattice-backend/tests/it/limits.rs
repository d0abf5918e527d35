//! Limits on the host's work for one op.

use lattice_backend::backend::{BackendError, Result};
use lattice_backend::engine::ingest::Outcome;
use lattice_backend::engine::read::HeldReason;
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::{DataRead, Limit, Limits, LogicFault};

use crate::faulty::*;
use crate::support::{op, secret};

const BASE: u64 = 1 << 20;
const BASE_ROWS: u64 = 1 << 16;
const BASE_BYTES: u64 = 64 << 20;

fn fault(limit: Limit, allowed: u64) -> LogicFault {
    LogicFault::Limit { limit, allowed }
}

/// The step is allowed exactly this many times.
fn allows(limit: Limit, allowed: u64, mut step: impl FnMut() -> Result<()>) {
    for nth in 0..allowed {
        step().unwrap_or_else(|error| panic!("step {nth} of {allowed}: {error}"));
    }
    match step() {
        Err(BackendError::Fault(found)) => assert_eq!(found, fault(limit, allowed)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_payload_and_the_longest_range_pay_for_calls() {
    for (payload, longest) in [(0, 0), (1000, 0), (1000, 50), (0, 3)] {
        let limits = Limits::new(usize::try_from(payload).unwrap());
        for nth in 1..=longest {
            limits.row_read(nth, 0).unwrap();
        }
        let allowed = BASE + 16 * payload + 16 * longest;
        allows(Limit::Calls, allowed, || limits.call());
    }
}

#[test]
fn code_may_read_its_longest_range_sixteen_times_more() {
    let limits = Limits::new(10);
    // A range of seven rows, read repeatedly.
    let mut nth = 0;
    allows(Limit::RowsRead, BASE + 160 + 16 * 7, || {
        nth = nth % 7 + 1;
        limits.row_read(nth, 0)
    });
}

#[test]
fn the_payload_and_rows_that_are_read_pay_for_rows_that_are_written() {
    let limits = Limits::new(100);
    limits.value_read(9).unwrap();
    for nth in 1..=4 {
        limits.row_read(nth, 9).unwrap();
    }
    let allowed = BASE_ROWS + 100 + 2 * 5;
    allows(Limit::RowsWritten, allowed, || limits.row_written(0));
}

#[test]
fn the_payload_and_bytes_that_are_read_pay_for_bytes_that_are_written() {
    let limits = Limits::new(100);
    limits.value_read(30).unwrap();
    limits.row_read(1, 12).unwrap();
    let allowed = BASE_BYTES + 4 * 100 + 2 * 42;
    limits
        .row_written(usize::try_from(allowed).unwrap())
        .unwrap();
    limits.row_written(0).unwrap();
    let over = limits.row_written(1).unwrap_err();
    assert!(
        matches!(&over, BackendError::Fault(found) if *found == fault(Limit::BytesWritten, allowed)),
        "{over:?}"
    );
}

/// Counts saturate: no length makes them overflow.
#[test]
fn the_greatest_lengths_do_not_wrap() {
    let limits = Limits::new(usize::MAX);
    limits.call().unwrap();
    limits.value_read(usize::MAX).unwrap();
    limits.row_read(u64::MAX, usize::MAX).unwrap();
    limits.row_written(usize::MAX).unwrap();
    limits.row_written(usize::MAX).unwrap();
}

/// Code that would call its host forever is ended at the documented count.
#[test]
fn endless_code_is_stopped() {
    let payload = |kind| vec![kind; 5];
    let calls = fault(Limit::Calls, BASE + 16 * 5);
    // `scratch` is one row written and five bytes of payload.
    let scan_calls = |rows: u64| BASE + 16 * 5 + 16 * rows;
    let cases = [
        (GETS, calls.clone()),
        (SHOWS, calls.clone()),
        (RANGES, calls.clone()),
        (HISTORY, calls),
        // The rows of the first op, and `scratch`.
        (SCANS, fault(Limit::RowsRead, scan_calls(3))),
        (PUTS, fault(Limit::RowsWritten, BASE_ROWS + 5)),
        (REMOVES, fault(Limit::RowsWritten, BASE_ROWS + 5)),
        (LONG_PUTS, fault(Limit::BytesWritten, BASE_BYTES + 4 * 5)),
    ];
    let place = Place::memory();
    let store = place.open(&Faulty::v1());
    store.append(vec![PLAIN]).unwrap();
    let hash = store.state_hash().unwrap();
    for (nth, (kind, expected)) in (0..).zip(cases) {
        match store.append(payload(kind)) {
            Err(AppendError::Fault(found)) => assert_eq!(found, expected),
            other => panic!("{}: {other:?}", kind.escape_ascii()),
        }
        let foreign = op(&secret(10 + nth), None, &[], 0, &payload(kind));
        let message = expected.to_string();
        let reason = HeldReason::Fault { message };
        assert_eq!(take(&store, &[&foreign]), [Outcome::Held { reason }]);
    }
    assert_eq!(store.state_hash().unwrap(), hash);
    assert_eq!(held(&store).len(), 8);
    store.append(vec![PLAIN]).unwrap();
}

/// Work in proportion to the payload or to the existing rows is not limited.
#[test]
fn work_within_the_limits_is_not_stopped() {
    let rows = (1 << 16) + 4000;
    let store = Place::memory().open(&Faulty::v1());
    store.append(vec![FILL; rows]).unwrap();
    // More rows than an op may write that has read none, by a payload of one byte.
    store.append(vec![REWRITE]).unwrap();
    let snapshot = store.snapshot().unwrap();
    let last = [b"fill/", &(rows - 1).to_be_bytes()[..]].concat();
    assert_eq!(snapshot.get(&last).unwrap(), Some(b"2".to_vec()));
    // Beside them, the rows of `apply` and `settle`.
    assert_eq!(
        snapshot.element_count().unwrap(),
        u64::try_from(rows).unwrap() + 4
    );
}
