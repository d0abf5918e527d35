//! Replicas that meet over a stream: `sync`, `clone` and `serve`.

mod clone;
#[cfg(feature = "wasm")]
mod code;
mod failures;
mod live;
mod meeting;
mod peers;
mod running;
mod serve;
mod tally;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lattice_backend::engine::ingest::Authors;
use lattice_meta::{GenesisHash, StoreId};
use lattice_sync::host::{Mode, Side};
use serde_json::json;

use crate::program::args::SyncStore;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::escape_text;
use crate::program::transport::{Ended, Link, Peer, Process, Say, Serving, reach};
use crate::sync::{Modules, Offers, Options, Syncer};
use crate::{Access, Alias, Node};
use meeting::{End, Meeting};
use running::Running;
use tally::Tally;

pub(super) use clone::clone;
pub(super) use peers::{peers, status};
pub(super) use serve::serve;

/// How long one look for events lasts: so long a signal waits, and the progress.
const TURN: Duration = Duration::from_millis(100);
/// How long the process behind a stream may take to end by itself after the farewell.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a command exchanges, and with whom.
struct Plan {
    peer: Peer,
    store: StoreId,
    genesis: GenesisHash,
    mode: Mode,
    serving: Serving,
    /// The replica that the command has made.
    made: Option<Made>,
}

/// A replica of `clone`.
struct Made {
    alias: Option<Alias>,
    /// Whether it was not here before.
    created: bool,
}

pub(super) fn sync(context: &mut Context<'_>, args: &SyncStore) -> Result<(), Failure> {
    let peer = match (&args.via, &args.peer) {
        (Some(command), _) => Peer::Via(command.clone()),
        (None, Some(peer)) => Peer::parse(peer)?,
        (None, None) => return Err(Failure::usage("no peer: give PEER or --via COMMAND")),
    };
    check_peer(context, &peer)?;
    context.trust(args.trusting);
    let path = context.path_to_change(&args.store.store)?;
    let store = own_store(context, &path)?;
    let mode = Mode {
        gives: !args.pull,
        takes: !args.push,
    };
    context.note_use(&path);
    context.node.become_writer()?;
    let authors = args.whose.authors();
    let node = context.share_node()?;
    let serving = serving(context, &node, &authors);
    #[cfg(feature = "wasm")]
    code::ensure(context, &node, &path, &peer, &serving)?;
    let handle = match mode.takes {
        true => node.manager().open(store, Access::ReadWrite)?,
        false => node.manager().open_history(&path)?,
    };
    let plan = Plan {
        peer,
        store,
        genesis: handle.genesis().hash(),
        mode,
        serving,
        made: None,
    };
    let syncer = start(context, node, authors, mode)?;
    context.interruption.end_by_itself();
    match args.live {
        true => live::stay(context, syncer, &plan),
        false => once(context, syncer, &plan),
    }
}

/// Refuses the data directory itself as its own peer.
fn check_peer(context: &Context<'_>, peer: &Peer) -> Result<(), Failure> {
    let Peer::Dir(dir) = peer else { return Ok(()) };
    let same = dir
        .canonicalize()
        .ok()
        .zip(context.data_dir.canonicalize().ok());
    match same {
        Some((there, here)) if there == here => Err(Failure::usage(format!(
            "{} is this data directory itself, and no peer",
            dir.display()
        ))),
        _ => Ok(()),
    }
}

/// The id of a store of the data directory: only those are exchanged.
fn own_store(context: &Context<'_>, path: &Path) -> Result<StoreId, Failure> {
    let manager = context.node.manager();
    let found = manager.find(path, Access::ReadOnly)?;
    let id = found.meta().store_id;
    let own = manager.store_path(id).canonicalize().ok();
    match own.is_some() && own == found.path().canonicalize().ok() {
        true => Ok(id),
        false => Err(Failure::usage(format!(
            "{} is not in the data directory {}, and peers exchange only its stores",
            found.path().display(),
            context.data_dir.display()
        ))),
    }
}

/// How this program is called for a peer that the command starts itself: its user decides for both
/// sides, so the peer takes what this node has written.
fn serving(context: &Context<'_>, node: &Node, authors: &Authors) -> Serving {
    let mut words: Vec<OsString> = vec!["serve".into(), "--stdio".into()];
    match (authors, node.manager().author()) {
        (Authors::Any, _) => words.push("--any-author".into()),
        (_, Some(own)) => words.push(format!("--author={own}").into()),
        (_, None) => {}
    }
    #[cfg(feature = "wasm")]
    let code = context.code_files.clone();
    #[cfg(not(feature = "wasm"))]
    let code = {
        let _ = context;
        Vec::new()
    };
    Serving { words, code }
}

