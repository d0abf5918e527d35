//! `lattice peers` and `lattice status`: whom stores were exchanged with, and what runs now.

use std::ffi::OsStr;
use std::path::Path;

use lattice_meta::{PubKey, StoreId};
use serde_json::{Map, Value, json};

use super::running::{self, Exchanging, Session};
use crate::Aliases;
use crate::program::args::Peers;
use crate::program::bulk::plural;
use crate::program::columns::{Column, Columns};
use crate::program::commands::timestamp;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::{escape, escape_text, json_path, styles};
use crate::sync::{KnownPeer, known_peers};

/// The digits of a public key in a table for people.
const DIGITS: usize = 16;

const SESSIONS: (&str, &str) = ("session", "sessions");

/// The peers of a store.
struct Known {
    store_id: StoreId,
    ops: u64,
    peers: Vec<KnownPeer>,
}

pub(in crate::program::commands) fn peers(
    context: &mut Context<'_>,
    args: &Peers,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut failed = Vec::new();
    match &args.store {
        Some(store) => {
            let path = context.path(store)?;
            all.push(known(context, &path)?);
        }
        None => {
            for listed in context.node.manager().list()? {
                let path = listed.path;
                match known(context, &path) {
                    Ok(known) => all.push(known),
                    Err(failure) => failed.push((path, failure)),
                }
            }
        }
    }
    let aliases = context.aliases();
    match context.out.is_json() {
        true => {
            for known in &all {
                for peer in &known.peers {
                    context.out.json(&peer_json(known, peer, &aliases))?;
                }
            }
        }
        false => print_peers(context, &all, &aliases)?,
    }
    let mut result = Ok(());
    for (path, failure) in failed {
        let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
        let failure = context.complete(failure, &name);
        if context.out.is_json() {
            let mut value = Map::new();
            json_path(&mut value, "path", &path);
            value.insert("error".into(), failure.to_json());
            context.out.json(&value.into())?;
        } else {
            let path = escape(path.as_os_str().as_encoded_bytes());
            context.out.note(&format!("{path}: {}", failure.message()));
        }
        result = Err(Failure::failed("the peers of some stores cannot be read"));
    }
    result
}

fn known(context: &Context<'_>, path: &Path) -> Result<Known, Failure> {
    let handle = context.node.manager().open_history(path)?;
    Ok(Known {
        store_id: handle.info()?.store_id,
        ops: handle.op_count()?,
        peers: known_peers(&*handle)?,
    })
}

fn peer_json(known: &Known, peer: &KnownPeer, aliases: &Aliases) -> Value {
    json!({
        "store_id": known.store_id,
        "alias": aliases.alias_of(known.store_id),
        "peer": peer.peer,
        "taken": peer.taken,
        "given": peer.given,
        "ops": known.ops,
    })
}

fn print_peers(context: &mut Context<'_>, all: &[Known], aliases: &Aliases) -> Result<(), Failure> {
    let mut table = Columns::new([
        Column::of("STORE").cut().style(styles::NAME),
        Column::of("PEER"),
        Column::number("TAKEN"),
        Column::number("GIVEN"),
        Column::number("OPS"),
    ]);
    let shown = |ops: Option<u64>| ops.map_or_else(|| "-".to_owned(), |ops| ops.to_string());
    for known in all {
        for peer in &known.peers {
            table.row([
                store_name(aliases, known.store_id),
                key_name(context, peer.peer),
                shown(peer.taken),
                shown(peer.given),
                known.ops.to_string(),
            ]);
        }
    }
    if table.is_empty() {
        let note = "no peer is known; `lattice sync STORE PEER` exchanges a store with one";
        context.out.note(note);
    }
    table.print(&mut context.out)
}

pub(in crate::program::commands) fn status(context: &mut Context<'_>) -> Result<(), Failure> {
    let (all, failed) = running::all(&context.data_dir).map_err(|error| {
        let dir = context.data_dir.display();
        Failure::from(error).within(&format!("the processes that exchange stores of {dir}"))
    })?;
    for unreadable in failed {
        let path = unreadable.path.display();
        let error = unreadable.error;
        context.out.note(&format!("cannot read {path}: {error}"));
    }
    if context.out.is_json() {
        for exchanging in &all {
            let value = serde_json::to_value(exchanging).map_err(std::io::Error::from)?;
            context.out.json(&value)?;
        }
        return Ok(());
    }
    if all.is_empty() {
        let dir = context.data_dir.display();
        context.out.note(&format!(
            "no process exchanges stores of {dir}; `lattice serve` and `lattice sync --live` do"
        ));
    }
    let aliases = context.aliases();
    for exchanging in &all {
        print_process(context, exchanging, &aliases)?;
    }
    Ok(())
}

fn print_process(
    context: &mut Context<'_>,
    exchanging: &Exchanging,
    aliases: &Aliases,
) -> Result<(), Failure> {
    let since = timestamp(u64::try_from(exchanging.since).unwrap_or(0));
    context.out.prose(&format!(
        "{} with {}: process {}, since {since}, {}",
        escape_text(&exchanging.command),
        escape_text(&exchanging.with),
        exchanging.process,
        match exchanging.sessions.len() {
            0 => "no peer is connected".to_owned(),
            sessions => plural(u64::try_from(sessions).unwrap_or(u64::MAX), SESSIONS),
        },
    ))?;
    let mut table = Columns::new([
        Column::of("  STORE").cut().style(styles::NAME),
        Column::of("PEER"),
        Column::of("SENDS"),
        Column::number("SENT"),
        Column::of("TAKES"),
        Column::number("RECEIVED"),
        Column::of("STATE"),
    ]);
    for session in &exchanging.sessions {
        table.row([
            format!("  {}", store_name(aliases, session.store_id)),
            key_name(context, session.peer),
            escape_text(&session.sending),
            session.sent.to_string(),
            escape_text(&session.taking),
            session.received.to_string(),
            state(session),
        ]);
    }
    table.print(&mut context.out)
}

/// What a user has to know of a session.
fn state(session: &Session) -> String {
    let mut parts = Vec::new();
    if session.diverged {
        parts.push("another state".to_owned());
    } else if session.equal {
        parts.push("same ops".to_owned());
    } else if session.delivered {
        parts.push("all sent".to_owned());
    }
    for (count, what) in [
        (session.refused, "refused"),
        (session.held, "held"),
        (session.invalid, "invalid"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

fn store_name(aliases: &Aliases, store_id: StoreId) -> String {
    match aliases.alias_of(store_id) {
        Some(alias) => alias.as_str().to_owned(),
        None => store_id.to_string(),
    }
}

/// A public key: short for people.
fn key_name(context: &Context<'_>, key: PubKey) -> String {
    let mut text = key.to_string();
    if context.out.width().is_some() {
        text.truncate(DIGITS);
    }
    text
}
