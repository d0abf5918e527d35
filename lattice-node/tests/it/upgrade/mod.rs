//! Stores that other programs wrote, and the ways on: `lattice upgrade`, and commands that do not
//! need it.

#[cfg(feature = "wasm")]
mod modules;

use std::fs;
use std::path::Path;

use lattice_backend::backend::Table;
use serde_json::Value;

use crate::code::{json, refused};
use crate::older::Other;
use crate::{edit, lattice, printed, state_db};

const NATIVE: &str = "core:kvstore/1";

/// Commands that read no rows never refuse a store.
fn reads_history(dir: &Path, ops: u64) {
    let bundle = dir.join("s.bundle");
    let bundle = bundle.to_str().unwrap();
    let copy = dir.join("copy.db");
    printed(dir, &["peek", "s"]);
    assert_eq!(json(dir, &["info", "s"])[0]["ops"], ops);
    let history = json(dir, &["history", "s"]).len();
    assert_eq!(u64::try_from(history).unwrap(), ops);
    printed(dir, &["bundle", "tips", "s"]);
    printed(dir, &["bundle", "create", "s", bundle]);
    printed(dir, &["backup", "s", copy.to_str().unwrap()]);
    printed(dir, &["list"]);
    fs::remove_file(bundle).unwrap();
    fs::remove_file(copy).unwrap();
}

/// The command in a message, without the name of the program.
fn command_of(message: &str) -> Vec<String> {
    let (_, command) = message.split_once("`lattice ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    command.split(' ').map(str::to_owned).collect()
}

/// Commands that need the rows of a store, or write them.
const NEED_ROWS: [&[&str]; 6] = [
    &["get", "s", "nut"],
    &["call", "s", "count"],
    &["verify", "s"],
    &["upgrade", "s"],
    &["upgrade", "s", "--dry-run"],
    &["put", "s", "a", "b"],
];

/// The messages of commands that must fail in this way.
fn refusals(dir: &Path, commands: &[&[&str]], (code, kind): (i32, &str)) -> Vec<String> {
    let refusal = |words: &&[&str]| {
        let (found, found_kind, message) = refused(dir, words);
        assert_eq!((found, &*found_kind), (code, kind), "{words:?}: {message}");
        message
    };
    commands.iter().map(refusal).collect()
}

fn run(dir: &Path, words: &[String]) -> std::process::Output {
    lattice(dir, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn bytes(dir: &Path, id: lattice_meta::StoreId) -> Vec<u8> {
    fs::read(state_db(dir, &id.to_string())).unwrap()
}

#[test]
fn a_store_of_equal_logic_is_proven_once_and_opens_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = Other::equal().write(dir);
    reads_history(dir, 3);
    let before = bytes(dir, id);
    let commands: [&[&str]; 7] = [
        &["get", "s", "nut"],
        &["scan", "s"],
        &["conflicts", "s"],
        &["call", "s", "count"],
        &["export", "s"],
        &["watch", "s", "--all", "--limit", "1"],
        &["migrate", "s", "--to", "core:kvstore"],
    ];
    for message in refusals(dir, &commands, (1, "needs_upgrade")) {
        assert_eq!(command_of(&message), ["upgrade", "s"], "{message}");
    }
    let info = &json(dir, &["info", "s"])[0];
    assert_eq!(
        (&info["logic_version"], &info["opened_by"]),
        (&"core:kvstore/other".into(), &NATIVE.into())
    );
    assert_eq!(info["needs_upgrade"], true);
    // A full verification proves the same, and records nothing.
    let verified = lattice(dir, &["verify", "s"]);
    assert_eq!(verified.status.code(), Some(4));
    let text = String::from_utf8(verified.stderr).unwrap();
    assert_eq!(command_of(&text), ["upgrade", "s"], "{text}");

    let dry = &json(dir, &["upgrade", "s", "--dry-run"])[0];
    assert_eq!(
        (&dry["outcome"], &dry["ops"]),
        (&"upgradable".into(), &3.into())
    );
    assert!(bytes(dir, id) == before, "something changed the store");
    let done = &json(dir, &["upgrade", "s"])[0];
    assert_eq!(
        (&done["outcome"], &done["ops"]),
        (&"upgraded".into(), &3.into())
    );
    assert_eq!(
        (&done["recorded"], &done["logic_version"]),
        (&"core:kvstore/other".into(), &NATIVE.into())
    );
    assert_eq!(done["state_hash"], info["state_hash"]);
    assert_eq!(printed(dir, &["get", "s", "nut"]), "5");
    assert!(printed(dir, &["verify", "s"]).starts_with("ok: 3 ops replayed"));
    let again = &json(dir, &["upgrade", "s"])[0];
    assert_eq!(
        (&again["outcome"], &again["ops"]),
        (&"current".into(), &Value::Null)
    );
    // It signs nothing.
    assert_eq!(json(dir, &["info", "s"])[0]["ops"], 3);
}

#[test]
fn a_command_proves_the_store_that_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Other::equal().write(dir);
    printed(dir, &["call", "s", "put", "key=pin", "value=7"]);
    assert_eq!(printed(dir, &["get", "s", "pin"]), "7");
    assert_eq!(json(dir, &["info", "s"])[0]["logic_version"], NATIVE);
}

#[test]
fn a_store_of_different_logic_stays_and_can_be_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = Other::different().write(dir);
    reads_history(dir, 3);
    let before = bytes(dir, id);
    for words in [&["upgrade", "s"][..], &["upgrade", "s", "--dry-run"]] {
        let (code, kind, message) = refused(dir, words);
        assert_eq!((code, &*kind), (4, "damaged"), "{message}");
        assert!(
            message.contains("first in op") && message.contains("index 1"),
            "{message}"
        );
        let prove = command_of(&message);
        assert_eq!(prove, ["code", "prove", "s", "native"], "{message}");
        let proof = run(dir, &prove);
        assert_eq!(proof.status.code(), Some(4));
        assert!(message.contains("`lattice rebuild s`"), "{message}");
    }
    let (code, _, message) = refused(dir, &["put", "s", "a", "b"]);
    assert_eq!(
        (code, command_of(&message)),
        (4, vec!["rebuild".into(), "s".into()])
    );
    assert!(bytes(dir, id) == before, "a refusal changed the store");
    reads_history(dir, 3);
    printed(dir, &["rebuild", "s"]);
    assert_eq!(printed(dir, &["get", "s", "bolt"]), "5");
    assert!(printed(dir, &["verify", "s"]).starts_with("ok: 3 ops replayed"));
}

