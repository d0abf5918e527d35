//! Compares a store with the replay of its history, table by table.

use lattice_meta::MetaKey;

use crate::backend::{Direction, EVERYTHING, ReadTx, Result, Row, RowCursor, Table};
use crate::engine::verify::{Finding, HashDifference, RowDifference};
use crate::history::system::{Ledger, SystemKey, read_u64};
use crate::history::{BranchNo, applied_key, read_applied_value};
use crate::progress::{Counted, ProgressSink, Stage};

/// The most rows with unknown keys that are reported.
const MAX_UNKNOWN: usize = 64;

/// A store, and the replay of its history.
pub(crate) struct Comparison<'a> {
    pub(crate) first: &'a dyn ReadTx,
    pub(crate) second: &'a dyn ReadTx,
    pub(crate) progress: &'a ProgressSink,
}

impl Comparison<'_> {
    /// The first row of a table that differs.
    pub(crate) fn table(&self, table: Table) -> Result<Option<RowDifference>> {
        let mut found = self.first.range(table, EVERYTHING, Direction::Forward)?;
        let mut expected = self.second.range(table, EVERYTHING, Direction::Forward)?;
        let total = self.first.row_count(table)?;
        let mut compared = Counted::new(self.progress, Stage::Rows, total);
        loop {
            let (found, expected) = (found.next()?, expected.next()?);
            if found != expected {
                return Ok(Some(difference(table, found, expected)));
            }
            if found.is_none() {
                return Ok(None);
            }
            compared.one();
        }
    }

    /// The first row of a table that differs, among the rows that pass the filters.
    fn rows(
        &self,
        table: Table,
        in_first: RowFilter<'_>,
        in_second: RowFilter<'_>,
    ) -> Result<Option<RowDifference>> {
        let mut found = self.first.range(table, EVERYTHING, Direction::Forward)?;
        let mut expected = self.second.range(table, EVERYTHING, Direction::Forward)?;
        loop {
            let (found, expected) = (
                next_of(&mut *found, in_first)?,
                next_of(&mut *expected, in_second)?,
            );
            if found != expected {
                let (found, expected) = (found.as_ref(), expected.as_ref());
                let difference = difference(table, found.map(as_row), expected.map(as_row));
                return Ok(Some(difference));
            }
            if found.is_none() {
                return Ok(None);
            }
        }
    }

    pub(crate) fn ledgers(
        &self,
        genesis: &lattice_meta::GenesisHash,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let (found, expected) = (Ledger::read(self.first)?, Ledger::read(self.second)?);
        if found.state != expected.state {
            let difference = HashDifference {
                expected: expected.state.state_hash(genesis),
                found: found.state.state_hash(genesis),
            };
            let finding = Finding::StateHash(difference);
            // The rescan of the rows may have reported the same.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        if found.clock != expected.clock {
            findings.push(Finding::Clock {
                expected: expected.clock.to_u64(),
                found: found.clock.to_u64(),
            });
        }
        Ok(())
    }

    pub(crate) fn meta(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let is_known = |key: &[u8]| matches!(MetaKey::from_bytes(key), Ok(Some(_)));
        self.unknown(Table::Meta, &is_known, findings)?;
        // The schema version is not compared: the store's layout need not be the newest one.
        let counts = |row: Row<'_>| {
            let key = MetaKey::from_bytes(row.key);
            Ok(matches!(key, Ok(Some(key)) if key != MetaKey::SchemaVersion))
        };
        findings.extend(self.rows(Table::Meta, &counts, &counts)?.map(Finding::Row));
        Ok(())
    }

    /// Compares `system` and the index by author. The index is written in steps, which the history
    /// does not determine. A store must have index rows for exactly the ops that it counts as
    /// indexed; the replay has indexed all ops.
    pub(crate) fn system_and_index(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let is_known = |key: &[u8]| SystemKey::from_bytes(key).is_some();
        self.unknown(Table::System, &is_known, findings)?;
        let indexed = Ledger::read(self.first)?.indexed;
        let is_indexed = |value: &[u8]| Ok(read_applied_value(value)?.0.get() < indexed);
        let in_first = |row: Row<'_>| {
            let key = SystemKey::from_bytes(row.key);
            Ok(matches!(
                key,
                Some(SystemKey::Frontier(_) | SystemKey::Branch(..) | SystemKey::Fork(_))
            ))
        };
        let in_second = |row: Row<'_>| match SystemKey::from_bytes(row.key) {
            Some(SystemKey::Frontier(_) | SystemKey::Branch(..)) => Ok(true),
            Some(SystemKey::Fork(op)) => {
                let branch = BranchNo(read_u64(row.value)?);
                let key = applied_key(&op.author, branch, op.seq);
                let place = self.second.get(Table::Applied, &key)?;
                place.as_deref().map_or(Ok(false), is_indexed)
            }
            _ => Ok(false),
        };
        let system = self.rows(Table::System, &in_first, &in_second)?;
        findings.extend(system.map(Finding::Row));
        let all = |_: Row<'_>| Ok(true);
        let index = self.rows(Table::Applied, &all, &|row| is_indexed(row.value))?;
        findings.extend(index.map(Finding::Row));
        Ok(())
    }

    /// Reports rows with unknown keys, at most `MAX_UNKNOWN`.
    fn unknown(
        &self,
        table: Table,
        is_known: &dyn Fn(&[u8]) -> bool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut rows = self.first.range(table, EVERYTHING, Direction::Forward)?;
        let mut told = 0;
        while let Some(row) = rows.next()? {
            if !is_known(row.key) {
                let key = row.key.to_vec();
                findings.push(Finding::UnknownRow { table, key });
                told += 1;
            }
            if told == MAX_UNKNOWN {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a row is compared.
type RowFilter<'a> = &'a dyn Fn(Row<'_>) -> Result<bool>;

/// The next row that is compared.
fn next_of(rows: &mut dyn RowCursor, counts: RowFilter<'_>) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    while let Some(row) = rows.next()? {
        if counts(row)? {
            return Ok(Some((row.key.to_vec(), row.value.to_vec())));
        }
    }
    Ok(None)
}

fn as_row((key, value): &(Vec<u8>, Vec<u8>)) -> Row<'_> {
    Row { key, value }
}

fn difference(table: Table, found: Option<Row<'_>>, expected: Option<Row<'_>>) -> RowDifference {
    let value = |row: Option<Row<'_>>| row.map(|row| row.value.to_vec());
    let (found_key, expected_key) = (found.map(|row| row.key), expected.map(|row| row.key));
    match (found_key, expected_key) {
        (Some(there), Some(key)) if there == key => RowDifference {
            table,
            key: key.to_vec(),
            expected: value(expected),
            found: value(found),
        },
        // The keys differ; the smaller one is reported.
        (there, Some(key)) if there.is_none_or(|there| key < there) => RowDifference {
            table,
            key: key.to_vec(),
            expected: value(expected),
            found: None,
        },
        (there, _) => RowDifference {
            table,
            key: there.map_or_else(Vec::new, <[u8]>::to_vec),
            expected: None,
            found: value(found),
        },
    }
}
