//! Every change of one row of a store, for tests of its verification.

use std::collections::BTreeMap;
use std::path::Path;

use crate::backend::{BackendError, Direction, EVERYTHING, FileError, ReadTx, StateBackend, Table};

/// The rows of a store by table and key.
pub type RowMap = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// The most bytes of a value that are changed one by one; of a longer one, some are.
const MAX_FLIPS: usize = 24;

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// What is changed.
    pub what: String,
    /// The table.
    pub table: Table,
    /// The key whose row changes.
    pub key: Vec<u8>,
    /// Its new value; `None` removes the row.
    pub value: Option<Vec<u8>>,
    /// The position of the changed byte, if one byte of the value changes.
    pub byte: Option<usize>,
}

impl Mutation {
    /// The rows after the change.
    pub fn apply(&self, rows: &RowMap) -> RowMap {
        let mut changed = rows.clone();
        let key = (self.table, self.key.clone());
        match &self.value {
            Some(value) => changed.insert(key, value.clone()),
            None => changed.remove(&key),
        };
        changed
    }
}

/// All rows of a snapshot.
///
/// # Errors
/// What the backend reports.
pub fn rows_of(tx: &dyn ReadTx) -> Result<RowMap, BackendError> {
    let mut all = RowMap::new();
    for table in Table::ALL {
        let mut rows = tx.range(table, EVERYTHING, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            all.insert((table, row.key.to_vec()), row.value.to_vec());
        }
    }
    Ok(all)
}

/// Creates a store that has exactly these rows.
///
/// # Errors
/// What the backend reports.
pub fn create_of(backend: &dyn StateBackend, path: &Path, rows: &RowMap) -> Result<(), FileError> {
    backend.create(path, &mut |tx| {
        rows.iter()
            .try_for_each(|((table, key), value)| tx.put(*table, key, value))
    })
}

/// Every change of one row: each row is removed, its value changed byte by byte, lengthened, cut,
/// emptied and replaced by that of its neighbour; and rows are added beside each row and at the
/// edges of each table: copies, empty rows, further parts of a record.
pub fn mutations(rows: &RowMap) -> Vec<Mutation> {
    let mut all = Vec::new();
    for ((table, key), value) in rows {
        of_value(*table, key, value, &mut all);
        beside(*table, key, value, &mut all);
    }
    for ((first, second), (key, next)) in pairs(rows) {
        let change = |key: &[u8], value: &[u8]| {
            Mutation::new("a neighbour's value", first.0, key, Some(value))
        };
        all.push(change(&first.1, next));
        all.push(change(&key.1, second));
    }
    for table in Table::ALL {
        for key in [&b""[..], &[0], &[0; 8], &[0xff; 8], &[0xff; 80], b"zzz"] {
            for value in [&b""[..], b"value"] {
                all.push(Mutation::new("a new row", table, key, Some(value)));
            }
        }
    }
    all.retain(|change| {
        let before = rows.get(&(change.table, change.key.clone()));
        before != change.value.as_ref()
    });
    all
}

type Entry<'a> = (&'a (Table, Vec<u8>), &'a Vec<u8>);

/// Each row with the next one of its table.
fn pairs(rows: &RowMap) -> impl Iterator<Item = (Entry<'_>, Entry<'_>)> {
    let next = rows.iter().skip(1);
    rows.iter()
        .zip(next)
        .filter(|((first, _), (second, _))| first.0 == second.0)
}

impl Mutation {
    fn new(what: &str, table: Table, key: &[u8], value: Option<&[u8]>) -> Self {
        Self {
            what: what.to_owned(),
            table,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
            byte: None,
        }
    }
}

fn of_value(table: Table, key: &[u8], value: &[u8], all: &mut Vec<Mutation>) {
    fn to<'a>(table: Table, key: &'a [u8]) -> impl Fn(&str, Option<&[u8]>) -> Mutation + use<'a> {
        move |what, value| Mutation::new(what, table, key, value)
    }
    let change = to(table, key);
    all.push(change("no row", None));
    all.push(change("an empty value", Some(&[])));
    all.push(change("a longer value", Some(&[value, &[0]].concat())));
    if let Some((_, start)) = value.split_last() {
        all.push(change("a shorter value", Some(start)));
    }
    let step = value.len().div_ceil(MAX_FLIPS).max(1);
    let last = value.len().checked_sub(1);
    for place in (0..value.len()).step_by(step).chain(last) {
        let mut flipped = value.to_vec();
        flipped[place] ^= 1;
        all.push(Mutation {
            byte: Some(place),
            ..change("another byte", Some(&flipped))
        });
    }
}

fn beside(table: Table, key: &[u8], value: &[u8], all: &mut Vec<Mutation>) {
    let mut keys = vec![[key, &[0]].concat(), [key, &[0xff]].concat()];
    keys.extend([0, 1, 2, 3, u32::MAX].map(|part: u32| [key, &part.to_be_bytes()].concat()));
    if let Some((last, start)) = key.split_last() {
        keys.push(start.to_vec());
        keys.push([start, &[last.wrapping_add(1)]].concat());
        keys.push([start, &[last.wrapping_sub(1)]].concat());
    }
    for key in keys {
        for value in [&b""[..], b"x", value] {
            all.push(Mutation::new("a row beside", table, &key, Some(value)));
        }
    }
}
