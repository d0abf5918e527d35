//! `lattice serve`: peers exchange stores with this data directory.

use std::collections::BTreeSet;

use lattice_meta::StoreId;
use lattice_sync::host::{ConnId, Mode, Side};
use lattice_sync::wire::Farewell;
use lattice_sync::{Event, Lost};

use super::running::Running;
use super::{TURN, modules, own_store};
use crate::program::args::Serve;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind, chain};
use crate::program::transport::own;
use crate::sync::{Happened, Offers, Options, Syncer};

pub(in crate::program::commands) fn serve(
    context: &mut Context<'_>,
    args: &Serve,
) -> Result<(), Failure> {
    if !context.data_dir.is_dir() {
        return Err(Failure::new(
            Kind::NoFile,
            format!("there is no data directory {}", context.data_dir.display()),
        ));
    }
    let offers = offers(context, args)?;
    context.trust(args.trusting);
    match args.read_only {
        true => context.use_identity(),
        false => context.node.become_writer()?,
    }
    let options = Options {
        authors: args.whose.authors(),
        mode: Mode {
            gives: true,
            takes: !args.read_only,
        },
        offers,
        modules: modules(context),
        closes: true,
    };
    match &args.unix {
        None => {
            let stream = own()?;
            let syncer = begin(context, options)?;
            let conn = syncer.connect(stream, Side::Accepted);
            let served = one(context, &syncer, conn);
            syncer.close();
            served
        }
        Some(path) => on_socket(context, options, path),
    }
}

fn begin(context: &mut Context<'_>, options: Options) -> Result<Syncer, Failure> {
    let node = context.share_node()?;
    let syncer = Syncer::start(node, options)?;
    context.interruption.end_by_itself();
    Ok(syncer)
}

/// Serves one peer until it leaves.
fn one(context: &mut Context<'_>, syncer: &Syncer, conn: ConnId) -> Result<(), Failure> {
    let with = "standard input and output".to_owned();
    let mut running = Running::new(context, "serve", with).at_once();
    loop {
        context.interruption.check()?;
        running.look(syncer);
        let Some(happened) = syncer.next_event(TURN) else {
            continue;
        };
        warn(context, &happened);
        let Happened::Event(Event::Lost {
            conn: at,
            why,
            rule,
        }) = happened
        else {
            continue;
        };
        if at == conn {
            return left(why, rule);
        }
    }
}

/// How serving ends when the peer has left.
fn left(why: Lost, rule: Option<&'static str>) -> Result<(), Failure> {
    let rule = rule.map_or_else(String::new, |rule| format!(": {rule}"));
    match why {
        // The peer that stays has another connection.
        Lost::Here(Farewell::Closing | Farewell::Duplicate)
        | Lost::Cut
        | Lost::There(_)
        | Lost::OtherPeer => Ok(()),
        Lost::Here(Farewell::Oneself) => Err(Failure::usage("the peer is this process itself")),
        Lost::Here(Farewell::Version) => Err(Failure::new(
            Kind::Newer,
            "the peer's program has no version of the protocol in common with this one",
        )),
        Lost::Here(Farewell::Timeout) => Err(Failure::failed("the peer was silent for too long")),
        Lost::Here(Farewell::Protocol) => Err(Failure::failed(format!(
            "what the peer has sent is not the protocol{rule}"
        ))),
        Lost::Here(_) => Err(Failure::failed(format!("the connection was ended{rule}"))),
    }
}

/// Serves every peer that connects to a socket, until the command is interrupted.
#[cfg(unix)]
fn on_socket(
    context: &mut Context<'_>,
    options: Options,
    path: &std::path::Path,
) -> Result<(), Failure> {
    let listener = crate::program::transport::Listener::bind(path)?;
    let syncer = begin(context, options)?;
    context.out.note(&format!("serving on {}", path.display()));
    let with = path.display().to_string();
    let mut running = Running::new(context, "serve", with).at_once();
    let mut has_failed = false;
    let served = loop {
        if let Err(failure) = context.interruption.check() {
            break Err(failure);
        }
        // Without room for another connection, those that are open are served on.
        let accepted = accept_all(&listener, &syncer);
        if let Err(error) = &accepted
            && !has_failed
        {
            context.out.note(&format!(
                "cannot accept a peer on {}: {error}; the peers that are connected are served",
                path.display()
            ));
        }
        has_failed = accepted.is_err();
        running.look(&syncer);
        if let Some(happened) = syncer.next_event(TURN) {
            warn(context, &happened);
        }
    };
    syncer.close();
    served
}

/// Takes the connections that wait.
#[cfg(unix)]
fn accept_all(
    listener: &crate::program::transport::Listener,
    syncer: &Syncer,
) -> std::io::Result<()> {
    while let Some(stream) = listener.accept()? {
        syncer.connect(stream, Side::Accepted);
    }
    Ok(())
}

#[cfg(not(unix))]
fn on_socket(_: &mut Context<'_>, _: Options, _: &std::path::Path) -> Result<(), Failure> {
    Err(Failure::usage("this system has no Unix sockets"))
}

/// Says what needs attention here. The peer says the rest there.
fn warn(context: &mut Context<'_>, happened: &Happened) {
    match happened {
        Happened::Event(Event::Diverged { ours, theirs, .. }) => context.out.note(&format!(
            "a peer has the same ops and another state: the state hash is {ours} here and {theirs} \
             there; `lattice verify STORE` checks this replica"
        )),
        Happened::Event(Event::Met {
            peer,
            is_same_key: true,
            ..
        }) => context.out.note(&format!(
            "a peer writes as {peer}, as this data directory does: one is a copy of the other"
        )),
        Happened::Store { store, error } => context.out.note(&format!(
            "store {}: {}",
            StoreId::certifying(store),
            chain(error)
        )),
        _ => {}
    }
}

/// The stores that peers can exchange.
fn offers(context: &Context<'_>, args: &Serve) -> Result<Offers, Failure> {
    if args.stores.is_empty() {
        return Ok(Offers::All);
    }
    let ids = args.stores.iter().map(|store| {
        let path = context.path(store)?;
        own_store(context, &path)
    });
    Ok(Offers::These(ids.collect::<Result<BTreeSet<_>, _>>()?))
}
