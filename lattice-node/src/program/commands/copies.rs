//! `backup`, `restore` and `destroy`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lattice_backend::backend::{FileError, PeekError};
use lattice_meta::{MetaInfo, StoreId};
use lattice_registry::{Destroyed, IfThere, Restoring, Vouched};
use serde_json::{Map, json};

use super::bundles::chain::Chain;
use super::bundles::since;
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::{Context, Host};
use crate::program::failure::{Failure, Kind};
use crate::program::human;
use crate::program::output::json_path_or_null;
use crate::program::pipes::{FileArg, Input, Spool, Target, nearest};
use crate::program::prompt;
use crate::program::store_ref::of_leftovers;
use crate::{AliasError, ManagerError, StoreManager};

pub(super) fn backup(context: &mut Context<'_>, backup: &args::Backup) -> Result<(), Failure> {
    let target = Target {
        file: &backup.file,
        mode: backup.mode,
    };
    target.check_mode()?;
    target.check_terminal(context, "a copy of a store", "`ssh HOST lattice restore -`")?;
    context.trust(backup.trusting);
    let path = context.path(&backup.store.store)?;
    context.note_use(&path);
    // The copy guards this author too, although it may have no op of its.
    if !backup.since.is_empty() {
        return since::backup(context, backup, target, &path);
    }
    context.use_identity();
    let (meta, bytes) = match &backup.file {
        FileArg::Path(file) => {
            let manager = context.node.manager();
            let meta = manager.backup_with_mode(&path, file, backup.mode.0)?;
            let metadata = fs::metadata(file).map_err(|error| Failure::file(file, error))?;
            (meta, metadata.len())
        }
        FileArg::Stdio => print_copy(context, target, &path)?,
    };
    let name = target.name();
    let value = json!({
        "store_id": meta.store_id,
        "file": name,
        "bytes": bytes,
        "ops": null,
        "follows": null,
    });
    let bytes = plural(bytes, ("byte", "bytes"));
    let text = format!("backed up store {} to {name} ({bytes})", meta.store_id);
    target.summarise(context, &value, &text)
}

/// Writes a copy of a store to standard output. A store's file is not written from its start to its
/// end, so it is made in the directory for temporary files first.
fn print_copy(
    context: &mut Context<'_>,
    target: Target<'_>,
    path: &Path,
) -> Result<(MetaInfo, u64), Failure> {
    let spool = Spool::within(&std::env::temp_dir())
        .map_err(|failure| failure.and("TMPDIR names the directory for temporary files"))?;
    let copy = spool.file();
    let (meta, mut copy) = (|| {
        let meta = context.node.manager().backup(path, &copy)?;
        Ok::<_, Failure>((meta, spool.into_unnamed()?))
    })()
    .map_err(|failure| failure.renamed(&copy, "the copy in the directory for temporary files"))?;
    let (_, bytes) = target.write(context, |out| {
        io::copy(&mut copy, out).map_err(|error| out.failed(error))
    })?;
    Ok((meta, bytes))
}

pub(super) fn restore(context: &mut Context<'_>, restore: &args::Restore) -> Result<(), Failure> {
    context.trust(restore.trusting);
    context.use_identity();
    let name = restore.file.to_string();
    let (spool, file) = match (&restore.file, restore.file.open(context, "FILE")?.input) {
        // The backend opens a store by its path.
        (FileArg::Path(path), Input::File(_)) => (None, path.clone()),
        (_, input) => {
            let spool = spool(context, &name, input.into_reader())?;
            let file = spool.file();
            (Some(spool), file)
        }
    };
    if since::is_bundle(&file)? {
        return Err(not_first(&name));
    }
    note_space(context, restore, &file);
    restore_file(context, restore, &file).map_err(|failure| {
        let is_cut = spool.is_some() && failure.is_damage();
        let failure = failure.renamed(&file, &name);
        match is_cut {
            true => failure.and(
                "if the stream was cut short, `backup STORE -` makes it again, where the store is",
            ),
            false => failure,
        }
    })
}

/// Copies a stream to the data directory, if it begins like a store.
fn spool(context: &Context<'_>, name: &str, stream: impl Read) -> Result<Spool, Failure> {
    let spool = Spool::within(&nearest(&context.data_dir))?;
    let filled = spool.fill(name, stream, |file| {
        match context.node.manager().peek_path(file) {
            Err(ManagerError::Peek(PeekError::File(error @ FileError::NotAStore { .. }))) => {
                Err(ManagerError::Peek(PeekError::File(error)).into())
            }
            // What is missing has still to come.
            _ => Ok(()),
        }
    });
    filled.map_err(|failure| failure.renamed(&spool.file(), name))?;
    Ok(spool)
}

