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
    let bytes = handle.peer_row(peer, row)?;
    Ok(bytes.and_then(|bytes| {
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (upto, token) = bytes.split_first_chunk::<8>()?;
        Some(Cursor {
            upto: u64::from_le_bytes(*upto),
            token: Token(token.try_into().ok()?),
        })
    }))
}

/// The row of a cursor.
pub(super) fn row_of(cursor: &Cursor) -> Vec<u8> {
    [&cursor.upto.to_le_bytes()[..], &cursor.token.0].concat()
}
