//! Brings the state up to date with one op.
//!
//! The state is a function of the set of applied ops:
//! * a key's heads are the puts of valid applied ops that no valid applied op supersedes;
//! * a put of an op not yet applied is marked at a key if a valid applied op supersedes it there.
//!
//! So no order of arrival can matter. An op that supersedes what it cannot have seen, or names an
//! op by a wrong author or number, is as good as any: refs are compared as whole triples, and one
//! that names no op leaves a mark for ever.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use lattice_backend::{
    BackendError, DataWrite, Direction, Effect, History, OpRef, OpView, Result, Stamp, Table,
};

use crate::payload::Payload;
use crate::rows::{self, Cell};
use crate::winner;

/// Applies an op's payload.
pub(crate) fn apply(
    op: &OpView<'_>,
    data: &mut dyn DataWrite,
    history: &dyn History,
) -> Result<Effect> {
    let Ok(payload) = Payload::decode(op.payload) else {
        return Ok(Effect::Void);
    };
    let stamp = Stamp {
        hlc: op.hlc,
        op: op.reference,
    };
    let marked = marked_keys(&op.reference, data)?;
    let mut applied = Applied::new(history, payload.refs.len());
    for write in &payload.writes {
        let mut cell = OpenCell::read(write.key, data, history)?;
        for &place in &write.supersedes {
            let (place, superseded) = payload.op(place);
            let found = cell.supersede(&superseded, data)?;
            if !found && !applied.contains(place, &superseded)? {
                data.put(&rows::mark_key(&superseded, write.key), &[])?;
            }
        }
        let value = write.value.filter(|_| !marked.contains(write.key.as_ref()));
        let put = value.map(|value| Winner {
            number: op.number,
            stamp,
            value: Cow::Borrowed(value.as_ref()),
        });
        cell.write(put, data, history)?;
    }
    Ok(Effect::Applied)
}

/// Removes an op's marks: from now on what supersedes it finds it applied.
pub(crate) fn remove_marks(op: &OpRef, data: &mut dyn DataWrite) -> Result<()> {
    for key in marked_keys(op, data)? {
        data.remove(&rows::mark_key(op, &key))?;
    }
    Ok(())
}

fn marked_keys(op: &OpRef, data: &dyn DataWrite) -> Result<BTreeSet<Vec<u8>>> {
    let span = rows::mark_span(op);
    let mut cursor = data.range(span.span(), Direction::Forward)?;
    let mut keys = BTreeSet::new();
    while let Some(row) = cursor.next()? {
        keys.insert(rows::key_of_mark(row.key)?.to_vec());
    }
    Ok(keys)
}

/// Which of a payload's refs have been applied; each is looked up once, and only if need be.
struct Applied<'a> {
    history: &'a dyn History,
    known: Vec<Option<bool>>,
}

impl<'a> Applied<'a> {
    fn new(history: &'a dyn History, refs: usize) -> Self {
        Self {
            history,
            known: vec![None; refs],
        }
    }

    fn contains(&mut self, place: usize, op: &OpRef) -> Result<bool> {
        if let Some(known) = self.known[place] {
            return Ok(known);
        }
        let found = self.history.is_applied(op)?;
        self.known[place] = Some(found);
        Ok(found)
    }
}

/// The greatest head of a key.
struct Winner<'a> {
    number: u64,
    stamp: Stamp,
    value: Cow<'a, [u8]>,
}

/// A key's cell while an op changes it. Rows of further heads are changed as it goes, the cell's
/// own at the end.
struct OpenCell<'a> {
    key: &'a [u8],
    winner: Option<Winner<'a>>,
    others: u32,
    /// The winner's number and how many others there are, as the cell's row has them.
    stored: Option<(u64, u32)>,
}

