//! Each way in which code can be refused: exit code, kind, and a message that names what helps.

use std::fs;

use super::*;

#[test]
fn every_refusal_has_its_code_its_kind_and_a_way_on() {
    let world = World::new();
    let dir = world.user("ann");
    let fails = |arguments: &[&str], code: i32, kind: &str, parts: &[&str]| {
        let found = refused(&dir, arguments);
        assert_eq!(
            (found.0, &*found.1),
            (code, kind),
            "{arguments:?}: {}",
            found.2
        );
        for part in parts {
            assert!(found.2.contains(part), "{arguments:?}: {}", found.2);
        }
    };
    let (chat, hotfix) = (module("chat"), module("chat_hotfix"));

    // A type that nothing here knows.
    fails(
        &["create", CHAT],
        6,
        "unknown_type",
        &["unknown store type", "code add FILE"],
    );

    // A module that breaks the rules, one of another type, one that is not trusted.
    let broken = world.user("broken.wasm");
    fs::create_dir_all(&dir).unwrap();
    fs::write(&broken, b"\0asm\x01\0\0\0").unwrap();
    fails(
        &["code", "add", broken.to_str().unwrap()],
        1,
        "failed",
        &["cannot be used as code"],
    );
    printed(&dir, &["code", "add", &chat]);
    printed(&dir, &["create", CHAT, "--alias", "lobby"]);
    printed(&dir, &["call", "lobby", "post", "room=tea", "text=hi"]);
    let words = ["upgrade", "lobby", &module("kvstore")];
    fails(&words, 2, "usage", &["core:kvstore", CHAT]);
    printed(&dir, &["code", "add", &module("logstore")]);
    fails(
        &["upgrade", "lobby", &cid("logstore")],
        2,
        "usage",
        &["core:logstore", CHAT],
    );
    fails(
        &["upgrade", "lobby", &hotfix],
        1,
        "failed",
        &["not trusted", "code add"],
    );

    // Code that computes another state.
    printed(&dir, &["code", "add", &module("chat_broken")]);
    let words = ["upgrade", "lobby", &cid("chat_broken")];
    fails(
        &words,
        4,
        "damaged",
        &["still uses", "first in op", "code prove"],
    );

    // A module of a later interface.
    let later = world.user("later.wasm");
    let bytes = fs::read(&chat).unwrap();
    let section = b"lattice.store";
    let at = bytes
        .windows(section.len())
        .position(|window| window == section)
        .unwrap();
    let mut newer = bytes.clone();
    newer[at + section.len()] = 9;
    fs::write(&later, newer).unwrap();
    fails(
        &["code", "add", later.to_str().unwrap()],
        6,
        "newer",
        &["version 9"],
    );

    // A cached module that was changed is set aside, and another source is used.
    let cached = dir.join("wasm").join(cid("chat"));
    let mut changed = fs::read(&cached).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&cached, &changed).unwrap();
    let read = ["call", "lobby", "read", "room=tea"];
    fails(
        &[&["--code", &hotfix][..], &read].concat(),
        6,
        "unknown_type",
        &["is missing", "damaged and was set aside", "code add"],
    );
    assert_eq!(fs::read(cached.with_extension("bad")).unwrap(), changed);
    assert!(printed(&dir, &[&["--code", &chat][..], &read].concat()).contains("hi"));

    // Without a publisher, the added module is the newest code. A list that cannot be read.
    let current = json(
        &dir,
        &[&["--code", &chat][..], &["upgrade", "lobby"]].concat(),
    );
    assert_eq!(current[0]["outcome"], "current");
    fs::write(dir.join("code.toml"), "types = 1").unwrap();
    fails(
        &read,
        4,
        "damaged",
        &["code.toml", "expected a table `types`, found integer"],
    );
}

#[test]
fn publishing_refuses_what_others_could_not_use() {
    let world = World::new();
    let (ann, _) = world.publisher("ann", "chat");
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let found = refused(&ann, arguments);
        assert!(
            found.0 == code && found.2.contains(part),
            "{arguments:?}: {found:?}"
        );
    };
    let (chat, hotfix) = (module("chat"), module("chat_hotfix"));
    let registry = ["--registry", "releases"];
    fails(
        &[&["code", "publish", &chat][..], &registry].concat(),
        1,
        "already published as release 1",
    );
    let long = "x".repeat(1_025);
    let words = [
        &["code", "publish", &hotfix, "--notes", &long][..],
        &registry,
    ]
    .concat();
    fails(&words, 1, "1024");
    printed(&ann, &["create", "core:logstore", "--alias", "log"]);
    fails(
        &["code", "publish", &hotfix, "--registry", "log"],
        2,
        "core:registry",
    );
    let words = [
        "code",
        "withdraw",
        &hotfix,
        "--registry",
        "releases",
        "--reason",
        "no",
    ];
    fails(&words, 3, "only its publisher");
    fails(
        &["code", "trust", CHAT, "54b3-144a"],
        2,
        "64 hexadecimal digits",
    );
}
