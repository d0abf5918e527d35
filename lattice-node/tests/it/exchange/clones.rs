//! New replicas of a peer's stores.

use super::{World, error, errors, json, text};

#[test]
fn a_clone_is_a_replica_under_a_name_of_its_own() {
    let world = World::new();
    let place = format!("{}/kv", text(&world.dir("alice")));
    let id = json(&world.done("alice", &["--json", "peek", "kv"]))["store_id"].clone();
    let id = id.as_str().unwrap();
    let printed = world.done("bob", &["clone", &place, "--alias", "kv"]);
    assert_eq!(printed, format!("{id}\n"));
    assert_eq!(world.hash("alice"), world.hash("bob"));
    // What was written there since comes with the next one.
    world.put("alice", "4");
    let by_id = format!("{}/{id}", text(&world.dir("alice")));
    let again = json(&world.done("bob", &["--json", "clone", &by_id]));
    assert_eq!(
        (&again["new_replica"], &again["received"]),
        (&false.into(), &1.into())
    );
    assert!(world.has("bob", "4"));
    // The owner takes what is written to the clone.
    world.put("bob", "b");
    world.sync("bob", "alice");
    assert!(world.has("alice", "b"));
}

#[test]
fn a_clone_comes_through_a_command_and_a_socket() {
    let world = World::new();
    let via = world.serving("alice", "--read-only");
    world.done("bob", &["clone", "kv", "--via", &via, "--alias", "kv"]);
    let (_serving, socket) = world.serve("alice", &[]);
    let place = format!("unix:{}/kv", text(&socket));
    let made = json(&world.done("carol", &["--json", "clone", &place, "--alias", "kv"]));
    assert_eq!(
        (&made["alias"], &made["new_replica"]),
        (&"kv".into(), &true.into())
    );
    assert_eq!(made["sync_state"], "equal");
    assert_eq!(world.hash("bob"), world.hash("carol"));
}

#[test]
fn what_cannot_be_cloned_leaves_nothing() {
    let world = World::new();
    let place = format!("{}/nothing", text(&world.dir("alice")));
    let failed = world.run("bob", &["--json", "clone", &place]);
    assert_eq!(failed.status.code(), Some(3), "{}", errors(&failed));
    assert_eq!(error(&failed)["kind"], "no_store");
    // An alias that is taken is refused before anything is made.
    world.done("bob", &["create", "core:kvstore", "--alias", "kv"]);
    let place = format!("{}/kv", text(&world.dir("alice")));
    let failed = world.run("bob", &["--json", "clone", &place, "--alias", "kv"]);
    assert_eq!(failed.status.code(), Some(2), "{}", errors(&failed));
    let list = world.done("bob", &["--json", "list"]);
    assert_eq!(list.lines().count(), 1, "{list}");
}

/// The module comes from the peer, and runs once it is trusted.
#[cfg(feature = "wasm")]
#[test]
fn a_store_of_a_module_comes_with_its_code() {
    let world = World::new();
    let module = world.dir("chat.wasm");
    std::fs::write(&module, lattice_wasm::guests::CHAT).unwrap();
    let cid = lattice_meta::Cid::of(lattice_wasm::guests::CHAT).to_string();
    world.done("alice", &["code", "add", text(&module)]);
    world.done("alice", &["create", "org.example.chat", "--alias", "lobby"]);
    world.done("alice", &["call", "lobby", "post", "room=tea", "text=one"]);
    let place = format!("{}/lobby", text(&world.dir("alice")));
    let failed = world.run("bob", &["clone", &place, "--alias", "lobby"]);
    assert_eq!(failed.status.code(), Some(1), "{}", errors(&failed));
    let said = errors(&failed);
    assert!(
        said.contains(&format!("got code {cid} for org.example.chat")),
        "{said}"
    );
    assert!(said.contains("not trusted"), "{said}");
    let kept = world.dir("bob").join("wasm").join(&cid);
    assert!(
        said.contains(&format!("`lattice code add {}`", text(&kept))),
        "{said}"
    );
    assert!(world.done("bob", &["list"]).is_empty());
    world.done("bob", &["code", "add", text(&kept)]);
    world.done("bob", &["clone", &place, "--alias", "lobby"]);
    let read = world.done("bob", &["call", "lobby", "read", "room=tea"]);
    assert!(read.contains("one"), "{read}");
}
