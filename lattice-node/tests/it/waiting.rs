//! `bundle apply` of ops that are dated ahead of the clock.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lattice_backend::backend::OpenOptions;
use lattice_backend::clock::{Clock, ManualClock, SystemClock};
use lattice_node::{Access, KvStore, ManagerOptions, SecretKey, StoreManager, core_registry};
use lattice_registry::TypedStore;
use serde_json::Value;

use crate::{lattice, printed, program};

const MINUTE_MS: u64 = 60_000;

/// A bundle of a store that was created `created_ms` after now, with one op of then, and two that
/// are dated `ahead_ms` after now.
fn bundle(dir: &Path, created_ms: u64, ahead_ms: u64) -> PathBuf {
    let now_ms = SystemClock.now_ms();
    let clock = Arc::new(ManualClock::new(now_ms + created_ms));
    let options = ManagerOptions::new(SecretKey::from_bytes(&[9; 32])).clock(clock.clone());
    let backend = lattice_backend::file_backend();
    let registry = core_registry().unwrap();
    let manager = StoreManager::new(dir.join("theirs"), backend, registry, options);
    let id = manager.create(&lattice_kvstore::store_type()).unwrap();
    let store = manager.open(id, Access::ReadWrite).unwrap();
    let kv = store.downcast_ref::<KvStore>().unwrap();
    kv.put("a", "in time").unwrap();
    clock.set(now_ms + ahead_ms);
    kv.put("a", "ahead").unwrap();
    kv.put("b", "after it").unwrap();
    assert_eq!(kv.engine().op_count().unwrap(), 3);
    drop(store);
    manager.close_all().unwrap();
    let file = dir.join("bundle");
    let (id, path) = (id.to_string(), file.display().to_string());
    printed(&dir.join("theirs"), &["bundle", "create", &id, &path]);
    file
}

fn apply(dir: &Path, file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let file = file.display().to_string();
    let words = [&["--json", "bundle", "apply", &file][..], more].concat();
    let ended = lattice(&dir.join("ours"), &words);
    let errors = String::from_utf8(ended.stderr).unwrap();
    let value = serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null);
    (ended.status.code(), value, errors)
}

