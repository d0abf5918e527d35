//! Publishers, users who trust them, and users who do not.

use std::fs;

use super::*;

/// Carries a module by hand, as a bundle with code does, without trust in it.
fn give(to: &Path, guest: &str) {
    let file = fs::read(module(guest)).unwrap();
    let dir = to.join("wasm");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(cid(guest)), file).unwrap();
}

#[test]
fn a_release_runs_once_its_publisher_is_trusted_and_is_upgraded_by_replay() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    let bob = world.user("bob");
    world.carry(&ann, "releases", &bob);

    // Without a terminal the error names the command.
    let (code, kind, message) = refused(&bob, &["create", CHAT, "--alias", "lobby"]);
    assert_eq!((code, &*kind), (1, "failed"), "{message}");
    let command = format!("`lattice code trust {CHAT} {key}`");
    assert!(message.contains(&command), "{message}");

    printed(&bob, &["code", "trust", CHAT, &key]);
    let (code, kind, message) = refused(&bob, &["create", CHAT, "--alias", "lobby"]);
    assert_eq!((code, &*kind), (6, "unknown_type"), "{message}");
    assert!(
        message.contains(&format!("{}, release 1", cid("chat"))),
        "{message}"
    );

    give(&bob, "chat");
    printed(&bob, &["create", CHAT, "--alias", "lobby"]);
    printed(&bob, &["call", "lobby", "post", "room=tea", "text=hi"]);
    let trusted = fs::read_to_string(bob.join("code.toml")).unwrap();
    assert!(trusted.contains("release = 1"), "{trusted}");
    assert!(
        !trusted.contains(&cid("chat")),
        "nothing was added: {trusted}"
    );

    // A newer release is announced, and opening does not take it.
    assert_eq!(publish(&ann, "chat_hotfix"), 2);
    world.carry(&ann, "releases", &bob);
    give(&bob, "chat_hotfix");
    printed(&bob, &["call", "lobby", "post", "room=tea", "text=still"]);
    let info = &json(&bob, &["info", "lobby"])[0];
    assert_eq!(info["logic_version"], cid("chat"));
    assert_eq!(info["newer"]["release"], 2);
    assert_eq!(info["newer"]["cid"], cid("chat_hotfix"));
    assert!(
        info["code"]
            .as_str()
            .unwrap()
            .contains("trusted: release 1 of"),
        "{info}"
    );

    // The policy ask needs an answer, the policy follow does not.
    let (code, kind, message) = refused(&bob, &["upgrade", "lobby"]);
    assert_eq!((code, &*kind), (2, "usage"), "{message}");
    assert_eq!(
        json(&bob, &["info", "lobby"])[0]["logic_version"],
        cid("chat")
    );
    printed(&bob, &["code", "trust", CHAT, &key, "--policy", "follow"]);
    let upgraded = &json(&bob, &["upgrade", "lobby"])[0];
    assert_eq!(
        (&upgraded["release"], &upgraded["recorded"]),
        (&2.into(), &cid("chat").into())
    );
    assert_eq!(upgraded["logic_version"], cid("chat_hotfix"));
    let verified = printed(&bob, &["verify", "lobby"]);
    assert!(verified.contains("ok: 2 ops replayed"), "{verified}");
    assert_eq!(json(&bob, &["info", "lobby"])[0]["newer"], Value::Null);

    // A release that computes another state is refused once, and not tried again.
    assert_eq!(publish(&ann, "chat_broken"), 3);
    world.carry(&ann, "releases", &bob);
    give(&bob, "chat_broken");
    let (code, kind, message) = refused(&bob, &["upgrade", "--all"]);
    assert_eq!((code, &*kind), (1, "failed"), "{message}");
    let all = json(&bob, &["upgrade", "--all"]);
    // The other store is the registry.
    let outcomes: Vec<_> = all.iter().map(|one| one["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("current"); 2]);
    let why = json(&bob, &["code", "why", "lobby"]);
    let outcomes: Vec<_> = why.iter().map(|line| line["outcome"].as_str()).collect();
    assert_eq!(
        outcomes,
        [Some("used"), Some("proven"), Some("refused"), None]
    );
    assert_eq!(
        (&why[2]["logic_version"], &why[2]["ops"]),
        (&cid("chat_broken").into(), &2.into())
    );
    assert_eq!(why[2]["op"].as_str().unwrap().len(), 64);
    assert_eq!(
        (&why[3]["logic_version"], &why[3]["newer"]),
        (&cid("chat_hotfix").into(), &Value::Null)
    );
    let text = printed(&bob, &["code", "why", "lobby"]);
    assert!(
        text.contains("a replay of 2 ops gave another state, first in op "),
        "{text}"
    );
}

#[test]
fn a_withdrawn_or_older_release_is_not_chosen_and_stores_keep_theirs() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    // What a peer that hides news would still show.
    let old = world.user("old.db");
    printed(&ann, &["backup", "releases", old.to_str().unwrap()]);
    publish(&ann, "chat_hotfix");
    printed(&ann, &["code", "trust", CHAT, &key]);
    printed(&ann, &["create", CHAT, "--alias", "second"]);
    let recorded = |store: &str| json(&ann, &["info", store])[0]["logic_version"].clone();
    assert_eq!(recorded("second"), cid("chat_hotfix"));

    let hotfix = module("chat_hotfix");
    let reason = ["--registry", "releases", "--reason", "loses messages"];
    printed(
        &ann,
        &[&["code", "withdraw", &hotfix][..], &reason].concat(),
    );
    let (code, _, message) = refused(
        &ann,
        &[&["code", "withdraw", &hotfix][..], &reason].concat(),
    );
    assert_eq!(code, 1, "{message}");
    // The store opens as before. A new one gets neither the withdrawn release nor an older one.
    printed(&ann, &["call", "second", "post", "room=tea", "text=hi"]);
    let (code, _, message) = refused(&ann, &["create", CHAT]);
    assert_eq!(code, 1);
    assert!(
        message.contains("older than one already used (release 2)"),
        "{message}"
    );
    printed(
        &ann,
        &[
            "code",
            "publish",
            &module("chat"),
            "--registry",
            "releases",
            "--release",
            "3",
        ],
    );
    printed(&ann, &["create", CHAT, "--alias", "third"]);
    assert_eq!(recorded("third"), cid("chat"));

    // A registry that was set back shows older releases only.
    printed(&ann, &["restore", old.to_str().unwrap(), "--yes"]);
    let (code, _, message) = refused(&ann, &["create", CHAT]);
    assert_eq!(code, 1);
    assert!(
        message.contains("older than one already used (release 3)"),
        "{message}"
    );
}

