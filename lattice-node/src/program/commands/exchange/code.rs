//! The module of a store, from the peer that has the store.

use lattice_code::releases::MAX_MODULE_BYTES;
use lattice_meta::{Cid, GenesisHash};
use lattice_sync::Event;
use lattice_sync::host::{ConnId, SessionId};

use super::TURN;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::progress::Counts;
use crate::sync::{Happened, Syncer};

/// Gets the module that a peer's store records, if it is nowhere here, and keeps it. A peer is no
/// reason to trust a module: the caller meets one that is not trusted.
pub(super) fn get(
    context: &mut Context<'_>,
    syncer: &Syncer,
    conn: ConnId,
    store: GenesisHash,
    logic: &str,
) -> Result<(), Failure> {
    // Native code has a name and no content id.
    let Ok(cid) = logic.parse::<Cid>() else {
        return Ok(());
    };
    if context.code.find(&cid)?.is_some() {
        return Ok(());
    }
    let Some(wasm) = fetch(context, syncer, conn, store, cid)? else {
        return Ok(());
    };
    context.clear_progress();
    let kept = context.code.keep(&wasm, &cid.to_string())?;
    let trust = match context.code.is_trusted(&cid)? {
        true => "",
        false => ", which is not trusted here",
    };
    let (cid, store_type) = (kept.cid(), kept.store_type());
    if !context.out.is_json() {
        let note = format!("got code {cid} for {store_type} from the peer{trust}");
        context.out.note(&note);
    }
    Ok(())
}

/// Asks the peer for a module. `None` if it does not come: what then lacks the module says so.
fn fetch(
    context: &Context<'_>,
    syncer: &Syncer,
    conn: ConnId,
    store: GenesisHash,
    cid: Cid,
) -> Result<Option<Vec<u8>>, Failure> {
    syncer.look(conn, store);
    let (mut session, mut wasm, mut is_whole) = (None, Vec::new(), false);
    loop {
        context.interruption.check()?;
        let Some(Happened::Event(event)) = syncer.next_event(TURN) else {
            continue;
        };
        let is_own = |of: SessionId| session == Some(of);
        match event {
            Event::Opened {
                session: opened,
                conn: at,
                ..
            } if at == conn => {
                session = Some(opened);
                syncer.fetch(opened, cid, MAX_MODULE_BYTES.into());
            }
            Event::BlobPart { session, bytes, .. } if is_own(session) => {
                wasm.extend(bytes);
                let done = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
                context
                    .progress
                    .report("receiving code", Counts::Bytes, done, None);
            }
            Event::BlobWhole { session, .. } if is_own(session) => {
                is_whole = true;
                syncer.end(session);
            }
            Event::BlobFailed { session, .. } if is_own(session) => syncer.end(session),
            // Without a session there is no other one on the connection yet.
            Event::Over { session: over, .. } if session.is_none_or(|own| own == over) => {
                return Ok(is_whole.then_some(wasm));
            }
            Event::Lost { conn: at, .. } if at == conn => {
                return Err(Failure::failed("the peer was lost while it sent the code"));
            }
            _ => {}
        }
    }
}
