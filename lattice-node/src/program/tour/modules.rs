//! The chapters on code as data: a store type in a module.

use std::fs;

use lattice_wasm::guests;

use super::chapter::{Chapter, chapter};
use super::guide::Guide;
use crate::program::failure::Failure;

/// The modules and their file names in the tour's directory.
const FILES: [(&str, &[u8]); 3] = [
    ("chat.wasm", guests::CHAT),
    ("hotfix.wasm", guests::CHAT_HOTFIX),
    ("mistake.wasm", guests::CHAT_BROKEN),
];

pub(super) const CHAPTERS: &[Chapter] = &[
    chapter("The code of a store type can be a file, too", add),
    chapter("A store names the code that it needs", carry),
    chapter("A publisher announces code in a registry", publish),
    chapter("A receiver decides whose code runs", receive),
    chapter(
        "A hot fix is accepted if a replay gives the same state",
        fix,
    ),
    chapter("The publisher's hot fix arrives by bundle", follow),
    chapter("A second publisher of the type gets no trust", intrude),
    chapter("A version that computes another state is refused", refuse),
];

/// Adds a module and uses a store of its type.
fn add(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    for (file, wasm) in FILES {
        fs::write(guide.place(file), wasm)?;
    }
    guide.say(
        "chat.wasm is a WebAssembly module with a store type that this program does not know. \
         `code add` says that Alice trusts it. The name of code is its content id, the hash of its \
         bytes.",
    )?;
    guide.run("alice", &["code", "add", "./chat.wasm"])?;
    guide.run("alice", &["create", "org.example.chat", "--alias", "lobby"])?;
    guide.say("A sandbox runs the module. The usual commands work for its stores:")?;
    guide.run(
        "alice",
        &["call", "lobby", "post", "room=tea", "text=Anyone here?"],
    )?;
    guide.run("alice", &["history", "lobby"])?;
    Ok(())
}

/// Moves the store to a user without the module.
fn carry(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("Dave receives a copy of the store. His program lacks the code, and says which:")?;
    guide.run("alice", &["backup", "lobby", "./lobby.db"])?;
    guide.run_refused("dave", &["verify", "./lobby.db"])?;
    guide.say("He adds the code, to his cache. Now a replay of the history verifies the state:")?;
    guide.run("dave", &["code", "add", "./chat.wasm"])?;
    guide.run("dave", &["verify", "./lobby.db"])?;
    guide.run("dave", &["history", "./lobby.db"])?;
    Ok(())
}

/// Announces the module, and writes bundles of the registry and of a store with its code.
fn publish(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "A registry is a store in which publishers announce releases of code. The author of an \
         entry is its publisher, so a publisher is a key.",
    )?;
    guide.run("alice", &["create", "core:registry", "--alias", "releases"])?;
    let registry = ["--registry", "releases"];
    guide.run(
        "alice",
        &[&["code", "publish", "./chat.wasm"][..], &registry].concat(),
    )?;
    guide.say("Bundles carry the registry, and the code beside the ops of a store:")?;
    guide.run(
        "alice",
        &["bundle", "create", "releases", "./releases.bundle"],
    )?;
    let lobby = ["bundle", "create", "lobby", "./lobby.bundle", "--with-code"];
    guide.run("alice", &lobby)?;
    Ok(())
}

/// Applies both bundles in a directory that has never seen the type.
fn receive(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("Erin applies both. Code that came along does not run for that:")?;
    apply(guide, "./releases.bundle")?;
    let lobby = [
        "--quiet",
        "bundle",
        "apply",
        "./lobby.bundle",
        "--any-author",
    ];
    guide.run_refused("erin", &lobby)?;
    guide.say("On a terminal she is asked once. Elsewhere, she types what the message says:")?;
    let printed = guide.run_unseen("alice", &["identity"])?;
    let key = printed.trim();
    guide.run("erin", &["code", "trust", "org.example.chat", key])?;
    let printed = guide.run(
        "erin",
        &["bundle", "apply", "./lobby.bundle", "--any-author"],
    )?;
    let id = printed.lines().last().and_then(|id| id.get(..8));
    let id = id.ok_or_else(|| Failure::failed(format!("not a store id: {printed}")))?;
    guide.run("erin", &["alias", "set", id, "lobby"])?;
    Ok(())
}

/// Applies a bundle for Erin, and prints the store's id only.
fn apply(guide: &mut Guide<'_, '_>, bundle: &str) -> Result<(), Failure> {
    let words = ["--quiet", "bundle", "apply", bundle, "--any-author"];
    guide.run("erin", &words)?;
    Ok(())
}

/// Publishes the fix; the receiver proves and takes it.
fn follow(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    let publish = ["code", "publish", "./hotfix.wasm", "--registry", "releases"];
    guide.run("alice", &publish)?;
    let quiet = ["--quiet", "bundle", "create"];
    guide.run(
        "alice",
        &[&quiet[..], &["releases", "./releases-2.bundle"]].concat(),
    )?;
    let with_code = ["lobby", "./lobby-2.bundle", "--with-code"];
    guide.run("alice", &[&quiet[..], &with_code].concat())?;
    guide.say("Erin's store still opens with the release that it records, without a replay:")?;
    apply(guide, "./releases-2.bundle")?;
    apply(guide, "./lobby-2.bundle")?;
    guide.run("erin", &["history", "lobby"])?;
    guide.say("She takes the newer one, which a replay of her own history must prove:")?;
    guide.run("erin", &["upgrade", "lobby", "--yes"])?;
    Ok(())
}

/// Another publisher announces a module for the same type.
fn intrude(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("A type's name has no owner. Mallory publishes other code for it:")?;
    guide.run("mallory", &["create", "core:registry", "--alias", "mine"])?;
    let publish = ["code", "publish", "./mistake.wasm", "--registry", "mine"];
    guide.run("mallory", &publish)?;
    guide.run(
        "mallory",
        &["--quiet", "bundle", "create", "mine", "./mallory.bundle"],
    )?;
    guide.say("Erin's stores, old and new, use code of the publisher whom she trusts:")?;
    apply(guide, "./mallory.bundle")?;
    guide.run("erin", &["upgrade", "lobby", "--yes"])?;
    let printed = guide.run("erin", &["create", "org.example.chat"])?;
    let id = printed.trim().get(..8);
    let id = id.ok_or_else(|| Failure::failed(format!("not a store id: {printed}")))?;
    guide.run("erin", &["code", "why", id])?;
    Ok(())
}

/// Proposes a module that computes the same state.
fn fix(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "hotfix.wasm is a new version of the code. Before the store changes to it, the program \
         applies all ops with it and compares what each op wrote. Dave's replica keeps its code \
         until he decides.",
    )?;
    guide.run("alice", &["code", "add", "./hotfix.wasm"])?;
    guide.run("alice", &["upgrade", "lobby", "./hotfix.wasm"])?;
    Ok(())
}

/// Proposes a module that computes another state.
fn refuse(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("mistake.wasm stores texts in capitals, so that replicas would differ:")?;
    guide.run("alice", &["code", "add", "./mistake.wasm"])?;
    guide.run_refused("alice", &["upgrade", "lobby", "./mistake.wasm"])?;
    guide.say("The store still uses the hot fix, and is intact:")?;
    guide.run("alice", &["verify", "lobby"])?;
    Ok(())
}
