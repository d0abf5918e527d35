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
    chapter(
        "A hot fix is accepted if a replay gives the same state",
        fix,
    ),
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

/// Proposes a module that computes the same state.
fn fix(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "hotfix.wasm is a new version of the code. Before the store changes to it, the program \
         applies all ops with it and compares what each op wrote. Dave's replica keeps its code \
         until he decides.",
    )?;
    guide.run("alice", &["code", "add", "./hotfix.wasm"])?;
    guide.run("alice", &["code", "upgrade", "lobby", "./hotfix.wasm"])?;
    Ok(())
}

/// Proposes a module that computes another state.
fn refuse(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("mistake.wasm stores texts in capitals, so that replicas would differ:")?;
    guide.run("alice", &["code", "add", "./mistake.wasm"])?;
    guide.run_refused("alice", &["code", "upgrade", "lobby", "./mistake.wasm"])?;
    guide.say("The store still uses the hot fix, and is intact:")?;
    guide.run("alice", &["verify", "lobby"])?;
    Ok(())
}