#[test]
fn a_renamed_logic_that_the_program_names_as_equal_needs_no_proof() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = Other::equal().write(dir);
    let cid = include_str!("../../../../lattice-kvstore/src/guest.cid").trim();
    edit(&state_db(dir, &id.to_string()), |tx| {
        tx.put(Table::System, b"logic", cid.as_bytes()).unwrap();
    });
    assert_eq!(printed(dir, &["get", "s", "nut"]), "5");
    let current = &json(dir, &["upgrade", "s"])[0];
    assert_eq!(
        (&current["outcome"], &current["recorded"]),
        (&"current".into(), &cid.into())
    );
    assert!(printed(dir, &["verify", "s"]).starts_with("ok"));
}

/// This program migrates no layout of the type: a rebuild reads no rows.
#[test]
fn a_layout_that_is_too_old_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Other::equal().schema(0).write(dir);
    reads_history(dir, 3);
    for message in refusals(dir, &NEED_ROWS, (1, "needs_upgrade")) {
        assert_eq!(command_of(&message), ["rebuild", "s"], "{message}");
    }
    printed(dir, &["rebuild", "s"]);
    assert_eq!(printed(dir, &["get", "s", "nut"]), "5");
    assert!(printed(dir, &["verify", "s"]).starts_with("ok"));
}

#[test]
fn a_layout_of_a_newer_program_is_not_opened_and_its_history_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Other::equal().schema(2).write(dir);
    reads_history(dir, 3);
    let commands = [&NEED_ROWS[..], &[&["rebuild", "s"]]].concat();
    for message in refusals(dir, &commands, (6, "newer")) {
        assert!(message.contains("update the program"), "{message}");
    }
    assert_eq!(json(dir, &["info", "s"])[0]["needs_upgrade"], false);
}

#[test]
fn all_stores_are_upgraded_and_failures_do_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let different = Other::different().write_as(dir, "different");
    let equal = Other::equal().write_as(dir, "equal");
    let newer = Other::equal().schema(2).write_as(dir, "newer");
    printed(dir, &["create", "core:logstore"]);
    let damaged = dir.join("stores/abcd0000-0000-8000-8000-000000000004");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("state.db"), b"no store").unwrap();
    let outcomes = |arguments: &[&str]| -> Vec<(String, String)> {
        let output = lattice(dir, arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let kind = value["error"]["kind"].as_str().unwrap_or("-").to_owned();
            (value["outcome"].as_str().unwrap().to_owned(), kind)
        });
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        lines
    };
    let expected = |done: &str| {
        let mut all = [
            (done, "-"),
            ("current", "-"),
            ("failed", "newer"),
            ("failed", "not_a_store"),
            ("refused", "damaged"),
        ]
        .map(|(outcome, kind)| (outcome.to_owned(), kind.to_owned()));
        all.sort();
        all
    };
    let before = [different, equal, newer].map(|id| bytes(dir, id));
    let found = outcomes(&["--json", "upgrade", "--all", "--dry-run"]);
    assert_eq!(found[..], expected("upgradable"));
    assert!([different, equal, newer].map(|id| bytes(dir, id)) == before);
    let found = outcomes(&["--json", "upgrade", "--all"]);
    assert_eq!(found[..], expected("upgraded"));
    let now = |id: lattice_meta::StoreId| {
        json(dir, &["info", &id.to_string()])[0]["logic_version"].clone()
    };
    assert_eq!(now(equal), NATIVE);
    assert_eq!(now(different), "core:kvstore/different");
}