/// A restore needs a whole store first.
fn not_first(name: &str) -> Failure {
    Failure::new(
        Kind::NotAStore,
        format!(
            "{name} is a bundle of ops, not a copy of a store; give the copy that the chain begins with \
             before it, or apply it to its store with `bundle apply`"
        ),
    )
}

fn restore_file(
    context: &mut Context<'_>,
    restore: &args::Restore,
    file: &Path,
) -> Result<(), Failure> {
    let manager = context.node.manager();
    if restore.alias.is_some() {
        // What is wrong with the file is reported below.
        let store_id = manager.peek_path(file).ok().map(|meta| meta.store_id);
        context.check_alias(restore.alias.as_ref(), store_id)?;
    }
    let chain = match restore.later.is_empty() {
        true => None,
        false => {
            let base = manager.open_history(file)?;
            Some(Chain::read(context, &restore.later, &*base)?)
        }
    };
    let restoring = match &chain {
        None => manager.begin_restore(file)?,
        Some(chain) => {
            let mut restoring = manager.begin_restore_chain(file, &chain.digest())?;
            restoring.add(|store| chain.add_to(store, &context.progress))?;
            restoring
        }
    };
    let if_there = match restoring.is_there() {
        true => {
            confirm(context, restore.yes, &question(manager, &restoring)?)?;
            IfThere::Replace
        }
        false => IfThere::Refuse,
    };
    let ops = restoring.ops();
    let restored = restoring.place(if_there)?;
    let kept = restored.kept.as_deref();
    if let Some(kept) = kept.filter(|_| !context.out.is_json()) {
        let kept = kept.display();
        context.out.note(&format!("the old file is kept as {kept}"));
    }
    let store_id = restored.meta.store_id;
    context.set_alias(restore.alias.as_ref(), store_id)?;
    let mut value = Map::from_iter([
        ("store_id".to_owned(), json!(store_id)),
        ("store_type".to_owned(), json!(restored.meta.store_type)),
        ("alias".to_owned(), json!(restore.alias)),
        ("ops".to_owned(), json!(ops)),
    ]);
    json_path_or_null(&mut value, "kept", kept);
    let is_verified = restored.vouched == Vouched::Verified;
    value.insert("verified".into(), is_verified.into());
    context.out.either(value, |_| store_id.to_string())?;
    if restored.vouched == Vouched::Trusted {
        context.out.note(&format!(
            "the copy was not verified: no signature was checked and no op was replayed; `lattice \
             verify {store_id}` does that"
        ));
    }
    context.out.note(&format!(
        "the store is a copy: the first write by an author of it needs --continue, or a replica \
         that confirms it (`lattice bundle apply FILE`, `lattice bundle create {store_id} FILE \
         --since TIPS`)"
    ));
    Ok(())
}

