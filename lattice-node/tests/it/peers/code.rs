//! Stores whose code comes from the peer.

use std::fs;
use std::path::Path;

use lattice_wasm::guests;
use tempfile::TempDir;

use crate::{copy_dir, lattice, printed};

/// A data directory with a chat of one message, and the chat's id.
fn chat(home: &TempDir) -> (String, String) {
    let module = home.path().join("chat.wasm");
    fs::write(&module, guests::CHAT).unwrap();
    let alice = home.path().join("alice");
    printed(&alice, &["code", "add", module.to_str().unwrap()]);
    let made = printed(&alice, &["create", "org.example.chat", "--alias", "lobby"]);
    printed(&alice, &["call", "lobby", "post", "room=tea", "text=one"]);
    (alice.to_str().unwrap().to_owned(), made.trim().to_owned())
}

fn failed(dir: &Path, code: i32, words: &[&str]) -> String {
    let output = lattice(dir, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn a_store_whose_code_is_lost_gets_it_from_the_peer() {
    let home = TempDir::new().unwrap();
    let (alice, id) = chat(&home);
    let bob = home.path().join("bob");
    copy_dir(Path::new(&alice), &bob);
    printed(&bob, &["identity", "new", "--yes"]);
    fs::remove_dir_all(bob.join("wasm")).unwrap();
    assert!(failed(&bob, 6, &["describe", &id]).contains("is missing"));
    printed(
        Path::new(&alice),
        &["call", "lobby", "post", "room=tea", "text=two"],
    );
    let said = printed(&bob, &["sync", "lobby", &alice]);
    assert!(said.contains("received 1 op"), "{said}");
    printed(&bob, &["describe", &id]);
}
