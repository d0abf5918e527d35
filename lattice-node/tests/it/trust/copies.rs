//! An author who may have written more than a copy has does not write to it without a word.

use std::fs;
use std::path::Path;

use super::{World, failed, forks, json, noted, ops};
use crate::whole::filled;
use crate::{lattice, printed};

const REFUSED: &str = "is a copy";

/// A data directory whose store `kv` was restored from a copy and has lost an op, which a replica
/// in another directory has.
fn restored(world: &World) -> String {
    let (here, peer) = (world.path("here"), world.path("peer"));
    let id = filled(&here, 50);
    let copy = world.file("copy.db");
    printed(&here, &["backup", "kv", &copy]);
    printed(&here, &["put", "kv", "lost", "1"]);
    let bundle = world.file("all.bundle");
    printed(&here, &["bundle", "create", "kv", &bundle]);
    printed(&peer, &["bundle", "apply", &bundle]);
    printed(&here, &["restore", &copy, "--yes"]);
    assert_eq!(json(&here, &["info", "kv"])["copy"], true);
    id
}

fn tips(world: &World, dir: &Path, id: &str, name: &str) -> String {
    let file = world.file(name);
    fs::write(&file, printed(dir, &["bundle", "tips", id])).unwrap();
    file
}

#[test]
fn every_command_that_writes_refuses_until_it_is_to_continue() {
    let world = World::new();
    let id = restored(&world);
    let here = world.path("here");
    let rows = world.file("rows.jsonl");
    fs::write(&rows, "{\"key\":\"a\",\"value\":\"b\"}\n").unwrap();
    let writes = [
        &["put", "kv", "a", "b"][..],
        &["del", "kv", "key 7"],
        &["call", "kv", "put", "key=a", "value=b"],
        &["import", "kv", &rows],
        &["import", "kv", &rows, "--atomic"],
    ];
    for write in writes {
        let said = failed(&here, 1, write);
        assert!(
            said.contains(REFUSED) && said.contains("--continue") && said.contains("bundle apply"),
            "{write:?}: {said}"
        );
        assert_eq!(ops(&here, &id), 1, "{write:?}");
    }
    printed(&here, &["put", "kv", "a", "b", "--continue"]);
    // Once is enough.
    for write in writes {
        printed(&here, write);
    }
    assert_eq!(json(&here, &["info", "kv"])["copy"], false);
    printed(&here, &["verify", "kv"]);
    // The lost op is in the replica: now the author has forked, and that is said.
    let bundle = world.file("peer.bundle");
    printed(&world.path("peer"), &["bundle", "create", &id, &bundle]);
    let said = noted(&here, &["bundle", "apply", &bundle]);
    assert!(said.contains("lattice identity new"), "{said}");
    assert_eq!(forks(&here, &id), 1);
}

#[test]
fn log_stores_and_backups_by_path_are_guarded() {
    let world = World::new();
    let here = world.path("here");
    printed(&here, &["create", "core:logstore", "--alias", "log"]);
    printed(&here, &["append", "log", "one"]);
    let copy = world.file("log.db");
    printed(&here, &["backup", "log", &copy]);
    let said = failed(&here, 1, &["append", &copy, "two"]);
    assert!(said.contains(REFUSED), "{said}");
    assert_eq!(ops(&here, &copy), 1);
    // A copy of the copy is a copy.
    let again = world.file("again.db");
    printed(&here, &["backup", &copy, &again]);
    failed(&here, 1, &["append", &again, "two"]);
    printed(&here, &["append", &copy, "two", "--continue"]);
    printed(&here, &["append", "log", "two"]);
    // It stays one through a rebuild and a compaction.
    printed(&here, &["rebuild", &again]);
    printed(&here, &["compact", &again]);
    printed(&here, &["verify", &again]);
    failed(&here, 1, &["append", &again, "two"]);
    // A migration makes a store of its own.
    let migrated = printed(&here, &["migrate", &again, "--to", "core:logstore"]);
    printed(&here, &["append", migrated.trim(), "three"]);
}

#[test]
fn a_bundle_that_brings_the_lost_op_confirms_the_copy() {
    let world = World::new();
    let id = restored(&world);
    let (here, peer) = (world.path("here"), world.path("peer"));
    let since = tips(&world, &here, &id, "here.tips");
    let news = world.file("news.bundle");
    printed(&peer, &["bundle", "create", &id, &news, "--since", &since]);
    let applied = json(&here, &["bundle", "apply", &news]);
    assert_eq!(
        (&applied["applied"], &applied["copy_state"]),
        (&1.into(), &"confirmed".into())
    );
    printed(&here, &["put", "kv", "a", "b"]);
    assert_eq!((ops(&here, &id), forks(&here, &id)), (3, 0));
    printed(&here, &["verify", "kv"]);
}

