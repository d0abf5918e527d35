//! `lattice clone`: a new replica of a peer's store.

use std::sync::Arc;

use lattice_backend::machine::LogicVersion;
use lattice_meta::{Genesis, GenesisHash, StoreId};
use lattice_sync::host::{ConnId, Mode, Side};
use lattice_sync::wire::StoreRecord;
use lattice_sync::{Event, FindFault};

use super::meeting::{End, Meeting};
use super::running::Running;
use super::tally::Tally;
use super::{FAREWELL, Made, Plan, TURN, check_peer, failures, finish, say, serving, start};
use crate::program::args::CloneStore;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::program::transport::{Link, Peer, reach};
use crate::sync::{Happened, Syncer};
use crate::{Access, Alias, Node};

pub(in crate::program::commands) fn clone(
    context: &mut Context<'_>,
    args: &CloneStore,
) -> Result<(), Failure> {
    let (peer, name) = match &args.via {
        None => Peer::with_store(&args.place)?,
        Some(command) => {
            let name = args.place.to_str().map(str::to_owned);
            let name = name.ok_or_else(|| Failure::usage("the name of a store is UTF-8"))?;
            (Peer::Via(command.clone()), name)
        }
    };
    check_peer(context, &peer)?;
    context.trust(args.trusting);
    context.node.become_writer()?;
    let authors = args.whose.authors();
    let node = context.share_node()?;
    let serving = serving(context, &node, &authors);
    let syncer = start(context, Arc::clone(&node), authors, Mode::BOTH)?;
    context.interruption.end_by_itself();
    let Link { stream, process } = reach(&peer, &serving, say(context))?;
    let conn = syncer.connect(stream, Side::Dialled);
    let mut tally = Tally::default();
    let found = find(context, &syncer, conn, &mut tally, &peer, &name);
    let made = match found {
        Ok(Ok(named)) => get_code(context, &syncer, conn, &node, &named)
            .and_then(|()| make(context, &node, &named, args.alias.as_ref()))
            .map(Ok),
        Ok(Err(end)) => Ok(Err(end)),
        Err(failure) => Err(failure),
    };
    let (genesis, made) = match made {
        Ok(Ok(made)) => made,
        Ok(Err(end)) => {
            syncer.close();
            let ended = process.map(|process| process.finish(FAREWELL));
            return Err(match end {
                End::Interrupted(signal) => {
                    Failure::interrupted(signal).and("no store was created")
                }
                end => failures::of(&peer, &name, &end, ended.as_ref()),
            });
        }
        Err(failure) => {
            syncer.close();
            return Err(failure);
        }
    };
    let plan = Plan {
        peer,
        store: StoreId::certifying(&genesis),
        genesis,
        mode: Mode::BOTH,
        serving,
        made: Some(made),
    };
    let meeting = Meeting {
        syncer: &syncer,
        conn,
        store: genesis,
        stays: false,
        has_met: true,
    };
    meeting.propose(plan.mode);
    let mut running = Running::new(context, "clone", plan.peer.to_string());
    let end = meeting.follow(context, &mut tally, &mut running);
    finish(context, syncer, process, &plan, tally, end)
}

/// A store of a peer.
struct Named {
    genesis: Genesis,
    /// The logic that it records there, by the peer's word.
    logic: Option<LogicVersion>,
}

/// Asks the peer for a store.
fn find(
    context: &mut Context<'_>,
    syncer: &Syncer,
    conn: ConnId,
    tally: &mut Tally,
    peer: &Peer,
    name: &str,
) -> Result<Result<Named, End>, Failure> {
    syncer.find(conn, name);
    let mut has_met = false;
    loop {
        if let Some(signal) = context.interruption.signal() {
            return Ok(Err(End::Interrupted(signal)));
        }
        let Some(Happened::Event(event)) = syncer.next_event(TURN) else {
            continue;
        };
        tally.note(context, conn, &event);
        match event {
            Event::Met { conn: met, .. } if met == conn => has_met = true,
            Event::Found {
                conn: at, record, ..
            } if at == conn => match record {
                Ok(bytes) => return read(peer, name, &bytes).map(Ok),
                Err(FindFault::NotThere) => {
                    return Err(Failure::no_store(format!(
                        "{peer}: the peer has no store \"{name}\", or does not offer it"
                    )));
                }
                Err(FindFault::Unsupported) => {
                    return Err(Failure::new(
                        Kind::Newer,
                        format!("{peer}: the peer's program is too old to be asked for a store"),
                    ));
                }
                // The connection's own event follows.
                Err(FindFault::Cut) => {}
            },
            Event::Lost {
                conn: at,
                why,
                rule,
            } if at == conn => return Ok(Err(End::Lost { why, rule, has_met })),
            _ => {}
        }
    }
}

/// Reads the record that a peer has sent for a name.
fn read(peer: &Peer, name: &str, bytes: &[u8]) -> Result<Named, Failure> {
    let what = format!("{peer}: the record of \"{name}\"");
    let record = StoreRecord::decode(bytes)
        .map_err(|error| Failure::of(Kind::Damaged, &error).within(&what))?;
    let genesis = Genesis::decode(&record.genesis)
        .map_err(|error| Failure::of(Kind::Damaged, &error).within(&what))?;
    let logic = LogicVersion::new(&record.logic).ok();
    match name.parse::<StoreId>() {
        Ok(id) if id != genesis.store_id() => Err(Failure::damaged(format!(
            "{peer}: the peer has sent the genesis of store {} for store {id}",
            genesis.store_id()
        ))),
        _ => Ok(Named { genesis, logic }),
    }
}

/// Gets the code of a store that is not here.
#[cfg(feature = "wasm")]
fn get_code(
    context: &mut Context<'_>,
    syncer: &Syncer,
    conn: ConnId,
    node: &Node,
    named: &Named,
) -> Result<(), Failure> {
    let Named { genesis, logic } = named;
    let is_here = node.manager().store_path(genesis.store_id()).exists();
    match logic.as_ref().filter(|_| !is_here) {
        Some(logic) => {
            let code = (genesis.store_type(), logic.as_str());
            super::code::get(context, syncer, conn, genesis.hash(), code)
        }
        None => Ok(()),
    }
}

#[cfg(not(feature = "wasm"))]
fn get_code(
    _: &mut Context<'_>,
    _: &Syncer,
    _: ConnId,
    _: &Node,
    _: &Named,
) -> Result<(), Failure> {
    Ok(())
}

/// Creates the replica, unless it is here.
fn make(
    context: &mut Context<'_>,
    node: &Node,
    named: &Named,
    alias: Option<&Alias>,
) -> Result<(GenesisHash, Made), Failure> {
    let Named { genesis, logic } = named;
    let store = genesis.store_id();
    context.check_alias(alias, Some(store))?;
    context.out.hints().set_store(store.to_string().as_ref());
    let manager = node.manager();
    let place = manager.store_path(store);
    let created = !place.exists();
    match created {
        true => {
            match logic {
                Some(logic) => manager.create_replica_of(genesis, logic)?,
                None => manager.create_replica(genesis)?,
            };
            #[cfg(feature = "wasm")]
            crate::program::commands::code::note_use(context, store)?;
        }
        false => {
            context.note_use(&place);
            if !context.out.is_json() {
                let note = "this data directory has a replica of the store";
                context.out.note(note);
            }
        }
    }
    context.set_alias(alias, store)?;
    // An error now has the words of the store, and not of the session.
    manager.open(store, Access::ReadWrite)?;
    let alias = alias.cloned();
    Ok((genesis.hash(), Made { alias, created }))
}
