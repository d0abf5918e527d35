//! Import and export of many rows: pipes, interruptions, other processes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lattice_backend::backend::OpenOptions;
use lattice_node::{Access, KvStore, LogStore, Node};
use serde_json::Value;

use crate::{eventually, lattice, printed, program, state_db};

/// Starts the program with pipes.
fn start(dir: &Path, arguments: &[&str]) -> Child {
    program()
        .env("LATTICE_DATA_DIR", dir)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn give(child: &mut Child, input: &[u8]) {
    child.stdin.as_mut().unwrap().write_all(input).unwrap();
}

/// Interrupts the program while it waits for more input, and waits for it to exit.
fn interrupt(mut child: Child) -> Output {
    let _open = child.stdin.take();
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    child.wait_with_output().unwrap()
}

fn create(dir: &Path, store_type: &str, alias: &str) -> String {
    printed(dir, &["create", store_type, "--alias", alias])
        .trim()
        .to_owned()
}

fn count(dir: &Path, store: &str) -> u64 {
    printed(dir, &["call", store, "count"])
        .trim()
        .parse()
        .unwrap()
}

fn len(dir: &Path, store: &str) -> u64 {
    printed(dir, &["call", store, "len"])
        .trim()
        .parse()
        .unwrap()
}

fn rows(from: u32, to: u32) -> Vec<u8> {
    let row = |nth| format!("{{\"key\":\"{nth:06}\",\"value\":\"{nth}\"}}\n");
    (from..to).map(row).collect::<String>().into_bytes()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_key_and_value_survives_export_and_import() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (
        create(dir.path(), "core:kvstore", "from"),
        create(dir.path(), "core:kvstore", "to"),
    );
    let node = Node::open(dir.path()).unwrap();
    let kv: KvStore = node
        .open_as(from.parse().unwrap(), Access::ReadWrite)
        .unwrap();
    let mut batch = kv.batch();
    for nth in 0..=255_u8 {
        // Every byte alone, and within text; texts that JSON must escape; long texts.
        batch = batch.put([nth], [nth, b'x', nth]).put([b'k', nth], []);
        batch = batch.put(
            format!("{}\u{1f980}\"\\", char::from(nth)),
            "\u{9b}\u{2028}".repeat(nth.into()),
        );
    }
    batch.put([0xff; 4096], vec![0; 1 << 20]).commit().unwrap();
    node.manager().close_all().unwrap();
    let exported = lattice(dir.path(), &["export", "from"]).stdout;
    let mut import = start(dir.path(), &["import", "to", "-"]);
    give(&mut import, &exported);
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(lattice(dir.path(), &["export", "to"]).stdout, exported);
    let open =
        |id: &str| -> KvStore { node.open_as(id.parse().unwrap(), Access::ReadOnly).unwrap() };
    let all = |kv: &KvStore| kv.iter().unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert!(all(&open(&from)) == all(&open(&to)));
}

#[test]
fn an_interrupted_import_reports_exactly_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    let mut import = start(dir.path(), &["import", "kv", "-", "--batch", "10"]);
    give(&mut import, &rows(0, 95));
    eventually("the first 90 rows", || count(dir.path(), "kv") == 90);
    let output = interrupt(import);
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    assert!(
        errors(&output).contains("90 rows in 9 ops were written"),
        "{}",
        errors(&output)
    );
    assert_eq!(count(dir.path(), "kv"), 90);
    printed(dir.path(), &["put", "kv", "after", "it"]);
}

#[test]
fn an_interrupted_atomic_import_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    printed(dir.path(), &["put", "kv", "before", "it"]);
    let begin = || {
        let words = ["--json", "import", "kv", "-", "--atomic", "--batch", "10"];
        let mut import = start(dir.path(), &words);
        // The import holds the store from its first row on.
        give(&mut import, &rows(0, 95));
        import
    };
    let mut import = begin();
    eventually("the transaction", || {
        // The probing put can hold the store when the import tries to open it.
        if import.try_wait().unwrap().is_some() {
            import = begin();
        }
        let asked = lattice(dir.path(), &["put", "kv", "before", "it"]);
        asked.status.code() == Some(5) && import.try_wait().unwrap().is_none()
    });
    assert_eq!(count(dir.path(), "kv"), 1);
    let output = interrupt(import);
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "interrupted");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("interrupted; nothing was written; "),
        "{message}"
    );
    assert_eq!(count(dir.path(), "kv"), 1);
    printed(dir.path(), &["put", "kv", "after", "it"]);
}