impl<'a> OpenCell<'a> {
    fn read(key: &'a [u8], data: &dyn DataWrite, history: &dyn History) -> Result<Self> {
        let Some(row) = data.get(&rows::cell_key(key))? else {
            return Ok(Self {
                key,
                winner: None,
                others: 0,
                stored: None,
            });
        };
        let Cell {
            others,
            number,
            value,
        } = Cell::decode(&row)?;
        let winner = Winner {
            number,
            stamp: history.stamp(number)?,
            value: Cow::Owned(value.to_vec()),
        };
        Ok(Self {
            key,
            winner: Some(winner),
            others,
            stored: Some((number, others)),
        })
    }

    /// Takes a put out of the heads. Gives whether it was one.
    fn supersede(&mut self, op: &OpRef, data: &mut dyn DataWrite) -> Result<bool> {
        if self
            .winner
            .as_ref()
            .is_some_and(|winner| winner.stamp.op == *op)
        {
            self.winner = None;
            return Ok(true);
        }
        if self.others == 0 {
            return Ok(false);
        }
        let Some(row) = data.get(&rows::index_key(self.key, op))? else {
            return Ok(false);
        };
        let stamp = Stamp {
            hlc: rows::decode_index(&row)?,
            op: *op,
        };
        self.remove_further(&stamp, data)?;
        Ok(true)
    }

    /// Takes in the op's own put, if it makes one, finds the winner and writes the cell.
    fn write(
        mut self,
        put: Option<Winner<'a>>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        if self.winner.is_none() && self.others > 0 {
            self.winner = Some(self.take_greatest_further(data, history)?);
        }
        self.winner = match (self.winner.take(), put) {
            (Some(winner), Some(put)) => {
                let (winner, loser) = if put.stamp.rank() > winner.stamp.rank() {
                    (put, winner)
                } else {
                    (winner, put)
                };
                self.add_further(&loser, data)?;
                Some(winner)
            }
            (winner, put) => winner.or(put),
        };
        self.store(data)
    }

    fn store(self, data: &mut dyn DataWrite) -> Result<()> {
        let row_key = rows::cell_key(self.key);
        let Some(Winner { number, value, .. }) = self.winner else {
            return if self.stored.is_some() {
                data.remove(&row_key)
            } else {
                Ok(())
            };
        };
        if self.stored == Some((number, self.others)) {
            return Ok(());
        }
        let cell = Cell {
            others: self.others,
            number,
            value: &value,
        };
        data.put(&row_key, &cell.encode())
    }

    fn add_further(&mut self, head: &Winner<'_>, data: &mut dyn DataWrite) -> Result<()> {
        let Winner { stamp, value, .. } = head;
        self.others = self
            .others
            .checked_add(1)
            .ok_or_else(|| self.miscounted())?;
        data.put(
            &rows::further_key(self.key, stamp),
            &rows::further_value(&stamp.op, value),
        )?;
        data.put(
            &rows::index_key(self.key, &stamp.op),
            &rows::index_value(stamp.hlc),
        )
    }

    fn remove_further(&mut self, stamp: &Stamp, data: &mut dyn DataWrite) -> Result<()> {
        self.others = self
            .others
            .checked_sub(1)
            .ok_or_else(|| self.miscounted())?;
        data.remove(&rows::further_key(self.key, stamp))?;
        data.remove(&rows::index_key(self.key, &stamp.op))
    }

    fn take_greatest_further(
        &mut self,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<Winner<'a>> {
        let span = rows::further_span(self.key);
        let greatest = match data.range(span.span(), Direction::Backward)?.next()? {
            Some(row) => {
                let (stamp, value) = rows::decode_further(row.key, row.value)?;
                Winner {
                    number: winner::number(&stamp.op, history)?,
                    stamp,
                    value: Cow::Owned(value.to_vec()),
                }
            }
            None => return Err(self.miscounted()),
        };
        self.remove_further(&greatest.stamp, data)?;
        Ok(greatest)
    }

    fn miscounted(&self) -> BackendError {
        BackendError::row(
            Table::Data,
            "a cell that counts its further heads",
            format!("{} counted, and other rows", self.others),
        )
    }
}
