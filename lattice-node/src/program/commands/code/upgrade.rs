//! Proves code for stores, and upgrades stores to it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::engine::open::{OpenError, Proof};
use lattice_code::{Because, LibraryError, Outcome, Policy};
use lattice_meta::{Cid, StoreId, StoreType};
use lattice_registry::{ManagerError, StoreOpener};
use lattice_wasm::wasm_store_opener;
use serde_json::{Value as Json, json};

use super::{Asked, named};
use crate::Access;
use crate::program::args::Upgrade;
use crate::program::bulk::plural;
use crate::program::commands::copies::confirm;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind, chain};
use crate::program::output::escape_text;

/// Whether code must be trusted. A proof runs any code in the sandbox, and keeps no result of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Needed,
    NotNeeded,
}

/// The code proposed for a store: its logic version, and an opener that uses this code alone.
fn candidate(
    context: &Context<'_>,
    store_type: &StoreType,
    name: &OsStr,
    trust: Trust,
) -> Result<(String, Arc<dyn StoreOpener>), Failure> {
    if name == "native" {
        let opener = context.native.resolve(store_type)?;
        return Ok((opener.logic().version().to_string(), opener));
    }
    let Asked { code, place, file } = named(context, name)?;
    let cid = code.cid();
    if trust == Trust::Needed && context.code.because(&cid, code.store_type())?.is_none() {
        return Err(LibraryError::NotTrusted {
            store_type: code.store_type().clone(),
            cid,
            found: file.display().to_string(),
        }
        .into());
    }
    if code.store_type() != store_type {
        let found = code.store_type();
        return Err(Failure::usage(format!(
            "{place} is code for {found}, and the store is of type {store_type}"
        )));
    }
    let opener =
        wasm_store_opener(code, &[]).map_err(|error| Failure::failed(error.to_string()))?;
    Ok((cid.to_string(), Arc::new(opener)))
}

fn difference(proof: &Proof) -> Json {
    match proof.difference.is_none() {
        true => Json::Null,
        false => Json::String(proof.difference.to_string()),
    }
}

pub(super) fn prove(context: &mut Context<'_>, store: &OsStr, code: &OsStr) -> Result<(), Failure> {
    let path = context.path(store)?;
    let meta = context.node.manager().peek_path(&path)?;
    let (logic, opener) = candidate(context, &meta.store_type, code, Trust::NotNeeded)?;
    let proof = context.node.manager().prove(&path, &*opener)?;
    let is_proven = proof.difference.is_none();
    let value = json!({
        "store_id": proof.store_id,
        "recorded": proof.recorded,
        "logic_version": logic,
        "ops": proof.ops,
        "proven": is_proven,
        "difference": difference(&proof),
    });
    context.out.either(value, |_| match is_proven {
        true => format!(
            "ok: {} replayed by {logic}, the state is the same",
            plural(proof.ops, ("op", "ops"))
        ),
        false => format!("{logic} computes a different state: {}", proof.difference),
    })?;
    match is_proven {
        true => Ok(()),
        false => Err(Failure::damaged(format!(
            "store {} still uses {}",
            proof.store_id, proof.recorded
        ))),
    }
}

/// Why code was not accepted. Names only the first op that differs; `prove` shows the rest.
fn not_equal(error: ManagerError, code: &OsStr) -> Failure {
    let ManagerError::Open(OpenError::LogicDiffers {
        store_id,
        recorded,
        current,
        difference,
        ..
    }) = &error
    else {
        return error.into();
    };
    let differs = match &difference.op {
        Some(op) => format!(
            "first in op {} (index {}, by {})",
            op.op.id, op.index, op.op.author
        ),
        None => difference.to_string(),
    };
    Failure::damaged(format!(
        "store {store_id} still uses {recorded}: {current} computes a different state, {differs}; \
         `lattice code prove {store_id} {}` shows the whole difference",
        code.display()
    ))
}

/// A store that is to be upgraded.
struct Subject {
    path: PathBuf,
    store_id: StoreId,
    store_type: StoreType,
    recorded: Option<String>,
}

/// Code proposed for a store.
struct Proposal {
    logic: String,
    opener: Arc<dyn StoreOpener>,
    because: String,
    release: Option<u64>,
    /// What its publisher says has changed.
    notes: String,
    /// The module; `None` for native code.
    wasm: Option<Vec<u8>>,
    /// What names the code on a command line.
    name: OsString,
}

/// What came of an upgrade.
enum Upgraded {
    Done(Proposal),
    /// The store already uses what it would be upgraded to.
    Newest {
        /// Whether a replay has refused other code.
        has_refused: bool,
    },
}

