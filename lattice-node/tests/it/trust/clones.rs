//! Two copies of a data directory write as one author until one of them gets a new identity.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{World, failed, forks, json, noted, ops};
use crate::whole::filled;
use crate::{copy_dir, printed};

#[test]
fn clones_are_told_when_they_meet_and_one_gets_a_new_identity() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    let id = filled(&one, 50);
    copy_dir(&one, &two);
    // Nothing tells them apart before they meet.
    printed(&one, &["put", "kv", "a", "one"]);
    printed(&two, &["put", "kv", "a", "two"]);
    let bundle = |dir: &Path, name: &str| {
        let file = world.file(name);
        printed(dir, &["bundle", "create", "kv", &file]);
        file
    };
    let (of_one, of_two) = (bundle(&one, "1.bundle"), bundle(&two, "2.bundle"));
    let said = noted(&one, &["bundle", "apply", &of_two]);
    assert!(
        said.contains("another data directory writes as this author")
            && said.contains("lattice identity new"),
        "{said}"
    );
    assert_eq!(json(&two, &["bundle", "apply", &of_one])["forked"], 1);
    // Only ops that arrive now are counted.
    let again = json(&two, &["bundle", "apply", &of_one]);
    assert_eq!((&again["forked"], &again["known"]), (&0.into(), &2.into()));

    let before = printed(&two, &["identity"]);
    let said = failed(&two, 2, &["identity", "new"]);
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(printed(&two, &["identity"]), before);
    let new = json(&two, &["identity", "new", "--yes"]);
    let author = new["author"].as_str().unwrap().to_owned();
    assert_eq!(new["author_before"], before.trim());
    assert_eq!(printed(&two, &["identity"]).trim(), author);
    let kept = two.join("identity.key.before-1");
    assert_eq!(new["kept"], kept.to_str().unwrap());
    assert_eq!(
        fs::read(&kept).unwrap(),
        fs::read(one.join("identity.key")).unwrap()
    );
    for key in [&kept, &two.join("identity.key")] {
        assert_eq!(
            fs::metadata(key).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    // Both write on, and both have both histories.
    printed(&one, &["put", "kv", "b", "one"]);
    printed(&two, &["put", "kv", "c", "two"]);
    let (of_one, of_two) = (bundle(&one, "3.bundle"), bundle(&two, "4.bundle"));
    assert_eq!(json(&two, &["bundle", "apply", &of_one])["forked"], 0);
    let said = failed(&one, 1, &["bundle", "apply", &of_two]);
    assert!(
        said.contains(&author) && said.contains("--author"),
        "{said}"
    );
    let applied = json(&one, &["bundle", "apply", &of_two, "--author", &author]);
    assert_eq!(
        (&applied["forked"], &applied["rejected"]),
        (&0.into(), &serde_json::json!([]))
    );
    for dir in [&one, &two] {
        assert_eq!((ops(dir, &id), forks(dir, &id)), (5, 1));
        printed(dir, &["verify", "kv"]);
    }
    let state = |dir: &Path| json(dir, &["info", "kv"])["state_hash"].clone();
    assert_eq!(state(&one), state(&two));
    // A second one keeps both old keys.
    json(&two, &["identity", "new", "--yes"]);
    assert!(kept.exists() && two.join("identity.key.before-2").exists());
}

#[test]
fn own_ops_that_fork_nothing_are_no_clone() {
    let world = World::new();
    let (here, peer) = (world.path("here"), world.path("peer"));
    let id = filled(&here, 50);
    let (old, all) = (world.file("old.db"), world.file("all.bundle"));
    printed(&here, &["backup", "kv", &old]);
    printed(&here, &["put", "kv", "a", "1"]);
    printed(&here, &["bundle", "create", "kv", &all]);
    printed(&peer, &["bundle", "apply", &all]);
    printed(&here, &["restore", &old, "--yes"]);
    let back = json(&here, &["bundle", "apply", &all]);
    assert_eq!((&back["applied"], &back["forked"]), (&1.into(), &0.into()));
    // A replica that is made again has no history to fork.
    printed(&here, &["destroy", &id, "--yes"]);
    assert_eq!(json(&here, &["bundle", "apply", &all])["forked"], 0);
}

#[test]
fn a_directory_without_an_identity_gets_none_from_identity_new() {
    let world = World::new();
    let here = world.path("here");
    fs::create_dir(&here).unwrap();
    let said = failed(&here, 3, &["identity", "new", "--yes"]);
    assert!(said.contains("lattice identity --create"), "{said}");
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0);
}
