//! What `salvage` gets out of damaged stores.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lattice_backend::backend::Table;
use serde_json::Value;

use crate::{edit, lattice, printed, state_db};

/// A store with many keys; returns its id.
fn with_keys(dir: &Path, keys: u32) -> String {
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    let row = |n: u32| {
        let value = format!("{n} ").repeat(20);
        format!("{{\"key\":\"key {n:05}\",\"value\":\"{value}\"}}\n")
    };
    let file = dir.join("rows.jsonl");
    fs::write(&file, (0..keys).map(row).collect::<String>()).unwrap();
    printed(
        dir,
        &["import", "kv", file.to_str().unwrap(), "--batch", "500"],
    );
    id.trim().to_owned()
}

/// The salvaged rows by key, and the exit code.
fn salvage(dir: &Path, store: &str) -> (BTreeMap<String, Value>, i32, String) {
    let output = lattice(dir, &["salvage", store]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let key = row["key"].as_str().unwrap().to_owned();
        assert!(rows.insert(key, row).is_none(), "twice: {line}");
    }
    let said = String::from_utf8(output.stderr).unwrap();
    (rows, output.status.code().unwrap(), said)
}

fn doubts(rows: &BTreeMap<String, Value>) -> Vec<(&str, &str)> {
    let doubt = |(key, row)| {
        let (key, row): (&String, &Value) = (key, row);
        row["doubt"].as_str().map(|doubt| (key.as_str(), doubt))
    };
    rows.iter().filter_map(doubt).collect()
}

#[test]
fn an_intact_store_is_salvaged_without_doubt() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    with_keys(dir, 100);
    let (rows, code, said) = salvage(dir, "kv");
    assert_eq!((rows.len(), code), (100, 0), "{said}");
    assert_eq!(doubts(&rows), []);
    // `import` reads the rows.
    let file = dir.join("salvaged.jsonl");
    printed(dir, &["salvage", "kv", file.to_str().unwrap()]);
    printed(dir, &["create", "core:kvstore", "--alias", "new"]);
    printed(dir, &["import", "new", file.to_str().unwrap()]);
    assert_eq!(
        printed(dir, &["export", "new"]),
        printed(dir, &["export", "kv"])
    );
}

#[test]
fn rows_that_differ_from_the_history_are_in_doubt_and_right() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let id = with_keys(dir, 10);
    let right = printed(dir, &["get", "kv", "key 00003"]);
    edit(&state_db(dir, &id), |tx| {
        let row = tx.get(Table::Data, b"ckey 00003").unwrap().unwrap();
        let flipped = [&row[..row.len() - 1], b"?"].concat();
        tx.put(Table::Data, b"ckey 00003", &flipped).unwrap();
        let added = tx.get(Table::Data, b"ckey 00004").unwrap().unwrap();
        tx.put(Table::Data, b"cnew", &added).unwrap();
        tx.remove(Table::Data, b"ckey 00005").unwrap();
    });
    let (rows, code, said) = salvage(dir, "kv");
    assert_eq!((rows.len(), code), (11, 4), "{said}");
    assert_eq!(rows["key 00003"]["value"], right);
    assert_eq!(
        doubts(&rows),
        [
            (
                "key 00003",
                "the stored value differs from the history, which this is from"
            ),
            ("key 00005", "it is in the history only"),
            ("new", "it is not in the history"),
        ]
    );
    assert!(
        said.contains("salvaged 11 rows, 3 of them in doubt"),
        "{said}"
    );
}

#[test]
fn rows_of_a_damaged_history_are_in_doubt_unless_the_state_hash_proves_them() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let id = with_keys(dir, 10);
    edit(&state_db(dir, &id), |tx| {
        let key = 0_u64.to_be_bytes();
        let mut row = tx.get(Table::Ops, &key).unwrap().unwrap();
        let last = row.len() - 1;
        row[last] ^= 1;
        tx.put(Table::Ops, &key, &row).unwrap();
    });
    let (rows, code, said) = salvage(dir, "kv");
    assert_eq!((rows.len(), code), (10, 4), "{said}");
    assert_eq!(doubts(&rows), []);
    assert!(said.contains("the history cannot be replayed: "), "{said}");
    edit(&state_db(dir, &id), |tx| {
        tx.remove(Table::Data, b"ckey 00005").unwrap();
    });
    let (rows, code, said) = salvage(dir, "kv");
    assert_eq!((rows.len(), code), (9, 4), "{said}");
    assert_eq!(doubts(&rows).len(), 9);
}

/// Pages are overwritten all over the file. Every row that is printed without doubt is right.
#[test]
fn pages_that_are_lost_are_named_and_the_others_are_read() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let id = with_keys(dir, 3000);
    let all = printed(dir, &["export", "kv"]);
    let right: BTreeMap<String, Value> = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| {
            (
                row["key"].as_str().unwrap().to_owned(),
                row["value"].clone(),
            )
        })
        .collect();
    let intact = fs::read(state_db(dir, &id)).unwrap();
    let pages = intact.len() / 4096;
    let mut read = 0;
    for page in (2..pages).step_by(pages / 16) {
        let mut damaged = intact.clone();
        for byte in &mut damaged[page * 4096 + 64..page * 4096 + 4096] {
            *byte ^= 0x55;
        }
        fs::write(state_db(dir, &id), &damaged).unwrap();
        let (rows, code, said) = salvage(dir, "kv");
        assert!(code == 0 || code == 4, "page {page}: {code} {said}");
        assert!(!said.contains("panicked"), "{said}");
        for (key, row) in &rows {
            let is_right = right.get(key) == Some(&row["value"]);
            assert!(is_right || !row["doubt"].is_null(), "page {page}: {row}");
        }
        read += usize::from(!rows.is_empty());
    }
    assert!(read >= 10, "{read} of 16 or 17");
}

#[test]
fn a_log_is_salvaged() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    printed(dir, &["create", "core:logstore", "--alias", "log"]);
    printed(dir, &["append", "log", "one", "two"]);
    let text = printed(dir, &["salvage", "log"]);
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows[1]["content"], "two");
    assert!(rows[1]["doubt"].is_null());
    printed(dir, &["create", "core:logstore", "--alias", "new"]);
    let file = dir.join("rows");
    fs::write(&file, text).unwrap();
    printed(
        dir,
        &["import", "new", file.to_str().unwrap(), "--format", "jsonl"],
    );
    assert!(printed(dir, &["tail", "new"]).contains("two"));
}

/// A text file is something else than a damaged store.
#[test]
fn a_text_file_is_not_a_store() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let file = dir.join("notes.txt");
    fs::write(&file, "buy milk\n").unwrap();
    for command in ["verify", "rebuild", "salvage", "peek", "doctor", "restore"] {
        let output = lattice(dir, &["--json", command, file.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("is not a store") || printed.contains("is not a store"),
            "{command}: {said}"
        );
        assert!(!printed.contains("damaged"), "{command}: {printed}");
        if command != "doctor" {
            assert!(said.contains("not_a_store"), "{command}: {said}");
            assert_eq!(output.status.code(), Some(3), "{command}: {said}");
        }
    }
}