pub(super) fn upgrade(context: &mut Context<'_>, args: &Upgrade) -> Result<(), Failure> {
    let Some(store) = &args.store else {
        return upgrade_all(context, args.yes);
    };
    let path = context.path(store)?;
    let subject = subject(context, &path)?;
    let upgraded = upgrade_one(context, &subject, args.by.as_deref(), args.yes)?;
    let value = json_of(&subject, &upgraded);
    context.out.either(value, |_| text_of(&subject, &upgraded))
}

fn subject(context: &Context<'_>, path: &Path) -> Result<Subject, Failure> {
    let found = context.node.manager().find(path, Access::ReadOnly)?;
    Ok(Subject {
        path: path.to_path_buf(),
        store_id: found.meta().store_id,
        store_type: found.meta().store_type.clone(),
        recorded: found.recorded().logic.map(str::to_owned),
    })
}

fn json_of(subject: &Subject, upgraded: &Upgraded) -> serde_json::Map<String, Json> {
    let (logic, release) = match upgraded {
        Upgraded::Done(proposal) => (Some(&proposal.logic), proposal.release),
        Upgraded::Newest { .. } => (subject.recorded.as_ref(), None),
    };
    let value = json!({
        "store_id": subject.store_id,
        "recorded": subject.recorded,
        "logic_version": logic,
        "release": release,
    });
    match value {
        Json::Object(object) => object,
        _ => serde_json::Map::new(),
    }
}

fn text_of(subject: &Subject, upgraded: &Upgraded) -> String {
    let store_id = subject.store_id;
    match upgraded {
        Upgraded::Done(proposal) => format!(
            "store {store_id} now uses {}{}: a replay of its history gave the same state",
            proposal.logic,
            proposal
                .release
                .map_or_else(String::new, |release| format!(", release {release}"))
        ),
        Upgraded::Newest { has_refused } => format!(
            "store {store_id} uses the newest code that may run{}",
            match has_refused {
                true => format!("; `lattice code why {store_id}` shows what a replay has refused"),
                false => String::new(),
            }
        ),
    }
}

/// Upgrades every store whose type has a trusted publisher or a pin. Goes on after a failure.
fn upgrade_all(context: &mut Context<'_>, yes: bool) -> Result<(), Failure> {
    let trusted = context.code.trusted()?;
    let mut failed = 0_u64;
    for listed in context.node.manager().list()? {
        let meta = match &listed.meta {
            Ok(meta) => meta,
            Err(error) => {
                failed += 1;
                let path = listed.path.display().to_string();
                let message = format!("{path}: {}", chain(error));
                let value = json!({ "path": path, "outcome": "failed", "error": message });
                context.out.either(value, |_| escape_text(&message))?;
                continue;
            }
        };
        let trust = trusted.of_type(&meta.store_type);
        if trust.publisher.is_none() && trust.pin.is_none() {
            continue;
        }
        let subject = subject(context, &listed.path)?;
        let upgraded = upgrade_one(context, &subject, None, yes);
        let (mut value, outcome) = match &upgraded {
            Ok(upgraded @ Upgraded::Done(_)) => (json_of(&subject, upgraded), "upgraded"),
            Ok(upgraded @ Upgraded::Newest { .. }) => (json_of(&subject, upgraded), "newest"),
            Err(failure) => {
                failed += 1;
                let outcome = match failure.kind() {
                    Kind::Damaged => "refused",
                    _ => "failed",
                };
                (
                    json_of(&subject, &Upgraded::Newest { has_refused: false }),
                    outcome,
                )
            }
        };
        value.insert("outcome".into(), outcome.into());
        if let Err(failure) = &upgraded {
            value.insert("error".into(), failure.message().into());
        }
        context.out.either(value, |_| match &upgraded {
            Ok(upgraded) => text_of(&subject, upgraded),
            Err(failure) => escape_text(failure.message()),
        })?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{} not upgraded",
            plural(failed, ("store was", "stores were"))
        ))),
    }
}

