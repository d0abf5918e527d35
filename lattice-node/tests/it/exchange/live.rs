//! `sync --live`.

use std::io::{BufRead, BufReader};

use super::{World, error, json, text};
use crate::eventually;

#[test]
fn what_is_written_on_either_side_is_soon_on_the_other() {
    let world = World::with(&["bob"]);
    let alice = world.dir("alice");
    let mut live = world.start("bob", &["--json", "sync", "kv", text(&alice), "--live"]);
    let mut lines = BufReader::new(live.child().stdout.take().unwrap()).lines();
    // Both are equal before anything is written.
    let first = lines.find_map(|line| {
        let state = json(&line.unwrap());
        (state["sync_state"] == "equal").then_some(state)
    });
    assert_eq!(first.unwrap()["ops"], 3);
    for key in ["a", "b", "c"] {
        world.put("alice", key);
        eventually("a key of alice", || world.has("bob", key));
        world.put("bob", &format!("{key} too"));
        eventually("a key of bob", || world.has("alice", &format!("{key} too")));
    }
    let ended = live.end("-INT");
    assert_eq!(ended.status.code(), Some(130));
    let error = error(&ended);
    let stands = error["stands"].as_str().unwrap();
    assert!(stands.starts_with("sent 3 ops ("), "{error}");
    assert!(stands.contains("received 3 ops ("), "{error}");
    assert!(
        error["next"].as_str().unwrap().contains("sync kv"),
        "{error}"
    );
    assert_eq!(world.hash("alice"), world.hash("bob"));
}

#[test]
fn it_connects_again_when_the_peer_was_gone() {
    let world = World::with(&["bob"]);
    let (serving, socket) = world.serve("alice", &["--any-author"]);
    let peer = format!("unix:{}", text(&socket));
    let live = world.start("bob", &["sync", "kv", &peer, "--live"]);
    world.put("alice", "before");
    eventually("the first op", || world.has("bob", "before"));
    serving.end("-KILL");
    world.put("alice", "between");
    world.put("bob", "too");
    let again = world.start("alice", &["serve", "--unix", text(&socket), "--any-author"]);
    eventually("the op of alice", || world.has("bob", "between"));
    eventually("the op of bob", || world.has("alice", "too"));
    drop(again);
    let ended = live.end("-TERM");
    assert_eq!(ended.status.code(), Some(143));
    let notes = super::errors(&ended);
    assert!(notes.contains("trying again in 1 s"), "{notes}");
}

/// A mistyped peer does not come later.
#[test]
fn a_peer_that_was_never_there_is_a_failure() {
    let world = World::new();
    let failed = world.run("alice", &["sync", "kv", "--live", "--via", "exit 7"]);
    assert_eq!(failed.status.code(), Some(1));
    let failed = world.run("alice", &["sync", "kv", "unix:/no/socket", "--live"]);
    assert_eq!(failed.status.code(), Some(3));
}
