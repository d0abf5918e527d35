//! Write transactions: rows that become one record of the journal, or that are written through.

use std::collections::{BTreeMap, btree_map};
use std::mem::take;
use std::sync::{Arc, MutexGuard};

use crate::backend::merge::{LayerRows, Merged};
use crate::backend::tx::is_empty_span;
use crate::backend::{
    BackendError, Direction, EVERYTHING, ReadTx, Result, Rows, Span, Table, Ticket, Transaction,
    TurnHold, WriteTx,
};
use crate::journal::backend_rows::backend_rows;
use crate::journal::layout::MARK;
use crate::journal::memtable::{Memtable, Value};
use crate::journal::record::{ALIGN, Encoder, HEAD_BYTES, MAX_ROWS_BYTES, ROW_HEAD_BYTES};
use crate::journal::shared::{Core, Writer};
use crate::journal::view::View;

/// The rows that a transaction has changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    tables: [BTreeMap<Box<[u8]>, Value>; Table::ALL.len()],
    /// The bytes of the rows in a record.
    bytes: usize,
}

impl Changes {
    fn insert(&mut self, table: Table, key: &[u8], value: Value) {
        let bytes = |value: &Value| value.as_ref().map_or(0, |value| value.len());
        self.bytes += bytes(&value);
        match self.tables[table.position()].get_mut(key) {
            Some(before) => {
                self.bytes -= bytes(before);
                *before = value;
            }
            None => {
                self.bytes += ROW_HEAD_BYTES + key.len();
                self.tables[table.position()].insert(key.into(), value);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(BTreeMap::is_empty)
    }

    fn rows(&self) -> impl Iterator<Item = (Table, &[u8], &Value)> {
        let tables = Table::ALL.into_iter().zip(&self.tables);
        tables.flat_map(|(table, rows)| rows.iter().map(move |(key, value)| (table, &**key, value)))
    }

    pub(super) fn encode(&self) -> Encoder {
        let mut record = Encoder::new(self.bytes);
        for (table, key, value) in self.rows() {
            record.row(table, key, value.as_deref());
        }
        record
    }

    /// Adds the rows to a generation.
    pub(super) fn add_to(&self, table: &Memtable, seq: u64, oldest: u64) {
        for (name, key, value) in self.rows() {
            table.insert(name, key, value.clone(), seq, oldest);
        }
    }

    /// The length of the record.
    pub(super) fn record_bytes(&self) -> u64 {
        let bytes = (HEAD_BYTES + self.bytes).next_multiple_of(ALIGN);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn write_to(&self, tx: &mut dyn WriteTx) -> Result<()> {
        for (table, key, value) in self.rows() {
            write(tx, table, key, value.as_deref())?;
        }
        Ok(())
    }
}

fn write(tx: &mut dyn WriteTx, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
    match value {
        Some(value) => tx.put(table, key, value),
        None => tx.remove(table, key).map(drop),
    }
}

/// Writes the rows of a generation to the backend, as of a number.
pub(super) fn write_rows(tx: &mut dyn WriteTx, rows: &Memtable, seq: u64) -> Result<()> {
    for table in Table::ALL {
        let mut rows = rows.range(table, EVERYTHING, Direction::Forward, seq);
        rows.advance();
        while let Some((key, value)) = rows.current() {
            write(tx, table, key, value)?;
            rows.advance();
        }
    }
    Ok(())
}

struct ChangedRows<'a> {
    rows: btree_map::Range<'a, Box<[u8]>, Value>,
    direction: Direction,
    current: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl LayerRows for ChangedRows<'_> {
    fn advance(&mut self) {
        let row = match self.direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.next_back(),
        };
        self.current = row.map(|(key, value)| (&**key, value.as_deref()));
    }

    fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.current
    }
}

/// A write transaction. The fields are dropped in this order.
pub(super) struct JournalTx<'db> {
    mode: Mode<'db>,
    core: &'db Arc<Core>,
    writer: MutexGuard<'db, Writer>,
    follows_others: bool,
    hold: TurnHold,
}

enum Mode<'db> {
    /// The rows become a record.
    Buffered { view: View, changes: Changes },
    /// The rows are in a transaction of the backend.
    Direct(Box<dyn Transaction + 'db>),
}

impl<'db> JournalTx<'db> {
    pub(super) fn buffered(
        core: &'db Arc<Core>,
        writer: MutexGuard<'db, Writer>,
        follows_others: bool,
        hold: TurnHold,
        view: View,
    ) -> Self {
        let changes = Changes::default();
        Self {
            mode: Mode::Buffered { view, changes },
            core,
            writer,
            follows_others,
            hold,
        }
    }

