//! Stores that a data directory does not vouch for are read, and verified before they are used.

use std::fs;
use std::path::Path;

use super::{World, copy_raw, failed, json, noted, ops, with_forged_row, without_first_signature};
use crate::whole::filled;
use crate::{printed, state_db};

const UNVERIFIED: &str = "this store is unverified";

/// Puts the file of a store of another data directory where this one keeps its stores.
fn put_in(from: &Path, to: &Path, id: &str) {
    // The directory has its file of known stores from the first one on.
    printed(to, &["create", "core:logstore"]);
    copy_raw(&state_db(from, id), &state_db(to, id));
}

#[test]
fn a_file_that_was_copied_here_is_read_and_named_as_unverified() {
    let world = World::new();
    let (from, to) = (world.path("from"), world.path("to"));
    let id = filled(&from, 50);
    put_in(&from, &to, &id);
    let known = fs::read(to.join("known.toml")).unwrap();
    for read in [
        &["peek", &id][..],
        &["info", &id],
        &["get", &id, "key 7"],
        &["scan", &id],
        &["conflicts", &id],
        &["call", &id, "get", "key=key 7"],
        &["describe", &id],
        &["export", &id],
        &["history", &id],
        &["bundle", "tips", &id],
        &["watch", &id, "--all", "--limit", "1"],
        &["verify", &id, "--quick"],
        &["compact", &id],
        &["code", "why", &id],
        &["code", "prove", &id, "native"],
    ] {
        let said = noted(&to, read);
        assert_eq!(said.matches(UNVERIFIED).count(), 1, "{read:?}: {said}");
        assert!(said.contains(&format!("lattice verify {id}")), "{said}");
        assert!(!noted(&to, &[&["--json"], read].concat()).contains(UNVERIFIED));
    }
    assert_eq!(json(&to, &["info", &id])["verified"], false);
    let list = printed(&to, &["list"]);
    let lines: Vec<_> = list
        .lines()
        .filter(|line| line.ends_with("unverified"))
        .collect();
    assert!(
        matches!(&lines[..], [line] if line.starts_with(&id)),
        "{list}"
    );
    // Commands that read change no file.
    assert!(fs::read(to.join("known.toml")).unwrap() == known);
    noted(&to, &["verify", &id]);
    assert!(!noted(&to, &["get", &id, "key 7"]).contains(UNVERIFIED));
    assert_eq!(json(&to, &["info", &id])["verified"], true);
}

#[test]
fn the_first_use_of_an_unverified_store_verifies_it() {
    let world = World::new();
    let from = world.path("from");
    let id = filled(&from, 50);
    let bundle = world.file("from.bundle");
    printed(&from, &["bundle", "create", "kv", &bundle]);
    for (nth, used) in [
        &["put", &id, "a", "b"][..],
        &["del", &id, "key 7"],
        &["call", &id, "put", "key=a", "value=b"],
        &["backup", &id, &world.file("backup.db")],
        &["bundle", "create", &id, &world.file("other.bundle")],
        &["bundle", "apply", &bundle],
        &["migrate", &id, "--to", "core:kvstore"],
    ]
    .into_iter()
    .enumerate()
    {
        let to = world.path(&format!("to-{nth}"));
        put_in(&from, &to, &id);
        let said = noted(&to, used);
        assert!(said.contains("verifying it first"), "{used:?}: {said}");
        assert_eq!(json(&to, &["info", &id])["verified"], true, "{used:?}");
        // A forged file in its place is refused, unless the user insists.
        let to = world.path(&format!("forged-{nth}"));
        put_in(&from, &to, &id);
        without_first_signature(&state_db(&to, &id));
        let before = fs::read(state_db(&to, &id)).unwrap();
        for old in ["backup.db", "other.bundle"] {
            let _ = fs::remove_file(world.path(old));
        }
        let said = failed(&to, 4, used);
        assert!(
            said.contains("op at index 0") && said.contains("signature"),
            "{used:?}: {said}"
        );
        assert!(fs::read(state_db(&to, &id)).unwrap() == before, "{used:?}");
        assert!(!world.path("backup.db").exists() && !world.path("other.bundle").exists());
        if used[0] == "put" {
            let said = noted(&to, &[used, &["--trust"]].concat());
            assert!(said.contains("was not verified"), "{said}");
            assert_eq!(ops(&to, &id), 2);
            assert!(
                fs::read_to_string(to.join("known.toml"))
                    .unwrap()
                    .contains("trusted")
            );
        }
    }
}

