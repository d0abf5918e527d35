//! New stores with what was written last to old ones.

use std::path::Path;

use serde_json::Value;

use crate::{lattice, printed};

fn contents(dir: &Path, log: &str) -> Vec<String> {
    let text = printed(dir, &["export", log]);
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["content"].as_str().unwrap().to_owned())
        .collect()
}

/// A log of ten entries of ten bytes, `0---------` to `9---------`; returns its id.
fn log(dir: &Path) -> String {
    let id = printed(dir, &["create", "core:logstore", "--alias", "log"]);
    for n in 0..10 {
        printed(dir, &["append", "log", &format!("{n}{}", "-".repeat(9))]);
    }
    id.trim().to_owned()
}

#[test]
fn the_newest_entries_are_kept_and_the_name_moves() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    for (words, kept) in [
        (&["--keep-last", "3"][..], 3),
        (&["--keep-size", "45"], 4),
        (&["--keep-size", "1K"], 10),
        (&["--keep-last", "0"], 0),
        (&["--keep", "30d"], 10),
        (&["--keep-last", "99"], 10),
    ] {
        let old = log(dir);
        let before = contents(dir, "log");
        let text = printed(dir, &[&["--json", "migrate", "log"], words].concat());
        let migrated: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(migrated["alias"], "log", "{words:?}");
        assert_eq!(migrated["migrated_from"]["store_id"], old);
        let info: Value = serde_json::from_str(&printed(dir, &["--json", "info", "log"])).unwrap();
        assert_eq!(info["store_id"], migrated["store_id"]);
        assert_eq!(info["migrated_from"]["store_id"], old);
        assert_eq!(contents(dir, "log"), before[10 - kept..], "{words:?}");
        assert_eq!(contents(dir, &old), before, "{words:?}");
        printed(dir, &["destroy", "log", "--yes"]);
        printed(dir, &["destroy", &old, "--yes"]);
    }
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    log(dir);
    printed(dir, &["create", "core:registry", "--alias", "releases"]);
    for (words, reason) in [
        (&["migrate", "log"][..], "--to"),
        (&["migrate", "log", "--keep", "30"], "such as 30d"),
        (&["migrate", "log", "--keep-size", "many"], "such as 100M"),
        (
            &["migrate", "log", "--keep-last", "3", "--keep", "1d"],
            "cannot be used with",
        ),
        (
            &["migrate", "releases", "--keep", "30d"],
            "--keep is for logs and key-value stores",
        ),
    ] {
        let output = lattice(dir, words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?}: {said}");
    }
    assert_eq!(printed(dir, &["list"]).lines().count(), 2);
}

fn keys(dir: &Path, store: &str) -> Vec<String> {
    let text = printed(dir, &["scan", store, "--keys-only"]);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_keys_that_were_written_last_are_kept_and_the_name_moves() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    for key in ["a", "b", "c", "d", "e", "f"] {
        printed(dir, &["put", "kv", key, "nine byte"]);
    }
    printed(dir, &["put", "kv", "a", "nine more"]);
    printed(dir, &["del", "kv", "f"]);
    let old = keys(dir, "kv");
    assert_eq!(old, ["a", "b", "c", "d", "e"]);
    for (words, kept) in [
        (&["--keep-last", "2"][..], "ae"),
        (&["--keep-last", "0"], ""),
        (&["--keep-size", "39"], "ade"),
        (&["--keep-size", "10"], "a"),
        (&["--keep-size", "9"], ""),
        (&["--keep", "30d"], "abcde"),
    ] {
        let text = printed(dir, &[&["--json", "migrate", "kv"], words].concat());
        let migrated: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(migrated["alias"], "kv", "{words:?}");
        assert_eq!(keys(dir, "kv").concat(), kept, "{words:?}");
        printed(dir, &["verify", "kv"]);
        let info: Value = serde_json::from_str(&printed(dir, &["--json", "info", "kv"])).unwrap();
        assert_eq!(info["migrated_from"]["store_id"], id.trim(), "{words:?}");
        assert_eq!(keys(dir, id.trim()), old, "{words:?}");
        printed(dir, &["destroy", "kv", "--yes"]);
        printed(dir, &["alias", "set", id.trim(), "kv"]);
    }
}
