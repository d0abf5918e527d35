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

/// The command after "`lattice " in what was said.
fn named(said: &str) -> Vec<String> {
    let rest = said.split_once("`lattice ").unwrap().1;
    let command = rest.split_once('`').unwrap().0;
    command.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_clone_gets_the_code_and_runs_it_only_once_it_is_trusted() {
    let home = TempDir::new().unwrap();
    let (alice, id) = chat(&home);
    let bob = home.path().join("bob");
    let place = format!("{alice}/lobby");
    let said = failed(&bob, 1, &["clone", &place]);
    assert!(
        said.contains("got code") && said.contains("is not trusted here"),
        "{said}"
    );
    let command = named(&said);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    assert_eq!(command[..2], ["code", "add"]);
    printed(&bob, &command);
    printed(&bob, &["clone", &place, "--alias", "lobby"]);
    let all = ["--json", "info", &id];
    let hash = |dir: &Path| {
        let info = printed(dir, &all);
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        info["state_hash"].as_str().unwrap().to_owned()
    };
    assert_eq!(hash(&bob), hash(Path::new(&alice)));
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
