//! A state machine's rows in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{Direction, Result as BackendResult, Row, RowCursor, Rows, Span};
use crate::conformance::machine::broken::{Broken, Rule, text};
use crate::machine::DataRead;

/// The rows of a state machine.
#[derive(Debug, Clone, Default)]
pub(super) struct DataRows(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

/// A cursor over rows that an iterator returns.
pub(super) struct Lent<'a>(Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a>);

impl<'a> Lent<'a> {
    pub(super) fn new(rows: impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a) -> Self {
        Self(Box::new(rows))
    }
}

impl RowCursor for Lent<'_> {
    fn next(&mut self) -> BackendResult<Option<Row<'_>>> {
        Ok(self.0.next().map(|(key, value)| Row { key, value }))
    }
}

fn lend<'a>((key, value): (&'a Vec<u8>, &'a Vec<u8>)) -> (&'a [u8], &'a [u8]) {
    (key, value)
}

impl DataRows {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(lend)
    }
}

impl DataRead for DataRows {
    fn get(&self, key: &[u8]) -> BackendResult<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn show(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> BackendResult<bool> {
        Ok(self.0.get(key).map(|value| see(value)).is_some())
    }

    fn range(&self, span: Span<'_>, direction: Direction) -> BackendResult<Rows<'_>> {
        if is_empty_span(span) {
            return Ok(Box::new(NoRows));
        }
        let rows = self.0.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(span);
        let rows = rows.map(lend);
        Ok(match direction {
            Direction::Forward => Box::new(Lent::new(rows)),
            Direction::Backward => Box::new(Lent::new(rows.rev())),
        })
    }
}

/// The first difference between two sets of rows or elements.
pub(super) fn first_difference(
    left: &BTreeMap<Vec<u8>, Vec<u8>>,
    right: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Option<String> {
    let keys = left.keys().chain(right.keys());
    let key = keys.filter(|key| left.get(*key) != right.get(*key)).min()?;
    let side = |pairs: &BTreeMap<Vec<u8>, Vec<u8>>| {
        pairs.get(key).map_or("nothing".into(), |value| text(value))
    };
    Some(format!(
        "at key {} one has {}, the other {}",
        text(key),
        side(left),
        side(right)
    ))
}

/// Checks that two replicas have the same rows.
pub(super) fn demand_same_rows(one: &DataRows, other: &DataRows, what: &str) -> Result<(), Broken> {
    match first_difference(&one.0, &other.0) {
        Some(difference) => Err(Broken::new(Rule::Rows, format!("{what}: {difference}"))),
        None => Ok(()),
    }
}
