//! The rows about peers: a cursor each.

use lattice_backend::backend::BackendError;
use lattice_backend::engine::read::PeerRow;
use lattice_meta::PubKey;
use lattice_sync::wire::{Cursor, Token};

use crate::StoreHandle;

/// The length of a row: number and token.
const CURSOR_BYTES: usize = 8 + 16;

/// A row about a peer. One that does not decode is as good as none: it costs a comparison.
pub(super) fn row(
    handle: &dyn StoreHandle,
    peer: &PubKey,
    row: PeerRow,
) -> Result<Option<Cursor>, BackendError> {
    Ok(handle.peer_row(peer, row)?.and_then(cursor))
}

fn cursor(row: Vec<u8>) -> Option<Cursor> {
    let row: [u8; CURSOR_BYTES] = row.try_into().ok()?;
    let (upto, token) = row.split_first_chunk::<8>()?;
    Some(Cursor {
        upto: u64::from_le_bytes(*upto),
        token: Token(token.try_into().ok()?),
    })
}

/// The row of a cursor.
pub(super) fn row_of(cursor: &Cursor) -> Vec<u8> {
    [&cursor.upto.to_le_bytes()[..], &cursor.token.0].concat()
}

/// What a store remembers of a peer, from sessions with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownPeer {
    /// The public key of the peer's node.
    pub peer: PubKey,
    /// How many of the ops that the peer had applied are here: all before this number of its order
    /// of application. `None` if no session in this direction has ended.
    pub taken: Option<u64>,
    /// How many of the ops that this store had applied the peer has: all before this number of the
    /// order of application here.
    pub given: Option<u64>,
}

/// The peers that a store remembers, in the order of their public keys. A session writes that when
/// all of its ops are durable; ops that came in another way do not count.
///
/// # Errors
/// What the backend reports.
pub fn known_peers(handle: &dyn StoreHandle) -> Result<Vec<KnownPeer>, BackendError> {
    let mut all: Vec<KnownPeer> = Vec::new();
    for (peer, which, bytes) in handle.peer_rows()? {
        let upto = cursor(bytes).map(|cursor| cursor.upto);
        if all.last().is_none_or(|last| last.peer != peer) {
            let (taken, given) = (None, None);
            all.push(KnownPeer { peer, taken, given });
        }
        if let Some(last) = all.last_mut() {
            match which {
                PeerRow::Mine => last.taken = upto,
                PeerRow::Served => last.given = upto,
            }
        }
    }
    Ok(all)
}
