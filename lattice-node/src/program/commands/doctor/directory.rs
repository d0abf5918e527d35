//! The data directory: modes, names, identity, code.

use std::fs;
use std::path::Path;

use lattice_meta::{PubKey, StoreId};

use super::Finding;
use crate::program::context::Context;
use crate::program::failure::{Kind, chain};
use crate::{ALIASES_FILE, Aliases, IDENTITY_FILE, IdentityError, ManagerError, load_identity};

/// The permission bits that neither an owner nor a group that reads needs. A group may read what
/// was shared with it, and enter directories.
#[cfg(unix)]
const TOO_MUCH: u32 = 0o027;

/// Everything but the identity, which the histories of the stores say more about.
pub(super) fn look_at(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !context.data_dir.exists() {
        return findings;
    }
    #[cfg(unix)]
    modes(context, &mut findings);
    names(context, &mut findings);
    #[cfg(feature = "wasm")]
    code(context, &mut findings);
    findings
}

#[cfg(unix)]
fn modes(context: &Context<'_>, findings: &mut Vec<Finding>) {
    use std::os::unix::fs::PermissionsExt;

    let dir = &context.data_dir;
    let manager = context.node.manager();
    let mut paths = vec![
        dir.clone(),
        dir.join(ALIASES_FILE),
        dir.join("known.toml"),
        dir.join("code.toml"),
        manager.stores_dir(),
    ];
    let entries = fs::read_dir(manager.stores_dir()).into_iter().flatten();
    for entry in entries.flatten() {
        paths.extend([entry.path(), entry.path().join("state.db")]);
    }
    paths.sort();
    for path in paths {
        // What is not there has no mode, and what cannot be read is found elsewhere.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & TOO_MUCH != 0 {
            let mut finding = Finding::new(
                "mode",
                format!(
                    "other users can read or change {} (mode {mode:03o})",
                    path.display()
                ),
            )
            .path(&path)
            .mended_by(format!("chmod g-w,o-rwx {}", word(&path)));
            finding.mode = Some(mode & !TOO_MUCH);
            findings.push(finding);
        }
    }
}

fn word(path: &Path) -> String {
    lattice_meta::shell_word(&path.display().to_string()).into_owned()
}

fn names(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let aliases = match Aliases::load(&context.data_dir) {
        Ok(aliases) => aliases,
        Err(error) => {
            let path = context.data_dir.join(ALIASES_FILE);
            let command = format!("mv {0} {0}.broken", word(&path));
            findings.push(
                Finding::new("aliases", chain(&error))
                    .path(&path)
                    .mended_by(command),
            );
            return;
        }
    };
    for (alias, store_id) in aliases.iter() {
        if !context.node.manager().store_path(store_id).exists() {
            let command = format!("lattice alias remove {alias}");
            let mut finding = Finding::new(
                "alias",
                format!("`{alias}` names store {store_id}, which is not here"),
            )
            .mended_by(context.out.hints().completed(&command));
            finding.store_id = Some(store_id);
            findings.push(finding);
        }
    }
}

/// The cache of modules, and the file that says which are trusted.
#[cfg(feature = "wasm")]
fn code(context: &Context<'_>, findings: &mut Vec<Finding>) {
    use lattice_code::GarbageKind;

    let roots = match context.code.cached() {
        Ok(cached) => cached.into_iter().collect(),
        Err(error) => {
            findings.push(Finding::new("code", chain(&error)));
            return;
        }
    };
    match context.code.garbage(&roots, std::time::SystemTime::now()) {
        Ok(garbage) => {
            for file in garbage {
                if let GarbageKind::Damaged(cid) = file.kind {
                    let message = format!("the bytes of module {cid} in the cache are damaged");
                    let finding = Finding::new("code", message).path(&file.file);
                    let command = context.out.hints().completed("lattice code gc --yes");
                    findings.push(finding.mended_by(command));
                }
            }
        }
        Err(error) => findings.push(Finding::new("code", chain(&error))),
    }
}

/// Whether the identity is there, and the one that the stores were written with.
pub(super) fn identity(context: &Context<'_>) -> Vec<Finding> {
    let dir = &context.data_dir;
    let path = dir.join(IDENTITY_FILE);
    let loaded = load_identity(dir);
    let own = loaded.as_ref().ok().map(|key| key.public());
    let owners = match owners(context, own) {
        Ok(owners) => owners,
        Err(error) => return vec![Finding::new(Kind::Failed.name(), chain(&error))],
    };
    let restore = format!("cp BACKUP/{IDENTITY_FILE} {}", word(&path));
    match loaded {
        Err(IdentityError::NotFound { .. }) if owners.is_empty() => Vec::new(),
        Err(IdentityError::NotFound { .. }) => vec![
            Finding::new(
                "identity_missing",
                format!(
                    "there is no {}: the next write makes a new author, whose ops other replicas \
                     refuse at first",
                    path.display()
                ),
            )
            .path(&path)
            .mended_by(restore),
        ],
        Err(error @ IdentityError::Exposed { .. }) => {
            let mut finding = Finding::new("mode", chain(&error))
                .path(&path)
                .mended_by(format!("chmod 600 {}", word(&path)));
            finding.mode = Some(0o600);
            vec![finding]
        }
        Err(error) => vec![
            Finding::new("identity", chain(&error))
                .path(&path)
                .mended_by(restore),
        ],
        Ok(key) => {
            let author = key.public();
            let is_mine = |&(_, owner, wrote): &(StoreId, PubKey, bool)| owner == author || wrote;
            let kept = format!("{IDENTITY_FILE}.before-");
            let names = fs::read_dir(dir).into_iter().flatten().flatten();
            let was_changed = names
                .map(|entry| entry.file_name())
                .any(|name| name.to_string_lossy().starts_with(&kept));
            match owners.first() {
                Some((store_id, owner, _)) if !owners.iter().any(is_mine) && !was_changed => vec![
                    Finding::new(
                        "identity_replaced",
                        format!(
                            "{} is the key of author {author}, which has written no store that was \
                             created here; store {store_id} is of {owner}",
                            path.display()
                        ),
                    )
                    .path(&path)
                    .mended_by(restore),
                ],
                _ => Vec::new(),
            }
        }
    }
}

/// The stores that were created here, their owners, and whether an author has written to them. What
/// is wrong with a store is found elsewhere.
fn owners(
    context: &Context<'_>,
    author: Option<PubKey>,
) -> Result<Vec<(StoreId, PubKey, bool)>, ManagerError> {
    let manager = context.node.manager();
    let owner = |store_id: StoreId| {
        let history = manager.open_history(manager.store_path(store_id)).ok()?;
        let tips = history.tips().ok()?;
        let wrote = author.is_some_and(|author| tips.contains_key(&author));
        Some((store_id, history.genesis().owner(), wrote))
    };
    Ok(manager.created()?.into_iter().filter_map(owner).collect())
}
