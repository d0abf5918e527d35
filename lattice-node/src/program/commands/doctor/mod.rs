//! `lattice doctor`: what is wrong with the data directory and its stores, and the command that
//! mends it. With --fix it does what loses nothing.

mod directory;
mod leftovers;
mod stores;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lattice_backend::backend::Access;
use lattice_meta::StoreId;
use serde_json::{Map, Value, json};

use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::{escape_text, json_path_or_null, styles};
use crate::program::store_ref::{For, resolve};
use stores::Subject;

/// What is wrong with one thing.
struct Finding {
    /// The problem in one word, for programs.
    kind: &'static str,
    store_id: Option<StoreId>,
    path: Option<PathBuf>,
    message: String,
    /// The command that mends it.
    mended_by: Option<String>,
    /// Whether a store is damaged.
    is_damage: bool,
    /// The mode that the path should have.
    mode: Option<u32>,
}

impl Finding {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            store_id: None,
            path: None,
            message: message.into(),
            mended_by: None,
            is_damage: false,
            mode: None,
        }
    }

    fn path(self, path: &Path) -> Self {
        Self {
            path: Some(path.to_path_buf()),
            ..self
        }
    }

    fn mended_by(self, command: impl Into<String>) -> Self {
        Self {
            mended_by: Some(command.into()),
            ..self
        }
    }
}

pub(super) fn doctor(context: &mut Context<'_>, doctor: &args::Doctor) -> Result<(), Failure> {
    let settings = context.settings.clone();
    settings.note(&mut context.out);
    let (named, dirs) = targets(context, &doctor.targets)?;
    let is_whole = named.is_empty();
    let mut findings = Vec::new();
    let subjects = match is_whole {
        true => {
            findings.extend(directory::look_at(context));
            stores::all(context)?
        }
        false => named,
    };
    let depth = match doctor.full {
        true => crate::Depth::Full,
        false => crate::Depth::Quick,
    };
    let checked = subjects.len();
    for subject in subjects {
        findings.extend(stores::look_at(context, &subject, depth));
    }
    if is_whole {
        findings.extend(directory::identity(context));
    }
    let damaged = findings.iter().filter(|finding| finding.is_damage).count();
    let mut failed = None;
    for finding in &findings {
        let fixed = match doctor.fix {
            true => fix(finding),
            false => Ok(false),
        };
        print(context, finding, matches!(fixed, Ok(true)))?;
        if let Err(failure) = fixed {
            failed.get_or_insert(failure);
        }
    }
    context.out.flush()?;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let checked = plural(count(checked), ("store", "stores"));
    context.out.note(&match findings.len() {
        0 => format!("checked {checked}: nothing is wrong"),
        found => format!(
            "checked {checked}: {}",
            plural(count(found), ("finding", "findings"))
        ),
    });
    if is_whole || !dirs.is_empty() {
        leftovers::leftovers(context, &dirs, is_whole, doctor.fix)?;
    }
    match damaged {
        0 => failed.map_or(Ok(()), Err),
        damaged => Err(Failure::damaged(format!(
            "{} damaged",
            plural(count(damaged), ("store is", "stores are"))
        ))),
    }
}

fn directory_of(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_path_buf()
}

/// The stores and the directories that arguments name.
fn targets(
    context: &Context<'_>,
    targets: &[OsString],
) -> Result<(Vec<Subject>, Vec<PathBuf>), Failure> {
    let (mut stores, mut dirs) = (Vec::new(), Vec::new());
    for target in targets {
        let path = Path::new(target);
        let resolved = resolve(context.node.manager(), target, For::Reading);
        let is_dir = |path: &Path| path.is_dir() && !path.join("state.db").exists();
        let named_by_id = resolved.as_ref().is_ok_and(|resolved| resolved != path);
        match resolved {
            _ if is_dir(path) && !named_by_id => dirs.push(path.to_path_buf()),
            Ok(path) if path.metadata().is_err() => {
                // What other commands say of a store, or a directory, that is not there.
                context.node.manager().left_over(&[directory_of(&path)])?;
                context.node.manager().find(&path, Access::ReadOnly)?;
            }
            Ok(path) => stores.push(Subject {
                name: target.clone(),
                path,
            }),
            Err(failure) => return Err(failure),
        }
    }
    Ok((stores, dirs))
}

/// Mends what can be mended without a loss. Returns whether it has.
fn fix(finding: &Finding) -> Result<bool, Failure> {
    let (Some(path), Some(mode)) = (&finding.path, finding.mode) else {
        return Ok(false);
    };
    lattice_registry::files::set_mode(path, mode)
        .map_err(|error| Failure::of(crate::program::failure::Kind::Failed, &error))?;
    Ok(true)
}

fn print(context: &mut Context<'_>, finding: &Finding, fixed: bool) -> Result<(), Failure> {
    let mut value = Map::from_iter([
        ("finding".to_owned(), json!(finding.kind)),
        ("store_id".to_owned(), json!(finding.store_id)),
    ]);
    json_path_or_null(&mut value, "path", finding.path.as_deref());
    value.extend([
        ("message".to_owned(), json!(finding.message)),
        ("mended_by".to_owned(), json!(finding.mended_by)),
        ("fixed".to_owned(), json!(fixed)),
    ]);
    context.out.either(Value::Object(value), |out| {
        let kind = out.paint(styles::BAD, finding.kind);
        let mut text = format!("{kind}: {}", escape_text(&finding.message));
        match (&finding.mended_by, fixed) {
            (_, true) => text.push_str("; fixed"),
            (Some(command), false) => {
                let command = escape_text(command);
                text.push_str(&format!("\n  {}", out.paint(styles::NAME, &command)));
            }
            (None, false) => {}
        }
        text
    })
}
