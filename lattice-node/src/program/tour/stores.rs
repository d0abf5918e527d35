//! The chapters on one store: creating it, discovering what a file is, and reading the log at last.

use std::fs;

use lattice_meta::StoreId;

use super::chapter::{Chapter, chapter};
use super::guide::Guide;
use super::packages;
use crate::program::failure::Failure;
use crate::{Access, Aliases, KvStore, LogStore, Node};

/// The package that the tour shows.
const PACKAGE: &str = "redb";
const PACKAGES_FILE: &str = "packages.jsonl";
/// The aliases of the key-value store and of the log.
pub(super) const PACKAGES: &str = "packages";
const LOG: &str = "tour";

pub(super) const CHAPTERS: &[Chapter] = &[
    chapter("Alice creates two stores", create),
    chapter("A file says what it is", peek),
    chapter("Anyone with the code can read it", read),
];

pub(super) const LAST: &[Chapter] = &[chapter("The log has recorded this tour", look_back)];

/// Creates and fills a key-value store and a log.
fn create(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.run("alice", &["create", "core:kvstore", "--alias", PACKAGES])?;
    guide.run("alice", &["create", "core:logstore", "--alias", LOG])?;
    guide.say(
        "packages.jsonl has a line for each package that this program was built from: name and \
         version as the key, the checksum of its source as the value.",
    )?;
    let lines = packages::lines().map_err(|error| Failure::failed(error.to_string()))?;
    fs::write(guide.place(PACKAGES_FILE), lines)?;
    guide.run("alice", &["import", PACKAGES, "./packages.jsonl"])?;
    guide.say("The log records the commands and calls of this tour, one entry each:")?;
    let count = append_steps(guide)?;
    guide.result(&format!("{count} entries appended, in one op"))?;
    guide.run("alice", &["list"])?;
    Ok(())
}

/// Appends the steps since the last call to the log, as one op.
fn append_steps(guide: &mut Guide<'_, '_>) -> Result<usize, Failure> {
    guide.called("log.append_many(steps_so_far)?")?;
    let id = store_id(guide, "alice", LOG)?;
    let node = Node::open(guide.place("alice"))?;
    let log: LogStore = node.open_as(id, Access::ReadWrite)?;
    let steps = guide.take_steps();
    let count = steps.len();
    log.append_many(steps)?;
    node.manager().close_all()?;
    Ok(count)
}

/// Peeks at a file and opens it.
fn peek(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("Alice copies a store for Carol, to a file with a name that says nothing:")?;
    guide.run("alice", &["backup", PACKAGES, "./one.db"])?;
    guide.say(
        "Carol has never seen it. `peek` prints what a file says of itself, also without code \
         for its type. A tip is an author's newest op.",
    )?;
    guide.run("carol", &["peek", "./one.db"])?;
    guide.say("A program finds code for the type that the file names, and opens the store:")?;
    let node = Node::builder(guide.place("carol")).open_reader()?;
    let real = guide.place("one.db");
    guide.called("let store = manager.open_path(\"one.db\", Access::ReadOnly)?")?;
    let store = node.manager().open_path(&real, Access::ReadOnly)?;
    guide.result(&format!("state hash  {}", store.state_hash()?))?;
    Ok(node.manager().close_all()?)
}

/// Reads both files by path.
fn read(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    let sample = sample()?;
    guide.say("Carol verifies the file. Commands take a path in place of an alias:")?;
    guide.run("carol", &["verify", "./one.db"])?;
    guide.run("carol", &["get", "./one.db", &sample])?;
    guide.run(
        "carol",
        &[
            "scan",
            "./one.db",
            "--prefix",
            "serde_",
            "--limit",
            "2",
            "--keys-only",
        ],
    )?;
    guide.say("A store type has methods, which `call` calls by name:")?;
    guide.run("carol", &["call", "./one.db", "count"])?;
    guide.say("A log has entries, ordered by time (those of one op have the same):")?;
    guide.run("alice", &["backup", LOG, "./two.db"])?;
    guide.run("carol", &["tail", "./two.db", "-n", "1"])?;
    Ok(())
}

/// Appends the remaining steps to the log, and reads it again.
fn look_back(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    append_steps(guide)?;
    guide.run("alice", &["call", LOG, "len"])?;
    guide.run("alice", &["tail", LOG, "-n", "5"])?;
    Ok(())
}

/// The key of the package that the tour shows.
pub(super) fn sample() -> Result<String, Failure> {
    packages::key_of(PACKAGE)
        .map_err(|error| Failure::failed(error.to_string()))?
        .ok_or_else(|| Failure::not_found(format!("{PACKAGE} is not in the lock file")))
}

/// The store that an alias names in a user's data directory.
fn store_id(guide: &Guide<'_, '_>, user: &str, alias: &str) -> Result<StoreId, Failure> {
    let aliases = Aliases::load(&guide.place(user))?;
    aliases
        .store(alias)
        .ok_or_else(|| Failure::not_found(format!("{user} has no alias {alias}")))
}

/// Opens a user's replica of the key-value store for writing.
pub(super) fn open_kv(guide: &Guide<'_, '_>, user: &str) -> Result<(Node, KvStore), Failure> {
    let id = store_id(guide, user, PACKAGES)?;
    let node = Node::open(guide.place(user))?;
    let kv = node.open_as(id, Access::ReadWrite)?;
    Ok((node, kv))
}
