//! The rows of a mirror.

use std::fmt;
use std::mem::replace;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::backend::merge::Merged;
use crate::backend::tx::{NoRows, is_empty_span};
use crate::backend::{
    Direction, EVERYTHING, ReadTx, Result, RowCursor, Rows, Span, StateDb, Table, Transaction,
};
use crate::cores::{Ahead, ahead};
use crate::engine::verify::mirror::Base;
use crate::engine::verify::mirror::cursor::{Marked, Union};
use crate::engine::verify::mirror::marks::{KeyHash, KeyHasher, Marks};
use crate::engine::verify::mirror::recent::{Recent, RecentRow};

/// Bounds of memory and time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// New rows of the state take at most this much memory before they are compared with the
    /// store's. While they are, as much again is filled.
    pub(super) state_bytes: usize,
    /// Those of another table.
    pub(super) other_bytes: usize,
    /// A value of at least this many bytes is compared at once, and not kept.
    pub(super) long_value: usize,
    /// The most marks.
    pub(super) marks: usize,
    /// In a table with more rows of the store than this for each new row, each row is looked up;
    /// otherwise all of the store's are read in order.
    pub(super) rows_per_lookup: u64,
    /// Ranges may skip this many rows of the store that are not there yet, and four times as many
    /// as rows were written.
    pub(super) skipped: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            state_bytes: 36 << 20,
            other_bytes: 4 << 20,
            long_value: 64 << 10,
            // At most 36 MiB, and 18 more while the set grows.
            marks: (1 << 22) / 8 * 7,
            rows_per_lookup: 16,
            skipped: 1 << 16,
        }
    }
}

impl Bounds {
    /// Whether there are marks for all rows of a store that its backend counts.
    pub(super) fn have_room_for(&self, base: &dyn ReadTx) -> Result<bool> {
        let mut rows = 0_u64;
        for table in Table::ALL {
            rows = rows.saturating_add(base.row_count(table)?.unwrap_or(0));
        }
        Ok(usize::try_from(rows).is_ok_and(|rows| rows <= self.marks))
    }
}

/// The rows. A key that is in `recent`, or else in `compared`, has the value that it has there.
/// Others have the store's row if they are marked, or else the one of `scratch`, if there is one.
pub(super) struct State {
    base: Base,
    hasher: KeyHasher,
    recent: [Recent; Table::ALL.len()],
    compared: [Option<Compared>; Table::ALL.len()],
    /// How many rows the store has, if a comparison has read all of them. The backend's own count
    /// could be wrong.
    counted: [Option<u64>; Table::ALL.len()],
    marks: Marks,
    scratch: Arc<dyn StateDb>,
    /// The rows of `scratch`: their numbers, and a snapshot.
    others: [u64; Table::ALL.len()],
    view: Base,
    /// Whether equal rows are marked. If not, all rows go to `scratch`.
    marks_rows: bool,
    written: u64,
    skipped: AtomicU64,
    bounds: Bounds,
}

/// Rows of a table that another thread compares with the store's.
struct Compared {
    rows: Arc<Recent>,
    result: Ahead<Result<Comparison>>,
}

/// Rows, ascending by key.
struct Comparison {
    /// Whether the store has each.
    rows: Vec<(u32, bool)>,
    /// How many rows the store has, if all of them were read.
    count: Option<u64>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("marks_rows", &self.marks_rows)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(base: Base, scratch: Arc<dyn StateDb>, bounds: Bounds) -> Result<Self> {
        let view = scratch.snapshot()?;
        Ok(Self {
            base,
            counted: Default::default(),
            hasher: KeyHasher::default(),
            recent: Default::default(),
            compared: Default::default(),
            marks: Marks::default(),
            scratch,
            others: Default::default(),
            view,
            marks_rows: true,
            written: 0,
            skipped: AtomicU64::new(0),
            bounds,
        })
    }

    /// Writes a row, or removes one.
    pub(super) fn write(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let hash = self.hasher.hash(table, key);
        self.written += 1;
        if self.write_long(table, hash, key, value)? {
            return Ok(());
        }
        let recent = &mut self.recent[table.position()];
        recent.write(hash, key, value);
        let max = match table {
            Table::Data => self.bounds.state_bytes,
            _ => self.bounds.other_bytes,
        };
        if recent.memory() > max {
            self.begin_compare(table)?;
        }
        let allowed = self.bounds.skipped + 4 * self.written;
        match self.marks_rows && *self.skipped.get_mut() > allowed {
            true => self.leave_base(),
            false => Ok(()),
        }
    }

