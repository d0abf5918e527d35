//! `lattice upgrade`: brings the layout and the recorded code of stores up to date.

#[cfg(feature = "wasm")]
mod with_code;

use std::path::{Path, PathBuf};

use lattice_backend::engine::open::OpenError;
use lattice_backend::machine::Logic;
use lattice_meta::SchemaVersion;
use lattice_registry::{Found, StoreOpener, UpgradedStore};
use serde_json::{Map, json};

#[cfg(feature = "wasm")]
use super::code::proposal::{Proposal, Trust, newest, proposed};
use crate::program::args::Upgrade;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::program::output::escape_text;
use crate::{Access, ManagerError};

/// The way on for a store that no code here opens.
const REBUILD: &str = "`lattice rebuild STORE` recomputes the state with that code";

/// What came of an upgrade.
enum Upgraded {
    /// The store needed none. `note` says what stands in the way of other code.
    Current { note: Option<String> },
    /// The store was changed, or would be without `--dry-run`.
    Changed { change: Change, is_dry: bool },
}

/// What an upgrade changes, and what proved that the state stays the same.
struct Change {
    logic: String,
    release: Option<u64>,
    from: SchemaVersion,
    to: SchemaVersion,
    replayed: Option<u64>,
    state_hash: Option<String>,
}

/// A store that is to be upgraded.
struct Subject {
    path: PathBuf,
    found: Found,
    is_dry: bool,
}

impl Subject {
    fn recorded(&self) -> &str {
        self.found.recorded().logic.unwrap_or("")
    }

    fn schema(&self) -> SchemaVersion {
        self.found.meta().schema_version
    }

    /// What an upgrade to this code changes; the layouts are those of the code.
    fn change(&self, logic: &Logic, version: String, replayed: Option<u64>) -> Change {
        Change {
            logic: version,
            release: None,
            from: self.schema(),
            to: logic.newest_schema(),
            replayed,
            state_hash: None,
        }
    }
}

pub(super) fn upgrade(context: &mut Context<'_>, args: &Upgrade) -> Result<(), Failure> {
    context.trust(args.trusting);
    let Some(store) = &args.store else {
        return upgrade_all(context, args);
    };
    let path = match args.dry_run {
        true => context.path(store)?,
        false => context.path_to_change(store)?,
    };
    let subject = subject(context, &path, args)?;
    let upgraded = upgrade_one(context, &subject, args)?;
    print(context, &subject, &upgraded)
}

fn subject(context: &Context<'_>, path: &Path, args: &Upgrade) -> Result<Subject, Failure> {
    Ok(Subject {
        path: path.to_path_buf(),
        found: context.node.manager().find(path, Access::ReadOnly)?,
        is_dry: args.dry_run,
    })
}

/// Upgrades all stores of the data directory. Continues after a failure.
fn upgrade_all(context: &mut Context<'_>, args: &Upgrade) -> Result<(), Failure> {
    let mut failed = 0_u64;
    for listed in context.node.manager().list()? {
        let done = subject(context, &listed.path, args).and_then(|subject| {
            let upgraded = upgrade_one(context, &subject, args)?;
            print(context, &subject, &upgraded)
        });
        if let Err(failure) = done {
            failed += 1;
            print_failed(context, &listed, failure)?;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{} not upgraded",
            plural(failed, ("store was", "stores were"))
        ))),
    }
}

fn print_failed(
    context: &mut Context<'_>,
    listed: &lattice_registry::Listed,
    failure: Failure,
) -> Result<(), Failure> {
    let store_id = listed.meta.as_ref().ok().map(|meta| meta.store_id);
    let name = listed.path.file_name().unwrap_or(listed.path.as_os_str());
    let failure = context.complete(failure, name);
    let outcome = match failure.kind() {
        Kind::Damaged => "refused",
        _ => "failed",
    };
    let path = listed.path.display().to_string();
    let value = json!({
        "store_id": store_id,
        "path": path,
        "outcome": outcome,
        "error": failure.to_json(),
    });
    context.out.either(value, |_| {
        let message = escape_text(failure.message());
        match store_id {
            // Most messages name the store.
            Some(id) if message.contains(&id.to_string()) => message,
            Some(id) => format!("store {id}: {message}"),
            None => format!("{}: {message}", escape_text(&path)),
        }
    })
}