    pub(super) fn direct(
        core: &'db Arc<Core>,
        writer: MutexGuard<'db, Writer>,
        follows_others: bool,
        hold: TurnHold,
        tx: Box<dyn Transaction + 'db>,
    ) -> Self {
        Self {
            mode: Mode::Direct(tx),
            core,
            writer,
            follows_others,
            hold,
        }
    }

    /// Goes on in a transaction of the backend, with the journal's rows folded in.
    fn write_through(&mut self) -> Result<&mut Box<dyn Transaction + 'db>> {
        if let Mode::Buffered { changes, .. } = &mut self.mode {
            let changes = take(changes);
            let mut tx = self.core.begin_through(&self.writer)?;
            changes.write_to(&mut *tx)?;
            self.mode = Mode::Direct(tx);
        }
        match &mut self.mode {
            Mode::Direct(tx) => Ok(tx),
            Mode::Buffered { .. } => unreachable!("the mode has just been set"),
        }
    }

    /// Where a change of a row goes: to the backend's transaction, or to the changes.
    fn target(&mut self, table: Table, key: &[u8], len: usize) -> Result<Target<'_>> {
        if table == Table::System && key == MARK {
            let wrong = "the row `journal` of the table `system` is the journal's own";
            return Err(BackendError::storage("writing a row", wrong));
        }
        let fits = match &self.mode {
            Mode::Direct(_) => false,
            Mode::Buffered { changes, .. } => {
                let is_tip = table != Table::Meta || key.starts_with(b"tip/");
                is_tip && changes.bytes + ROW_HEAD_BYTES + key.len() + len <= MAX_ROWS_BYTES
            }
        };
        if !fits {
            return Ok(Target::Backend(&mut **self.write_through()?));
        }
        match &mut self.mode {
            Mode::Buffered { changes, .. } => Ok(Target::Changes(changes)),
            Mode::Direct(tx) => Ok(Target::Backend(&mut **tx)),
        }
    }
}

enum Target<'a> {
    Backend(&'a mut dyn WriteTx),
    Changes(&'a mut Changes),
}

impl ReadTx for JournalTx<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match &self.mode {
            Mode::Direct(_) if table == Table::System && key == MARK => Ok(None),
            Mode::Direct(tx) => tx.get(table, key),
            Mode::Buffered { view, changes } => match changes.tables[table.position()].get(key) {
                Some(value) => Ok(value.as_ref().map(|value| value.to_vec())),
                None => view.get(table, key),
            },
        }
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        match &self.mode {
            Mode::Direct(_) if table == Table::System && key == MARK => Ok(false),
            Mode::Direct(tx) => tx.show(table, key, see),
            Mode::Buffered { view, changes } => match changes.tables[table.position()].get(key) {
                Some(value) => Ok(value.as_ref().inspect(|value| see(value)).is_some()),
                None => view.show(table, key, see),
            },
        }
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        match &self.mode {
            Mode::Direct(tx) => backend_rows(&**tx, table, span, direction),
            Mode::Buffered { view, changes } => {
                let below = view.range(table, span, direction)?;
                let changed = &changes.tables[table.position()];
                if is_empty_span(span) || changed.is_empty() {
                    return Ok(below);
                }
                let over = ChangedRows {
                    rows: changed.range::<[u8], _>(span),
                    direction,
                    current: None,
                };
                Ok(Box::new(Merged::new(over, below, direction)))
            }
        }
    }
}

impl WriteTx for JournalTx<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        match self.target(table, key, value.len())? {
            Target::Backend(tx) => tx.put(table, key, value),
            Target::Changes(changes) => {
                changes.insert(table, key, Some(value.into()));
                Ok(())
            }
        }
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Target::Backend(tx) = self.target(table, key, value.len())? {
            return tx.replace(table, key, value);
        }
        let before = self.get(table, key)?;
        self.put(table, key, value)?;
        Ok(before)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Target::Backend(tx) = self.target(table, key, 0)? {
            return tx.remove(table, key);
        }
        let before = self.get(table, key)?;
        if before.is_some()
            && let Target::Changes(changes) = self.target(table, key, 0)?
        {
            changes.insert(table, key, None);
        }
        Ok(before)
    }
}

impl Transaction for JournalTx<'_> {
    fn follows_others(&self) -> bool {
        self.follows_others
    }

    fn commit(mut self: Box<Self>) -> Result<Ticket> {
        if let Mode::Buffered { changes, .. } = &self.mode {
            if changes.is_empty() {
                return Ok(Ticket::durable());
            }
            if !self.core.has_room(&mut self.writer, changes, &self.hold)? {
                self.write_through()?;
            }
        }
        let Self {
            mode,
            core,
            mut writer,
            hold,
            ..
        } = *self;
        match mode {
            Mode::Buffered { changes, view } => {
                drop(view);
                core.append(writer, &changes, hold)
            }
            Mode::Direct(tx) => {
                core.commit_through(&mut writer, tx)?;
                Ok(Ticket::durable())
            }
        }
    }
}
