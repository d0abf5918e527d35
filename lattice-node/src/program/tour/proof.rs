//! History proves the state: verification, hot fixes, a migration.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::engine::open::OpenError;
use lattice_backend::progress::Stage;

use super::builds;
use super::guide::{Guide, path};
use super::walk::{Stores, on};
use crate::program::bulk::plural;
use crate::program::failure::Failure;
use crate::{
    Access, ManagerError, Node, NodeError, ProgressSink, Registry, StoreHandle, core_registry,
};

/// Verifies a store against its history, with this program and with other builds.
pub(super) fn prove(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<(), Failure> {
    guide.heading("Anybody can ask whether a store is what its history says")?;
    guide.run(&on("alice", ["verify", "packages"]))?;

    guide.heading("A new build of the logic has to prove itself on the history")?;
    let mut backup = on("alice", ["backup", "packages"]);
    backup.push(path("packages.db"));
    guide.run(&backup)?;
    let mut restore = on("carol", ["restore"]);
    restore.push(path("packages.db"));
    guide.run(&restore)?;
    guide.say("Carol's program has the same logic, only faster, and says so: core:kvstore/2.")?;
    let carol = Carol {
        dir: guide.place("carol"),
        file: guide.place(stores.kv_dir("carol")).join("state.db"),
    };
    for time in ["first", "second"] {
        guide.called("let store = manager.open(id, Access::ReadWrite)?")?;
        let (opened, replayed) = carol.open(builds::faster()?);
        let store = opened?;
        let logic = store.logic_version();
        store.close()?;
        let ops = plural(replayed, ("op", "ops"));
        guide.result(&match replayed {
            0 => format!("opened at once the {time} time: {logic} was recorded"),
            _ => format!("{ops} replayed, all alike: {logic} is recorded"),
        })?;
    }
    guide.say("The next build takes a delete for nothing. One op of this history is a delete:")?;
    guide.called("let store = manager.open(id, Access::ReadWrite)?")?;
    let before = fs::read(&carol.file)?;
    match carol.open(builds::mistaken()?).0 {
        Err(NodeError::Manager(ManagerError::Open(OpenError::LogicDiffers {
            difference, ..
        }))) => {
            guide.result("refused as corrupt")?;
            if let Some(op) = &difference.op {
                let author = op.op.author;
                guide.result(&format!(
                    "first in op number {} by {author:.16}...",
                    op.index
                ))?;
            }
            if let Some(row) = &difference.row {
                guide.result(&format!("first in row {}", row.key.escape_ascii()))?;
            }
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::damaged("a build with a mistake was let in")),
    }
    if fs::read(&carol.file)? != before {
        return Err(Failure::damaged("a refusal has changed the file"));
    }
    guide.result("not a byte of the file has changed")?;
    guide.say("The first build takes it back in the same way:")?;
    guide.called("let store = manager.open(id, Access::ReadWrite)?")?;
    let (opened, replayed) = carol.open(core_registry()?);
    let ops = plural(replayed, ("op", "ops"));
    guide.result(&format!(
        "{ops} replayed, all alike: {} is recorded",
        opened?.logic_version()
    ))?;

    guide.heading("New rules are a new store, which names the old one")?;
    let words = [
        "migrate",
        "packages",
        "--to",
        "core:kvstore",
        "--alias",
        "packages-2",
    ];
    guide.run(&on("alice", words))?;
    guide.run(&on("alice", ["verify", "packages-2"]))?;
    Ok(())
}

/// A user with other builds of the program.
struct Carol {
    dir: PathBuf,
    file: PathBuf,
}

impl Carol {
    /// Opens the store for writing; also returns how many ops were replayed.
    fn open(&self, registry: Registry) -> (Result<Arc<dyn StoreHandle>, NodeError>, u64) {
        let replayed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&replayed);
        let progress = ProgressSink::new(move |progress| {
            if progress.stage == Stage::Replay {
                count.store(progress.done, Ordering::Relaxed);
            }
        });
        let node = Node::builder(&self.dir)
            .registry(registry)
            .progress(progress);
        let opened = node
            .open()
            .and_then(|node| Ok(node.manager().open_path(&self.file, Access::ReadWrite)?));
        (opened, replayed.load(Ordering::Relaxed))
    }
}