#[test]
fn a_file_that_replaces_a_known_store_is_not_believed() {
    let world = World::new();
    let (here, liar) = (world.path("here"), world.path("liar"));
    let id = with_forged_row(&liar);
    // By the path of the file, and through a link, too.
    let file = state_db(&liar, &id);
    let link = world.path("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let said = failed(&here, 4, &["put", path.to_str().unwrap(), "a", "b"]);
        assert!(said.contains("was verified and refused"), "{said}");
    }
    // Over a known store: the same id, other contents.
    let bundle = world.file("x.bundle");
    printed(&liar, &["bundle", "create", &id, &bundle]);
    printed(&here, &["bundle", "apply", &bundle]);
    printed(&here, &["verify", &id]);
    printed(&here, &["put", &id, "b", "1"]);
    assert_eq!(json(&here, &["info", &id])["verified"], true);
    fs::copy(&file, state_db(&here, &id)).unwrap();
    // It has the op of the entry, and as many ops; its state hash differs.
    assert_eq!(json(&here, &["info", &id])["verified"], false);
    failed(&here, 4, &["put", &id, "c", "1"]);
}

#[test]
fn an_older_state_of_a_store_is_unverified() {
    let world = World::new();
    let here = world.path("here");
    let id = filled(&here, 50);
    let old = world.path("old.db");
    copy_raw(&state_db(&here, &id), &old);
    printed(&here, &["put", &id, "a", "b"]);
    printed(&here, &["verify", &id]);
    printed(&here, &["put", &id, "c", "d"]);
    assert_eq!(json(&here, &["info", &id])["verified"], true);
    fs::copy(&old, state_db(&here, &id)).unwrap();
    assert_eq!(json(&here, &["info", &id])["verified"], false);
}

#[test]
fn a_directory_without_the_file_enters_its_stores_once() {
    let world = World::new();
    let here = world.path("here");
    let id = filled(&here, 50);
    let known = here.join("known.toml");
    fs::remove_file(&known).unwrap();
    assert!(!noted(&here, &["get", &id, "key 7"]).contains(UNVERIFIED));
    assert_eq!(json(&here, &["info", &id])["verified"], true);
    assert!(!known.exists(), "a command that reads wrote the file");
    printed(&here, &["put", &id, "a", "b"]);
    let text = fs::read_to_string(&known).unwrap();
    let parsed: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(
        parsed["stores"][&id]["how"].as_str(),
        Some("entered"),
        "{text}"
    );
    // A file that comes later is not entered.
    let other = world.path("other");
    let late = filled(&other, 20);
    copy_raw(&state_db(&other, &late), &state_db(&here, &late));
    assert!(noted(&here, &["get", &late, "key 7"]).contains(UNVERIFIED));
    printed(&here, &["destroy", &id, "--yes"]);
    assert!(!fs::read_to_string(&known).unwrap().contains(&id));
}

#[test]
fn two_processes_that_use_an_unverified_store_both_succeed_or_say_why() {
    let world = World::new();
    let (from, to) = (world.path("from"), world.path("to"));
    let id = filled(&from, 500);
    put_in(&from, &to, &id);
    let copies: Vec<_> = (0..4)
        .map(|nth| world.file(&format!("copy-{nth}.db")))
        .collect();
    std::thread::scope(|threads| {
        for copy in &copies {
            threads.spawn(|| noted(&to, &["backup", &id, copy]));
        }
    });
    let text = fs::read_to_string(to.join("known.toml")).unwrap();
    assert_eq!(text.matches(&id).count(), 1, "{text}");
}
