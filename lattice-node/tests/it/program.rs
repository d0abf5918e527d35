//! The basic commands of the program.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{lattice, printed};

#[test]
fn the_tour_shows_everything_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .arg("tour")
        .current_dir(dir.path())
        .env("TMPDIR", dir.path())
        .env("HOME", dir.path())
        .env_remove("XDG_DATA_HOME")
        .env_remove("LATTICE_DATA_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for said in [
        "alice$ lattice create core:logstore",
        "store type      core:kvstore",
        "\n      of author\n",
        "state hash ",
        "get ./one.db redb/",
        "serde_core/",
        "bundle verify ./all.bundle",
        "ok: 1 op of 1 author of store ",
        if cfg!(feature = "sync") {
            "sync packages ./bob --any-author"
        } else {
            "bundle apply ./from-bob.bundle --any-author"
        },
        "different states",
        "the same state",
        "also  20",
        "our backend\n",
        "bytes to bytes\n",
        "our backend: bytes to bytes\n",
        "history packages --graph",
        "├─╯",
        "ok: 6 ops replayed",
        "restore ./packages.db",
        "6 ops replayed, same state: core:kvstore/2 is recorded",
        "0 ops replayed: core:kvstore/2 was recorded",
        "refused: core:kvstore/3 computes another state",
        "first in op 4 (from 0), by ",
        "first at key redb/4.6.0",
        "no byte of the file has changed",
        "6 ops replayed, same state: core:kvstore/1 is recorded",
        "migrate packages --to core:kvstore",
        "code add ./chat.wasm",
        "create org.example.chat",
        "is missing",
        "looked in the cache (dave/wasm)",
        "ok: 1 op replayed",
        "post in \"tea\": \"Anyone here?\"",
        "gave the same state",
        "different state, first in op",
        "alice$ lattice verify lobby\n",
        " chapters took ",
        "Nothing is left behind",
    ] {
        let unwrapped = text.replace("\n    ", " ");
        assert!(
            text.contains(said) || unwrapped.contains(said),
            "the tour does not say {said:?}:\n{text}"
        );
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "more than 80 columns: {line}");
    }
    // A terminal of 24 lines also shows an empty line and the question at the end of a chapter.
    let starts_chapter = |line: &str| line.starts_with(|first: char| first.is_ascii_digit());
    let lines: Vec<_> = text.lines().collect();
    let mut begins: Vec<_> = (0..lines.len())
        .filter(|at| starts_chapter(lines[*at]))
        .collect();
    assert_eq!(lines[begins[0]], "1. Alice creates two stores");
    // The introduction and the first chapter share a screen.
    begins[0] = 0;
    for pair in begins.windows(2) {
        assert!(pair[1] - pair[0] <= 23, "{:#?}", &lines[pair[0]..pair[1]]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_tour_keeps_its_stores_when_asked_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    printed(dir.path(), &["tour", "--keep", kept.to_str().unwrap()]);
    let list = printed(&kept.join("alice"), &["list"]);
    assert_eq!(list.lines().count(), 5, "{list}");
    let again = lattice(dir.path(), &["tour", "--keep", kept.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn keys_and_entries_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let kv = printed(dir.path(), &["create", "core:kvstore"])
        .trim()
        .to_owned();
    printed(dir.path(), &["put", &kv[..8], "greeting", "hello"]);
    assert_eq!(printed(dir.path(), &["get", &kv, "greeting"]), "hello");
    let value: Value =
        serde_json::from_str(&printed(dir.path(), &["--json", "get", &kv, "greeting"])).unwrap();
    assert_eq!(value, json!({ "key": "greeting", "value": "hello" }));

    let log: Value =
        serde_json::from_str(&printed(dir.path(), &["--json", "create", "core:logstore"])).unwrap();
    assert_eq!(log["schema_version"], 1);
    let log = log["store_id"].as_str().unwrap();
    printed(dir.path(), &["append", log, "one", "two"]);
    let mut piped = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir.path())
        .args(["append", log])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    piped
        .stdin
        .take()
        .unwrap()
        .write_all(b"three\n\xff\x1b[0m")
        .unwrap();
    assert!(piped.wait().unwrap().success());
    let tail = printed(dir.path(), &["tail", log, "-n", "3"]);
    let lines: Vec<_> = tail
        .lines()
        .map(|line| line.split("  ").nth(2).unwrap())
        .collect();
    assert_eq!(lines, ["two", "three", "\\xff\\x1b[0m"]);
    let tail = printed(dir.path(), &["--json", "tail", log, "-n", "1"]);
    let entry: Value = serde_json::from_str(&tail).unwrap();
    assert_eq!(
        (&entry["entry"], &entry["content_b64"]),
        (&json!(3), &json!("/xtbMG0="))
    );
}

#[test]
fn failures_have_exit_codes_and_leave_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str); 10] = [
        (&["create", "core:kvstor"], 6, "unknown_type"),
        (&["create", "Core"], 2, "usage"),
        (&["get", "abcd", "key"], 3, "no_store"),
        (&["put", "abcd", "key", "value"], 3, "no_store"),
        (
            &["peek", "00000000-0000-8000-8000-000000000000"],
            3,
            "no_store",
        ),
        (&["peek", "./nothing/here"], 3, "no_store"),
        (&["peek", "abc"], 3, "no_store"),
        (&["peek", "/etc/passwd"], 3, "not_a_store"),
        (&["frobnicate"], 2, "usage"),
        (&["put"], 2, "usage"),
    ];
    for (arguments, code, kind) in cases {
        let arguments = [&["--json"][..], arguments].concat();
        let failed = lattice(dir.path(), &arguments);
        assert_eq!(failed.status.code(), Some(code), "{arguments:?}");
        assert!(failed.stdout.is_empty(), "{arguments:?}");
        let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{arguments:?}");
        assert!(!error["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "something was made"
    );
}

#[test]
fn a_command_for_one_type_refuses_the_other_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = printed(dir.path(), &["create", "core:logstore"])
        .trim()
        .to_owned();
    let path = dir.path().join("stores").join(&log).join("state.db");
    let before = fs::read(&path).unwrap();
    let refused = lattice(dir.path(), &["put", &log, "key", "value"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("core:logstore"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// What names the path can be an option, a variable, or an argument.
#[test]
fn a_file_in_the_place_of_a_directory_is_named_with_what_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let id = printed(dir.path(), &["create", "core:kvstore"]);
    let id = id.trim();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    let within = file.join("within");
    let within = within.to_str().unwrap();
    let data = "--data-dir or LATTICE_DATA_DIR";
    let other = "a part of this path is a file: name another path";
    for (data_dir, temporary, words, step) in [
        (&*file, dir.path(), &["list"][..], data),
        (&*file, dir.path(), &["create", "core:kvstore"], data),
        (dir.path(), &*file, &["verify", id], "the variable TMPDIR"),
        (dir.path(), dir.path(), &["import", id, within], other),
        (dir.path(), dir.path(), &["restore", within], other),
        (dir.path(), dir.path(), &["doctor", within], other),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_lattice"))
            .env("LATTICE_DATA_DIR", data_dir)
            .env("TMPDIR", temporary)
            .args(words)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.trim_end().ends_with(step), "{words:?}: {text}");
    }
}
