//! `lattice alias` and `lattice identity`.

use std::path::{Path, PathBuf};

use serde_json::{Map, json};

use super::copies::confirm;
use crate::program::args::{self, AliasCommand, IdentityCommand};
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::{json_path, json_path_or_null, styles};
use crate::{Aliases, IDENTITY_FILE, IdentityError, load_identity};

pub(super) fn alias(context: &mut Context<'_>, args: args::Alias) -> Result<(), Failure> {
    match args.command {
        None | Some(AliasCommand::List) => list(context),
        Some(AliasCommand::Set { alias, store }) => {
            let path = match context.path(&store.store) {
                Err(failure) if context.path(alias.as_str().as_ref()).is_ok() => {
                    return Err(failure.and(&format!(
                        "the store comes first: `lattice alias set {alias} NAME`"
                    )));
                }
                path => path?,
            };
            let manager = context.node.manager();
            let store_id = manager.peek_path(&path)?.store_id;
            // A copy of a store at another path has the same id, but the alias would name the
            // original.
            if real(&path) != real(&manager.store_path(store_id)) {
                return Err(Failure::usage(format!(
                    "store {store_id} at {} is not in {}; only stores there can have aliases",
                    path.display(),
                    manager.stores_dir().display()
                )));
            }
            Aliases::set(&context.data_dir, &alias, store_id)?;
            say(context, &alias, store_id)
        }
        Some(AliasCommand::Remove { alias }) => {
            let store_id = Aliases::remove(&context.data_dir, &alias)?;
            say(context, &alias, store_id)
        }
    }
}

fn list(context: &mut Context<'_>) -> Result<(), Failure> {
    let aliases = Aliases::load(&context.data_dir)?;
    for (alias, store_id) in aliases.iter() {
        let value = json!({ "alias": alias, "store_id": store_id });
        context.out.either(value, |out| {
            format!("{store_id}  {}", out.paint(styles::NAME, alias.as_str()))
        })?;
    }
    if aliases.iter().next().is_none() {
        context
            .out
            .note("no aliases; `lattice alias set STORE NAME` sets one");
    }
    Ok(())
}

/// Prints the alias in JSON only; text output is silent on success.
fn say(
    context: &mut Context<'_>,
    alias: &crate::Alias,
    store_id: lattice_meta::StoreId,
) -> Result<(), Failure> {
    if context.out.is_json() {
        context
            .out
            .json(&json!({ "alias": alias, "store_id": store_id }))?;
    }
    Ok(())
}

pub(super) fn identity(
    context: &mut Context<'_>,
    identity: &args::Identity,
) -> Result<(), Failure> {
    if let Some(IdentityCommand::New { yes }) = identity.command {
        return new_identity(context, yes);
    }
    let author = if identity.create {
        context.node.become_writer()?;
        context.node.manager().author()
    } else {
        let loaded = load_identity(&context.data_dir).map_err(|error| match error {
            error @ crate::IdentityError::NotFound { .. } => {
                Failure::from(error).and(
                    "`lattice identity --create` creates one, and so does the first command that writes",
                )
            }
            error => error.into(),
        })?;
        Some(loaded.public())
    };
    let path = context.data_dir.join(IDENTITY_FILE);
    let mut value = Map::new();
    value.insert("author".into(), json!(author));
    json_path(&mut value, "path", &path);
    context.out.either(value, |_| {
        author.map_or("none".into(), |author| author.to_string())
    })
}

fn new_identity(context: &mut Context<'_>, yes: bool) -> Result<(), Failure> {
    let dir = context.data_dir.clone();
    let question = match load_identity(&dir) {
        Ok(before) => format!(
            "{} writes as author {}. It will write as a new author, and keep the old key in a file. \
             Make a new identity?",
            dir.display(),
            before.public()
        ),
        Err(IdentityError::NotFound { .. }) => {
            return Err(Failure::not_found(format!(
                "{} has no identity to replace; `lattice identity --create` creates one",
                dir.display()
            )));
        }
        Err(error) => return Err(error.into()),
    };
    confirm(context, yes, &question)?;
    let new = crate::new_identity(&dir)?;
    let (author, before) = (new.identity.public(), new.before);
    let path = dir.join(IDENTITY_FILE);
    let mut value = Map::new();
    value.insert("author".into(), json!(author));
    json_path(&mut value, "path", &path);
    let old = before.as_ref().map(|(old, _)| old.public());
    value.insert("author_before".into(), json!(old));
    let kept = before.as_ref().map(|(_, kept)| &**kept);
    json_path_or_null(&mut value, "kept", kept);
    context.out.either(value, |_| author.to_string())?;
    if let Some((old, kept)) = before.filter(|_| !context.out.is_json()) {
        let kept = kept.display();
        context.out.note(&format!(
            "the key of author {} is kept as {kept}",
            old.public()
        ));
        context.out.note(&format!(
            "stores keep their owners and their histories; replicas elsewhere, also your own, accept \
             ops of the new author once with `lattice bundle apply BUNDLE --author {author}`"
        ));
    }
    Ok(())
}

/// The canonical path of the directory that a store is in.
fn real(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    match path.is_dir() {
        true => Some(path),
        false => path.parent().map(Path::to_path_buf),
    }
}
