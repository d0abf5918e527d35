//! `backup`, `restore` and `destroy`.

use std::fs;
use std::io::{self, IsTerminal, Write};

use lattice_registry::{IfThere, Restoring, Vouched};
use serde_json::json;

use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::{Context, Host};
use crate::program::failure::{Failure, Kind};
use crate::{Access, AliasError, StoreManager};

pub(super) fn backup(context: &mut Context<'_>, backup: &args::Backup) -> Result<(), Failure> {
    context.trust(backup.trusting);
    let path = context.path(&backup.store.store)?;
    context.note_use(&path);
    // The copy guards this author too, although it may have no op of its.
    context.use_identity();
    let meta = context.node.manager().backup(&path, &backup.file)?;
    let bytes = fs::metadata(&backup.file)
        .map_err(|error| Failure::file(&backup.file, error))?
        .len();
    let value = json!({
        "store_id": meta.store_id,
        "file": backup.file.display().to_string(),
        "bytes": bytes,
    });
    if context.out.is_json() {
        return context.out.json(&value);
    }
    let file = backup.file.display();
    context.out.note(&format!(
        "backed up store {} to {file} ({})",
        meta.store_id,
        plural(bytes, ("byte", "bytes"))
    ));
    Ok(())
}

pub(super) fn restore(context: &mut Context<'_>, restore: &args::Restore) -> Result<(), Failure> {
    context.trust(restore.trusting);
    context.use_identity();
    note_space(context, restore);
    let manager = context.node.manager();
    let restoring = manager.begin_restore(&restore.file)?;
    let if_there = match restoring.is_there() {
        true => {
            confirm(context, restore.yes, &question(manager, &restoring)?)?;
            IfThere::Replace
        }
        false => IfThere::Refuse,
    };
    let restored = restoring.place(if_there)?;
    let kept = restored.kept.map(|kept| kept.display().to_string());
    if let Some(kept) = kept.as_ref().filter(|_| !context.out.is_json()) {
        context.out.note(&format!("the old file is kept as {kept}"));
    }
    let store_id = restored.meta.store_id;
    let value = json!({
        "store_id": store_id,
        "store_type": restored.meta.store_type,
        "kept": kept,
        "verified": restored.vouched == Vouched::Verified,
    });
    context.out.either(value, |_| store_id.to_string())?;
    if restored.vouched == Vouched::Trusted {
        context.out.note(&format!(
            "the copy was not verified: no signature was checked and no op was replayed; `lattice \
             verify {store_id}` does that"
        ));
    }
    context.out.note(
        "the store is a copy: the first write by an author of it needs --continue, or a replica \
         that confirms it (`lattice bundle apply`, `lattice bundle create --since`)",
    );
    Ok(())
}

/// Says how much space a restore needs.
fn note_space(context: &mut Context<'_>, restore: &args::Restore) {
    // A missing file is reported by the restore.
    let Ok(metadata) = fs::metadata(&restore.file) else {
        return;
    };
    if context.out.is_json() {
        return;
    }
    let bytes = plural(metadata.len(), ("byte", "bytes"));
    let dir = context.data_dir.display();
    let note = match restore.trusting.trust {
        true => format!("this needs at most {bytes} in {dir}"),
        false => format!(
            "this needs at most {bytes} in {dir}, and about as much in {} for the verification",
            std::env::temp_dir().display()
        ),
    };
    context.out.note(&note);
}

fn question(manager: &StoreManager, restoring: &Restoring<'_>) -> Result<String, Failure> {
    let (store_id, copied) = (restoring.meta().store_id, restoring.ops());
    let ops =
        || -> Result<u64, Failure> { Ok(manager.open(store_id, Access::ReadOnly)?.op_count()?) };
    let there = ops();
    manager.close_all()?;
    let there = there.map_or("cannot be opened".to_owned(), |ops| {
        format!("has {}", plural(ops, ("op", "ops")))
    });
    let copied = plural(copied, ("op", "ops"));
    Ok(format!(
        "store {store_id} already exists and {there}; the copy has {copied}. Writes after the copy \
         was made will be in the old file only. Replace the store?"
    ))
}

pub(super) fn destroy(context: &mut Context<'_>, destroy: &args::Destroy) -> Result<(), Failure> {
    let path = context.path(&destroy.store.store)?;
    let manager = context.node.manager();
    // A damaged store has no readable id except in its directory name.
    let named = path.ancestors().take(2).find_map(|dir| {
        let name = dir.file_name()?.to_str()?;
        name.parse::<lattice_meta::StoreId>().ok()
    });
    let peeked = manager.peek_path(&path);
    let (store_id, peeked) = match (named, peeked) {
        (Some(id), peeked) => (id, peeked.ok()),
        (None, peeked) => {
            let meta = peeked?;
            (meta.store_id, Some(meta))
        }
    };
    let dir = manager.stores_dir().join(store_id.to_string());
    // A path found by id is accepted, even through a symbolic link; any other path must be the
    // store's directory or file.
    let lies_there = || {
        let path = path.canonicalize().ok();
        let dir = dir.canonicalize().ok();
        path.zip(dir)
            .is_some_and(|(path, dir)| path == dir || path.parent() == Some(&*dir))
    };
    let is_there = path == manager.store_path(store_id) || lies_there();
    if !is_there && fs::symlink_metadata(&path).is_err() {
        return Err(Failure::not_found(format!(
            "no store at {}",
            path.display()
        )));
    }
    if !is_there {
        return Err(Failure::usage(format!(
            "{} is not in {}; only stores there can be deleted",
            path.display(),
            manager.stores_dir().display()
        )));
    }
    let what = peeked.map_or("damaged".to_owned(), |meta| {
        format!("of type {}", meta.store_type)
    });
    confirm(
        context,
        destroy.yes,
        &format!("store {store_id}, {what}, will be deleted permanently. Delete it?"),
    )?;
    context.node.manager().destroy(store_id)?;
    let aliases = context.aliases();
    for (alias, _) in aliases.iter().filter(|(_, id)| *id == store_id) {
        match crate::Aliases::remove(&context.data_dir, alias) {
            // Another process has removed it.
            Err(AliasError::NotFound { .. }) => {}
            removed => {
                removed?;
            }
        }
    }
    if context.out.is_json() {
        context.out.json(&json!({ "store_id": store_id }))?;
    }
    Ok(())
}

/// Asks for confirmation. Without a terminal it fails, because no user can answer.
pub(super) fn confirm(context: &Context<'_>, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if context.host != Host::Process || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(
            Kind::Usage,
            format!("{question} Give --yes to confirm"),
        ));
    }
    context.clear_progress();
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}
