//! One word, one order and one format for one thing, and the words of other programs.

use std::path::Path;

use serde_json::Value;

use crate::{lattice, printed};

fn json(dir: &Path, arguments: &[&str]) -> Value {
    let text = printed(dir, &[&["--json"], arguments].concat());
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn said(dir: &Path, arguments: &[&str]) -> String {
    String::from_utf8(lattice(dir, arguments).stderr).unwrap()
}

fn stores() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    printed(home.path(), &["create", "core:kvstore", "--alias", "kv"]);
    printed(home.path(), &["create", "core:logstore", "--alias", "log"]);
    home
}

#[test]
fn commands_are_found_by_the_words_of_other_programs() {
    let home = stores();
    let dir = home.path();
    printed(dir, &["set", "kv", "a", "1"]);
    printed(dir, &["put", "kv", "b", "2"]);
    printed(dir, &["rm", "kv", "a"]);
    printed(dir, &["delete", "kv", "b"]);
    assert_eq!(printed(dir, &["ls"]), printed(dir, &["list"]));
    assert_eq!(printed(dir, &["show", "kv"]), printed(dir, &["info", "kv"]));
    let log = printed(dir, &["log", "kv", "-n", "1"]);
    assert!(log.contains("delete b"), "{log}");
    assert!(printed(dir, &["watch", "kv", "--all", "-n", "4"]).contains("delete\tb"));
    for (word, meant) in [
        ("keys", "'scan --keys-only'"),
        ("dump", "'export'"),
        ("fsck", "'verify', 'doctor'"),
        ("gett", "'get'"),
        ("remov", "'remove'"),
    ] {
        let said = said(dir, &[word, "kv"]);
        let tip = said.lines().find(|line| line.contains("tip:"));
        assert!(tip.is_some_and(|tip| tip.contains(meant)), "{word}: {said}");
    }
    // `len` of a log is `count` of keys.
    let said = said(dir, &["call", "log", "count"]);
    assert!(said.contains("did you mean len?"), "{said}");
}

#[test]
fn without_a_command_ten_commands_are_shown() {
    let home = tempfile::tempdir().unwrap();
    let output = lattice(home.path(), &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    let commands = text.lines().filter(|line| line.starts_with("  "));
    assert_eq!(commands.count(), 10, "{text}");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.contains("`lattice --help` lists all commands"),
        "{text}"
    );
    let (short, long) = (
        printed(home.path(), &["put", "-h"]),
        printed(home.path(), &["put", "--help"]),
    );
    assert!(short.len() < long.len(), "{short}");
    assert!(long.contains("Example: ") && !short.contains("Example: "));
}

#[test]
fn all_errors_begin_alike() {
    let home = stores();
    let dir = home.path();
    for words in [
        &["get", "kv", "nokey"][..],
        &["get", "kv"],
        &["nocommand"],
        &["list", "--no-such-option"],
        &["create", "core:kvstore", "--alias", ".x"],
    ] {
        let plain = said(dir, words);
        assert!(plain.starts_with("lattice: "), "{words:?}: {plain}");
        let coloured = said(dir, &[&["--color=always"], words].concat());
        assert!(
            coloured.starts_with("\u{1b}[1m\u{1b}[31mlattice:\u{1b}[0m "),
            "{words:?}: {coloured:?}"
        );
    }
}

#[test]
fn the_store_comes_first() {
    let home = stores();
    let dir = home.path();
    printed(dir, &["alias", "set", "kv", "keys"]);
    assert_eq!(
        json(dir, &["info", "keys"])["store_id"],
        json(dir, &["info", "kv"])["store_id"]
    );
    let said = said(dir, &["alias", "set", "other", "kv"]);
    assert!(said.contains("`lattice alias set kv NAME`"), "{said}");
}

#[test]
fn fields_have_one_name_in_all_commands() {
    let home = stores();
    let dir = home.path();
    let receipt = json(dir, &["append", "log", "one", "two"]);
    let newest = json(dir, &["history", "log", "--limit", "1"]);
    for name in ["op", "author", "seq", "apply_index"] {
        assert_eq!(receipt[name], newest[name], "{name}");
    }
    let by_name = json(dir, &["call", "log", "tail", "n:=1"]);
    let by_command = json(dir, &["tail", "log", "--limit", "1"]);
    for name in ["time", "author", "content"] {
        assert!(!by_name[name].is_null(), "{name}");
        assert_eq!(by_name[name], by_command[name], "{name}");
    }
    assert_eq!(by_name["change"], 1);
    assert_eq!(by_name.get("time_ms"), None);
    printed(dir, &["put", "kv", "a", "1"]);
    let by_name = json(dir, &["call", "kv", "conflicts", "key=a"]);
    let by_command = json(dir, &["conflicts", "kv", "a"]);
    for name in ["time", "author", "op", "value"] {
        assert_eq!(by_name[name], by_command[name], "{name}");
    }
    assert!(by_name["seq"].is_string() && by_name.get("hlc").is_none());
}
