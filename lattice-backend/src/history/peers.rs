//! The rows about peers: where a replication with another replica can continue.

use lattice_meta::PubKey;

use crate::backend::{BackendError, Direction, PrefixSpan, ReadTx, Result, Table, WriteTx};
use crate::history::system::SystemKey;

/// The longest value of a row about a peer, in bytes.
pub const MAX_PEER_ROW_BYTES: usize = 64;

/// One of the two rows about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerRow {
    /// What this store has of the peer's ops.
    Mine,
    /// What the peer has of this store's ops.
    Served,
}

impl PeerRow {
    pub(crate) const ALL: [Self; 2] = [Self::Mine, Self::Served];

    /// The end of the row's key.
    pub(crate) const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Mine => b"/mine",
            Self::Served => b"/served",
        }
    }
}

/// Reads a row about a peer.
pub(crate) fn read_peer_row(
    tx: &dyn ReadTx,
    peer: &PubKey,
    row: PeerRow,
) -> Result<Option<Vec<u8>>> {
    let value = tx.get(Table::System, &SystemKey::Peer(*peer, row).to_bytes())?;
    value
        .map(|value| check_peer_row(&value).map(|()| value))
        .transpose()
}

/// The rows about all peers, in the order of their keys.
pub(crate) fn read_peer_rows(tx: &dyn ReadTx) -> Result<Vec<(PubKey, PeerRow, Vec<u8>)>> {
    let mut found = Vec::new();
    let span = PrefixSpan::new(SystemKey::PEER);
    let mut rows = tx.range(Table::System, span.span(), Direction::Forward)?;
    while let Some(row) = rows.next()? {
        let Some(SystemKey::Peer(peer, which)) = SystemKey::from_bytes(row.key) else {
            let what = "the key of a row about a peer";
            let found = format!("{} bytes", row.key.len());
            return Err(BackendError::row(Table::System, what, found));
        };
        check_peer_row(row.value)?;
        found.push((peer, which, row.value.to_vec()));
    }
    Ok(found)
}

/// Writes a row about a peer.
pub(crate) fn write_peer_row(
    tx: &mut dyn WriteTx,
    peer: &PubKey,
    row: PeerRow,
    value: &[u8],
) -> Result<()> {
    check_peer_row(value)?;
    let key = SystemKey::Peer(*peer, row).to_bytes();
    tx.put(Table::System, &key, value)
}

/// Checks the lengths of all rows about peers, which the history does not determine.
pub(crate) fn check_peer_rows(tx: &dyn ReadTx) -> Result<()> {
    let span = PrefixSpan::new(SystemKey::PEER);
    let mut rows = tx.range(Table::System, span.span(), Direction::Forward)?;
    while let Some(row) = rows.next()? {
        check_peer_row(row.value)?;
    }
    Ok(())
}

/// Checks the length of a row about a peer.
pub(crate) fn check_peer_row(value: &[u8]) -> Result<()> {
    match value.len() <= MAX_PEER_ROW_BYTES {
        true => Ok(()),
        false => Err(BackendError::row(
            Table::System,
            "at most 64 bytes about a peer",
            format!("{} bytes", value.len()),
        )),
    }
}
