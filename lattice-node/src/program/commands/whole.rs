//! `verify`, `rebuild` and `compact`.

use std::ffi::OsStr;
use std::path::Path;

use lattice_backend::backend::Integrity;
use lattice_backend::engine::verify::{Finding, Verification};
use lattice_meta::MetaInfo;
use serde_json::{Map, json};

use super::held::{held_json, held_line};
use super::{code_of, findings};
use crate::Depth;
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::{Failure, manager_kind};
use crate::program::output::{escape_text, json_path, styles};

pub(super) fn verify(context: &mut Context<'_>, verify: &args::Verify) -> Result<(), Failure> {
    let depth = match verify.quick {
        true => Depth::Quick,
        false => Depth::Full,
    };
    let Some(store) = &verify.store else {
        return verify_all(context, depth);
    };
    let path = context.path(store)?;
    if verify.quick {
        context.note_read(store, &path);
    }
    verify_one(context, &path, depth)
}

/// Verifies all stores of the data directory. Continues after a failure.
fn verify_all(context: &mut Context<'_>, depth: Depth) -> Result<(), Failure> {
    let aliases = context.aliases();
    let (mut damaged, mut failed) = (0_u64, 0_u64);
    for listed in context.node.manager().list()? {
        let store_id = listed.meta.as_ref().ok().map(|meta| meta.store_id);
        let name = match (store_id.and_then(|id| aliases.alias_of(id)), store_id) {
            (Some(alias), _) => alias.to_string(),
            (None, Some(id)) => id.to_string(),
            (None, None) => listed.path.display().to_string(),
        };
        if !context.out.is_json() {
            let name = context.out.paint(styles::NAME, &escape_text(&name));
            context.out.line(&name)?;
        }
        // What the findings of one store name is that store.
        context.out.hints().set_store(name.as_ref());
        if let Err(failure) = verify_one(context, &listed.path, depth) {
            match failure.is_damage() {
                true => damaged += 1,
                false => failed += 1,
            }
            let failure = context.complete(failure, name.as_ref());
            let has_printed = failure.is_damage();
            match context.out.is_json() {
                true if has_printed => {}
                true => context.out.json(&json!({
                    "store_id": store_id,
                    "ok": false,
                    "depth": depth_name(depth),
                    "findings": [failure.to_json()],
                }))?,
                false => context.out.prose(&escape_text(failure.message()))?,
            }
        }
    }
    let stores = |count| plural(count, ("store", "stores"));
    match (damaged, failed) {
        (0, 0) => Ok(()),
        (0, failed) => Err(Failure::failed(format!("{} not verified", stores(failed)))),
        (damaged, _) => Err(Failure::damaged(format!("{} damaged", stores(damaged)))),
    }
}

fn verify_one(context: &mut Context<'_>, path: &Path, depth: Depth) -> Result<(), Failure> {
    let manager = context.node.manager();
    let meta = manager.peek_path(path).ok();
    let store_id = meta.as_ref().map(|meta| meta.store_id);
    let verified = match manager.verify_path(path, depth) {
        Ok(verified) => verified,
        // A store that is too damaged to open is reported as a finding.
        Err(error) if manager_kind(&error).is_damage() => {
            let failure = Failure::from(error);
            let finding = failure.to_json();
            context.out.either(
                json!({
                    "store_id": store_id,
                    "ok": false,
                    "depth": depth_name(depth),
                    "findings": [finding],
                }),
                |_| "damaged: the store cannot be opened".into(),
            )?;
            return Err(failure);
        }
        Err(error) => return Err(error.into()),
    };
    print_verified(context, meta.as_ref(), &verified)?;
    if verified.is_ok() {
        return Ok(());
    }
    let findings = u64::try_from(verified.findings.len()).unwrap_or(u64::MAX);
    let findings = plural(findings, ("finding", "findings"));
    let is_of_logic = |finding: &Finding| matches!(finding, Finding::Logic { .. });
    Err(Failure::damaged(
        match verified.findings.iter().all(is_of_logic) {
            true => format!(
                "{findings}: the state follows from the history, but other code computed it; `lattice \
             upgrade STORE` records this program's code"
            ),
            false => format!(
                "{findings}: the store does not match its history; if the history is intact, `lattice \
             rebuild STORE` recomputes the state"
            ),
        },
    ))
}

const fn depth_name(depth: Depth) -> &'static str {
    match depth {
        Depth::Quick => "quick",
        Depth::Full => "full",
    }
}

/// The JSON name of the result of the backend's checksums.
const fn checksums_name(checksums: &Integrity) -> &'static str {
    match checksums {
        Integrity::Intact => "intact",
        Integrity::Damaged { .. } => "damaged",
        Integrity::InUse => "in_use",
        Integrity::None => "not_checked",
    }
}