#[test]
fn a_line_is_in_the_log_before_the_next_one_is_written() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:logstore", "log");
    let mut append = start(dir.path(), &["append", "log"]);
    for nth in 1..=3 {
        give(&mut append, b"line\n");
        eventually("the line", || len(dir.path(), "log") == nth);
    }
    let output = interrupt(append);
    assert_eq!(output.status.code(), Some(130));
    assert!(
        errors(&output).contains("3 entries in 3 ops were written"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_follower_in_another_process_misses_nothing_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let id = create(dir.path(), "core:logstore", "log");
    let node = Node::open(dir.path()).unwrap();
    let log: LogStore = node
        .open_as(id.parse().unwrap(), Access::ReadWrite)
        .unwrap();
    log.append_many(["0", "1", "2"]).unwrap();
    let mut tail = start(dir.path(), &["--json", "tail", "log", "-f", "-n", "2"]);
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let mut expected = 1;
    let mut check = |entry: Value| {
        assert_eq!(entry["entry"], expected);
        assert_eq!(entry["content"], expected.to_string());
        expected += 1;
    };
    check(next());
    check(next());
    for round in 1..20 {
        let entries = (0..3).map(|nth| (3 * round + nth).to_string());
        log.append_many(entries).unwrap();
        (0..3).for_each(|_| check(next()));
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_command_ends_quietly_when_its_reader_stops() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    let mut import = start(dir.path(), &["import", "kv", "-"]);
    give(&mut import, &rows(0, 20_000));
    assert!(import.wait_with_output().unwrap().status.success());
    let mut export = start(dir.path(), &["export", "kv"]);
    let mut first = String::new();
    BufReader::new(export.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert_eq!(first.as_bytes(), rows(0, 1));
    let output = export.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        errors(&output)
    );
}

#[test]
fn writing_commands_report_in_use_and_reading_ones_work() {
    let dir = tempfile::tempdir().unwrap();
    let id = create(dir.path(), "core:kvstore", "kv");
    let node = Node::open(dir.path()).unwrap();
    let kv: KvStore = node
        .open_as(id.parse().unwrap(), Access::ReadWrite)
        .unwrap();
    kv.put("key", "value").unwrap();
    node.manager().close_all().unwrap();
    let work = OpenOptions::long_work("rebuild", Duration::ZERO);
    let backend = lattice_backend::file_backend();
    let held = backend.open(&state_db(dir.path(), &id), &work).unwrap();
    let file = dir.path().join("rows.jsonl");
    std::fs::write(&file, rows(0, 3)).unwrap();
    let file = file.to_str().unwrap();
    for command in [
        &["put", "kv", "a", "b"][..],
        &["del", "kv", "key"],
        &["import", "kv", file],
        &["import", "kv", file, "--atomic"],
        &["call", "kv", "put", "key=a", "value=b"],
    ] {
        let refused = lattice(dir.path(), &[&["--json", "--no-wait"], command].concat());
        assert_eq!(
            refused.status.code(),
            Some(5),
            "{command:?}: {}",
            errors(&refused)
        );
        let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
        assert_eq!(error["error"]["kind"], "in_use");
    }
    for command in [
        &["list"][..],
        &["peek", "kv"],
        &["info", "kv"],
        &["get", "kv", "key"],
        &["scan", "kv"],
        &["conflicts", "kv"],
        &["export", "kv"],
        &["describe", "kv"],
        &["call", "kv", "count"],
    ] {
        printed(dir.path(), command);
    }
    held.close().unwrap();
}
