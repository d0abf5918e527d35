//! Checks the table of held ops.

use std::ops::Bound;

use lattice_meta::Hlc;

use crate::backend::{BackendError, Direction, ReadTx, Result, Span, Table};
use crate::engine::Inner;
use crate::engine::ingest::clock_conflict;
use crate::engine::verify::replay::MAX_FAULTS;
use crate::engine::verify::{Finding, OpFault, RowDifference};
use crate::history::held::{
    Held, HeldIndex, HeldOp, HeldReason, read_held, record_rows, record_span,
};
use crate::history::{Forks, read_op, read_place};
use crate::machine::{LogicVersion, StateMachine};
use crate::op::{OpRef, Stamp};

/// The number of held op numbers that are read at a time.
const NUMBERS: usize = 1024;
/// The most rows that are reported.
const MAX_ROWS: usize = 64;

/// Checks that each held op is signed by its author, that the rows of its record are those that it
/// is written as, and that the rows beside the records are the ones that follow from them.
/// Returns the number of held ops, and the first of them.
pub(crate) fn check_held<M: StateMachine>(
    inner: &Inner<M>,
    tx: &dyn ReadTx,
    findings: &mut Vec<Finding>,
) -> Result<(u64, Vec<HeldOp>)> {
    let (mut first, mut count, mut shown) = (0, 0, Vec::new());
    let mut index = HeldIndex::default();
    let mut stray = Vec::new();
    loop {
        let numbers = Held::numbers(tx, first, NUMBERS)?;
        let Some(next) = numbers.last().and_then(|last| last.checked_add(1)) else {
            break;
        };
        for number in numbers {
            let Some(held) = read_held(tx, &inner.hasher, number)? else {
                let found = format!("none of held op {number}");
                return Err(BackendError::row(
                    Table::Held,
                    "the first part of a record",
                    found,
                ));
            };
            count += 1;
            let op = &held.op;
            if op.verify().is_err() {
                let (op, fault) = (op.reference(), OpFault::Signature);
                findings.push(Finding::HeldOp { op, fault });
            }
            stray.extend(other_row(tx, number, &held)?);
            stray.truncate(MAX_ROWS);
            index.push(number, op);
            if shown.len() < MAX_FAULTS {
                shown.push(held);
            }
        }
        first = next;
    }
    findings.extend(stray.into_iter().map(Finding::Row));
    compare(tx, index, findings)?;
    Ok((count, shown))
}

/// The first row of a record that is not as the held op is written.
fn other_row(tx: &dyn ReadTx, number: u64, held: &HeldOp) -> Result<Option<RowDifference>> {
    let mut expected = record_rows(number, held).into_iter();
    let (start, end) = record_span(number);
    let span: Span<'_> = (Bound::Included(&start), Bound::Excluded(&end));
    let mut rows = tx.range(Table::Held, span, Direction::Forward)?;
    let difference = |key, expected, found| {
        Ok(Some(RowDifference {
            table: Table::Held,
            key,
            expected,
            found,
        }))
    };
    loop {
        match (expected.next(), rows.next()?) {
            (None, None) => return Ok(None),
            (Some((key, value)), Some(row)) if row.key == key => {
                if row.value != value {
                    return difference(key, Some(value), Some(row.value.to_vec()));
                }
            }
            (Some((key, value)), _) => return difference(key, Some(value), None),
            (None, Some(row)) => {
                return difference(row.key.to_vec(), None, Some(row.value.to_vec()));
            }
        }
    }
}

/// Checks that each held op is not applied, that its parents are applied, or held before it, and
/// dated before it, and that what is noted of it follows from them. `replayed` is the replay of the
/// applied ops.
pub(crate) fn check_places<M: StateMachine>(
    inner: &Inner<M>,
    tx: &dyn ReadTx,
    replayed: &dyn ReadTx,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let places = Places {
        inner,
        all: Held::read(tx)?,
        tx,
        replayed,
    };
    let (mut first, mut found) = (0, Vec::new());
    loop {
        let numbers = Held::numbers(tx, first, NUMBERS)?;
        let Some(next) = numbers.last().and_then(|last| last.checked_add(1)) else {
            break;
        };
        for number in numbers {
            // A record that is missing was reported.
            let Some(held) = read_held(tx, &inner.hasher, number)? else {
                continue;
            };
            if let Some(fault) = places.fault_of(number, &held)? {
                let op = held.op.reference();
                found.push(Finding::HeldOp { op, fault });
                found.truncate(MAX_ROWS);
            }
        }
        first = next;
    }
    findings.append(&mut found);
    Ok(())
}

