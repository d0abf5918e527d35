//! The `system` table: Lattice's own records beside the boot sector.

use lattice_meta::{Genesis, Hlc, PubKey};

use crate::backend::{BackendError, Direction, PrefixSpan, ReadTx, Result, Table, WriteTx};
use crate::history::BranchNo;
use crate::history::peers::PeerRow;
use crate::machine::LogicVersion;
use crate::op::OpRef;
use crate::state::Accumulator;
use crate::state::lthash::{LTHASH_BYTES, LtHash};

/// The genesis record's bytes.
pub(crate) const GENESIS: &[u8] = b"genesis";
/// The version of the logic that computed the state.
pub(crate) const LOGIC: &[u8] = b"logic";
/// The [`Ledger`].
pub(crate) const LEDGER: &[u8] = b"ledger";
/// Marks an unconfirmed copy; see [`Copied`](crate::history::copied::Copied).
pub(crate) const COPIED: &[u8] = b"copied";
/// A journal's mark; a backend over which there is a journal hides it.
pub(crate) const JOURNAL: &[u8] = b"journal";
const LEDGER_BYTES: usize = 4 * 8 + LTHASH_BYTES;

/// The decoded key of a row in `system`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemKey {
    /// The genesis record.
    Genesis,
    /// The logic that computed the state.
    Logic,
    /// The [`Ledger`].
    Ledger,
    /// The mark of an unconfirmed copy.
    Copied,
    /// The mark of a journal.
    Journal,
    /// An op of the frontier; the value is its timestamp.
    Frontier(OpRef),
    /// A branch of an author who has forked; see [`Branch`](crate::history::Branch).
    Branch(PubKey, BranchNo),
    /// An indexed op that is not on its author's first branch; the value is its branch.
    Fork(OpRef),
    /// A row about a peer; see [`PeerRow`].
    Peer(PubKey, PeerRow),
}

impl SystemKey {
    pub(crate) const FRONTIER: &[u8] = b"frontier/";
    pub(crate) const BRANCH: &[u8] = b"branch/";
    pub(crate) const FORK: &[u8] = b"fork/";
    pub(crate) const PEER: &[u8] = b"peer/";

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Genesis => GENESIS.to_vec(),
            Self::Logic => LOGIC.to_vec(),
            Self::Ledger => LEDGER.to_vec(),
            Self::Copied => COPIED.to_vec(),
            Self::Journal => JOURNAL.to_vec(),
            Self::Frontier(op) => [Self::FRONTIER, &op.to_key()].concat(),
            Self::Branch(author, branch) => {
                let mut key = [Self::BRANCH, author.as_bytes()].concat();
                branch.append_to_key(&mut key);
                key
            }
            Self::Fork(op) => [Self::FORK, &op.to_key()].concat(),
            Self::Peer(peer, row) => [Self::PEER, peer.as_bytes(), row.suffix()].concat(),
        }
    }

    /// Decodes the key of a row; `None` for a key that Lattice does not write.
    pub(crate) fn from_bytes(key: &[u8]) -> Option<Self> {
        match key {
            GENESIS => return Some(Self::Genesis),
            LOGIC => return Some(Self::Logic),
            LEDGER => return Some(Self::Ledger),
            COPIED => return Some(Self::Copied),
            JOURNAL => return Some(Self::Journal),
            _ => {}
        }
        if let Some(op) = key.strip_prefix(Self::FRONTIER) {
            return OpRef::from_key(op).map(Self::Frontier);
        }
        if let Some(op) = key.strip_prefix(Self::FORK) {
            return OpRef::from_key(op).map(Self::Fork);
        }
        if let Some(peer) = key.strip_prefix(Self::PEER) {
            let (peer, suffix) = peer.split_first_chunk::<32>()?;
            let mut rows = PeerRow::ALL.into_iter();
            let row = rows.find(|row| row.suffix() == suffix)?;
            return Some(Self::Peer(PubKey::from_bytes(*peer), row));
        }
        let branch = key.strip_prefix(Self::BRANCH)?;
        let (author, rest) = branch.split_first_chunk::<32>()?;
        match BranchNo::split_from_key(rest)? {
            (branch, []) => Some(Self::Branch(PubKey::from_bytes(*author), branch)),
            _ => None,
        }
    }
}

/// The ops of the frontier with their timestamps, ascending.
pub(crate) fn read_frontier(tx: &dyn ReadTx) -> Result<Vec<(OpRef, Hlc)>> {
    let span = PrefixSpan::new(SystemKey::FRONTIER);
    let mut rows = tx.range(Table::System, span.span(), Direction::Forward)?;
    let mut frontier = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(SystemKey::Frontier(op)) = SystemKey::from_bytes(row.key) else {
            let found = format!("a key of {} bytes", row.key.len());
            let expected = "`frontier/` and the name of an op";
            return Err(BackendError::row(Table::System, expected, found));
        };
        frontier.push((op, Hlc::from_u64(read_u64(row.value)?)));
    }
    Ok(frontier)
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
    /// How many of them are in the table `applied`; the others are the tail.
    pub(crate) indexed: u64,
    /// The greatest timestamp applied.
    pub(crate) clock: Hlc,
    /// The accumulator of the state hash, not yet finalized.
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
        let [applied, indexed, clock, elements] = match row.len() {
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
            elements,
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
            self.state.elements,
        ] {
            row.extend_from_slice(&number.to_le_bytes());
        }
        row.extend_from_slice(&self.state.sum.to_bytes());
        tx.put(Table::System, LEDGER, &row)
    }
}

/// Writes the `system` rows of a new store.
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
    fn the_ledger_has_the_length_that_its_error_names() {
        assert_eq!(LEDGER_BYTES, 2080);
    }
}