#[test]
fn a_second_publisher_of_a_type_gets_no_trust() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    let (eve, other) = world.publisher("eve", "chat_broken");
    let bob = world.user("bob");
    for from in [&ann, &eve] {
        world.carry(from, "releases", &bob);
    }
    for guest in ["chat", "chat_broken"] {
        give(&bob, guest);
    }
    // Both are named, and none is chosen.
    let (code, _, message) = refused(&bob, &["create", CHAT]);
    assert!(
        code == 1 && message.contains(&key) && message.contains(&other),
        "{message}"
    );
    printed(&bob, &["code", "trust", CHAT, &key]);
    printed(&bob, &["create", CHAT, "--alias", "lobby"]);
    assert_eq!(
        json(&bob, &["info", "lobby"])[0]["logic_version"],
        cid("chat")
    );

    // A store that the other's code made does not open.
    printed(&eve, &["code", "trust", CHAT, &other]);
    printed(&eve, &["create", CHAT, "--alias", "trap"]);
    let copy = world.user("trap.db");
    printed(&eve, &["backup", "trap", copy.to_str().unwrap()]);
    let copy = copy.to_str().unwrap();
    let (code, kind, message) = refused(&bob, &["call", copy, "read", "room=tea"]);
    assert_eq!((code, &*kind), (1, "needs_upgrade"), "{message}");
    let changed = format!("{} computed the state", cid("chat_broken"));
    assert!(message.contains(&changed), "{message}");
    printed(&bob, &["code", "untrust", CHAT]);
    let (code, _, message) = refused(&bob, &["call", copy, "read", "room=tea"]);
    let command = format!("`lattice code trust {CHAT} {other}`");
    assert!(code == 1 && message.contains(&command), "{message}");
}

