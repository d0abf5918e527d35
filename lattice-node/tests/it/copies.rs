//! Copies of damaged stores, damaged copies, and concurrent removals.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use redb::{Database, ReadableDatabase, TableDefinition};

use crate::whole::{filled, json, put};
use crate::{lattice, printed, state_db};

/// The command failed over damage; its message names this file and no temporary one.
fn assert_refused(refused: &Output, file: &str) {
    let error = json(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{error}");
    assert_eq!(error["error"]["kind"], "damaged");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(file) && !message.contains("copying-") && !message.contains("partial"),
        "{message}"
    );
}

#[test]
fn a_copy_with_one_wrong_byte_replaces_no_intact_store() {
    let dir = tempfile::tempdir().unwrap();
    let id = filled(dir.path(), 250);
    let copy = dir.path().join("copy.db");
    let copy_text = copy.to_str().unwrap();
    printed(dir.path(), &["backup", "kv", copy_text]);
    let (whole, place) = (fs::read(&copy).unwrap(), state_db(dir.path(), &id));
    let before = fs::read(&place).unwrap();
    let marker = b"key 123";
    let found: Vec<usize> = (0..whole.len())
        .filter(|&at| whole[at..].starts_with(marker))
        .collect();
    assert!(found.len() >= 2, "in a row and in an op");
    let other = tempfile::tempdir().unwrap();
    for at in found {
        let mut damaged = whole.clone();
        damaged[at + 5] ^= 1;
        fs::write(&copy, damaged).unwrap();
        let restore = ["--json", "restore", copy_text, "--yes"];
        assert_refused(&lattice(dir.path(), &restore), "copy.db");
        // An impossible restore fails without asking for confirmation.
        assert_refused(&lattice(dir.path(), &restore[..3]), "copy.db");
        assert!(fs::read(&place).unwrap() == before);
        assert_refused(&lattice(other.path(), &restore), "copy.db");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }
    fs::write(&copy, whole).unwrap();
    let restored = lattice(dir.path(), &["--json", "restore", copy_text, "--yes"]);
    let kept = json(&restored.stdout)["kept"].as_str().unwrap().to_owned();
    // The kept store was opened once, and is otherwise unchanged.
    printed(dir.path(), &["verify", &kept]);
}

#[test]
fn a_copy_whose_rows_differ_from_its_state_hash_fails_its_verification_and_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let id = filled(dir.path(), 50);
    put(dir.path(), &id, "data", b"ckey 7", b"short");
    let copy = dir.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    // The pages match their checksums.
    printed(dir.path(), &["backup", "kv", copy]);
    for store in ["kv", copy] {
        for depth in [&["verify", store][..], &["verify", store, "--quick"]] {
            assert_eq!(lattice(dir.path(), depth).status.code(), Some(4));
        }
    }
    let other = tempfile::tempdir().unwrap();
    for trust in [&[][..], &["--trust"]] {
        let restore = [&["--json", "restore", copy], trust].concat();
        assert_refused(&lattice(other.path(), &restore), "copy.db");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }
}

/// Changes the last byte of the first op, which is in a value.
fn alter_first_op(dir: &Path, id: &str) {
    let first = 0_u64.to_be_bytes();
    let ops: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("ops");
    let mut row = {
        let database = Database::open(state_db(dir, id)).unwrap();
        let table = database.begin_read().unwrap().open_table(ops).unwrap();
        table.get(&first[..]).unwrap().unwrap().value().to_vec()
    };
    *row.last_mut().unwrap() ^= 1;
    put(dir, id, "ops", &first, &row);
}

#[test]
fn a_store_whose_history_was_altered_is_not_backed_up() {
    // The op is in the author index, or not yet.
    for ops in [1, 300] {
        let dir = tempfile::tempdir().unwrap();
        let id = filled(dir.path(), 100 * ops);
        alter_first_op(dir.path(), &id);
        let copy = dir.path().join("copy.db");
        let backup = ["--json", "backup", "kv", copy.to_str().unwrap()];
        assert_refused(&lattice(dir.path(), &backup), "state.db");
        assert!(!copy.exists());
    }
}

#[test]
fn an_op_with_an_invalid_signature_is_not_bundled() {
    let dir = tempfile::tempdir().unwrap();
    let id = filled(dir.path(), 50);
    alter_first_op(dir.path(), &id);
    let bundle = dir.path().join("x.bundle");
    let create = ["--json", "bundle", "create", "kv", bundle.to_str().unwrap()];
    assert_refused(&lattice(dir.path(), &create), "state.db");
    let left = fs::read_dir(dir.path()).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names.into_iter().all(|name| !name.contains("bundle")),
        "something is left"
    );
}

#[test]
fn of_concurrent_removals_one_succeeds_and_the_others_report_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut codes = BTreeMap::<Option<i32>, usize>::new();
    for round in 0..6 {
        let id = printed(dir.path(), &["create", "core:kvstore", "--alias", "kv"]);
        let id = id.trim();
        let path = dir.path().join("stores").join(id);
        let name = [id, "kv", path.to_str().unwrap()][round % 3];
        let destroy = || {
            Command::new(env!("CARGO_BIN_EXE_lattice"))
                .env("LATTICE_DATA_DIR", dir.path())
                .args(["destroy", "--yes", name])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let running: Vec<_> = (0..6).map(|_| destroy()).collect();
        let mut succeeded = 0;
        for child in running {
            let ended = child.wait_with_output().unwrap();
            let (code, said) = (ended.status.code(), String::from_utf8_lossy(&ended.stderr));
            succeeded += usize::from(code == Some(0));
            assert!(
                matches!(code, Some(0 | 3 | 5)),
                "{name} ended with {code:?}: {said}"
            );
            *codes.entry(code).or_insert(0) += 1;
        }
        // A second one may remove the alias.
        let most = if name == "kv" { 2 } else { 1 };
        assert!(
            (1..=most).contains(&succeeded),
            "{succeeded} of those of {name}"
        );
        assert_eq!(fs::read_dir(dir.path().join("stores")).unwrap().count(), 0);
    }
    assert!(codes.len() > 1, "{codes:?}");
}
