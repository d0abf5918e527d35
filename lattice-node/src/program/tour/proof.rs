//! The chapters on proof: verification, hot fixes, a migration.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::engine::open::OpenError;
use lattice_backend::progress::Stage;

use super::builds;
use super::chapter::{Chapter, chapter};
use super::guide::Guide;
use super::stores::PACKAGES;
use crate::program::bulk::plural;
use crate::program::failure::Failure;
use crate::{
    Access, ManagerError, Node, NodeError, ProgressSink, Registry, StoreHandle, core_registry,
};

const OPEN: &str = "let store = manager.open(id, Access::ReadWrite)?";

pub(super) const CHAPTERS: &[Chapter] = &[
    chapter("Anyone with the code can verify the state", verify),
    chapter(
        "New code must compute the same state from the history",
        accept,
    ),
    chapter("Code that computes another state is refused", refuse),
    chapter(
        "New rules are a new store, which names the old one",
        migrate,
    ),
];

fn verify(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "`verify` checks every signature, applies all ops to an empty store, and compares each row \
         with the file. Elements are what the state hash covers, here the keys and their values.",
    )?;
    guide.run("alice", &["verify", PACKAGES])?;
    Ok(())
}

/// Opens a store with another version of its code.
fn accept(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("Carol gets a copy that she can write to, and her program warns her:")?;
    guide.run("alice", &["backup", PACKAGES, "./packages.db"])?;
    guide.run("carol", &["restore", "./packages.db"])?;
    guide.say(
        "Carol's program has a faster version of the key-value store's code. On the first open for \
         writing it applies all ops again, and compares what each one wrote:",
    )?;
    let carol = Carol::new(guide)?;
    guide.called(OPEN)?;
    carol.takes(guide, builds::faster()?)?;
    guide.say("The store records the version. From then on it opens without a replay:")?;
    guide.called(OPEN)?;
    carol.takes(guide, builds::faster()?)
}

/// Opens a store with a version of its code that has a bug.
fn refuse(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    let carol = Carol::new(guide)?;
    guide.say("Carol's next version ignores deletes, which is a bug. One op was a delete:")?;
    guide.called(OPEN)?;
    let before = fs::read(&carol.file)?;
    match carol.open(builds::mistaken()?).0 {
        Err(NodeError::Manager(ManagerError::Open(OpenError::LogicDiffers {
            difference, ..
        }))) => {
            guide.result("refused: core:kvstore/3 computes another state")?;
            if let Some(op) = &difference.op {
                let (number, author) = (op.index, op.op.author);
                guide.result(&format!(
                    "first in op {number} (from 0), by {author:.16}..."
                ))?;
            }
            if let Some(row) = &difference.row {
                // The row of a key is under `c` and the key.
                let key = row.key.strip_prefix(b"c").unwrap_or(&row.key);
                guide.result(&format!("first at key {}", key.escape_ascii()))?;
            }
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::damaged("a version with a bug was accepted")),
    }
    if fs::read(&carol.file)? != before {
        return Err(Failure::damaged("a refusal has changed the file"));
    }
    guide.result("no byte of the file has changed")?;
    guide.say("Going back to the first version is a change, too, and needs a replay:")?;
    guide.called(OPEN)?;
    carol.takes(guide, core_registry()?)
}

fn migrate(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "Code may change if it computes the same state. Other rules need a new store. It starts \
         from the state of the old one, and its first record names that store and its state hash. \
         Here the type stays, so only the history is new: one op.",
    )?;
    let to = ["--to", "core:kvstore", "--alias", "packages-2"];
    guide.run("alice", &[&["migrate", PACKAGES][..], &to].concat())?;
    guide.run("alice", &["verify", "packages-2"])?;
    Ok(())
}

/// A user with other builds of the program.
struct Carol {
    dir: PathBuf,
    file: PathBuf,
}

impl Carol {
    /// The only store of Carol's data directory.
    fn new(guide: &Guide<'_, '_>) -> Result<Self, Failure> {
        let dir = guide.place("carol");
        let mut stores = fs::read_dir(dir.join("stores"))?;
        let store = stores
            .next()
            .ok_or_else(|| Failure::not_found("carol has no store"))??;
        Ok(Self {
            dir,
            file: store.path().join("state.db"),
        })
    }

    /// Opens the store with code that must be accepted, and closes it.
    fn takes(&self, guide: &mut Guide<'_, '_>, registry: Registry) -> Result<(), Failure> {
        let (opened, replayed) = self.open(registry);
        let store = opened?;
        let version = store.logic_version();
        store.close()?;
        let ops = plural(replayed, ("op", "ops"));
        guide.result(&match replayed {
            0 => format!("{ops} replayed: {version} was recorded"),
            _ => format!("{ops} replayed, same state: {version} is recorded"),
        })
    }

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
