//! `-` as the FILE of backup, restore, export, code and calls.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{lattice, printed};

/// Runs the program with these bytes piped to its standard input.
pub(crate) fn fed(dir: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that rejects its input early closes the pipe, which is not an error here.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Names in a directory that no finished command leaves.
fn leftovers(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("partial")).collect()
}

fn store(dir: &Path) -> String {
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    for place in 0..20 {
        let (key, value) = (format!("key {place}"), "value ".repeat(place));
        printed(dir, &["put", "kv", &key, &value]);
    }
    id.trim().to_owned()
}

#[test]
fn a_backup_goes_through_a_pipe_into_another_directory() {
    let (from, to, temporary) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let (from, to) = (from.path(), to.path().join("new"));
    let id = store(from);
    let piped = Command::new("sh")
        .arg("-c")
        .arg(r#"set -e; "$L" backup kv - | LATTICE_DATA_DIR="$TO" "$L" restore -"#)
        .env("L", env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", from)
        .env("TO", &to)
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    assert!(piped.status.success(), "{}", said(&piped));
    assert_eq!(String::from_utf8_lossy(&piped.stdout).trim(), id);
    let told = said(&piped);
    assert!(
        told.contains(&format!("backed up store {id} to standard output (")),
        "{told}"
    );
    assert_eq!(
        printed(from, &["export", &id]),
        printed(&to, &["export", &id])
    );
    assert!(leftovers(&to).is_empty() && leftovers(temporary.path()).is_empty());
    assert!(!Path::new("-").exists());
}

#[test]
fn a_printed_backup_is_the_file_and_the_summary_is_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let copy = dir.path().join("copy.db");
    printed(dir.path(), &["backup", "kv", copy.to_str().unwrap()]);
    let backup = lattice(dir.path(), &["--json", "backup", "kv", "-"]);
    assert!(backup.status.success(), "{}", said(&backup));
    let summary = json(&backup.stderr);
    assert_eq!(summary["file"], "standard output");
    assert_eq!(summary["bytes"], backup.stdout.len());
    let printed_copy = dir.path().join("printed.db");
    fs::write(&printed_copy, &backup.stdout).unwrap();
    let export = |file: &Path| printed(dir.path(), &["export", file.to_str().unwrap()]);
    assert_eq!(export(&copy), export(&printed_copy));
    let quiet = lattice(dir.path(), &["-q", "backup", "kv", "-"]);
    assert!(quiet.stderr.is_empty(), "{}", said(&quiet));
    let refused = lattice(dir.path(), &["backup", "kv", "-", "--mode", "640"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("name a file"), "{}", said(&refused));
}

#[test]
fn what_is_no_whole_store_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let copy = lattice(dir.path(), &["backup", "kv", "-"]).stdout;
    let to = tempfile::tempdir().unwrap();
    for (bytes, name) in [
        (&copy[..copy.len() / 2], "half"),
        (&copy[..5000], "without its rows"),
        (&copy[..100], "the start"),
        (&b""[..], "nothing"),
        (&[b'x'; 300_000][..], "text"),
    ] {
        let refused = fed(to.path(), &["--json", "restore", "-"], bytes);
        let (kind, code) = match name {
            "nothing" | "text" => ("not_a_store", 3),
            _ => ("damaged", 4),
        };
        assert_eq!(
            refused.status.code(),
            Some(code),
            "{name}: {}",
            said(&refused)
        );
        let error = json(&refused.stderr)["error"].clone();
        assert_eq!(error["kind"], kind, "{name}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("standard input"), "{name}: {message}");
        assert!(!message.contains(".partial"), "{name}: {message}");
        assert!(leftovers(to.path()).is_empty(), "{name}");
    }
    assert!(printed(to.path(), &["--json", "list"]).is_empty());
}

#[test]
fn a_stream_that_is_no_store_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    // An endless stream: only an early look at it ends the command.
    let output = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir.path())
        .args(["restore", "-"])
        .stdin(fs::File::open("/dev/zero").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let fifo = lattice(dir.path(), &["restore", "/dev/zero"]);
    assert_eq!(fifo.status.code(), Some(3), "{}", said(&fifo));
    assert!(leftovers(dir.path()).is_empty());
}

#[test]
fn a_reader_that_ends_early_ends_the_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    for words in [
        &["backup", "kv", "-"][..],
        &["bundle", "create", "kv", "-"],
        &["export", "kv", "-"],
        &["export", "kv", "-", "--format", "csv"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = Command::new(env!("CARGO_BIN_EXE_lattice"))
            .env("LATTICE_DATA_DIR", dir.path())
            .args(words)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() && told.is_empty(), "{words:?}: {told}");
    }
}

#[test]
fn a_full_disk_is_reported_on_standard_output_too() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    for words in [&["backup", "kv", "-"][..], &["export", "kv", "-"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_lattice"))
            .env("LATTICE_DATA_DIR", dir.path())
            .args(words)
            .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let told = said(&output);
        assert!(told.starts_with("lattice: cannot print: "), "{told}");
        assert_eq!(told.lines().count(), 1, "no summary: {told}");
    }
}

#[test]
fn arguments_of_calls_are_read_from_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let words = ["call", "kv", "put", "key=piped", "value=@-"];
    let put = fed(dir.path(), &words, b"\xff\0bytes");
    assert!(put.status.success(), "{}", said(&put));
    assert_eq!(
        lattice(dir.path(), &["get", "kv", "piped"]).stdout,
        b"\xff\0bytes"
    );
}

#[cfg(feature = "wasm")]
#[test]
fn a_module_that_is_too_long_is_refused_from_a_pipe_as_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("long.wasm");
    let long = vec![0; (1 << 20) + 1];
    fs::write(&file, &long).unwrap();
    let from_file = said(&lattice(
        dir.path(),
        &["code", "add", file.to_str().unwrap()],
    ));
    let from_pipe = said(&fed(dir.path(), &["code", "add", "-"], &long));
    assert_eq!(
        from_file.replace(file.to_str().unwrap(), "standard input"),
        from_pipe
    );
    assert!(from_pipe.contains("the limit of a module"), "{from_pipe}");
}
