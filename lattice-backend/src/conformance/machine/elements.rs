//! Checks that elements are unique and depend only on their rows.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::backend::{BackendError, Result as BackendResult, Row, RowCursor};
use crate::conformance::machine::broken::{Broken, Rule, text};
use crate::conformance::machine::model::Writes;
use crate::conformance::machine::rows::{DataRows, Lent, first_difference};
use crate::engine::contain::contain;
use crate::machine::{History, StateMachine};

/// An element: key and value.
type Pair = (Vec<u8>, Vec<u8>);

/// The elements that an op removes and inserts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changed {
    removed: Vec<Pair>,
    inserted: Vec<Pair>,
}

/// The elements of a state, by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Elements(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

/// The rows that an op changes: each old and each new row.
struct ChangedRows<'a> {
    rows: Box<dyn Iterator<Item = (bool, &'a [u8], &'a [u8])> + 'a>,
    /// For each row returned, whether it is an old one.
    goes: &'a RefCell<Vec<bool>>,
}

impl RowCursor for ChangedRows<'_> {
    fn next(&mut self) -> BackendResult<Option<Row<'_>>> {
        Ok(self.rows.next().map(|(goes, key, value)| {
            self.goes.borrow_mut().push(goes);
            Row { key, value }
        }))
    }
}

/// The elements that an op's writes change, requested as a store does.
pub(super) fn changed<M: StateMachine>(
    machine: &M,
    rows: &DataRows,
    writes: &Writes,
    history: &dyn History,
) -> BackendResult<Changed> {
    let changed = writes.iter().flat_map(|(key, after)| {
        let before = rows.0.get(key).map(|before| (true, &key[..], &before[..]));
        let after = after.as_ref().map(|after| (false, &key[..], &after[..]));
        before.into_iter().chain(after)
    });
    let Changed {
        mut removed,
        mut inserted,
    } = Changed::default();
    let goes = RefCell::default();
    let mut cursor = ChangedRows {
        rows: Box::new(changed),
        goes: &goes,
    };
    let schema = machine.logic().newest_schema();
    machine.elements_of(schema, &mut cursor, history, &mut |row, key, value| {
        let pair = (key.to_vec(), value.to_vec());
        match goes.borrow()[row] {
            true => removed.push(pair),
            false => inserted.push(pair),
        }
    })?;
    Ok(Changed { removed, inserted })
}

impl Elements {
    /// Applies an op's changes.
    pub(super) fn change(&mut self, changed: &Changed) -> Result<(), Broken> {
        for (key, value) in &changed.removed {
            let known = self.0.remove(key);
            if known.as_ref() != Some(value) {
                let known = known.map_or("nothing".into(), |known| text(&known));
                return Err(not_of_its_row(&format!(
                    "at key {} {known} was put in when the row was written, a scan of the elements \
                     gives {} when it is replaced",
                    text(key),
                    text(value)
                )));
            }
        }
        for (key, value) in &changed.inserted {
            if self.0.insert(key.clone(), value.clone()).is_some() {
                return Err(twice(key));
            }
        }
        Ok(())
    }

    /// Compares with the elements of all rows, computed row by row and all together.
    pub(super) fn compare_with_rows<M: StateMachine>(
        &self,
        machine: &M,
        rows: &DataRows,
        past: &dyn History,
    ) -> Result<(), Broken> {
        let failed = |error: BackendError| Broken::failed("`elements`", &error, &"no op's limits");
        let (one_by_one, together) = (
            contain(|| one_by_one(machine, rows, past)).map_err(failed)?,
            contain(|| together(machine, rows, past)).map_err(failed)?,
        );
        let differing = one_by_one.iter().zip(&together).find(|(a, b)| a != b);
        if let Some(((row, one), (other_row, other))) = differing {
            let message = format!(
                "`elements_of` gives {} = {} of row {other_row} where `elements` of row {row} gives \
                 {} = {}",
                text(&other.0),
                text(&other.1),
                text(&one.0),
                text(&one.1)
            );
            return Err(Broken::new(Rule::Override, message));
        }
        if one_by_one.len() != together.len() {
            let message = format!(
                "`elements_of` gives {} elements where `elements` of the rows gives {}",
                together.len(),
                one_by_one.len()
            );
            return Err(Broken::new(Rule::Override, message));
        }
        let mut scanned = BTreeMap::new();
        for (_, (key, value)) in one_by_one {
            if let Some(other) = scanned.insert(key.clone(), value)
                && self.0.get(&key) == Some(&other)
            {
                return Err(twice(&key));
            }
        }
        match first_difference(&self.0, &scanned) {
            Some(difference) => Err(not_of_its_row(&format!(
                "the elements that rows gave when they were written are not those that a scan of \
                 the elements gives: {difference}"
            ))),
            None => Ok(()),
        }
    }
}

fn not_of_its_row(message: &str) -> Broken {
    let message = format!("{message}: `elements` does not depend on its row alone");
    Broken::new(Rule::Elements, message)
}

fn twice(key: &[u8]) -> Broken {
    let message = format!("two elements of one state have the key {}", text(key));
    Broken::new(Rule::UniqueKeys, message)
}

fn one_by_one<M: StateMachine>(
    machine: &M,
    rows: &DataRows,
    past: &dyn History,
) -> BackendResult<Vec<(usize, Pair)>> {
    let schema = machine.logic().newest_schema();
    let mut pairs = Vec::new();
    for (row, (key, value)) in rows.iter().enumerate() {
        machine.elements(schema, Row { key, value }, past, &mut |key, value| {
            pairs.push((row, (key.to_vec(), value.to_vec())));
        })?;
    }
    Ok(pairs)
}

fn together<M: StateMachine>(
    machine: &M,
    rows: &DataRows,
    past: &dyn History,
) -> BackendResult<Vec<(usize, Pair)>> {
    let schema = machine.logic().newest_schema();
    let mut pairs = Vec::new();
    let mut all = Lent::new(rows.iter());
    machine.elements_of(schema, &mut all, past, &mut |row, key, value| {
        pairs.push((row, (key.to_vec(), value.to_vec())));
    })?;
    Ok(pairs)
}
