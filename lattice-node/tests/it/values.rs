//! Keys and values that are printed, and keys that are given as they are printed.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;

use crate::{lattice, printed};

const KEYS: [&[u8]; 12] = [
    b"plain",
    b"back\\slash",
    b"C:\\temp\\new",
    b"line\nend",
    b"tab\tand\rreturn",
    b"\x00\x01",
    b"\xff",
    b"\\xff",
    b"\\x5cxff",
    b"\\",
    "\u{202e}right to left\u{200b}".as_bytes(),
    "gr\u{fc}n \u{1f980}".as_bytes(),
];

fn with_keys(dir: &Path) {
    printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    for key in KEYS {
        let (key, value) = (BASE64.encode(key), BASE64.encode(key));
        printed(dir, &["put", "kv", &key, &value, "--b64"]);
    }
}

/// The standard output, which need not be text.
fn bytes(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = lattice(dir, arguments);
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

#[test]
fn every_key_that_scan_prints_can_be_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    with_keys(dir);
    let listed = printed(dir, &["scan", "kv", "--keys-only"]);
    let listed: Vec<_> = listed.lines().collect();
    assert_eq!(listed.len(), KEYS.len(), "{listed:?}");
    let mut sorted = KEYS;
    sorted.sort_unstable();
    for (line, key) in listed.iter().zip(sorted) {
        assert_eq!(bytes(dir, &["get", "kv", line]), key, "{line}");
        assert!(lattice(dir, &["exists", "kv", line]).status.success());
        let conflicts = printed(dir, &["--json", "conflicts", "kv", line]);
        let known = serde_json::from_str::<serde_json::Value>(&conflicts).unwrap();
        let is_text = std::str::from_utf8(key).is_ok();
        assert_eq!(known.get("key").is_some(), is_text, "{line}: {conflicts}");
    }
    assert!(listed.contains(&"back\\slash"), "{listed:?}");
    assert!(listed.contains(&"\\x00\\x01"), "{listed:?}");
    assert!(listed.contains(&"line\\x0aend"), "{listed:?}");
    // Writing to a key as it is printed writes to that key.
    printed(dir, &["put", "kv", "\\x00\\x01", "new"]);
    assert_eq!(bytes(dir, &["get", "kv", "AAE=", "--b64"]), b"bmV3\n");
    for line in listed.iter().filter(|line| **line != "\\xff") {
        printed(dir, &["del", "kv", line]);
    }
    assert_eq!(printed(dir, &["scan", "kv", "--keys-only"]), "\\xff\n");
}

/// A command that writes does not guess which of two keys is meant.
#[test]
fn a_key_that_could_be_two_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    with_keys(dir);
    for words in [&["del", "kv", "\\xff"][..], &["put", "kv", "\\xff", "new"]] {
        let output = lattice(dir, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains("give the key with --b64"), "{said}");
    }
    // What is printed for the other key is clear.
    printed(dir, &["del", "kv", "\\x5cx5cxff"]);
    printed(dir, &["del", "kv", "\\x5cxff"]);
    printed(dir, &["del", "kv", "\\xff"]);
    // A new key is what is given.
    printed(dir, &["put", "kv", "\\xfe", "new"]);
    assert_eq!(bytes(dir, &["get", "kv", "\\xfe"]), b"new");
    let key = BASE64.encode(b"\\xfe");
    assert_eq!(bytes(dir, &["get", "kv", &key, "--b64"]), b"bmV3\n");
}

/// A terminal shows a value as it is. `script` is a terminal for its command.
#[test]
fn a_terminal_shows_a_value_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    let json = "{\n\t\"a\": \"quote \\\"x\\\" C:\\\\temp\"\n}";
    printed(dir, &["put", "kv", "json", json]);
    printed(dir, &["put", "kv", "odd", "a\u{1b}[2J\r\u{202e}b"]);
    let shown = |key: &str| {
        let program = env!("CARGO_BIN_EXE_lattice");
        let line = format!("'{program}' get kv {key}");
        let log = dir.join("log");
        let run = std::process::Command::new("script")
            .args(["-q", "-e", "-c", &line, log.to_str().unwrap()])
            .env("LATTICE_DATA_DIR", dir)
            .env("SHELL", "/bin/sh")
            .stdin(std::process::Stdio::null())
            .output();
        let is_run = run.is_ok_and(|run| run.status.success());
        is_run.then(|| {
            // The first and the last line are of `script`, which is a terminal: a line ends in CR LF.
            let log = fs::read_to_string(log).unwrap().replace("\r\n", "\n");
            let (_, rest) = log.split_once('\n').unwrap();
            rest.rsplit_once("\nScript done")
                .map_or(rest.to_owned(), |(text, _)| text.to_owned())
        })
    };
    let Some(text) = shown("json") else {
        eprintln!("skipped: there is no `script`");
        return;
    };
    assert_eq!(text.trim_end(), json);
    let text = shown("odd").unwrap();
    assert_eq!(text.trim_end(), "a\\x1b[2J\\x0d\\xe2\\x80\\xaeb");
}