fn print(context: &mut Context<'_>, subject: &Subject, upgraded: &Upgraded) -> Result<(), Failure> {
    let (store_id, recorded) = (subject.found.meta().store_id, subject.recorded());
    let current = Change {
        logic: recorded.to_owned(),
        release: None,
        from: subject.schema(),
        to: subject.schema(),
        replayed: None,
        state_hash: None,
    };
    let (outcome, change) = match upgraded {
        Upgraded::Current { .. } => ("current", &current),
        Upgraded::Changed { change, is_dry } => match is_dry {
            true => ("upgradable", change),
            false => ("upgraded", change),
        },
    };
    let value = Map::from_iter([
        ("store_id".to_owned(), json!(store_id)),
        ("outcome".to_owned(), json!(outcome)),
        ("recorded".to_owned(), json!(recorded)),
        ("logic_version".to_owned(), json!(change.logic)),
        ("release".to_owned(), json!(change.release)),
        ("recorded_schema".to_owned(), json!(change.from)),
        ("schema_version".to_owned(), json!(change.to)),
        ("ops".to_owned(), json!(change.replayed)),
        ("state_hash".to_owned(), json!(change.state_hash)),
    ]);
    context.out.either(value, |out| match upgraded {
        Upgraded::Current { note } => {
            let note = note.as_deref().map(|note| out.hints().complete(note));
            let note = note.map_or_else(String::new, |note| format!("; {note}"));
            let schema = subject.schema();
            format!("store {store_id} is up to date: logic {recorded}, schema {schema}{note}")
        }
        Upgraded::Changed { change, is_dry } => {
            format!("store {store_id} {}", text_of(recorded, change, *is_dry))
        }
    })
}

fn text_of(recorded: &str, change: &Change, is_dry: bool) -> String {
    let mut text = match is_dry {
        true => "can be upgraded".to_owned(),
        false => "was upgraded".to_owned(),
    };
    if change.logic != recorded {
        text.push_str(&format!(" from logic {recorded} to {}", change.logic));
        if let Some(release) = change.release {
            text.push_str(&format!(", release {release}"));
        }
    }
    if change.from != change.to {
        let and = match change.logic == recorded {
            true => "",
            false => ", and",
        };
        text.push_str(&format!(
            "{and} from schema {} to {}",
            change.from, change.to
        ));
    }
    let replayed = change.replayed.map(|ops| {
        let ops = plural(ops, ("op", "ops"));
        format!("a replay of {ops} gave the same state")
    });
    let hash = change.state_hash.as_ref();
    let hash = hash.map(|hash| format!("the state hash is still {hash}"));
    let proofs: Vec<String> = replayed.into_iter().chain(hash).collect();
    match proofs.is_empty() {
        true => text,
        false => format!("{text}; {}", proofs.join("; ")),
    }
}

/// Upgrades a store to the named code, or to the newest code that may run.
fn upgrade_one(
    context: &mut Context<'_>,
    subject: &Subject,
    args: &Upgrade,
) -> Result<Upgraded, Failure> {
    #[cfg(feature = "wasm")]
    {
        let proposal = match args.by.as_deref() {
            Some(name) => {
                let trust = match args.dry_run {
                    true => Trust::NotNeeded,
                    false => Trust::Needed,
                };
                let store_type = &subject.found.meta().store_type;
                Some(proposed(context, store_type, name, trust)?)
            }
            None => newest(context, &subject.found)?,
        };
        if let Some(proposal) = proposal {
            return with_code::upgrade(context, subject, proposal, args);
        }
    }
    #[cfg(not(feature = "wasm"))]
    let _ = args;
    with_resolved(context, subject)
}