fn print_verified(
    context: &mut Context<'_>,
    meta: Option<&MetaInfo>,
    verified: &Verification,
) -> Result<(), Failure> {
    let store_id = meta.map(|meta| meta.store_id);
    let store_type = meta.map(|meta| meta.store_type.clone());
    let code = code_of(context, verified.logic.as_str());
    let value = json!({
        "store_id": store_id,
        "ok": verified.is_ok(),
        "depth": depth_name(verified.depth),
        "ops": verified.ops,
        "elements": verified.elements,
        "state_hash": verified.state_hash,
        "forks": verified.forks,
        "held": verified.held,
        "held_ops": verified.held_ops.iter().map(held_json).collect::<Vec<_>>(),
        "logic_version": verified.logic.as_str(),
        "recorded_logic": verified.recorded_logic,
        "code": code,
        "checksums": checksums_name(&verified.checksums),
        "findings": verified
            .findings
            .iter()
            .map(|finding| findings::json(store_type.as_ref(), finding))
            .collect::<Vec<_>>(),
    });
    context.out.either(value, |out| {
        if verified.is_ok() {
            let (ops, elements) = (verified.ops, verified.elements);
            let elements = plural(elements, ("element", "elements"));
            let what = match verified.depth {
                Depth::Quick => format!("{elements} counted"),
                Depth::Full => format!("{} replayed, {elements}", plural(ops, ("op", "ops"))),
            };
            let forks = match verified.forks {
                0 => String::new(),
                forks => format!(", {}", plural(forks, ("fork", "forks"))),
            };
            let checksums = match verified.checksums {
                Integrity::InUse => {
                    "\nchecksums were not checked: another process has the store open for writing"
                }
                _ => "",
            };
            let logic = match verified.logic.as_str() == verified.recorded_logic {
                true => String::new(),
                false => format!(
                    "\nverified by {}; the store records {}",
                    verified.logic.as_str(),
                    escape_text(&verified.recorded_logic)
                ),
            };
            let hash = verified.state_hash;
            let held = match verified.held {
                0 => String::new(),
                held => format!(", {} held", plural(held, ("op", "ops"))),
            };
            let code = match &code {
                Some(place) => format!("\ncode {}, {place}", verified.logic.as_str()),
                None => String::new(),
            };
            let mut text =
                format!("ok: {what}{forks}{held}, state hash {hash}{code}{logic}{checksums}");
            for held in &verified.held_ops {
                text.push_str(&format!("\nheld: {}", held_line(held)));
            }
            return text;
        }
        findings::lines(out, store_type.as_ref(), &verified.findings)
    })
}

pub(super) fn rebuild(context: &mut Context<'_>, store: &OsStr) -> Result<(), Failure> {
    let path = context.path_to_change(store)?;
    let rebuilt = context.node.manager().rebuild(&path)?;
    if context.out.is_json() {
        let mut value = Map::from_iter([
            ("store_id".to_owned(), json!(rebuilt.store_id)),
            ("ops".to_owned(), json!(rebuilt.ops)),
            ("state_hash".to_owned(), json!(rebuilt.after)),
            ("state_hash_before".to_owned(), json!(rebuilt.before)),
        ]);
        json_path(&mut value, "kept", &rebuilt.kept);
        let difference = rebuilt.difference.op.as_ref().map(ToString::to_string);
        value.insert("difference".into(), json!(difference));
        value.insert("journal_lost".into(), rebuilt.journal_lost.into());
        return context.out.json(&value.into());
    }
    let state = match rebuilt.before == rebuilt.after {
        true => "its hash is unchanged".to_owned(),
        false => format!("its hash was {}, and is {}", rebuilt.before, rebuilt.after),
    };
    context.out.note(&format!(
        "recomputed the state from {}; {state}; the old file is kept as {}",
        plural(rebuilt.ops, ("op", "ops")),
        rebuilt.kept.display()
    ));
    if rebuilt.journal_lost {
        let kept = match &rebuilt.journals[..] {
            [] => String::new(),
            [first, ..] => format!("; it is kept as {}", first.display()),
        };
        context.out.note(&format!(
            "the journal could not be read to its end: writes that only it had are lost{kept}"
        ));
    }
    if let Some(op) = &rebuilt.difference.op {
        context.out.note(&format!("first difference: {op}"));
    }
    Ok(())
}

pub(super) fn compact(context: &mut Context<'_>, store: &OsStr) -> Result<(), Failure> {
    let path = context.path_to_change(store)?;
    context.note_read(store, &path);
    let compacted = context.node.manager().compact(&path)?;
    if context.out.is_json() {
        return context.out.json(&json!({
            "store_id": compacted.store_id,
            "bytes_before": compacted.before_bytes,
            "bytes": compacted.after_bytes,
        }));
    }
    context.out.note(&format!(
        "compacted from {} to {}",
        plural(compacted.before_bytes, ("byte", "bytes")),
        plural(compacted.after_bytes, ("byte", "bytes"))
    ));
    Ok(())
}