/// Where held ops stand in the history.
struct Places<'a, M: StateMachine> {
    inner: &'a Inner<M>,
    all: Held,
    tx: &'a dyn ReadTx,
    replayed: &'a dyn ReadTx,
}

impl<M: StateMachine> Places<'_, M> {
    fn fault_of(&self, number: u64, held: &HeldOp) -> Result<Option<OpFault>> {
        if self.applied_at(&held.op.reference())?.is_some() {
            return Ok(Some(OpFault::Twice));
        }
        let mut first_held = None;
        for parent in held.op.parents() {
            let hlc = match self.applied_at(&parent)? {
                Some(hlc) => hlc,
                None => match self.all.place_of(self.tx, &parent)? {
                    Some((before, hlc)) if before < number => {
                        first_held.get_or_insert(parent);
                        hlc
                    }
                    _ => return Ok(Some(OpFault::Parent { parent })),
                },
            };
            if let Some(rejection) = clock_conflict(&held.op, &Stamp { hlc, op: parent }) {
                let reason = rejection.to_string();
                return Ok(Some(OpFault::Clock { reason }));
            }
        }
        let found = self.note_fault(held, first_held);
        Ok(found.map(|found| OpFault::Unreadable { found }))
    }

    /// The timestamp of an applied op.
    fn applied_at(&self, op: &OpRef) -> Result<Option<Hlc>> {
        let Some(place) = read_place(self.replayed, op, Forks::Some)? else {
            return Ok(None);
        };
        let op = read_op(self.replayed, &self.inner.hasher, place.index)?;
        Ok(op.map(|op| op.hlc()))
    }

    /// What is wrong with what is noted of a held op, whose first held parent is `first_held`.
    fn note_fault(&self, held: &HeldOp, first_held: Option<OpRef>) -> Option<String> {
        if let Err(error) = LogicVersion::new(&held.logic) {
            return Some(format!(
                "the logic noted with it is not a valid version: {error}"
            ));
        }
        match (&held.reason, first_held) {
            (HeldReason::Follows { parent }, first) if Some(*parent) == first => None,
            (HeldReason::Fault { .. }, None) => None,
            // Other code may have applied the parent since, and not have come to this op.
            (HeldReason::Follows { parent }, _)
                if held.logic != self.inner.machine.logic().version().as_str() =>
            {
                let is_so = held.op.parents().any(|named| named == *parent);
                (!is_so).then(|| format!("it is noted to follow {parent}, which is no parent"))
            }
            (HeldReason::Follows { parent }, _) => Some(format!(
                "it is noted to follow {parent}, which is not its first held parent"
            )),
            (HeldReason::Fault { .. }, Some(parent)) => Some(format!(
                "the code is noted to have failed on it, but it follows {parent}, which is held"
            )),
        }
    }
}

/// Compares the rows beside the records with those that follow from the records.
fn compare(tx: &dyn ReadTx, index: HeldIndex, findings: &mut Vec<Finding>) -> Result<()> {
    let table = Table::Held;
    let mut left = index.into_rows();
    let mut differences = Vec::new();
    for span in Held::beside_records() {
        let mut rows = tx.range(table, span, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            let expected = left.remove(row.key);
            if expected.as_deref() != Some(row.value) && differences.len() < MAX_ROWS {
                differences.push(RowDifference {
                    table,
                    key: row.key.to_vec(),
                    expected,
                    found: Some(row.value.to_vec()),
                });
            }
        }
    }
    let missing = left.into_iter().map(|(key, value)| RowDifference {
        table,
        key,
        expected: Some(value),
        found: None,
    });
    let differences = differences.into_iter().chain(missing).take(MAX_ROWS);
    findings.extend(differences.map(Finding::Row));
    Ok(())
}
