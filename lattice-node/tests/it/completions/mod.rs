//! What is offered when the user presses Tab.

pub(crate) mod shells;

use std::fs;
use std::path::Path;

use crate::{lattice, printed};

/// Two stores of the built-in types, and one without an alias.
pub(crate) fn stores() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (store_type, alias) in [("core:kvstore", "fruit"), ("core:logstore", "events")] {
        printed(dir.path(), &["create", store_type, "--alias", alias]);
    }
    for key in ["apple pie", "apricot", "it's", "-dash", "a:b=c", "pear*"] {
        printed(dir.path(), &["put", "fruit", "--", key, "red"]);
    }
    dir
}

/// The words that fish is offered after these words, the last of which is not finished.
fn offered(dir: &Path, words: &[&str]) -> (String, Vec<String>) {
    let (current, before) = words.split_last().unwrap();
    let current = format!("--current={current}");
    let all = [&["complete", "fish", &current, "--", "lattice"], before].concat();
    let text = printed(dir, &all);
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned());
    (lines.next().unwrap(), lines.collect())
}

fn words(dir: &Path, line: &[&str]) -> Vec<String> {
    offered(dir, line).1
}

#[test]
fn commands_options_and_their_values_are_offered() {
    let dir = stores();
    let of = |line: &[&str]| words(dir.path(), line);
    assert_eq!(of(&["ver"]), ["verify"]);
    assert_eq!(of(&["bundle", "cr"]), ["create"]);
    assert!(of(&[""]).len() > 30);
    assert!(
        !of(&["comp"]).contains(&"complete".to_owned()),
        "it is hidden"
    );
    assert_eq!(of(&["put", "--if"]), ["--if-absent"]);
    // An option is offered once, with all that stand before it.
    assert_eq!(of(&["--json", "put", "fruit", "--js"]), [""; 0]);
    assert_eq!(of(&["--color", ""]), ["auto", "always", "never"]);
    assert_eq!(of(&["list", "--color=al"]), ["--color=always"]);
    assert_eq!(of(&["import", "fruit", "x", "--format", "c"]), ["csv"]);
    assert_eq!(
        of(&["code", "trust", "t", "k", "--policy", ""]),
        ["ask", "follow"]
    );
    assert_eq!(of(&["help", "exi"]), ["exists", "exit-codes"]);
    assert_eq!(of(&["help", "bundle", "cr"]), ["create"]);
    assert_eq!(of(&["nothing", ""]), [""; 0]);
}

#[test]
fn stores_types_methods_and_parameters_are_offered() {
    let dir = stores();
    let id = printed(dir.path(), &["create", "core:kvstore"])
        .trim()
        .to_owned();
    let of = |line: &[&str]| words(dir.path(), line);
    assert_eq!(of(&["info", ""]), ["events", "fruit", &id]);
    assert_eq!(of(&["put", ""]), ["fruit", &id], "stores of another type");
    assert_eq!(of(&["tail", ""]), ["events"]);
    assert_eq!(of(&["info", &id[..6]]), [&*id]);
    assert_eq!(of(&["alias", "remove", "f"]), ["fruit"]);
    let types = ["core:kvstore", "core:logstore", "core:registry"];
    assert_eq!(of(&["create", ""]), types);
    assert_eq!(of(&["describe", "core:l"]), ["core:logstore"]);
    assert_eq!(of(&["call", "events", "r"]), ["read"]);
    assert_eq!(of(&["call", "fruit", "put", "va"]), ["value="]);
    assert_eq!(of(&["call", "fruit", "put", "value=x", "va"]), [""; 0]);
    assert_eq!(of(&["call", "fruit", "get", "key=apr"]), ["key=apricot"]);
    // The data directory and the store of the line count, whatever stands between them.
    let data = dir.path().to_str().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let line = ["--data-dir", data, "get", "--b64", "fruit", ""];
    assert_eq!(
        words(elsewhere.path(), &line),
        [""; 0],
        "keys are in base64"
    );
    let line = [&format!("--data-dir={data}"), "get", "fruit", "apr"];
    assert_eq!(words(elsewhere.path(), &line), ["apricot"]);
}

#[test]
fn keys_and_files_are_offered() {
    let dir = stores();
    let of = |line: &[&str]| words(dir.path(), line);
    let keys = ["a:b=c", "apple pie", "apricot", "it's", "pear*"];
    assert_eq!(of(&["get", "fruit", ""]), keys);
    assert_eq!(
        of(&["get", "fruit", "apricot", "ap"]),
        ["apple pie", "apricot"]
    );
    assert_eq!(of(&["get", "fruit", "--", "-d"]), ["-dash"]);
    assert_eq!(
        of(&["del", "fruit", "-d"]),
        [""; 0],
        "it would be an option"
    );
    assert_eq!(of(&["scan", "fruit", "--from", "apr"]), ["apricot"]);
    assert_eq!(of(&["scan", "fruit", "--prefix=apr"]), ["--prefix=apricot"]);
    assert_eq!(of(&["get", "events", ""]), [""; 0]);
    let files = |line: &[&str]| offered(dir.path(), line);
    let stdio = |words: &[&str]| {
        (
            "files".to_owned(),
            words.iter().map(|word| (*word).into()).collect(),
        )
    };
    for line in [
        &["import", "fruit", ""][..],
        &["export", "fruit", ""],
        &["backup", "fruit", ""],
        &["bundle", "apply", ""],
        &["backup", "fruit", "x", "--since", ""],
        &["restore", "fruit.db", ""],
    ] {
        assert_eq!(files(line), stdio(&["-"]), "{line:?}");
    }
    assert_eq!(files(&["import", "fruit", "ro"]), stdio(&[]));
    assert_eq!(
        files(&["bundle", "create", "fruit", "x", "--since", ""]),
        stdio(&["-"])
    );
    assert_eq!(files(&["info", "./"]), stdio(&[]));
    assert_eq!(files(&["--data-dir", ""]).0, "dirs");
    assert_eq!(files(&["get", "fruit", ""]).0, "words");
    // The names follow what stands before them in the word.
    let kind = |words: &[&str]| printed(dir.path(), words);
    let call = [
        "complete",
        "zsh",
        "--current=value=@ro",
        "--",
        "lattice",
        "call",
        "fruit",
        "put",
    ];
    assert_eq!(kind(&call), "files\tvalue=@\n");
    let option = [
        "complete",
        "fish",
        "--current=--data-dir=x",
        "--",
        "lattice",
    ];
    assert_eq!(kind(&option), "dirs\t--data-dir=\n");
}

#[test]
fn nothing_is_written_and_nothing_is_said_when_a_store_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for line in [["get", "fruit", ""], ["call", "fruit", ""]] {
        assert_eq!(words(&missing, &line), [""; 0]);
    }
    assert!(!missing.exists());
    let stores = stores();
    fs::write(stores.path().join("aliases.toml"), "no names").unwrap();
    let current = ["complete", "zsh", "--current=", "--", "lattice", "info"];
    let done = lattice(stores.path(), &current);
    assert_eq!((done.status.code(), &*done.stderr), (Some(0), &b""[..]));
}