/// Upgrades a store to the named code, or to the newest code that may run.
fn upgrade_one(
    context: &mut Context<'_>,
    subject: &Subject,
    by: Option<&OsStr>,
    yes: bool,
) -> Result<Upgraded, Failure> {
    let store_type = &subject.store_type;
    let trust = context.code.trusted()?.of_type(store_type);
    let proposal = match by {
        Some(name) => {
            if let Some(pin) = trust.pin
                && (name == "native" || super::bytes_of(context, name)?.cid != pin)
            {
                return Err(Failure::failed(format!(
                    "{store_type} is pinned to {pin}; `lattice code unpin {store_type}` removes the pin"
                )));
            }
            let (logic, opener) = candidate(context, store_type, name, Trust::Needed)?;
            let cid = logic.parse::<Cid>().ok();
            let because = cid.map(|cid| context.code.because(&cid, store_type));
            let because = because.transpose()?.flatten();
            Proposal {
                because: because
                    .as_ref()
                    .map_or_else(|| "the program's own code".into(), ToString::to_string),
                release: release_of(because.as_ref()),
                notes: String::new(),
                wasm: match cid {
                    Some(_) => Some(super::bytes_of(context, name)?.wasm),
                    None => None,
                },
                logic,
                opener,
                name: name.to_owned(),
            }
        }
        None => match newest(context, subject)? {
            Some(proposal) => proposal,
            None => {
                // A store whose module is missing or may not run is not up to date.
                let recorded = subject.recorded.as_deref();
                if let Some(Ok(cid)) = recorded.map(str::parse::<Cid>) {
                    context.code.code(&cid, store_type)?;
                }
                let decisions = context.code.decisions(subject.store_id)?;
                let is_refusal = |outcome: &Outcome| matches!(outcome, Outcome::Refused { .. });
                return Ok(Upgraded::Newest {
                    has_refused: decisions.all.iter().any(|it| is_refusal(&it.outcome)),
                });
            }
        },
    };
    if by.is_none() && trust.policy == Policy::Ask {
        let what = proposal.release.map_or_else(
            || proposal.logic.clone(),
            |release| format!("release {release}, {}", proposal.logic),
        );
        let notes = match proposal.notes.is_empty() {
            true => String::new(),
            false => format!(" ({})", escape_text(&proposal.notes)),
        };
        let question = format!(
            "Change store {} of {store_type} to {what}{notes}, if a replay gives the same state?",
            subject.store_id
        );
        confirm(context, yes, &question)?;
        // What is trusted may have changed while the user thought.
        if let Ok(cid) = proposal.logic.parse::<Cid>() {
            context.code.code(&cid, store_type)?;
        }
    }
    context.node.become_writer()?;
    if let Some(wasm) = &proposal.wasm {
        // The store must find the module when it is opened again.
        context.code.keep(wasm, &proposal.logic)?;
    }
    // The module must stay in the cache until the store has recorded it.
    let lease = context.code.lease()?;
    let recorded = subject.recorded.as_deref();
    let upgraded = context
        .node
        .manager()
        .upgrade(&subject.path, &*proposal.opener);
    let (store_id, logic) = (subject.store_id, &proposal.logic);
    if let Err(ManagerError::Open(OpenError::LogicDiffers {
        ops, difference, ..
    })) = &upgraded
    {
        let op = difference.op.as_ref().map(|op| op.op.id.to_string());
        let refused = Outcome::Refused { ops: *ops, op };
        context
            .code
            .decided(store_id, store_type, recorded, logic, refused)?;
    }
    drop(lease);
    upgraded.map_err(|error| not_equal(error, &proposal.name))?;
    let because = proposal.because.clone();
    let proven = Outcome::Proven { because };
    context
        .code
        .decided(store_id, store_type, recorded, logic, proven)?;
    if let Ok(cid) = logic.parse::<Cid>() {
        context.code.used(&cid, store_type)?;
    }
    Ok(Upgraded::Done(proposal))
}

fn release_of(because: Option<&Because>) -> Option<u64> {
    match because {
        Some(Because::Published { release, .. }) => Some(*release),
        _ => None,
    }
}

/// The pin of a store's type, or the newest release of its trusted publisher, if the store does not
/// use it.
fn newest(context: &Context<'_>, subject: &Subject) -> Result<Option<Proposal>, Failure> {
    let store_type = &subject.store_type;
    let trust = context.code.trusted()?.of_type(store_type);
    let mut notes = String::new();
    let cid = match trust.pin {
        Some(pin) if subject.recorded.as_deref() == Some(&*pin.to_string()) => return Ok(None),
        Some(pin) => pin,
        None => {
            let Some(publisher) = trust.publisher else {
                return Err(Failure::failed(format!(
                    "{store_type} has no trusted publisher; name the code, or trust a publisher with \
                     `lattice code trust {store_type} KEY`"
                )));
            };
            let found = context
                .node
                .manager()
                .find(&subject.path, Access::ReadOnly)?;
            let Some(newer) = context.code.newer(&found.recorded())? else {
                return Ok(None);
            };
            if !newer.is_found {
                return Err(Failure::not_found(format!(
                    "release {} of {store_type} by {publisher}, {}, is in no source; apply a bundle \
                     with code, or `lattice code add FILE`",
                    newer.release, newer.cid
                )));
            }
            notes = newer.notes;
            newer.cid
        }
    };
    let code = context.code.code(&cid, store_type)?;
    let because = context.code.because(&cid, store_type)?;
    let release = release_of(because.as_ref());
    let opener =
        wasm_store_opener(code, &[]).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Some(Proposal {
        logic: cid.to_string(),
        opener: Arc::new(opener),
        because: because.map_or_else(String::new, |because| because.to_string()),
        release,
        notes,
        wasm: context.code.find(&cid)?.map(|found| found.wasm),
        name: cid.to_string().into(),
    }))
}
