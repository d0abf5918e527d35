//! Commands that write beside `sync --live`, and stores whose code differs.

use std::fs;
use std::time::{Duration, Instant};

use lattice_wasm::guests;

use super::{World, errors, json, text};
use crate::eventually;

/// How long a put may wait. On a quiet machine it is a tenth of it.
const LONGEST: Duration = Duration::from_secs(6);
const PUTS: usize = 100;

#[test]
fn two_hundred_puts_succeed_beside_a_live_exchange() {
    let world = World::with(&["bob"]);
    let alice = world.dir("alice");
    let live = world.start("bob", &["sync", "kv", text(&alice), "--live"]);
    world.put("alice", "begin");
    eventually("the first op", || world.has("bob", "begin"));
    let put_all = |name: &str| {
        let times = (0..PUTS).map(|nth| {
            let begun = Instant::now();
            world.put(name, &format!("{name} {nth}"));
            begun.elapsed()
        });
        times.max().unwrap()
    };
    let longest = std::thread::scope(|scope| {
        let both = ["alice", "bob"].map(|name| scope.spawn(move || put_all(name)));
        both.map(|one| one.join().unwrap())
    });
    eprintln!("the longest of 200 puts beside a live exchange: {longest:?}");
    assert!(longest.iter().all(|one| *one < LONGEST), "{longest:?}");
    for (name, other) in [("alice", "bob"), ("bob", "alice")] {
        let last = format!("{other} {}", PUTS - 1);
        eventually("the last put", || world.has(name, &last));
    }
    eventually("the same state", || {
        world.hash("alice") == world.hash("bob")
    });
    let ended = live.end("-INT");
    let said = errors(&ended);
    assert!(said.contains("sent 100 ops"), "{said}");
    assert!(said.contains("received 101 ops"), "{said}");
    for name in ["alice", "bob"] {
        let keys = world.done(name, &["scan", "kv", "--keys-only"]);
        assert_eq!(keys.lines().count(), 3 + 1 + 2 * PUTS);
        assert!(world.done(name, &["verify", "kv"]).starts_with("ok: "));
    }
}

/// Code that agrees with the history so far, and turns later: the states differ, and both sides
/// say so.
#[test]
fn the_same_ops_with_another_state_are_reported_with_the_first_op_that_differs() {
    let world = World::new();
    let modules = [("alice", guests::CHAT), ("bob", guests::CHAT_BROKEN)];
    for (name, wasm) in modules {
        let file = world.dir(&format!("{name}.wasm"));
        fs::write(&file, wasm).unwrap();
        world.done(name, &["code", "add", text(&file)]);
    }
    world.done("alice", &["create", "org.example.chat", "--alias", "chat"]);
    let bundle = world.dir("chat.bundle");
    world.done("alice", &["bundle", "create", "chat", text(&bundle)]);
    world.done(
        "bob",
        &["bundle", "apply", text(&bundle), "--alias", "chat"],
    );
    let alice = world.dir("alice");
    let post = |text: &str| world.done("alice", &["call", "chat", "post", "room=tea", text]);
    // Capitals are the same in both.
    post("text=ONE");
    let said = world.done("bob", &["sync", "chat", text(&alice)]);
    assert!(said.contains("equal, 1 op"), "{said}");
    post("text=TWO");
    post("text=three");
    let failed = world.run("bob", &["--json", "sync", "chat", text(&alice)]);
    assert_eq!(failed.status.code(), Some(4), "{}", errors(&failed));
    let error = super::error(&failed);
    let state = json(&String::from_utf8(failed.stdout).unwrap());
    assert_eq!(state["sync_state"], "diverged", "{state}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("for the same ops"), "{message}");
    assert!(
        message.contains("the first op with another effect has position 2"),
        "{message}"
    );
    // Nothing is lost, and each side is as its own code says.
    for name in ["alice", "bob"] {
        assert!(world.done(name, &["verify", "chat"]).starts_with("ok: "));
    }
}
