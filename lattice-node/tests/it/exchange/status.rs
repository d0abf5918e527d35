//! `status` and `peers`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{World, json, text};
use crate::eventually;

fn lines(world: &World, name: &str, words: &[&str]) -> Vec<Value> {
    let printed = world.done(name, &[&["--json"], words].concat());
    printed.lines().map(json).collect()
}

/// The sessions of the only process that exchanges stores of a directory.
fn sessions(world: &World, name: &str) -> Vec<Value> {
    let all = lines(world, name, &["status"]);
    match &all[..] {
        [one] => one["sessions"].as_array().unwrap().clone(),
        others => panic!("{} processes", others.len()),
    }
}

fn files(world: &World, name: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(world.dir(name).join("running")).unwrap();
    all.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn processes_and_their_sessions_are_listed_until_they_end() {
    let world = World::with(&["bob"]);
    for name in ["alice", "bob"] {
        assert!(lines(&world, name, &["status"]).is_empty());
        let said = world.run(name, &["status"]);
        let note = String::from_utf8(said.stderr).unwrap();
        assert!(
            note.starts_with("no process exchanges stores of "),
            "{note}"
        );
    }
    let (serving, socket) = world.serve("alice", &["--any-author"]);
    eventually("the process of alice", || {
        lines(&world, "alice", &["status"]).len() == 1
    });
    let process = &lines(&world, "alice", &["status"])[0];
    assert_eq!(process["command"], "serve");
    assert_eq!(process["with"], text(&socket));
    assert_eq!(process["sessions"], Value::Array(Vec::new()));

    let peer = format!("unix:{}", text(&socket));
    let mut live = world.start("bob", &["sync", "kv", &peer, "--live"]);
    let number = live.child().id();
    world.put("alice", "one more");
    for (name, peer, [sent, received]) in [("alice", "bob", [1, 0]), ("bob", "alice", [0, 1])] {
        eventually("a live session", || {
            let sessions = sessions(&world, name);
            sessions.len() == 1 && sessions[0]["equal"] == true && {
                let counts = [&sessions[0]["sent"], &sessions[0]["received"]];
                counts == [sent, received]
            }
        });
        let session = &sessions(&world, name)[0];
        assert_eq!(session["peer"], world.key(peer), "{session}");
        assert_eq!(session["sending"], "live", "{session}");
        assert_eq!(session["taking"], "live", "{session}");
    }
    let bob = &lines(&world, "bob", &["status"])[0];
    assert_eq!(bob["process"], number);
    assert_eq!(bob["with"], peer);
    let shown = world.done("bob", &["status"]);
    assert!(shown.starts_with(&format!("sync with {peer}: process {number}, since ")));
    assert!(shown.contains("same ops"), "{shown}");

    // One that is killed leaves a file, which no longer counts.
    live.end("-KILL");
    assert_eq!(files(&world, "bob").len(), 1);
    assert!(lines(&world, "bob", &["status"]).is_empty());
    assert!(files(&world, "bob").is_empty());
    eventually("the end of the session", || {
        sessions(&world, "alice").is_empty()
    });
    serving.end("-TERM");
    assert!(files(&world, "alice").is_empty());
}

#[test]
fn peers_are_known_by_what_both_have() {
    let world = World::with(&["bob"]);
    let none = world.run("bob", &["peers"]);
    let note = String::from_utf8(none.stderr).unwrap();
    assert!(note.starts_with("no peer is known; "), "{note}");
    world.put("bob", "his");
    world.sync("bob", "alice");
    for (name, peer) in [("bob", "alice"), ("alice", "bob")] {
        let all = lines(&world, name, &["peers", "kv"]);
        let known = &all[0];
        assert_eq!(known["peer"], world.key(peer));
        assert_eq!(known["alias"], "kv");
        let counts = [&known["taken"], &known["given"], &known["ops"]];
        assert_eq!(counts, [4, 4, 4], "{known}");
        assert_eq!(lines(&world, name, &["peers"]), all);
        assert_eq!(all.len(), 1);
        let shown = world.done(name, &["peers"]);
        assert!(shown.starts_with("kv  "), "{shown}");
        assert!(shown.contains(&world.key(peer)), "{shown}");
    }
    // What is written later, the peer does not have.
    world.put("bob", "later");
    let known = &lines(&world, "bob", &["peers", "kv"])[0];
    assert_eq!([&known["given"], &known["ops"]], [4, 5], "{known}");
}

#[test]
fn a_store_that_cannot_be_read_does_not_hide_the_others() {
    let world = World::with(&["bob"]);
    world.put("alice", "more");
    world.sync("bob", "alice");
    let damaged = world.dir("bob").join("stores").join("0".repeat(8));
    fs::create_dir_all(&damaged).unwrap();
    fs::write(damaged.join("state.db"), b"no store").unwrap();
    let failed = world.run("bob", &["--json", "peers"]);
    let printed = String::from_utf8(failed.stdout).unwrap();
    let all: Vec<Value> = printed.lines().map(json).collect();
    assert!(all.iter().any(|line| line["taken"] == 4), "{printed}");
    let wrong = all.iter().find(|line| line["error"].is_object());
    assert_eq!(wrong.unwrap()["path"], text(&damaged), "{printed}");
    assert_eq!(failed.status.code(), Some(1));
}
