//! Proves code for stores, and upgrades stores to it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::engine::open::{OpenError, Proof};
use lattice_code::{Because, LibraryError, Outcome, Policy};
use lattice_meta::{Cid, StoreId, StoreType};
use lattice_registry::{ManagerError, StoreOpener};
use lattice_wasm::{Code, wasm_store_opener};
use serde_json::{Map, Value as Json, json};

use super::named;
use crate::Access;
use crate::program::args::Upgrade;
use crate::program::bulk::plural;
use crate::program::commands::copies::confirm;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind, chain};
use crate::program::output::escape_text;

/// Code proposed for a store.
struct Proposal {
    logic: String,
    opener: Arc<dyn StoreOpener>,
    /// Why it may run; `None` for native code, and for code that only a proof may run.
    because: Option<Because>,
    /// What its publisher says has changed.
    notes: String,
    /// The module; `None` for native code.
    wasm: Option<Vec<u8>>,
    /// What names the code on a command line.
    name: OsString,
}

impl Proposal {
    fn release(&self) -> Option<u64> {
        match self.because {
            Some(Because::Published { release, .. }) => Some(release),
            _ => None,
        }
    }
}

/// Whether code must be trusted. A proof runs any code in the sandbox, and keeps no result of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Needed,
    NotNeeded,
}

/// The code that the user has named for a store of a type.
fn proposed(
    context: &Context<'_>,
    store_type: &StoreType,
    name: &OsStr,
    trust: Trust,
) -> Result<Proposal, Failure> {
    let pin = context.code.trusted()?.of_type(store_type).pin;
    let pin = pin.filter(|_| trust == Trust::Needed);
    let pinned = |pin: Cid| {
        Failure::failed(format!(
            "{store_type} is pinned to {pin}; `lattice code unpin {store_type}` removes the pin"
        ))
    };
    if name == "native" {
        let opener = context.native.resolve(store_type)?;
        return match pin {
            Some(pin) => Err(pinned(pin)),
            None => Ok(Proposal {
                logic: opener.logic().version().to_string(),
                opener,
                because: None,
                notes: String::new(),
                wasm: None,
                name: name.to_owned(),
            }),
        };
    }
    let named = named(context, name)?;
    let (cid, found) = (named.cid, &named.manifest.store_type);
    if let Some(pin) = pin.filter(|pin| *pin != cid) {
        return Err(pinned(pin));
    }
    let because = context.code.because(&cid, found)?;
    if trust == Trust::Needed && because.is_none() {
        return Err(LibraryError::NotTrusted {
            store_type: found.clone(),
            cid,
            found: named.file.display().to_string(),
        }
        .into());
    }
    if found != store_type {
        return Err(Failure::usage(format!(
            "{} is code for {found}, and the store is of type {store_type}",
            named.place
        )));
    }
    let code = context.code.check(&named.wasm, &named.place)?;
    Ok(Proposal {
        logic: cid.to_string(),
        opener: opener(code)?,
        because,
        notes: String::new(),
        wasm: Some(named.wasm),
        name: name.to_owned(),
    })
}

