//! A scratch database that keeps only the rows that differ from those of a store.
//!
//! A replay writes the rows that the store has, if the store is sound. So a row that equals the
//! store's is not kept: a mark, eight bytes in memory, says that it is there, and its value is read
//! from the store. New rows are kept in memory. From time to time another thread compares them with
//! the store's, in order and in one pass, and what differs goes to a scratch database of the
//! backend. If a table has as many marks as the store has rows, and no row that differs, both are
//! equal.
//!
//! Two kinds of store would make this slow or large: those with more rows than there are marks, and
//! those where ranges lead over many rows of the store that are not there yet. Then all marked rows
//! are copied to the scratch database, which is used alone from then on.

mod cursor;
mod marks;
mod recent;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{
    Access, BackendError, Direction, ReadTx, Result, Rows, Span, StateDb, Table, Ticket,
    Transaction, TurnHold, Waiting, WriteTx,
};
use crate::engine::verify::mirror::state::{Bounds, State};
use crate::progress::ProgressSink;

/// A view of the store.
pub(crate) type Base = Arc<dyn ReadTx + Send + Sync>;

/// The database. A transaction that has written and is dropped without a commit makes it unusable:
/// its rows cannot be taken back. Nothing is written while there is a snapshot.
#[derive(Debug)]
pub(crate) struct Mirror {
    state: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// Snapshots share it.
    state: Arc<State>,
    is_open: bool,
}

impl Mirror {
    /// An empty database over a store. `scratch` is empty.
    pub(crate) fn new(base: Base, scratch: Arc<dyn StateDb>) -> Result<Self> {
        Self::with_bounds(base, scratch, Bounds::default())
    }

    /// Whether there are marks for all rows of a store, as far as its backend counts them. A replay
    /// over a mirror that it has to leave takes longer than one in a scratch database from the
    /// start.
    pub(crate) fn has_room_for(base: &dyn ReadTx) -> Result<bool> {
        Bounds::default().have_room_for(base)
    }

    fn with_bounds(base: Base, scratch: Arc<dyn StateDb>, bounds: Bounds) -> Result<Self> {
        let state = Arc::new(State::new(base, scratch, bounds)?);
        let is_open = true;
        Ok(Self {
            state: Mutex::new(Slot { state, is_open }),
        })
    }

    fn slot(&self) -> Result<MutexGuard<'_, Slot>> {
        let slot = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.is_open {
            true => Ok(slot),
            false => Err(BackendError::Closed),
        }
    }

    /// Whether tables have the same rows as the store's. `false` if it is not known.
    pub(crate) fn are_same(&self, tables: &[Table]) -> Result<bool> {
        let mut slot = self.slot()?;
        writable(&mut slot)?.are_same(tables)
    }
}

impl StateDb for Mirror {
    fn access(&self) -> Access {
        Access::ReadWrite
    }

    fn snapshot(&self) -> Result<Arc<dyn ReadTx + Send + Sync>> {
        let state = Arc::clone(&self.slot()?.state);
        Ok(state)
    }

    fn begin_write(&self) -> Result<Box<dyn Transaction + '_>> {
        let mut slot = self.slot()?;
        writable(&mut slot)?;
        Ok(Box::new(MirrorTx { slot }))
    }

    fn hold_turn(&self, _: Waiting) -> Result<TurnHold> {
        TurnHold::of_only_writer(self.access())
    }

    fn turn(&self) -> u64 {
        1
    }

    /// It has no unused space.
    fn compact(&self, _: &ProgressSink) -> Result<()> {
        self.slot().map(drop)
    }

    fn close(&self) -> Result<()> {
        let mut slot = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        slot.is_open = false;
        Ok(())
    }
}

struct MirrorTx<'a> {
    slot: MutexGuard<'a, Slot>,
}

impl MirrorTx<'_> {
    fn state(&mut self) -> Result<&mut State> {
        // Until it is committed.
        self.slot.is_open = false;
        writable(&mut self.slot)
    }
}

/// The rows, if there is no snapshot.
fn writable(slot: &mut Slot) -> Result<&mut State> {
    Arc::get_mut(&mut slot.state).ok_or(BackendError::SnapshotsLive)
}

impl ReadTx for MirrorTx<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.slot.state.get(table, key)
    }

    fn show(&self, table: Table, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.slot.state.show(table, key, see)
    }

    fn range(&self, table: Table, span: Span<'_>, direction: Direction) -> Result<Rows<'_>> {
        self.slot.state.range(table, span, direction)
    }
}

impl WriteTx for MirrorTx<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.state()?.write(table, key, Some(value))
    }

    fn replace(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        let before = self.get(table, key)?;
        self.put(table, key, value)?;
        Ok(before)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let before = self.get(table, key)?;
        if before.is_some() {
            self.state()?.write(table, key, None)?;
        }
        Ok(before)
    }
}

impl Transaction for MirrorTx<'_> {
    fn commit(mut self: Box<Self>) -> Result<Ticket> {
        self.slot.is_open = true;
        Ok(Ticket::durable())
    }
}
