//! The `system` table: what Lattice keeps beside the boot sector.

use lattice_meta::{Genesis, Hlc};

use crate::lthash::{LTHASH_BYTES, LtHash};
use crate::tx::{PrefixSpan, ReadTx, Result, Table, WriteTx};
use crate::{Accumulator, BackendError, Direction, LogicVersion, OpRef};

/// The genesis record's bytes.
pub(crate) const GENESIS: &[u8] = b"genesis";
/// The fingerprint of the logic that computed the state.
pub(crate) const LOGIC: &[u8] = b"logic";
/// The [`Ledger`].
pub(crate) const LEDGER: &[u8] = b"ledger";
const LEDGER_BYTES: usize = 4 * 8 + LTHASH_BYTES;

/// Rows that each name an op: a prefix, then the op's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A head of history; the value is its timestamp.
    Frontier,
    /// The end of an author's branch that is not the author's tip.
    Branch,
    /// One of several ops of an author with one sequence number.
    Fork,
}

impl Mark {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Frontier => b"frontier/",
            Self::Branch => b"branch/",
            Self::Fork => b"fork/",
        }
    }

    /// Whether a row's key is that of a mark of any kind.
    pub(crate) fn is_one(key: &[u8]) -> bool {
        [Self::Frontier, Self::Branch, Self::Fork]
            .iter()
            .any(|mark| {
                let name = key.strip_prefix(mark.prefix());
                name.is_some_and(|name| OpRef::from_key(name).is_some())
            })
    }

    pub(crate) fn key(self, op: &OpRef) -> Vec<u8> {
        [self.prefix(), &op.to_key()].concat()
    }

    /// All rows of this kind: the ops they name, ascending, and their values.
    pub(crate) fn read_all(self, tx: &dyn ReadTx) -> Result<Vec<(OpRef, Vec<u8>)>> {
        let span = PrefixSpan::new(self.prefix());
        let mut rows = tx.range(Table::System, span.span(), Direction::Forward)?;
        let mut marks = Vec::new();
        while let Some(row) = rows.next()? {
            let name = &row.key[self.prefix().len()..];
            let op = OpRef::from_key(name).ok_or_else(|| {
                let found = format!("{} bytes", name.len());
                BackendError::row(Table::System, "72 bytes that name an op", found)
            })?;
            marks.push((op, row.value.to_vec()));
        }
        Ok(marks)
    }
}

/// The heads of history with their timestamps, ascending.
pub(crate) fn read_frontier(tx: &dyn ReadTx) -> Result<Vec<(OpRef, Hlc)>> {
    let rows = Mark::Frontier.read_all(tx)?;
    let timestamp = |(op, value): (OpRef, Vec<u8>)| Ok((op, Hlc::from_u64(read_u64(&value)?)));
    rows.into_iter().map(timestamp).collect()
}

pub(crate) fn read_u64(value: &[u8]) -> Result<u64> {
    let bytes = value.try_into().map_err(|_| {
        BackendError::row(Table::System, "8 bytes", format!("{} bytes", value.len()))
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// The counters and sums that every op changes, in one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Ops applied.
    pub(crate) applied: u64,
    /// Of these, how many stand in the table `applied`; the rest is the tail.
    pub(crate) indexed: u64,
    /// The greatest timestamp applied.
    pub(crate) clock: Hlc,
    /// The state hash before it is finished.
    pub(crate) state: Accumulator,
}

impl Ledger {
    pub(crate) fn read(tx: &dyn ReadTx) -> Result<Self> {
        let expected = "a ledger of 2,080 bytes";
        let row = tx
            .get(Table::System, LEDGER)?
            .ok_or_else(|| BackendError::row(Table::System, expected, "none"))?;
        let damaged = || BackendError::row(Table::System, expected, format!("{} bytes", row.len()));
        let sum: &[u8; LTHASH_BYTES] = row.last_chunk().ok_or_else(damaged)?;
        let [applied, indexed, clock, leaves] = match row.len() {
            LEDGER_BYTES => [0, 1, 2, 3].map(|place: usize| {
                let mut number = [0; 8];
                number.copy_from_slice(&row[place * 8..place * 8 + 8]);
                u64::from_le_bytes(number)
            }),
            _ => return Err(damaged()),
        };
        if indexed > applied {
            let found = format!("{indexed} indexed of {applied}");
            return Err(BackendError::row(
                Table::System,
                "no more ops indexed than applied",
                found,
            ));
        }
        let state = Accumulator {
            leaves,
            sum: LtHash::from_bytes(sum),
        };
        Ok(Self {
            applied,
            indexed,
            clock: Hlc::from_u64(clock),
            state,
        })
    }

    pub(crate) fn write(&self, tx: &mut dyn WriteTx) -> Result<()> {
        let mut row = Vec::with_capacity(LEDGER_BYTES);
        for number in [
            self.applied,
            self.indexed,
            self.clock.to_u64(),
            self.state.leaves,
        ] {
            row.extend_from_slice(&number.to_le_bytes());
        }
        row.extend_from_slice(&self.state.sum.to_bytes());
        tx.put(Table::System, LEDGER, &row)
    }
}

/// Writes what a new store's `system` table holds.
pub(crate) fn write_birth(
    tx: &mut dyn WriteTx,
    genesis: &Genesis,
    logic: &LogicVersion,
) -> Result<()> {
    tx.put(Table::System, GENESIS, &genesis.encode())?;
    tx.put(Table::System, LOGIC, logic.as_str().as_bytes())?;
    Ledger::default().write(tx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_has_the_length_its_message_says() {
        assert_eq!(LEDGER_BYTES, 2080);
    }
}
