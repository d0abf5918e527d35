//! From one layout of rows to the next.

use alloc::vec::Vec;
use core::ops::Bound;

use lattice_backend::{DataWrite, Direction, History, Result};

use crate::rows::{AFTER_CELLS, Cell, FIRST_CELL, FullCell};
use crate::winner;

/// Cells that are rewritten at a time: more need not be in memory.
const CHUNK: usize = 1024;

/// Schema 1 said in full, in every cell, which op its value is of; schema 2 says the op's number.
pub(crate) fn to_numbers(data: &mut dyn DataWrite, history: &dyn History) -> Result<()> {
    let mut last = FIRST_CELL.to_vec();
    loop {
        let mut chunk = Vec::new();
        let span = (
            Bound::Excluded(last.as_slice()),
            Bound::Excluded(&AFTER_CELLS[..]),
        );
        let mut rows = data.range(span, Direction::Forward)?;
        while chunk.len() < CHUNK
            && let Some(row) = rows.next()?
        {
            let cell = FullCell::decode(row.value)?;
            let cell = Cell {
                others: cell.others,
                number: winner::number(&cell.winner.op, history)?,
                value: cell.value,
            };
            chunk.push((row.key.to_vec(), cell.encode()));
        }
        drop(rows);
        match chunk.last() {
            Some((key, _)) => last.clone_from(key),
            None => return Ok(()),
        }
        for (key, row) in chunk {
            data.put(&key, &row)?;
        }
    }
}