/// Upgrades a store to the code that would open it for writing.
fn with_resolved(context: &mut Context<'_>, subject: &Subject) -> Result<Upgraded, Failure> {
    let opener = context.registry().resolve(subject.found.recorded())?;
    let logic = opener.logic();
    let is_equal = logic.computes_as(subject.recorded());
    if is_equal && subject.schema() == logic.newest_schema() {
        let note = note_of_refusals(context, subject)?;
        return Ok(Upgraded::Current { note });
    }
    let name = match logic.version().as_str().parse::<lattice_meta::Cid>() {
        Ok(cid) => cid.to_string(),
        Err(_) => "native".to_owned(),
    };
    let refused = |error| not_equal(error, &name).and(REBUILD);
    if subject.is_dry {
        let change = prove(context, subject, &*opener, is_equal).map_err(|error| match error {
            Refused::Differs(error) => refused(error),
            Refused::Failed(failure) => failure,
        })?;
        let is_dry = true;
        return Ok(Upgraded::Changed { change, is_dry });
    }
    context.note_use(&subject.path);
    context.use_identity();
    let upgraded = context.node.manager().upgrade(&subject.path, None);
    match upgraded {
        Ok(upgraded) => Ok(changed(&upgraded, None)),
        Err(error @ ManagerError::Open(OpenError::LogicDiffers { .. })) => Err(refused(error)),
        Err(error) => Err(error.into()),
    }
}

fn changed(upgraded: &UpgradedStore, release: Option<u64>) -> Upgraded {
    if !upgraded.is_changed() {
        return Upgraded::Current { note: None };
    }
    Upgraded::Changed {
        change: Change {
            logic: upgraded.logic.clone(),
            release,
            from: upgraded.from,
            to: upgraded.to,
            replayed: upgraded.replayed,
            state_hash: Some(upgraded.state_hash.to_string()),
        },
        is_dry: false,
    }
}

/// Why a dry run proves nothing.
enum Refused {
    /// The code computes another state.
    Differs(ManagerError),
    Failed(Failure),
}

/// What an upgrade to this code would change. Changes nothing. A migration is checked only while it
/// runs: it is rolled back if the state would change.
fn prove(
    context: &Context<'_>,
    subject: &Subject,
    opener: &dyn StoreOpener,
    is_equal: bool,
) -> Result<Change, Refused> {
    let failed = |error: ManagerError| Refused::Failed(error.into());
    let (manager, logic) = (context.node.manager(), opener.logic());
    let version = logic.version();
    if is_equal {
        // The rows are not read: this only refuses layouts that the code does not know.
        return match manager.open_path(&subject.path, Access::ReadOnly) {
            Ok(_) | Err(ManagerError::Open(OpenError::NeedsMigration { .. })) => {
                Ok(subject.change(&logic, subject.recorded().to_owned(), None))
            }
            Err(error) => Err(failed(error)),
        };
    }
    let proof = manager.prove(&subject.path, opener).map_err(failed)?;
    if proof.difference.is_none() {
        return Ok(subject.change(&logic, version.to_string(), Some(proof.ops)));
    }
    Err(Refused::Differs(ManagerError::Open(
        OpenError::LogicDiffers {
            store_id: proof.store_id,
            recorded: proof.recorded,
            current: version.clone(),
            ops: proof.ops,
            difference: Box::new(proof.difference),
        },
    )))
}

/// Why code was not accepted. Names only the first op that differs; `code prove` shows the rest.
fn not_equal(error: ManagerError, code: &str) -> Failure {
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
    let failure = Failure::damaged(format!(
        "store {store_id} still uses {recorded}: {current} computes a different state, {differs}"
    ));
    match cfg!(feature = "wasm") {
        true => failure.and(&format!(
            "`lattice code prove STORE {}` shows the whole difference",
            lattice_meta::shell_word(code)
        )),
        false => failure,
    }
}

/// Says that a replay has refused newer code, if it has.
fn note_of_refusals(context: &Context<'_>, subject: &Subject) -> Result<Option<String>, Failure> {
    #[cfg(feature = "wasm")]
    {
        use lattice_code::Outcome;
        let decisions = context.code.decisions(subject.found.meta().store_id)?;
        let is_refusal = |outcome: &Outcome| matches!(outcome, Outcome::Refused { .. });
        let has_refused = decisions.all.iter().any(|it| is_refusal(&it.outcome));
        let note = "`lattice code why STORE` shows what a replay has refused";
        Ok(has_refused.then(|| note.to_owned()))
    }
    #[cfg(not(feature = "wasm"))]
    {
        let _ = (context, subject);
        Ok(None)
    }
}
