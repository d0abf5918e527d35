//! Checks the table of held ops.

use crate::backend::{BackendError, Direction, ReadTx, Result, Table};
use crate::engine::Inner;
use crate::engine::verify::replay::MAX_FAULTS;
use crate::engine::verify::{Finding, OpFault, RowDifference};
use crate::history::held::{Held, HeldIndex, HeldOp, read_held, row_after_record};
use crate::machine::StateMachine;

/// The number of held op numbers that are read at a time.
const NUMBERS: usize = 1024;
/// The most rows that are reported.
const MAX_ROWS: usize = 64;

/// Checks that each held op is signed by its author, that no row follows the last part of a record,
/// and that the rows beside the records of held ops are the ones that follow from the records.
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
            if let Some((key, value)) = row_after_record(tx, number)? {
                stray.push(RowDifference {
                    table: Table::Held,
                    key,
                    expected: None,
                    found: Some(value),
                });
                stray.truncate(MAX_ROWS);
            }
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