#[test]
fn a_release_number_with_two_modules_is_a_conflict_and_is_not_chosen() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    // The same author publishes another module under the number in a second registry.
    printed(&ann, &["create", "core:registry", "--alias", "others"]);
    let hotfix = module("chat_hotfix");
    printed(&ann, &["code", "publish", &hotfix, "--registry", "others"]);
    printed(&ann, &["code", "trust", CHAT, &key]);
    let (code, _, message) = refused(&ann, &["create", CHAT]);
    assert!(
        code == 1 && message.contains("conflicts with another of its number"),
        "{message}"
    );
    // Numbers never go back within a registry.
    publish(&ann, "chat_broken");
    let words = [
        "code",
        "publish",
        &hotfix,
        "--registry",
        "releases",
        "--release",
        "2",
    ];
    let (code, _, message) = refused(&ann, &words);
    assert!(
        code == 1 && message.contains("at least 3, found 2"),
        "{message}"
    );
}

#[test]
fn a_pin_is_the_only_code_of_its_type() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    printed(&ann, &["code", "pin", CHAT, &module("chat_hotfix")]);
    let (code, _, message) = refused(&ann, &["code", "trust", CHAT, &key]);
    assert!(code == 2 && message.contains("code unpin"), "{message}");
    printed(&ann, &["create", CHAT, "--alias", "lobby"]);
    assert_eq!(
        json(&ann, &["info", "lobby"])[0]["logic_version"],
        cid("chat_hotfix")
    );
    printed(&ann, &["code", "add", &module("chat")]);
    let (code, _, message) = refused(&ann, &["upgrade", "lobby", &cid("chat")]);
    assert!(code == 1 && message.contains("is pinned to"), "{message}");
    let (code, _, message) = refused(&ann, &["code", "pin", CHAT, &module("kvstore")]);
    assert!(
        code == 2 && message.contains("not for org.example.chat"),
        "{message}"
    );

    // A pin that is in no source is named, with both ways on.
    fs::remove_file(ann.join("wasm").join(cid("chat_hotfix"))).unwrap();
    let (code, kind, message) = refused(&ann, &["call", "lobby", "read", "room=tea"]);
    assert_eq!((code, &*kind), (6, "unknown_type"), "{message}");
    assert!(
        message.contains("code unpin") && message.contains("code add"),
        "{message}"
    );
    printed(&ann, &["code", "unpin", CHAT]);
    // Another added module takes the store over, by a replay.
    printed(&ann, &["call", "lobby", "post", "room=tea", "text=hi"]);
    assert_eq!(
        json(&ann, &["info", "lobby"])[0]["logic_version"],
        cid("chat")
    );
}

