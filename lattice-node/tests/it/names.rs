//! Which store a command means.

use std::fs;
use std::path::Path;
use std::process::Output;

use lattice_meta::StoreId;
use serde_json::Value;

use crate::{lattice, printed};

fn create(dir: &Path, alias: &str) -> String {
    let id = printed(dir, &["create", "core:kvstore", "--alias", alias]);
    id.trim().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn failed(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let output = lattice(dir, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}",
        said(&output)
    );
    said(&output)
}

fn json(dir: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(dir, &[&["--json"], arguments].concat())).unwrap()
}

/// A name of hex digits names its store, also if an id begins so.
#[test]
fn a_name_wins_over_the_beginning_of_an_id() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let first = create(dir, "first");
    let prefix: String = first
        .chars()
        .filter(|digit| *digit != '-')
        .take(8)
        .collect();
    let second = create(dir, &prefix);
    assert_eq!(json(dir, &["info", &prefix])["store_id"], second);
    assert_eq!(json(dir, &["info", &first])["store_id"], first);
    printed(dir, &["put", &prefix, "a", "b"]);
    assert_eq!(printed(dir, &["get", &second, "a"]), "b");
    printed(dir, &["alias", "remove", &prefix]);
    assert_eq!(json(dir, &["info", &prefix])["store_id"], first);
}

#[test]
fn commands_that_change_a_store_need_eight_digits() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = create(dir, "fruit");
    printed(dir, &["put", "fruit", "apple", "red"]);
    let digits: String = id.chars().filter(|digit| *digit != '-').collect();
    let (seven, eight) = (&digits[..7], &digits[..8]);
    assert_eq!(printed(dir, &["get", &digits[..4], "apple"]), "red");
    printed(dir, &["call", seven, "get", "key=apple"]);
    let rows = dir.join("rows.jsonl");
    fs::write(&rows, "{\"key\":\"x\",\"value\":\"y\"}\n").unwrap();
    let rows = rows.to_str().unwrap();
    for words in [
        &["put", seven, "a", "b"][..],
        &["del", seven, "apple"],
        &["call", seven, "put", "key=a", "value=b"],
        &["batch", seven, rows],
        &["import", seven, rows],
        &["upgrade", seven],
        &["rebuild", seven],
        &["compact", seven],
        &["destroy", seven, "--yes"],
    ] {
        let said = failed(dir, 2, words);
        assert!(said.contains("at least 8 hex digits"), "{words:?}: {said}");
        assert!(said.contains(&id), "{words:?}: {said}");
    }
    assert_eq!(json(dir, &["info", "fruit"])["ops"], 1);
    printed(dir, &["put", eight, "a", "b"]);
    printed(dir, &["destroy", eight, "--yes"]);
    failed(dir, 3, &["info", "fruit"]);
}

#[test]
fn a_file_that_is_there_is_suggested() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    create(dir, "fruit");
    printed(
        dir,
        &["backup", "fruit", dir.join("my fruit.db").to_str().unwrap()],
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .current_dir(dir)
        .args(["peek", "my fruit.db"])
        .output()
        .unwrap();
    let said = said(&output);
    assert!(
        said.contains("did you mean the file './my fruit.db'?"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn restored_and_received_stores_get_the_name_that_the_user_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    let id = create(&here, "fruit");
    printed(&here, &["put", "fruit", "a", "b"]);
    let (copy, bundle) = (dir.path().join("copy.db"), dir.path().join("fruit.bundle"));
    let (copy, bundle) = (copy.to_str().unwrap(), bundle.to_str().unwrap());
    printed(&here, &["backup", "fruit", copy]);
    printed(&here, &["bundle", "create", "fruit", bundle]);

    // A bundle brings no name along.
    printed(&there, &["bundle", "apply", bundle, "--any-author"]);
    assert_eq!(printed(&there, &["alias"]), "");
    let other = create(&there, "other");
    let words = ["bundle", "apply", bundle, "--any-author", "--alias"];
    let taken = failed(&there, 2, &[&words[..], &["other"]].concat());
    assert!(taken.contains(&other), "{taken}");
    let named = json(&there, &[&words[..], &["obst"]].concat());
    assert_eq!(named["alias"], "obst");
    assert_eq!(json(&there, &["info", "obst"])["store_id"], id);
    // The same name again is no error.
    printed(&there, &[&words[..], &["obst"]].concat());

    printed(&here, &["destroy", "fruit", "--yes"]);
    let other = create(&here, "other");
    let taken = failed(&here, 2, &["restore", copy, "--alias", "other"]);
    assert!(taken.contains(&other), "{taken}");
    failed(&here, 3, &["info", &id]);
    let restored = json(&here, &["restore", copy, "--alias", "cafe\u{301}"]);
    assert_eq!(restored["alias"], "caf\u{e9}");
    assert_eq!(json(&here, &["info", "caf\u{e9}"])["store_id"], id);
    printed(&here, &["restore", copy, "--yes", "--alias", "caf\u{e9}"]);
}

/// The question names what would be lost.
#[test]
fn the_removal_of_a_store_names_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = create(dir, "fruit");
    id.parse::<StoreId>().unwrap();
    for _ in 0..3 {
        printed(dir, &["put", "fruit", "a", "b"]);
    }
    for name in ["fruit", &id] {
        let said = failed(dir, 2, &["destroy", name]);
        let what = format!("`fruit` ({id}, core:kvstore, 3 ops, ");
        assert!(said.contains(&what), "{said}");
        assert!(said.contains("KiB) will be deleted permanently"), "{said}");
    }
    printed(dir, &["alias", "remove", "fruit"]);
    let said = failed(dir, 2, &["destroy", &id]);
    let what = format!("store {id} (core:kvstore, 3 ops, ");
    assert!(said.contains(&what), "{said}");
}