fn start(
    context: &Context<'_>,
    node: Arc<Node>,
    authors: Authors,
    mode: Mode,
) -> Result<Syncer, Failure> {
    let options = Options {
        authors,
        mode,
        // This side proposes the sessions.
        offers: Offers::Nothing,
        modules: modules(context),
        ..Options::default()
    };
    Ok(Syncer::start(node, options)?)
}

/// The modules of this data directory, for peers that lack the code of a store.
#[cfg(feature = "wasm")]
fn modules(context: &Context<'_>) -> Option<Modules> {
    let code = Arc::clone(&context.code);
    Some(Arc::new(move |cid| {
        let found = code.find(cid).unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%cid, error, "code not given to a peer");
            None
        });
        found.map(|found| found.wasm)
    }))
}

#[cfg(not(feature = "wasm"))]
fn modules(_: &Context<'_>) -> Option<Modules> {
    None
}

/// Prints what the process behind a stream prints on standard error.
fn say(context: &Context<'_>) -> Say {
    if context.out.is_json() || context.out.is_quiet() {
        return Box::new(|_| ());
    }
    let progress = context.progress.clone();
    Box::new(move |line| {
        progress.clear();
        // A failed write is ignored: standard error has no reader.
        let _ = writeln!(io::stderr(), "peer: {}", escape_text(line));
    })
}

/// Connects, and exchanges ops until both have the same or the command is interrupted.
fn once(context: &mut Context<'_>, syncer: Syncer, plan: &Plan) -> Result<(), Failure> {
    let Link { stream, process } = reach(&plan.peer, &plan.serving, say(context))?;
    let conn = syncer.connect(stream, Side::Dialled);
    let mut tally = Tally::default();
    let mut running = Running::new(context, "sync", plan.peer.to_string());
    let meeting = Meeting {
        syncer: &syncer,
        conn,
        store: plan.genesis,
        stays: false,
        has_met: false,
    };
    meeting.propose(plan.mode);
    let end = meeting.follow(context, &mut tally, &mut running);
    finish(context, syncer, process, plan, tally, end)
}

/// Ends the connection, and reports what was exchanged.
fn finish(
    context: &mut Context<'_>,
    syncer: Syncer,
    process: Option<Process>,
    plan: &Plan,
    mut tally: Tally,
    end: Result<End, Failure>,
) -> Result<(), Failure> {
    syncer.close();
    let ended = process.map(|process| process.finish(FAREWELL));
    context.clear_progress();
    match end? {
        End::Done => {}
        End::Interrupted(signal) => {
            let failure = Failure::interrupted(signal).and(&tally.text());
            return Err(failure.with("stands", tally.text().into()));
        }
        end => {
            tally.cut();
            if let Some(failure) = tally.take_failure() {
                return Err(failure.and_exchanged(&tally));
            }
            let failure = failures::of(&plan.peer, &plan.store, &end, ended.as_ref());
            return Err(failure.and_exchanged(&tally));
        }
    }
    let mut value = tally.json(plan.store);
    match &plan.made {
        None => context.out.either(value, |_| tally.text())?,
        Some(made) => {
            value.insert("alias".into(), json!(made.alias));
            value.insert("new_replica".into(), made.created.into());
            if !context.out.is_json() {
                context.out.note(&tally.text());
            }
            context.out.either(value, |_| plan.store.to_string())?;
        }
    }
    if !context.out.is_json() {
        tally.tell(context);
    }
    tally.check(plan.store)
}

impl Failure {
    /// Adds what was exchanged before, if anything was.
    fn and_exchanged(self, tally: &Tally) -> Self {
        match tally.is_nothing() {
            true => self,
            false => self.and(&format!("before that, {}", tally.text())),
        }
    }
}

/// How a process behind a stream has ended, if it says something about a failure.
fn shown(ended: &Ended) -> String {
    let status = match ended.status {
        Some(status) => format!("ended with {status}"),
        None => "did not end and was killed".to_owned(),
    };
    let said = match ended.said.is_empty() {
        true => String::new(),
        false => format!(": {}", ended.said),
    };
    format!("`{}` {status}{said}", ended.line)
}