/// An opener that uses this code alone.
fn opener(code: Code) -> Result<Arc<dyn StoreOpener>, Failure> {
    let opener = wasm_store_opener(code, &[]);
    Ok(Arc::new(
        opener.map_err(|error| Failure::failed(error.to_string()))?,
    ))
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
    context.note_read(store, &path);
    let proposal = proposed(context, &meta.store_type, code, Trust::NotNeeded)?;
    let logic = proposal.logic;
    let proof = context.node.manager().prove(&path, &*proposal.opener)?;
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
    context.trust(args.trusting);
    let Some(store) = &args.store else {
        return upgrade_all(context, args.yes);
    };
    let path = context.path(store)?;
    let subject = subject(context, &path)?;
    let upgraded = upgrade_one(context, &subject, args.by.as_deref(), args.yes)?;
    let value = json_of(&subject, Some(&upgraded));
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

fn json_of(subject: &Subject, upgraded: Option<&Upgraded>) -> Map<String, Json> {
    let (logic, release) = match upgraded {
        Some(Upgraded::Done(proposal)) => (Some(&proposal.logic), proposal.release()),
        Some(Upgraded::Newest { .. }) | None => (subject.recorded.as_ref(), None),
    };
    Map::from_iter([
        ("store_id".to_owned(), json!(subject.store_id)),
        ("recorded".to_owned(), json!(subject.recorded)),
        ("logic_version".to_owned(), json!(logic)),
        ("release".to_owned(), json!(release)),
    ])
}

fn text_of(subject: &Subject, upgraded: &Upgraded) -> String {
    let store_id = subject.store_id;
    match upgraded {
        Upgraded::Done(proposal) => format!(
            "store {store_id} now uses {}{}: a replay of its history gave the same state",
            proposal.logic,
            proposal
                .release()
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

/// Upgrades every store whose type has a trusted publisher or a pin. Continues after a failure.
fn upgrade_all(context: &mut Context<'_>, yes: bool) -> Result<(), Failure> {
    let trusted = context.code.trusted()?;
    let mut failed = 0_u64;
    for listed in context.node.manager().list()? {
        if let Ok(meta) = &listed.meta {
            let trust = trusted.of_type(&meta.store_type);
            if trust.publisher.is_none() && trust.pin.is_none() {
                continue;
            }
        }
        // A store that cannot be read fails here, with its path.
        let subject = match subject(context, &listed.path) {
            Ok(subject) => subject,
            Err(failure) => {
                failed += 1;
                let path = listed.path.display().to_string();
                let message = format!("{path}: {}", failure.message());
                let value = json!({ "path": path, "outcome": "failed", "error": message });
                context.out.either(value, |_| escape_text(&message))?;
                continue;
            }
        };
        let upgraded = upgrade_one(context, &subject, None, yes);
        let mut value = json_of(&subject, upgraded.as_ref().ok());
        let outcome = match &upgraded {
            Ok(Upgraded::Done(_)) => "upgraded",
            Ok(Upgraded::Newest { .. }) => "newest",
            Err(failure) => {
                failed += 1;
                value.insert("error".into(), failure.message().into());
                match failure.kind() {
                    Kind::Damaged => "refused",
                    _ => "failed",
                }
            }
        };
        value.insert("outcome".into(), outcome.into());
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
        Some(name) => proposed(context, store_type, name, Trust::Needed)?,
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
        let what = proposal.release().map_or_else(
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
    context.note_use(&subject.path);
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
    drop(lease);
    let outcome = match &upgraded {
        Ok(()) => Some(Outcome::Proven {
            because: proposal
                .because
                .as_ref()
                .map_or_else(|| "the program's own code".into(), ToString::to_string),
        }),
        Err(ManagerError::Open(OpenError::LogicDiffers {
            ops, difference, ..
        })) => Some(Outcome::Refused {
            ops: *ops,
            op: difference.op.as_ref().map(|op| op.op.id.to_string()),
        }),
        Err(_) => None,
    };
    let (store_id, logic) = (subject.store_id, &proposal.logic);
    let logged = outcome.map(|outcome| {
        let code = &context.code;
        code.decided(store_id, store_type, recorded, logic, outcome)
    });
    // What came of the upgrade matters more than its record.
    if let Some(Err(error)) = logged {
        let error = chain(&error);
        context
            .out
            .note(&format!("the decision was not recorded: {error}"));
    }
    upgraded.map_err(|error| not_equal(error, &proposal.name))?;
    if let Ok(cid) = logic.parse::<Cid>() {
        context.code.used(&cid, store_type)?;
    }
    Ok(Upgraded::Done(proposal))
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
    Ok(Some(Proposal {
        logic: cid.to_string(),
        opener: opener(code)?,
        because: context.code.because(&cid, store_type)?,
        notes,
        wasm: context.code.find(&cid)?.map(|found| found.wasm),
        name: cid.to_string().into(),
    }))
}
