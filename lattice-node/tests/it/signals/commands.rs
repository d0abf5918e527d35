//! Every command of the program, interrupted at several points, and what it leaves.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{error, errors, handles, send, start};
use crate::edges::{Line, Store, lines, words_of};
use crate::{copy_dir, eventually, lattice, printed, state_db};

/// How many commands run at a time.
const WORKERS: usize = 3;
/// How far a command has come when the signal is sent: how often this thread gave way to it.
const POINTS: [usize; 3] = [0, 40, 1500];

/// What is wrong with an interrupted command, and whether it was interrupted.
fn interrupted(store: &Store, line: &Line, point: usize) -> (bool, Option<String>) {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(store.dir.path(), dir.path());
    let mut words = words_of(&line.words, store, dir.path());
    words.push("--json".into());
    let mut child = start(dir.path(), &words);
    handles(&mut child);
    for _ in 0..point {
        std::thread::yield_now();
    }
    send(&mut child, "-INT");
    let ended = child.wait_with_output().unwrap();
    let code = ended.status.code();
    let wrong = |what: &str| {
        Some(format!(
            "{words:?}, {point}: {code:?} {what}: {}",
            errors(&ended)
        ))
    };
    match code {
        Some(130) => {}
        // It ended before the signal arrived.
        Some(0..=6) => return (false, None),
        _ => return (false, wrong("exit code")),
    }
    let error = error(&ended);
    let (message, kind) = (error["message"].as_str().unwrap_or(""), &error["kind"]);
    if *kind != "interrupted" || error["signal"] != "INT" {
        return (true, wrong("kind"));
    }
    let is_done = message == "interrupted; the command had already ended";
    let is_told =
        message.starts_with("interrupted; ") && message.len() > "interrupted; ".len() + 10;
    let goes_on = error["next"].is_string() || message.contains("the same command");
    if !is_told || !(is_done || goes_on || message.contains("is in its place")) {
        return (true, wrong("message"));
    }
    if let Some(left) = left_in(dir.path()) {
        return (true, wrong(&format!("left {left}")));
    }
    let id = store.id.to_string();
    let is_there = state_db(dir.path(), &id).exists();
    if is_there && !lattice(dir.path(), &["verify", &id]).status.success() {
        return (true, wrong("the store is damaged"));
    }
    let new = dir.path().join("new");
    let new = new.to_str().unwrap();
    let succeeds = |words: &[&str]| lattice(dir.path(), words).status.success();
    let is_whole = || match line.words[0].as_str() {
        "backup" => succeeds(&["verify", new]),
        "salvage" => fs::read(new).unwrap().ends_with(b"\n"),
        "export" => fs::read(new).unwrap() == lattice(dir.path(), &["export", &id]).stdout,
        _ => succeeds(&["bundle", "verify", new]),
    };
    match Path::new(new).exists() && !is_whole() {
        true => (true, wrong("the new file is damaged")),
        false => (true, None),
    }
}

/// The first name in a data directory that an interrupted command must not leave.
fn left_in(dir: &Path) -> Option<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let mut unfinished = names.filter(|name| {
        let starts = [".lattice-", ".lock", "building-", "copying-", "destroying-"];
        starts.iter().any(|start| name.starts_with(start)) || name.ends_with(".lock")
    });
    unfinished.next()
}

#[test]
fn every_command_says_what_stands_when_it_is_interrupted() {
    let store = Store::new("keys", true, 0)
        .with_keys(1_700_000_000_000)
        .with_files();
    let lines = lines();
    // The shell leaves signals to the commands that it runs: shell.rs.
    let lines = lines.iter().filter(|line| line.command != "shell");
    let runs: Vec<_> = lines
        .flat_map(|line| POINTS.map(|point| (line, point)))
        .collect();
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((line, point)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = interrupted(&store, line, *point);
                    ended.lock().unwrap().push(one);
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    assert_eq!(ended.len(), runs.len());
    let in_time = ended.iter().filter(|(in_time, _)| *in_time).count();
    let wrong: Vec<_> = ended.into_iter().filter_map(|(_, wrong)| wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        in_time > runs.len() / 8,
        "{in_time} of {} in time",
        runs.len()
    );
}

/// A data directory with a store `kv` that takes a moment to copy.
fn big() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    printed(dir.path(), &["create", "core:kvstore", "--alias", "kv"]);
    let row = |nth: u32| format!("{{\"key\":\"{nth:06}\",\"value\":\"{nth}\"}}\n");
    let rows = dir.path().join("rows.jsonl");
    fs::write(&rows, (0..30_000).map(row).collect::<String>()).unwrap();
    printed(dir.path(), &["import", "kv", rows.to_str().unwrap()]);
    fs::remove_file(rows).unwrap();
    dir
}