#[test]
fn deferred_ops_are_named_and_applied_when_they_are_due() {
    let dir = tempfile::tempdir().unwrap();
    let before_ms = SystemClock.now_ms();
    let file = bundle(dir.path(), 0, 10 * MINUTE_MS + 4000);
    let (code, counts, _) = apply(dir.path(), &file, &[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        (&counts["applied"], &counts["deferred"]),
        (&1.into(), &2.into())
    );
    assert_eq!(counts["pending"], 0);
    let until_ms = counts["deferred_until_ms"].as_u64().unwrap();
    assert!((before_ms + 4000..before_ms + 60_000).contains(&until_ms));
    // The text says the same.
    let text = lattice(
        &dir.path().join("ours"),
        &["bundle", "apply", &file.display().to_string()],
    );
    let text = String::from_utf8(text.stderr).unwrap();
    assert!(text.contains("2 ops deferred until "), "{text}");
    assert!(text.contains("`bundle apply --until-due`"), "{text}");

    let (code, counts, errors) = apply(dir.path(), &file, &["--until-due"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(SystemClock.now_ms() >= until_ms);
    let numbers = ["applied", "known", "deferred"].map(|name| counts[name].as_u64().unwrap());
    assert_eq!(numbers, [2, 1, 0]);
    assert_eq!(counts["deferred_until_ms"], Value::Null);
    assert!(errors.contains("waiting until "), "{errors}");
}

/// Both sides of an exchange say that ops were put off, and exit with 1.
#[cfg(all(unix, feature = "sync"))]
#[test]
fn an_exchange_says_which_ops_are_not_due() {
    let dir = tempfile::tempdir().unwrap();
    bundle(dir.path(), 0, 20 * MINUTE_MS);
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    let stores = fs::read_dir(theirs.join("stores")).unwrap();
    let id = stores.map(|store| store.unwrap().file_name()).next();
    let id = id.unwrap().into_string().unwrap();
    let cloned = lattice(
        &ours,
        &["--json", "clone", &format!("{}/{id}", theirs.display())],
    );
    assert_eq!(cloned.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&cloned.stdout).unwrap();
    assert_eq!(
        (&value["applied"], &value["deferred"]),
        (&1.into(), &2.into())
    );
    assert_eq!(value["sync_state"], "different");
    let peer = ours.display().to_string();
    let pushed = lattice(&theirs, &["sync", &id, &peer, "--push", "--any-author"]);
    assert_eq!(pushed.status.code(), Some(1));
    let said = String::from_utf8(pushed.stderr).unwrap();
    assert!(said.contains("dated ahead of a clock"), "{said}");
}

/// Starts `bundle apply --until-due` on our directory, and reads its notes up to the one that it waits.
fn start_waiting(dir: &Path, file: &Path) -> (Child, BufReader<ChildStderr>) {
    let mut child = program()
        .args(["--no-wait", "bundle", "apply", "--until-due"])
        .arg(file)
        .env("LATTICE_DATA_DIR", dir.join("ours"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("2 ops deferred"), "{line}");
    assert!(line.contains("waiting until "), "{line}");
    (child, errors)
}

/// The id of the only store of our directory.
fn only_store(ours: &Path) -> String {
    let store = fs::read_dir(ours.join("stores")).unwrap().next().unwrap();
    store.unwrap().file_name().into_string().unwrap()
}

#[test]
fn a_wait_outlasts_another_writer() {
    let dir = tempfile::tempdir().unwrap();
    let file = bundle(dir.path(), 0, 10 * MINUTE_MS + 4000);
    let ours = dir.path().join("ours");
    let (mut child, mut errors) = start_waiting(dir.path(), &file);
    // Long work keeps its turn, longer than the command waits at each attempt.
    let state = ours.join("stores").join(only_store(&ours)).join("state.db");
    let work = OpenOptions::long_work("rebuild", Duration::ZERO);
    let held = lattice_backend::file_backend().open(&state, &work).unwrap();
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("is busy with `rebuild`"), "{line}");
    assert!(line.contains("; trying again for 60 s"), "{line}");
    held.close().unwrap();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("3 ops applied"), "{rest}");
}

#[cfg(unix)]
#[test]
fn a_wait_can_be_interrupted_and_others_can_write_during_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = bundle(dir.path(), 0, 70 * MINUTE_MS);
    let ours = dir.path().join("ours");
    let (mut child, mut errors) = start_waiting(dir.path(), &file);
    let store = only_store(&ours);
    printed(&ours, &["put", &store, "c", "ours"]);
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        rest.contains("interrupted; 1 op was applied before"),
        "{rest}"
    );
    assert!(rest.contains("apply the bundle again then"), "{rest}");
    assert!(printed(&ours, &["verify", &store]).starts_with("ok: 2 ops"));
}

#[test]
fn a_store_that_is_dated_ahead_is_refused_until_it_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let file = bundle(dir.path(), 60 * MINUTE_MS, 60 * MINUTE_MS);
    let (code, _, errors) = apply(dir.path(), &file, &[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("ahead of this machine's clock"), "{errors}");
    assert!(errors.contains("take the store from 2"), "{errors}");
    assert!(
        !dir.path().join("ours/stores").exists() || {
            let mut left = fs::read_dir(dir.path().join("ours/stores")).unwrap();
            left.next().is_none()
        }
    );
    // Ten minutes are within what clocks differ by; with --until-due the command waits for more.
    let dir = tempfile::tempdir().unwrap();
    let ahead_ms = 10 * MINUTE_MS + 3000;
    let file = bundle(dir.path(), ahead_ms, ahead_ms);
    let (code, counts, errors) = apply(dir.path(), &file, &["--until-due"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(
        (&counts["applied"], &counts["new_replica"]),
        (&3.into(), &true.into())
    );
}