/// Says how much space a restore needs.
fn note_space(context: &mut Context<'_>, restore: &args::Restore, file: &Path) {
    // A missing file is reported by the restore.
    let Ok(metadata) = fs::metadata(file) else {
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
    let ops = || -> Result<u64, Failure> {
        Ok(manager
            .open_history(manager.store_path(store_id))?
            .op_count()?)
    };
    let there = ops();
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
    let path = match context.path_to_change(&destroy.store.store) {
        Err(failure) => return destroy_left(context, destroy, failure),
        path => path?,
    };
    let manager = context.node.manager();
    // A damaged store has no readable id except in its directory name.
    let named = path.ancestors().take(2).find_map(|dir| {
        let name = dir.file_name()?.to_str()?;
        name.parse::<StoreId>().ok()
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
        return Err(Failure::no_store(format!("no store at {}", path.display())));
    }
    if !is_there {
        return Err(Failure::usage(format!(
            "{} is not in {}; only stores there can be deleted",
            path.display(),
            manager.stores_dir().display()
        )));
    }
    let question = match destroy.yes {
        true => String::new(),
        false => removal(context, store_id, &path, peeked.as_ref()),
    };
    confirm(context, destroy.yes, &question)?;
    let destroyed = context.node.manager().destroy(store_id)?;
    remove_aliases(context, store_id)?;
    report(context, store_id, &destroyed)
}

/// Asks whether a store is to be deleted: its alias and id, and what would be lost.
fn removal(
    context: &mut Context<'_>,
    store_id: StoreId,
    path: &Path,
    peeked: Option<&MetaInfo>,
) -> String {
    let aliases = context.aliases();
    let id = store_id.to_string();
    let (name, id) = match aliases.alias_of(store_id) {
        Some(alias) => (format!("`{alias}`"), format!("{id}, ")),
        None => (format!("store {id}"), String::new()),
    };
    let store_type = peeked.map_or("damaged".into(), |meta| meta.store_type.to_string());
    let manager = context.node.manager();
    let ops = manager.open_history(path).ok();
    let ops = ops.and_then(|history| history.op_count().ok());
    let ops = ops.map_or(String::new(), |ops| {
        format!(", {}", plural(ops, ("op", "ops")))
    });
    let file = match path.is_dir() {
        true => manager.store_path(store_id),
        false => path.to_path_buf(),
    };
    let bytes = fs::metadata(&file).map_or(String::new(), |metadata| {
        format!(", {}", human::size(metadata.len()))
    });
    format!("{name} ({id}{store_type}{ops}{bytes}) will be deleted permanently. Delete it?")
}

/// Finishes the removal of a store that is no longer in its place: a process that was removing or
/// building it was killed, or an alias still names it.
fn destroy_left(
    context: &mut Context<'_>,
    destroy: &args::Destroy,
    failure: Failure,
) -> Result<(), Failure> {
    let aliases = context.aliases();
    let left = context.node.manager().leftovers()?;
    let left: BTreeSet<_> = left.into_iter().map(|(id, _)| id).collect();
    let Some(store_id) = of_leftovers(&destroy.store.store, &aliases, &left) else {
        return nothing_left(context, failure);
    };
    let has_left = left.contains(&store_id);
    let has_alias = aliases.iter().any(|(_, id)| id == store_id);
    if !has_left && !has_alias {
        return nothing_left(context, failure);
    }
    confirm(
        context,
        destroy.yes,
        &format!(
            "store {store_id} is not there any more; what an interrupted command left of it will be \
             deleted permanently. Delete it?"
        ),
    )?;
    let destroyed = match context.node.manager().destroy(store_id) {
        Err(ManagerError::NoSuchStore { .. }) if has_alias => Destroyed::default(),
        destroyed => destroyed?,
    };
    if remove_aliases(context, store_id)? == 0 && destroyed.leftovers.is_empty() {
        // Another process has just removed all of it.
        return Err(failure);
    }
    if !context.out.is_json() {
        context.out.note(&format!(
            "store {store_id} was not there any more; removed what was left of it"
        ));
    }
    report(context, store_id, &destroyed)
}

/// There is no such store. A removal that was killed after its last file was gone may still have
/// left a lock file.
fn nothing_left(context: &Context<'_>, failure: Failure) -> Result<(), Failure> {
    context.node.manager().clear_interrupted();
    Err(failure)
}

/// Says what was removed elsewhere than in the store's directory.
fn report(
    context: &mut Context<'_>,
    store_id: StoreId,
    destroyed: &Destroyed,
) -> Result<(), Failure> {
    let shown = |paths: &[PathBuf]| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    };
    let removed = shown(&[&destroyed.linked[..], &destroyed.leftovers[..]].concat());
    let left = shown(&destroyed.left);
    if context.out.is_json() {
        let value = json!({ "store_id": store_id, "removed_files": removed, "left_files": left });
        return context.out.json(&value);
    }
    for path in &removed {
        context.out.note(&format!("removed {path}"));
    }
    for path in &left {
        context.out.note(&format!(
            "left {path}, which Lattice cannot recognise as a file of this store"
        ));
    }
    Ok(())
}

/// Removes the aliases of a store, and returns how many it has removed.
fn remove_aliases(context: &mut Context<'_>, store_id: StoreId) -> Result<usize, Failure> {
    let aliases = context.aliases();
    let mut removed = 0;
    for (alias, _) in aliases.iter().filter(|(_, id)| *id == store_id) {
        match crate::Aliases::remove(&context.data_dir, alias) {
            Ok(_) => removed += 1,
            // Another process has removed it.
            Err(AliasError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(removed)
}

/// Asks for confirmation. Without a terminal it fails, because no user can answer.
pub(super) fn confirm(context: &Context<'_>, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if context.host != Host::Process || !prompt::can_ask() {
        return Err(Failure::new(
            Kind::Usage,
            format!("{question} Give --yes to confirm"),
        ));
    }
    context.clear_progress();
    match prompt::is_yes(question)? {
        true => Ok(()),
        false => Err(Failure::failed("nothing was changed")),
    }
}