/// Whether a directory below `dir` has an unfinished file or store.
fn is_making(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.any(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let starts = [".lattice-", "copying-", "migrating-", "restoring-"];
        starts.iter().any(|start| name.starts_with(start)) && entry.path().join("state.db").exists()
            || entry.path().join("new").exists()
            || is_making(&entry.path())
    })
}

/// Interrupts a command while it makes a file; returns its error.
fn while_making(dir: &Path, words: &[&str], signal: &str, code: i32) -> serde_json::Value {
    for _ in 0..20 {
        let mut child = start(dir, &[&["--json"], words].concat());
        eventually("a file", || {
            child.try_wait().unwrap().is_some() || is_making(dir)
        });
        send(&mut child, signal);
        let ended = child.wait_with_output().unwrap();
        let told = errors(&ended);
        let was_ready = ["already ended", "in its place and complete"];
        if was_ready.iter().any(|text| told.contains(text)) {
            assert_eq!(ended.status.code(), Some(code), "{told}");
        } else if ended.status.code() == Some(code) {
            return error(&ended);
        } else {
            assert!(ended.status.success(), "{words:?}: {told}");
        }
        let _ = fs::remove_file(dir.join("copy.db"));
    }
    panic!("{words:?} was never interrupted");
}

#[test]
fn what_is_unfinished_is_removed() {
    let dir = big();
    let dir = dir.path();
    let copy = dir.join("copy.db");
    let copy = copy.to_str().unwrap();
    let made = while_making(dir, &["backup", "kv", copy], "-INT", 130);
    assert!(!Path::new(copy).exists() && !is_making(dir));
    let message = made["message"].as_str().unwrap();
    let starts =
        "interrupted; no copy was made, and nothing is left behind; `lattice --json backup";
    assert!(message.starts_with(starts), "{message}");
    assert_eq!(
        (&made["stands"], &made["unfinished_left"]),
        (&"no copy was made".into(), &serde_json::json!([]))
    );
    let made = while_making(dir, &["rebuild", "kv"], "-TERM", 143);
    assert_eq!(
        (&made["signal"], &made["stands"]),
        (&"TERM".into(), &"the store is unchanged".into())
    );
    assert!(!is_making(dir));
    assert_eq!(left_in(dir), None);
    printed(dir, &["verify", "kv"]);
    printed(dir, &["backup", "kv", copy]);
    let other = tempfile::tempdir().unwrap();
    let new = other.path().join("new");
    let made = while_making(&new, &["restore", copy], "-HUP", 129);
    assert_eq!(made["stands"], "nothing was restored");
    assert!(!new.exists(), "{made}");
}

#[test]
fn an_interrupted_migration_is_kept_and_continued() {
    let dir = big();
    let dir = dir.path();
    let words = ["migrate", "kv", "--to", "core:kvstore"];
    let made = while_making(dir, &words, "-INT", 130);
    let kept = made["unfinished_kept"][0].as_str().unwrap();
    assert!(Path::new(kept).join("state.db").exists(), "{made}");
    let message = made["message"].as_str().unwrap();
    assert!(
        message.contains("which `lattice doctor --fix` removes"),
        "{message}"
    );
    assert!(message.ends_with("` continues"), "{message}");
    assert_eq!(left_in(dir), None);
    let id = printed(dir, &words);
    assert!(!Path::new(kept).exists());
    assert_eq!(printed(dir, &["call", id.trim(), "count"]).trim(), "30000");
}

#[test]
fn an_interrupted_restore_of_a_chain_is_continued() {
    let dir = big();
    let dir = dir.path();
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let [base, later] = ["base.db", "later"].map(file);
    printed(dir, &["create", "core:kvstore", "--alias", "small"]);
    printed(dir, &["backup", "small", &base]);
    let rows = dir.join("rows.jsonl");
    fs::write(&rows, printed(dir, &["export", "kv"])).unwrap();
    printed(dir, &["import", "small", rows.to_str().unwrap()]);
    printed(dir, &["backup", "small", &later, "--since", &base]);
    let other = tempfile::tempdir().unwrap();
    let new = other.path().join("new");
    let words = ["restore", &base, &later, "--alias", "again"];
    let made = while_making(&new, &words, "-INT", 130);
    assert_eq!(made["stands"], "nothing was restored");
    let kept = made["unfinished_kept"][0].as_str().unwrap();
    assert!(kept.contains("/restoring-"), "{made}");
    let message = made["message"].as_str().unwrap();
    assert!(message.ends_with("` continues"), "{message}");
    printed(&new, &words);
    assert!(!Path::new(kept).exists());
    printed(&new, &["verify", "again"]);
    assert_eq!(
        printed(&new, &["export", "again"]),
        printed(dir, &["export", "kv"])
    );
}
