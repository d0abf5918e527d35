//! From one layout of rows to the next.

use alloc::vec::Vec;
use core::ops::Bound;

use lattice_backend::{BackendError, DataWrite, Direction, History};

use crate::Position;
use crate::payload::decode_payload;
use crate::run::Run;

/// Rows that are removed at a time: more keys need not be in memory.
const CHUNK: usize = 1024;

/// Schema 1 had a row for each entry, with author and content; schema 2 has one for each op.
pub(crate) fn to_runs(data: &mut dyn DataWrite, history: &dyn History) -> Result<(), BackendError> {
    remove_all(data)?;
    for number in 0..history.count()? {
        let mut run = None;
        history.show(number, &mut |op| {
            run = decode_payload(op.payload).map(|entries| Run {
                hlc: op.hlc,
                op: op.reference.id,
                number,
                count: u32::try_from(entries.len())
                    .expect("a payload has 65,536 entries at the most"),
            });
        })?;
        if let Some(run) = run {
            data.put(&run.key(), &run.value())?;
        }
    }
    Ok(())
}

/// Removes the rows of schema 1; one of another form is damage that is not to be lost.
fn remove_all(data: &mut dyn DataWrite) -> Result<(), BackendError> {
    loop {
        let mut chunk = Vec::new();
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let mut rows = data.range(everything, Direction::Forward)?;
        while chunk.len() < CHUNK
            && let Some(row) = rows.next()?
        {
            if Position::from_key(row.key).is_none() {
                let found = alloc::format!("{} bytes", row.key.len());
                let table = lattice_backend::Table::Data;
                return Err(BackendError::row(table, "keys of 44 bytes", found));
            }
            chunk.push(row.key.to_vec());
        }
        drop(rows);
        if chunk.is_empty() {
            return Ok(());
        }
        for key in chunk {
            data.remove(&key)?;
        }
    }
}