#[test]
fn a_bundle_that_leaves_this_author_out_confirms_nothing() {
    let world = World::new();
    let id = restored(&world);
    let (here, peer) = (world.path("here"), world.path("peer"));
    // The replica's ops since its own tips of before: none of this author.
    let since = tips(&world, &peer, &id, "peer.tips");
    printed(&peer, &["put", &id, "theirs", "1"]);
    let news = world.file("news.bundle");
    printed(&peer, &["bundle", "create", &id, &news, "--since", &since]);
    let applied = lattice(&here, &["--json", "bundle", "apply", &news, "--any-author"]);
    let applied: serde_json::Value = serde_json::from_slice(&applied.stdout).unwrap();
    assert_eq!(applied["copy_state"], "unconfirmed", "{applied}");
    failed(&here, 1, &["put", "kv", "a", "b"]);
}

#[test]
fn the_tips_of_a_replica_confirm_a_copy_that_lacks_nothing() {
    let world = World::new();
    let id = restored(&world);
    let (here, peer) = (world.path("here"), world.path("peer"));
    let since = tips(&world, &peer, &id, "peer.tips");
    let said = noted(
        &here,
        &[
            "bundle",
            "create",
            "kv",
            &world.file("1.bundle"),
            "--since",
            &since,
        ],
    );
    assert!(
        said.contains("which this copy lacks") && said.contains("bundle apply"),
        "{said}"
    );
    failed(&here, 1, &["put", "kv", "a", "b"]);
    // A copy as new as the replica.
    let all = world.file("again.bundle");
    printed(&peer, &["bundle", "create", &id, &all]);
    printed(&here, &["bundle", "apply", &all]);
    let copy = world.file("new.db");
    printed(&here, &["backup", "kv", &copy]);
    printed(&here, &["restore", &copy, "--yes"]);
    failed(&here, 1, &["put", "kv", "a", "b"]);
    let said = noted(
        &here,
        &[
            "bundle",
            "create",
            "kv",
            &world.file("2.bundle"),
            "--since",
            &since,
        ],
    );
    assert!(said.contains("the copy is confirmed"), "{said}");
    printed(&here, &["put", "kv", "a", "b"]);
    assert_eq!(forks(&here, &id), 0);
}

#[test]
fn an_owner_without_ops_is_guarded_and_a_foreign_author_is_not() {
    let world = World::new();
    let (here, other) = (world.path("here"), world.path("other"));
    let id = printed(&here, &["create", "core:kvstore", "--alias", "kv"]);
    let id = id.trim();
    let copy = world.file("empty.db");
    printed(&here, &["backup", "kv", &copy]);
    printed(&here, &["put", "kv", "a", "1"]);
    printed(&here, &["restore", &copy, "--yes"]);
    let said = failed(&here, 1, &["put", "kv", "a", "1"]);
    assert!(said.contains(REFUSED), "{said}");
    // Another node restores it, and writes as often as it likes.
    printed(&other, &["restore", &copy]);
    for nth in ["1", "2", "3"] {
        printed(&other, &["put", id, "theirs", nth]);
    }
    printed(&other, &["verify", id]);
    // Its own backup guards it.
    let theirs = world.file("theirs.db");
    printed(&other, &["backup", id, &theirs]);
    failed(&other, 1, &["put", &theirs, "theirs", "4"]);
    printed(&here, &["put", &theirs, "mine", "4", "--continue"]);
}

#[test]
fn an_author_of_whom_the_copy_has_no_op_is_guarded_where_it_has_written_before() {
    let world = World::new();
    let (owner, here) = (world.path("owner"), world.path("here"));
    let id = filled(&owner, 50);
    let (bundle, copy) = (world.file("all.bundle"), world.file("copy.db"));
    printed(&owner, &["bundle", "create", "kv", &bundle]);
    printed(&owner, &["backup", "kv", &copy]);
    printed(&here, &["bundle", "apply", &bundle]);
    printed(&here, &["put", &id, "mine", "1"]);
    printed(&here, &["restore", &copy, "--yes"]);
    let said = failed(&here, 1, &["put", &id, "mine", "2"]);
    assert!(said.contains(REFUSED), "{said}");
}

#[test]
fn a_key_that_cannot_be_read_keeps_no_store_from_being_copied() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new();
    let here = world.path("here");
    let id = filled(&here, 50);
    let key = here.join("identity.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let copy = world.file("copy.db");
    let said = noted(&here, &["backup", &id, &copy]);
    assert!(said.contains("identity.key"), "{said}");
    noted(&here, &["restore", &copy, "--yes"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    failed(&here, 1, &["put", &id, "a", "b"]);
}
