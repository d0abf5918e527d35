//! The module of a store, from the peer that has the store.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::engine::ingest::Authors;
use lattice_meta::{Cid, GenesisHash, StoreType};
use lattice_sync::Event;
use lattice_sync::host::{ConnId, Mode, SessionId, Side};
use lattice_wasm::abi::MAX_CODE_BYTES;

use super::{FAREWELL, TURN, say, start};
use crate::Node;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::progress::Counts;
use crate::program::transport::{Link, Peer, Serving, reach};
use crate::sync::{Happened, Syncer};

/// Gets the module that a peer's store records, if it is nowhere here, and keeps it. A peer is no
/// reason to trust a module: the caller meets one that is not trusted.
pub(super) fn get(
    context: &mut Context<'_>,
    syncer: &Syncer,
    conn: ConnId,
    store: GenesisHash,
    (store_type, logic): (&StoreType, &str),
) -> Result<(), Failure> {
    let Some(cid) = missing(context, store_type, logic)? else {
        return Ok(());
    };
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

/// Gets the code that a store of this node records from the peer, if it is missing, so that the
/// store can be opened.
pub(super) fn ensure(
    context: &mut Context<'_>,
    node: &Arc<Node>,
    path: &Path,
    peer: &Peer,
    serving: &Serving,
) -> Result<(), Failure> {
    let peek = node.manager().peek_logic(path)?;
    let store_type = &peek.meta.store_type;
    let Some(logic) = peek.logic.as_deref() else {
        return Ok(());
    };
    if missing(context, store_type, logic)?.is_none() {
        return Ok(());
    }
    let genesis = node.manager().open_history(path)?.genesis().hash();
    let syncer = start(context, Arc::clone(node), Authors::Known, Mode::BOTH)?;
    let Link { stream, process } = reach(peer, serving, say(context))?;
    let conn = syncer.connect(stream, Side::Dialled);
    let got = get(context, &syncer, conn, genesis, (store_type, logic));
    syncer.close();
    if let Some(process) = process {
        process.finish(FAREWELL);
    }
    got
}

/// The module that a store records, if this node lacks it.
fn missing(
    context: &Context<'_>,
    store_type: &StoreType,
    logic: &str,
) -> Result<Option<Cid>, Failure> {
    // Native code has a name and no content id.
    let Ok(cid) = logic.parse::<Cid>() else {
        return Ok(None);
    };
    let native = context.native.resolve(store_type);
    if native.is_ok_and(|opener| opener.logic().computes_as(logic)) {
        return Ok(None);
    }
    Ok(context.code.find(&cid)?.is_none().then_some(cid))
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
                syncer.fetch(
                    opened,
                    cid,
                    u64::try_from(MAX_CODE_BYTES).unwrap_or(u64::MAX),
                );
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
