//! The rows that a store must have: its values in their layout, and its marks.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::op::OpRef;

use super::history::Entry;
use super::siblings;
use crate::support::Rows;
use crate::support::rows::{
    MAX_INSIDE, cell_apart, cell_inside, cell_of_siblings, mark_row, sibling_row, value_row,
};

/// The layout decisions of the order of arrival so far. They leave exactly one valid set of rows.
#[derive(Debug, Default)]
pub(super) struct Layout {
    indexes: BTreeMap<OpRef, u64>,
    /// Values with a row of their own, by key and op: values that are long, or that have had a
    /// sibling at any time.
    apart: BTreeSet<(Vec<u8>, OpRef)>,
    /// Marks of ops that are not applied, and marks at keys that the marked op did not write.
    marks: BTreeSet<(OpRef, Vec<u8>)>,
}

fn keys<'a>(applied: &[&'a Entry]) -> BTreeSet<&'a [u8]> {
    let writes = applied.iter().flat_map(|entry| &entry.writes);
    writes.map(|write| &write.key[..]).collect()
}

impl Layout {
    /// Updates the layout for the last of the applied ops.
    pub(super) fn take_last(&mut self, applied: &[&Entry]) {
        let (last, before) = applied.split_last().unwrap();
        let index = u64::try_from(before.len()).unwrap();
        self.indexes.insert(last.op.reference, index);
        for write in &last.writes {
            self.marks.remove(&(last.op.reference, write.key.clone()));
            let unknown = write.supersedes.iter();
            let unknown = unknown.filter(|op| !self.indexes.contains_key(op));
            let marks = unknown.map(|op| (*op, write.key.clone()));
            self.marks.extend(marks);
        }
        for key in keys(applied) {
            let siblings = siblings(applied, key);
            let has_siblings = siblings.len() > 1;
            let apart = siblings
                .iter()
                .filter(|sibling| has_siblings || sibling.value.len() > MAX_INSIDE);
            self.apart
                .extend(apart.map(|sibling| (key.to_vec(), sibling.op)));
        }
    }

    /// All rows of a store that has applied these ops.
    pub(super) fn rows(&self, applied: &[&Entry]) -> Rows {
        let marks = self.marks.iter().map(|(op, key)| mark_row(op, key));
        let mut rows: Rows = marks.collect();
        for key in keys(applied) {
            let siblings = siblings(applied, key);
            let Some(current) = siblings.first() else {
                continue;
            };
            let index = self.indexes[&current.op];
            let is_apart = |op: OpRef| self.apart.contains(&(key.to_vec(), op));
            rows.extend([match siblings.len() {
                1 if is_apart(current.op) => cell_apart(key, index),
                1 => cell_inside(key, index, &current.value),
                count => cell_of_siblings(key, index, count),
            }]);
            for sibling in &siblings {
                let index = self.indexes[&sibling.op];
                if is_apart(sibling.op) {
                    rows.extend([value_row(key, index, &sibling.value)]);
                }
                if siblings.len() > 1 {
                    rows.extend([sibling_row(key, sibling, index)]);
                }
            }
        }
        rows
    }
}
