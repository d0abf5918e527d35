//! `lattice code gc`.
#![cfg(feature = "wasm")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lattice_meta::Cid;
use serde_json::Value;

use crate::{lattice, printed};

/// A data directory with a store of a module that was not used for 100 days and is not trusted any
/// more. Returns the id of the store and the file of the module.
fn unused(dir: &Path) -> (String, PathBuf) {
    let file = dir.join("chat.wasm");
    fs::write(&file, lattice_wasm::guests::CHAT).unwrap();
    printed(dir, &["code", "add", file.to_str().unwrap()]);
    let id = printed(dir, &["create", "org.example.chat"]);
    fs::remove_file(dir.join("code.toml")).unwrap();
    let cid = Cid::of(lattice_wasm::guests::CHAT).to_string();
    let cached = dir.join("wasm").join(cid);
    let days = Duration::from_secs(100 * 24 * 60 * 60);
    let opened = File::options().write(true).open(&cached).unwrap();
    opened.set_modified(SystemTime::now() - days).unwrap();
    (id.trim().to_owned(), cached)
}

/// What a successful run lists, and its notes.
fn collected(dir: &Path, arguments: &[&str]) -> (Vec<Value>, String) {
    let arguments = [&["--json", "code", "gc"], arguments].concat();
    let output = lattice(dir, &arguments);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let listed = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (listed.collect(), notes)
}

#[test]
fn a_module_stays_while_a_store_records_it_and_until_the_user_confirms() {
    let dir = tempfile::tempdir().unwrap();
    let (id, cached) = unused(dir.path());
    for arguments in [&[][..], &["--yes"]] {
        let (listed, notes) = collected(dir.path(), arguments);
        assert_eq!((listed.len(), &*notes), (0, "nothing to remove\n"));
    }
    printed(dir.path(), &["destroy", &id, "--yes"]);
    let (listed, notes) = collected(dir.path(), &[]);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["store_type"], "org.example.chat");
    assert_eq!(listed[0]["kind"], "module");
    assert_eq!(listed[0]["removed"], false);
    assert_eq!(listed[0]["bytes"], lattice_wasm::guests::CHAT.len());
    assert!(notes.contains("`lattice code gc --yes`"), "{notes}");
    assert!(cached.exists());

    let (removed, _) = collected(dir.path(), &["--yes"]);
    assert_eq!(removed[0]["cid"], listed[0]["cid"]);
    assert_eq!(removed[0]["removed"], true);
    assert!(!cached.exists());
    let (listed, notes) = collected(dir.path(), &["--yes"]);
    assert_eq!((listed.len(), &*notes), (0, "nothing to remove\n"));
}

#[test]
fn times_before_1970_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (id, cached) = unused(dir.path());
    printed(dir.path(), &["destroy", &id, "--yes"]);
    let left = dir.path().join(".lattice-0123456789abcdef.partial");
    fs::create_dir(&left).unwrap();
    for path in [&cached, &left] {
        let file = fs::File::open(path).unwrap();
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(90_061_500);
        file.set_modified(before).unwrap();
    }
    let (listed, _) = collected(dir.path(), &[]);
    assert_eq!(listed[0]["last_used"], -90_061_500);
    let text = printed(dir.path(), &["code", "gc"]);
    assert!(text.trim_end().ends_with("last used before 1970"), "{text}");
    let left = printed(dir.path(), &["--json", "doctor"]);
    let left = left.lines().find(|line| line.contains("left_by")).unwrap();
    let left: Value = serde_json::from_str(left).unwrap();
    assert_eq!(left["time"], -90_061_500);
}

#[test]
fn a_store_that_cannot_be_read_keeps_all_modules() {
    let dir = tempfile::tempdir().unwrap();
    let (id, cached) = unused(dir.path());
    let damaged = dir.path().join("stores").join(&id);
    fs::write(damaged.join("state.db"), b"no store").unwrap();
    for arguments in [&[][..], &["--yes"]] {
        let (listed, notes) = collected(dir.path(), arguments);
        assert_eq!(listed.len(), 0);
        assert!(notes.contains(&id), "{notes}");
        assert!(notes.contains("nothing is removed"), "{notes}");
        assert!(cached.exists());
    }
}

#[test]
fn without_a_data_directory_there_is_nothing_to_remove_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (listed, notes) = collected(&data, &["--yes"]);
    assert_eq!((listed.len(), &*notes), (0, "nothing to remove\n"));
    assert!(!data.exists());
}
