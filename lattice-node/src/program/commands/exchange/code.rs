//! The code of a store, from the peer that has the store.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::engine::ingest::Authors;
use lattice_meta::{Cid, GenesisHash, StoreType};
use lattice_sync::host::{ConnId, Mode, SessionId, Side};
use lattice_sync::{BlobFault, Event};
use lattice_wasm::abi::MAX_CODE_BYTES;

use super::meeting::End;
use super::{FAREWELL, TURN, failures, say, start};
use crate::Node;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::transport::{Link, Peer, Serving, reach};
use crate::sync::{Happened, Syncer};

/// The module that a store records and this node lacks.
pub(super) fn missing(
    context: &Context<'_>,
    store_type: &StoreType,
    logic: &str,
) -> Result<Option<Cid>, Failure> {
    // Other logic is that of a program.
    let Ok(cid) = logic.parse::<Cid>() else {
        return Ok(None);
    };
    let native = context.native.resolve(store_type);
    if native.is_ok_and(|opener| opener.logic().computes_as(logic)) {
        return Ok(None);
    }
    Ok(context.code.find(&cid)?.is_none().then_some(cid))
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
    let Some(logic) = peek.logic.as_deref() else {
        return Ok(());
    };
    let Some(cid) = missing(context, &peek.meta.store_type, logic)? else {
        return Ok(());
    };
    let genesis = node.manager().open_history(path)?.genesis().hash();
    let syncer = start(context, Arc::clone(node), Authors::Known, Mode::BOTH)?;
    let Link { stream, process } = reach(peer, serving, say(context))?;
    let conn = syncer.connect(stream, Side::Dialled);
    let brought = bring(context, &syncer, conn, peer, genesis, cid);
    syncer.close();
    let ended = process.map(|process| process.finish(FAREWELL));
    match brought? {
        None => Ok(()),
        Some(End::Interrupted(signal)) => Err(Failure::interrupted(signal)),
        Some(end) => Err(failures::of(
            peer,
            &peek.meta.store_id,
            &end,
            ended.as_ref(),
        )),
    }
}

/// Gets a module from a peer, and keeps it. It is trusted no more than before: the store is opened
/// only if the user trusts it, and the refusal says how.
pub(super) fn bring(
    context: &mut Context<'_>,
    syncer: &Syncer,
    conn: ConnId,
    peer: &Peer,
    store: GenesisHash,
    cid: Cid,
) -> Result<Option<End>, Failure> {
    syncer.look(conn, store);
    let mut session: Option<SessionId> = None;
    let mut module = Vec::new();
    let none = |why: &str| {
        Failure::not_found(format!(
            "{peer}: the store needs the code {cid}, which is not here, and {why}; \
             `lattice code add FILE` adds it"
        ))
    };
    loop {
        if let Some(signal) = context.interruption.signal() {
            return Ok(Some(End::Interrupted(signal)));
        }
        let Some(Happened::Event(event)) = syncer.next_event(TURN) else {
            continue;
        };
        match event {
            Event::Opened {
                session: opened,
                store: of,
                ..
            } if of == store => {
                session = Some(opened);
                syncer.fetch(
                    opened,
                    cid,
                    u64::try_from(MAX_CODE_BYTES).unwrap_or(u64::MAX),
                );
            }
            Event::BlobPart { bytes, .. } => module.extend(bytes),
            Event::BlobWhole { .. } => {
                let kept = context.code.keep(&module, &cid.to_string())?;
                if let Some(session) = session {
                    syncer.end(session);
                }
                context.out.note(&format!(
                    "got code {} for {} from the peer",
                    kept.cid(),
                    kept.store_type()
                ));
                return Ok(None);
            }
            Event::BlobFailed { why, .. } => {
                return Err(match why {
                    BlobFault::NotThere => none("the peer does not give it"),
                    BlobFault::TooLong { .. } => {
                        none("the peer has something longer than a module")
                    }
                    BlobFault::Length | BlobFault::Hash => none("the peer has sent something else"),
                    BlobFault::Cut => none("the connection was cut"),
                });
            }
            Event::Lost {
                conn: at,
                why,
                rule,
            } if at == conn => {
                let has_met = true;
                return Ok(Some(End::Lost { why, rule, has_met }));
            }
            Event::Over { store: of, why, .. } if of == store => return Ok(Some(End::Over(why))),
            _ => {}
        }
    }
}