#[test]
fn a_named_file_does_not_replace_a_pin() {
    let world = World::new();
    let dir = world.user("ann");
    printed(&dir, &["code", "add", &module("chat")]);
    printed(&dir, &["code", "pin", CHAT, &module("chat_hotfix")]);
    let file = module("chat");
    let named = |rest: &[&'static str]| [&["--code", &file][..], rest].concat();
    printed(&dir, &named(&["create", CHAT, "--alias", "lobby"]));
    printed(
        &dir,
        &named(&["call", "lobby", "post", "room=tea", "text=hi"]),
    );
    let why = json(&dir, &["code", "why", "lobby"]);
    assert_eq!(why.last().unwrap()["logic_version"], cid("chat_hotfix"));
}

/// The module of `upgrade` can come through a pipe, which is read once.
#[test]
fn a_store_is_upgraded_to_a_module_from_a_pipe() {
    use std::process::{Command, Stdio};
    let world = World::new();
    let dir = world.user("ann");
    for guest in ["chat_hotfix", "chat"] {
        printed(&dir, &["code", "add", &module(guest)]);
    }
    printed(&dir, &["create", CHAT, "--alias", "lobby"]);
    let file = fs::File::open(module("chat_hotfix")).unwrap();
    let upgraded = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", &dir)
        .args(["upgrade", "lobby", "-"])
        .stdin(Stdio::from(file))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&upgraded.stderr);
    assert!(upgraded.status.success(), "{errors}");
    let info = &json(&dir, &["info", "lobby"])[0];
    assert_eq!(info["logic_version"], cid("chat_hotfix"));
}

/// The sender of a bundle claims which code computed the state. The claim chooses no release that
/// the receiver would not choose.
#[test]
fn a_bundle_does_not_choose_an_older_or_withdrawn_release() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    publish(&ann, "chat_hotfix");
    let (bob, eve) = (world.user("bob"), world.user("eve"));
    world.carry(&ann, "releases", &bob);
    for guest in ["chat", "chat_hotfix"] {
        give(&bob, guest);
    }
    printed(&bob, &["code", "trust", CHAT, &key]);
    printed(&bob, &["create", CHAT]);
    printed(&eve, &["code", "add", &module("chat")]);
    printed(&eve, &["create", CHAT, "--alias", "evil"]);
    let bundle = world.user("evil.bundle");
    let path = bundle.to_str().unwrap();
    printed(&eve, &["bundle", "create", "evil", path, "--with-code"]);
    let applied = &json(&bob, &["bundle", "apply", path])[0];
    let store = applied["store_id"].as_str().unwrap();
    let logic = |store: &str| json(&bob, &["info", store])[0]["logic_version"].clone();
    assert_eq!(logic(store), cid("chat_hotfix"));

    // Nor while the newest is withdrawn: then there is nothing to choose.
    printed(&bob, &["destroy", store, "--yes"]);
    let hotfix = module("chat_hotfix");
    let words = [
        "code",
        "withdraw",
        &hotfix,
        "--registry",
        "releases",
        "--reason",
        "no",
    ];
    printed(&ann, &words);
    world.carry(&ann, "releases", &bob);
    let (code, _, message) = refused(&bob, &["bundle", "apply", path]);
    assert_eq!(code, 1, "{message}");
    assert!(
        message.contains("older than one already used (release 2)"),
        "{message}"
    );
}

#[test]
fn a_registry_that_cannot_be_read_could_withdraw_a_release() {
    let world = World::new();
    let (ann, key) = world.publisher("ann", "chat");
    printed(&ann, &["code", "trust", CHAT, &key]);
    printed(&ann, &["create", CHAT, "--alias", "lobby"]);
    let second = printed(&ann, &["create", "core:registry"]);
    let file = ann.join("stores").join(second.trim()).join("state.db");
    for damaged in ["garbage".as_bytes(), &fs::read(&file).unwrap()[..5_000]] {
        fs::write(&file, damaged).unwrap();
        let (code, _, message) = refused(&ann, &["create", CHAT]);
        assert_eq!(code, 1, "{message}");
        assert!(
            message.contains(second.trim()) && message.contains("withdraw"),
            "{message}"
        );
        // What a store records is not a choice.
        printed(&ann, &["call", "lobby", "post", "room=tea", "text=hi"]);
    }
    let max = u64::MAX.to_string();
    let hotfix = module("chat_hotfix");
    let words = [
        "code",
        "publish",
        &hotfix,
        "--registry",
        "releases",
        "--release",
        &max,
    ];
    let (code, _, message) = refused(&ann, &words);
    assert!(
        code == 1 && message.contains("at most 9223372036854775807"),
        "{message}"
    );
}
