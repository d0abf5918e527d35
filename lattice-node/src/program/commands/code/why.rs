//! What was decided about the code of a store.

use std::ffi::OsStr;

use lattice_code::{Because, Decision, Newer, Outcome};
use lattice_meta::{Cid, shell_word};
use lattice_registry::Found;
use serde_json::{Value as Json, json};

use crate::Access;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::escape_text;

pub(super) fn why(context: &mut Context<'_>, store: &OsStr) -> Result<(), Failure> {
    let path = context.path(store)?;
    context.note_read(store, &path);
    let found = context.node.manager().find(&path, Access::ReadOnly)?;
    let decisions = context.code.decisions(found.meta().store_id)?;
    if decisions.unreadable > 0 {
        let count = decisions.unreadable;
        context.out.note(&format!(
            "{count} lines of wasm/decisions.jsonl cannot be read"
        ));
    }
    for decision in &decisions.all {
        let json = decision_json(decision);
        context.out.either(json, |_| line(decision))?;
    }
    let logic = found.recorded().logic.map(str::to_owned);
    let because = because(context, &found)?;
    let newer = context.code.newer(&found.recorded())?;
    let pin = context
        .code
        .trusted()?
        .of_type(&found.meta().store_type)
        .pin;
    let claims = warnings(context, &found, because.as_ref())?;
    let value = json!({
        "logic_version": logic,
        "because": because.as_ref().map(ToString::to_string),
        "newer": newer.as_ref().map(newer_json),
        "warnings": claims,
    });
    context.out.either(value, move |out| {
        let logic = logic.as_deref().unwrap_or("no logic version");
        let mut lines = vec![match &because {
            Some(because) => format!("now: {logic}, because {because}"),
            None if pin.is_some() => format!("now: {logic}, which is not the pin of its type"),
            None if logic.parse::<Cid>().is_ok() => format!(
                "now: {logic}, which may not run here; `lattice code trust {} KEY` trusts its \
                 publisher, `lattice code add FILE` the module",
                found.meta().store_type
            ),
            None => format!("now: {logic}, native code"),
        }];
        let newer = newer
            .as_ref()
            .map(|newer| format!("newer: {}", newer_line(newer, store)));
        lines.extend(newer);
        lines.extend(claims);
        out.hints().complete(&lines.join("\n"))
    })
}

/// What the publisher of the module that a store records says against it.
fn warnings(
    context: &Context<'_>,
    found: &Found,
    because: Option<&Because>,
) -> Result<Vec<String>, Failure> {
    let Some(Because::Published { publisher, .. }) = because else {
        return Ok(Vec::new());
    };
    let cid = found
        .recorded()
        .logic
        .and_then(|logic| logic.parse::<Cid>().ok());
    let mut warnings = Vec::new();
    for release in context.code.releases(&found.meta().store_type)? {
        let number = release.published.release;
        if release.publisher != *publisher || Some(release.published.cid) != cid {
            continue;
        }
        if let Some(reason) = &release.withdrawn {
            let reason = escape_text(reason);
            warnings.push(format!(
                "its publisher has withdrawn release {number}: {reason}"
            ));
        }
        if release.is_conflicting {
            warnings.push(format!(
                "its publisher has two modules under release {number}"
            ));
        }
    }
    Ok(warnings)
}

/// Why the module that a store records may run.
fn because(context: &Context<'_>, found: &Found) -> Result<Option<Because>, Failure> {
    let cid = found
        .recorded()
        .logic
        .and_then(|logic| logic.parse::<Cid>().ok());
    match cid {
        Some(cid) => Ok(context.code.because(&cid, &found.meta().store_type)?),
        None => Ok(None),
    }
}

fn line(decision: &Decision) -> String {
    let (time, logic) = (escape_text(&decision.time), escape_text(&decision.logic));
    match &decision.outcome {
        Outcome::Used { because } => format!("{time}  uses {logic}: {}", escape_text(because)),
        Outcome::Proven { because } => format!(
            "{time}  uses {logic}: {}; a replay of its history gave the same state",
            escape_text(because)
        ),
        Outcome::Refused { ops, op } => {
            let first = op.as_ref().map_or_else(String::new, |op| {
                format!(", first in op {}", escape_text(op))
            });
            let ops = plural(*ops, ("op", "ops"));
            format!("{time}  refused {logic}: a replay of {ops} gave another state{first}")
        }
        other => format!("{time}  {logic}: {other:?}"),
    }
}

pub(in super::super) fn newer_json(newer: &Newer) -> Json {
    json!({
        "release": newer.release,
        "cid": newer.cid.to_string(),
        "notes": newer.notes,
        "available": newer.is_found,
    })
}

/// A decision with the names that the program uses elsewhere: the log's own names are part of its
/// format.
fn decision_json(decision: &Decision) -> Json {
    let mut value = json!(decision);
    if let Some(object) = value.as_object_mut() {
        for (name, printed) in [("time", "decided"), ("logic", "logic_version")] {
            let field = object.remove(name);
            object.insert(printed.to_owned(), field.unwrap_or(Json::Null));
        }
    }
    value
}

/// The line about a newer release, in `why` and `info`.
pub(in super::super) fn newer_line(newer: &Newer, store: &OsStr) -> String {
    let Newer { release, cid, .. } = newer;
    let notes = match newer.notes.is_empty() {
        true => String::new(),
        false => format!(" ({})", escape_text(&newer.notes)),
    };
    match newer.is_found {
        true => format!(
            "release {release}, {cid}{notes}; `lattice upgrade {}` proves and takes it",
            shell_word(&store.display().to_string())
        ),
        false => format!(
            "release {release}, {cid}{notes}; no source has it: apply a bundle with code, or \
             `lattice code add FILE`"
        ),
    }
}
