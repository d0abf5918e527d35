//! Code as data: a store type in a module.

use std::fs;

use lattice_wasm::guests;

use super::guide::{Guide, path, word};
use super::walk::on;
use crate::program::failure::Failure;

/// The modules and their file names in the tour's directory.
const FILES: [(&str, &[u8]); 3] = [
    ("chat.wasm", guests::CHAT),
    ("hotfix.wasm", guests::CHAT_HOTFIX),
    ("mistake.wasm", guests::CHAT_BROKEN),
];

/// Adds a module, uses a store of its type, and moves the store to a directory without the module.
pub(super) fn add_and_move(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.heading("A store type can come as a module, which is data too")?;
    guide.say(
        "The file chat.wasm has the code of a store type that this program does not know. \
         `code add` says that it may run here. Its name is the hash of its bytes, its content id.",
    )?;
    for (file, wasm) in FILES {
        fs::write(guide.place(file), wasm)?;
    }
    let mut add = on("alice", ["code", "add"]);
    add.push(path("chat.wasm"));
    guide.run(&add)?;
    let create = ["create", "org.example.chat", "--alias", "lobby"];
    let printed = guide.run(&on("alice", create))?;
    let id = printed.trim();
    let mut post = on("alice", ["call", "lobby", "post", "room=tea"]);
    post.push(word("text=Anyone here?"));
    guide.run(&post)?;
    guide.run(&on("alice", ["history", "lobby"]))?;

    guide.heading("The store names its code, and waits for it")?;
    let mut backup = on("alice", ["backup", "lobby"]);
    backup.push(path("lobby.db"));
    guide.run(&backup)?;
    guide.say("Dave restores the copy. His directory lacks the code, and says so:")?;
    let on_dave = |words: &[&'static str]| {
        let mut words = on("dave", words.iter().copied());
        words.push(word(&id[..8]));
        words
    };
    let mut restore = on("dave", ["restore"]);
    restore.push(path("lobby.db"));
    guide.run_refused(&restore)?;
    let mut add = on("dave", ["code", "add"]);
    add.push(path("chat.wasm"));
    guide.run(&add)?;
    guide.run(&restore)?;
    guide.run(&on_dave(&["verify"]))?;
    let mut read = on_dave(&["call"]);
    read.extend([word("read"), word("room=tea")]);
    guide.run(&read)?;
    Ok(())
}

/// Proposes two other modules for the store: one computes the same state, the other does not.
pub(super) fn fix(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.heading("A replay decides whether a new version of the code is a hot fix")?;
    let file = |command, words: &[&'static str], file| {
        let words = ["code", command].into_iter().chain(words.iter().copied());
        let mut words = on("alice", words);
        words.push(path(file));
        words
    };
    guide.run(&file("add", &[], "hotfix.wasm"))?;
    guide.run(&file("upgrade", &["lobby"], "hotfix.wasm"))?;
    guide
        .say("The next version stores each text in capitals, so it computes a different state:")?;
    guide.run(&file("add", &[], "mistake.wasm"))?;
    guide.run_refused(&file("upgrade", &["lobby"], "mistake.wasm"))?;
    guide.run(&on("alice", ["verify", "lobby"]))?;
    Ok(())
}
