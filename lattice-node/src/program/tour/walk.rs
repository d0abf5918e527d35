//! The walk of one node: creating stores, and discovering what they are.

use std::fs;
use std::path::{Path, PathBuf};

use lattice_meta::StoreId;

use super::guide::{Guide, Word, path, word};
use super::packages::packages;
use crate::program::failure::Failure;
use crate::{Access, KvStore, LogStore, ManagerError, Node};

/// The package that the tour shows.
const PACKAGE: &str = "redb";
const PACKAGES_FILE: &str = "packages.jsonl";

/// The stores of the tour.
pub(super) struct Stores {
    pub(super) kv_id: StoreId,
    pub(super) log_id: StoreId,
    /// The key of a package.
    pub(super) sample: String,
}

impl Stores {
    /// The key-value store's directory in the data directory of a node.
    pub(super) fn kv_dir(&self, node: &str) -> PathBuf {
        dir(node, self.kv_id)
    }

    fn log_dir(&self, node: &str) -> PathBuf {
        dir(node, self.log_id)
    }
}

fn dir(node: &str, id: StoreId) -> PathBuf {
    Path::new(node).join("stores").join(id.to_string())
}

/// A command on the data directory of a node.
pub(super) fn on(node: &str, words: impl IntoIterator<Item = &'static str>) -> Vec<Word> {
    let words = words.into_iter().map(word);
    [word("--data-dir"), path(node)]
        .into_iter()
        .chain(words)
        .collect()
}

/// Creates and fills a key-value store and a log store, and closes everything.
pub(super) fn make(guide: &mut Guide<'_, '_>) -> Result<Stores, Failure> {
    guide.heading("Alice makes two stores")?;
    let mut create = |store_type, alias| -> Result<StoreId, Failure> {
        let printed = guide.run(&on("alice", ["create", store_type, "--alias", alias]))?;
        let id = printed.trim().parse();
        id.map_err(|error| Failure::failed(format!("{printed}: {error}")))
    };
    let kv_id = create("core:kvstore", "packages")?;
    let log_id = create("core:logstore", "walk")?;

    guide.heading("She loads the packages that this program was built from")?;
    let (lines, sample) = packages(PACKAGE).map_err(|error| Failure::failed(error.to_string()))?;
    fs::write(guide.place(PACKAGES_FILE), lines)?;
    guide.say(&format!(
        "{PACKAGES_FILE} has a line for each package of Cargo.lock."
    ))?;
    let mut import = on("alice", ["import", "packages"]);
    import.push(path(PACKAGES_FILE));
    guide.run(&import)?;

    guide.called("log.append_many(steps_so_far)?")?;
    let count = keep_steps(guide, log_id)?;
    guide.result(&format!("{count} steps of this walk in the log store"))?;
    guide.run(&on("alice", ["list"]))?;
    let sample =
        sample.ok_or_else(|| Failure::not_found(format!("{PACKAGE} is not in the lock file")))?;
    Ok(Stores {
        kv_id,
        log_id,
        sample,
    })
}

/// Appends the steps since the last call to the log, as one op.
fn keep_steps(guide: &mut Guide<'_, '_>, log_id: StoreId) -> Result<usize, Failure> {
    let node = Node::open(guide.place("alice"))?;
    let log: LogStore = node.open_as(log_id, Access::ReadWrite)?;
    let steps = guide.take_steps();
    let count = steps.len();
    log.append_many(steps)?;
    node.manager().close_all()?;
    Ok(count)
}

/// A node without prior knowledge peeks at the files, resolves their types, and opens them.
pub(super) fn rediscover(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<(), Failure> {
    guide.heading("Carol finds two files and does not know what they are")?;
    let node = Node::builder(guide.place("carol")).open_reader()?;
    for dir in [stores.kv_dir("alice"), stores.log_dir("alice")] {
        guide.run(&[word("--data-dir"), path("carol"), word("peek"), path(&dir)])?;
        guide.called("let opener = registry.resolve(&meta.store_type)?")?;
        let real = guide.place(&dir);
        let meta = node.manager().peek_path(&real)?;
        node.manager()
            .registry()
            .resolve(&meta.store_type)
            .map_err(ManagerError::from)?;
        guide.called("let store = manager.open_path(path, Access::ReadOnly)?")?;
        let store = node.manager().open_path(&real, Access::ReadOnly)?;
        let methods = store.methods().into_iter().map(|method| method.name);
        let methods: Vec<_> = methods.collect();
        guide.result(&format!("methods     {}", methods.join(", ")))?;
        guide.result(&format!("state hash  {}", store.state_hash()?))?;
    }
    node.manager().close_all()?;
    let kv = |command: &'static str, rest: &[&str]| {
        let mut words = on("carol", [command]);
        words.push(path(stores.kv_dir("alice")));
        words.extend(rest.iter().map(|text| word(*text)));
        words
    };
    guide.run(&kv("get", &[&stores.sample]))?;
    guide.result("\n")?;
    guide.run(&kv(
        "scan",
        &["--prefix", "serde", "--keys-only", "--limit", "3"],
    ))?;
    guide.run(&kv("call", &["count"]))?;
    let mut tail = on("carol", ["tail"]);
    tail.extend([path(stores.log_dir("alice")), word("-n"), word("2")]);
    guide.run(&tail)?;
    Ok(())
}

/// Appends the remaining steps to the log, and reads it again.
pub(super) fn look_back(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<(), Failure> {
    guide.heading("The log has kept the walk")?;
    guide.called("log.append_many(steps_since)?")?;
    keep_steps(guide, stores.log_id)?;
    guide.run(&on("alice", ["tail", "walk", "-n", "3"]))?;
    guide.run(&on("alice", ["call", "walk", "len"]))?;
    Ok(())
}

/// Opens Alice's or Bob's replica of the key-value store for writing.
pub(super) fn open_kv(
    guide: &Guide<'_, '_>,
    name: &str,
    stores: &Stores,
) -> Result<(Node, KvStore), Failure> {
    let node = Node::open(guide.place(name))?;
    let kv: KvStore = node.open_as(stores.kv_id, Access::ReadWrite)?;
    debug_assert_eq!(kv.store_id(), stores.kv_id);
    Ok((node, kv))
}
