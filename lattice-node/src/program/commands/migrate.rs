//! `lattice migrate`.

use lattice_backend::backend::Cause;
use lattice_registry::{Calls, Keep, Migration, StoreHandle};
use serde_json::json;

use super::stores::parse_type;
use crate::Aliases;
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;

pub(super) fn migrate(context: &mut Context<'_>, migrate: &args::Migrate) -> Result<(), Failure> {
    context.trust(migrate.trusting);
    let path = context.path(&migrate.store.store)?;
    let keep = keep(&migrate.keep);
    context.check_alias(migrate.alias.as_ref(), None)?;
    let meta = context.node.manager().peek_path(&path)?;
    let to = match &migrate.to {
        Some(to) => parse_type(context, to)?,
        None => meta.store_type.clone(),
    };
    let copy = newest_of(to.as_str());
    if keep.is_some() && copy.is_none() {
        return Err(Failure::usage(format!(
            "store {} is of type {to}, and --keep is for logs and key-value stores; `lattice compact \
             STORE` gives back the unused space of its file",
            meta.store_id
        )));
    }
    // Impossible migrations are refused before an identity is created.
    context.registry().resolve(&to)?;
    context.registry().migration(&meta.store_type, &to)?;
    context.note_use(&path);
    context.node.become_writer()?;
    let manager = context.node.manager();
    let migrated = match keep.zip(copy) {
        Some((keep, copy)) => {
            let newest = Newest { keep, copy };
            manager.migrate_by(&path, &to, &newest, &part(keep))?
        }
        None => manager.migrate(&path, &to)?,
    };
    #[cfg(feature = "wasm")]
    super::code::note_use(context, migrated.store_id)?;
    let named = match &migrate.alias {
        Some(alias) => Aliases::set(&context.data_dir, alias, migrated.store_id),
        None => Ok(()),
    };
    let moved = named.and_then(|()| match keep.is_some() {
        true => Aliases::move_all(&context.data_dir, migrated.from, migrated.store_id),
        false => Ok(Vec::new()),
    });
    let moved = moved.map_err(|error| {
        Failure::from(error).within(&format!("store {} was created", migrated.store_id))
    })?;
    let alias = migrate.alias.as_ref().or(moved.first());
    let value = json!({
        "store_id": migrated.store_id,
        "store_type": to,
        "alias": alias,
        "migrated_from": { "store_id": migrated.from, "state_hash": migrated.state_hash },
        "ops": migrated.ops,
        "resumed": migrated.resumed,
    });
    context
        .out
        .either(value, |_| migrated.store_id.to_string())?;
    if !context.out.is_json() {
        let ops = plural(migrated.ops, ("op", "ops"));
        let resumed = match migrated.resumed {
            0 => String::new(),
            ops => format!(
                ", {} of them from an earlier attempt",
                plural(ops, ("op", "ops"))
            ),
        };
        context.out.note(&format!(
            "migrated store {} in {ops}{resumed}; the old store is unchanged",
            migrated.from
        ));
    }
    for alias in moved {
        context.out.note(&format!(
            "`{alias}` names the new store now; `lattice destroy {}` deletes the old one",
            migrated.from
        ));
    }
    Ok(())
}

/// What the options keep.
fn keep(retention: &args::Retention) -> Option<Keep> {
    let time = retention.time.map(|span| Keep::Newer(span.0));
    let size = retention.size.map(|size| Keep::Bytes(size.0));
    time.or(retention.last.map(Keep::Last)).or(size)
}

/// The name of a part, by which only the same command resumes a migration.
fn part(keep: Keep) -> String {
    match keep {
        Keep::Newer(ms) => format!("-newer-{ms}"),
        Keep::Last(count) => format!("-last-{count}"),
        Keep::Bytes(bytes) => format!("-bytes-{bytes}"),
        Keep::All => String::new(),
    }
}

/// Copies what is kept of a store.
type CopyNewest = fn(&dyn StoreHandle, Keep) -> Result<Calls<'_>, Cause>;

/// The copy for stores of a type, if there is one.
fn newest_of(store_type: &str) -> Option<CopyNewest> {
    match store_type {
        lattice_logstore::STORE_TYPE => Some(lattice_logstore::copy_newest),
        lattice_kvstore::STORE_TYPE => Some(lattice_kvstore::copy_newest),
        _ => None,
    }
}

struct Newest {
    keep: Keep,
    copy: CopyNewest,
}

impl Migration for Newest {
    fn calls<'a>(&'a self, old: &'a dyn StoreHandle) -> Result<Calls<'a>, Cause> {
        (self.copy)(old, self.keep)
    }
}