    /// Compares a row with a long value at once, so that it is not kept in memory. Returns whether
    /// it did.
    fn write_long(
        &mut self,
        table: Table,
        hash: KeyHash,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<bool> {
        let is_long = value.is_some_and(|value| value.len() >= self.bounds.long_value);
        if !is_long
            || !self.marks_rows
            || self.marks.are_full(1, self.bounds.marks)
            || self.in_memory(table, hash, key).is_some()
        {
            return Ok(false);
        }
        let mut is_same = false;
        let mut see = |found: &[u8]| is_same = value == Some(found);
        self.base.show(table, key, &mut see)?;
        self.place(table, [((hash, key, value), is_same)])?;
        Ok(true)
    }

    /// The value of a row that is in memory, or `None` if it was removed.
    fn in_memory(&self, table: Table, hash: KeyHash, key: &[u8]) -> Option<Option<&[u8]>> {
        let recent = self.recent[table.position()].get(hash, key);
        recent.or_else(|| self.compared(table)?.get(hash, key))
    }

    /// Lets another thread compare the new rows of a table with the store's.
    fn begin_compare(&mut self, table: Table) -> Result<()> {
        self.end_compare(table)?;
        let recent = &mut self.recent[table.position()];
        let next = Recent::with_room_for(recent);
        let rows = replace(recent, next);
        if self.marks_rows && self.marks.are_full(rows.len(), self.bounds.marks) {
            self.leave_base()?;
        }
        let rows = Arc::new(rows);
        let base = self.marks_rows.then(|| Arc::clone(&self.base));
        let (shared, per_lookup) = (Arc::clone(&rows), self.bounds.rows_per_lookup);
        let counts = self.counted[table.position()].is_none();
        self.compared[table.position()] = Some(Compared {
            rows,
            result: ahead(move || compare(base.as_deref(), table, &shared, per_lookup, counts)),
        });
        Ok(())
    }

    /// Takes in the result of a comparison.
    fn end_compare(&mut self, table: Table) -> Result<()> {
        let Some(Compared { rows, result }) = self.compared[table.position()].take() else {
            return Ok(());
        };
        let compared = result.wait()?;
        let counted = &mut self.counted[table.position()];
        *counted = counted.or(compared.count);
        let placed = compared.rows.iter();
        self.place(
            table,
            placed.map(|(nth, is_same)| (rows.row(*nth), *is_same)),
        )
    }

    /// Marks rows that the store has, and writes others to the scratch database.
    fn place<'a>(
        &mut self,
        table: Table,
        rows: impl IntoIterator<Item = (RecentRow<'a>, bool)>,
    ) -> Result<()> {
        let others = &mut self.others[table.position()];
        let scratch = Arc::clone(&self.scratch);
        let mut tx: Option<Box<dyn Transaction + '_>> = None;
        for ((hash, key, value), is_same) in rows {
            match is_same {
                true => self.marks.insert(table, hash),
                false => self.marks.remove(table, hash),
            }
            let other = value.filter(|_| !is_same);
            if other.is_none() && *others == 0 {
                continue;
            }
            let tx = match &mut tx {
                Some(tx) => tx,
                none => none.insert(scratch.begin_write()?),
            };
            let before = match other {
                Some(value) => {
                    *others += 1;
                    tx.replace(table, key, value)?
                }
                None => tx.remove(table, key)?,
            };
            *others -= u64::from(before.is_some());
        }
        match tx {
            Some(tx) => self.commit(tx),
            None => Ok(()),
        }
    }

    fn commit(&mut self, tx: Box<dyn Transaction + '_>) -> Result<()> {
        tx.commit()?.wait()?;
        self.view = self.scratch.snapshot()?;
        Ok(())
    }

    /// Copies all marked rows to the scratch database, and marks none from then on.
    fn leave_base(&mut self) -> Result<()> {
        for table in Table::ALL {
            self.end_compare(table)?;
        }
        let scratch = Arc::clone(&self.scratch);
        let mut tx = scratch.begin_write()?;
        for table in Table::ALL {
            if self.marks.count(table) == 0 {
                continue;
            }
            let rows = self.base.range(table, EVERYTHING, Direction::Forward)?;
            let marks = (&self.hasher, &self.marks);
            let mut rows = Marked::new(rows, table, marks, &self.skipped);
            while let Some(row) = rows.next()? {
                tx.put(table, row.key, row.value)?;
                self.others[table.position()] += 1;
            }
        }
        self.marks_rows = false;
        self.marks = Marks::default();
        self.commit(tx)
    }

    /// Whether tables have the same rows as the store's. `false` if it is not known.
    pub(super) fn are_same(&mut self, tables: &[Table]) -> Result<bool> {
        for table in tables {
            if !self.recent[table.position()].is_empty() {
                self.begin_compare(*table)?;
            }
        }
        for table in tables {
            if !self.is_same(*table)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_same(&mut self, table: Table) -> Result<bool> {
        self.end_compare(table)?;
        if !self.marks_rows || self.others[table.position()] > 0 {
            return Ok(false);
        }
        let count = match self.counted[table.position()] {
            Some(count) => count,
            None => count_rows(&*self.base, table)?,
        };
        Ok(count == self.marks.count(table))
    }

    /// The rows of the store that ranges have skipped.
    #[cfg(test)]
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The compared rows of a table.
    fn compared(&self, table: Table) -> Option<&Recent> {
        let compared = self.compared[table.position()].as_ref();
        compared.map(|compared| &*compared.rows)
    }
}

impl ReadTx for State {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.show(table, key, &mut |value| found = Some(value.to_vec()))?;
        Ok(found)
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let hash = self.hasher.hash(table, key);
        if let Some(value) = self.in_memory(table, hash, key) {
            return Ok(value.map(see).is_some());
        }
        if self.marks.contains(table, hash) {
            return self.base.show(table, key, see);
        }
        match self.others[table.position()] {
            0 => Ok(false),
            _ => self.view.show(table, key, see),
        }
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        if is_empty_span(span) {
            return Ok(Box::new(NoRows));
        }
        let marked = || -> Result<Rows<'_>> {
            let rows = self.base.range(table, span, direction)?;
            let marks = (&self.hasher, &self.marks);
            Ok(Box::new(Marked::new(rows, table, marks, &self.skipped)))
        };
        let others = || self.view.range(table, span, direction);
        let has_others = self.others[table.position()] > 0;
        let mut rows = match (self.marks.count(table) > 0, has_others) {
            (false, false) => Box::new(NoRows),
            (false, true) => others()?,
            (true, false) => marked()?,
            (true, true) => Box::new(Union::new([marked()?, others()?], direction)),
        };
        let layers = [self.compared(table), Some(&self.recent[table.position()])];
        for layer in layers.into_iter().flatten() {
            if !layer.is_empty() {
                rows = Box::new(Merged::new(layer.range(span, direction), rows, direction));
            }
        }
        Ok(rows)
    }
}

fn count_rows(tx: &dyn ReadTx, table: Table) -> Result<u64> {
    let mut count = 0;
    let mut rows = tx.range(table, EVERYTHING, Direction::Forward)?;
    rows.visit(&mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// Compares rows with the store's. Without a store, it has none. If it counts, it reads all rows of
/// the store, unless it looks up each row.
fn compare(
    base: Option<&(dyn ReadTx + Send + Sync)>,
    table: Table,
    rows: &Recent,
    rows_per_lookup: u64,
    counts: bool,
) -> Result<Comparison> {
    let sorted = rows.sorted();
    let mut compared = Comparison {
        rows: sorted.into_iter().map(|nth| (nth, false)).collect(),
        count: None,
    };
    let (Some(base), Some((first, _)), Some((last, _))) =
        (base, compared.rows.first(), compared.rows.last())
    else {
        return Ok(compared);
    };
    let wanted = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let reads_all = base
        .row_count(table)?
        .is_none_or(|count| count / rows_per_lookup <= wanted);
    if !reads_all {
        for (nth, is_same) in &mut compared.rows {
            let (_, key, value) = rows.row(*nth);
            if value.is_some() {
                base.show(table, key, &mut |found| *is_same = value == Some(found))?;
            }
        }
        return Ok(compared);
    }
    let span = match counts {
        true => EVERYTHING,
        false => (
            Bound::Included(rows.row(*first).1),
            Bound::Included(rows.row(*last).1),
        ),
    };
    let mut count = 0;
    let mut found = base.range(table, span, Direction::Forward)?;
    let mut wanted = compared
        .rows
        .iter_mut()
        .map(|(nth, is_same)| (rows.row(*nth), is_same))
        .peekable();
    found.visit(&mut |row| {
        count += 1;
        while wanted.next_if(|((_, key, _), _)| *key < row.key).is_some() {}
        if let Some(((_, _, value), is_same)) = wanted.next_if(|((_, key, _), _)| *key == row.key) {
            *is_same = value == Some(row.value);
        }
        match counts || wanted.peek().is_some() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    drop(wanted);
    compared.count = counts.then_some(count);
    Ok(compared)
}
