//! What `salvage` finds in files that cannot be opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::bundle::BundleReader;
use serde_json::Value;

use crate::{lattice, printed, state_db};

const PAGE: usize = 4096;

/// A store with 60 short ops, and three of several parts.
fn home(dir: &Path) -> String {
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    let row = |n: u32| format!("{{\"key\":\"key {n:03}\",\"value\":\"{n}\"}}\n");
    let file = dir.join("rows.jsonl");
    fs::write(&file, (0..300).map(row).collect::<String>()).unwrap();
    let file = file.to_str().unwrap();
    printed(dir, &["import", "kv", file, "--batch", "5"]);
    for (nth, length) in [2_000, 9_000, 90_000].into_iter().enumerate() {
        let value = nth.to_string().repeat(length);
        printed(dir, &["put", "kv", &format!("long {nth}"), &value]);
    }
    id.trim().to_owned()
}

/// The ops of a bundle by their bytes, in order.
fn ops_of(file: &Path) -> Vec<Vec<u8>> {
    let mut reader = BundleReader::new(fs::File::open(file).unwrap()).unwrap();
    std::iter::from_fn(|| reader.next_op().unwrap()).collect()
}

/// The ops that the intact store has.
fn original(dir: &Path) -> Vec<Vec<u8>> {
    let file = dir.join("original.bundle");
    printed(dir, &["bundle", "create", "kv", file.to_str().unwrap()]);
    ops_of(&file)
}

/// Finds the ops of the store; returns them, the exit code and what was said.
fn carve(dir: &Path, name: &str) -> (PathBuf, Option<i32>, String) {
    let file = dir.join(name);
    let output = lattice(dir, &["salvage", "kv", file.to_str().unwrap(), "--ops"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    (file, output.status.code(), said)
}

fn rows(text: &str) -> BTreeMap<String, Value> {
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let rows = text.lines().map(parse);
    rows.map(|row| (row["key"].as_str().unwrap().to_owned(), row))
        .collect()
}

fn zero_header(bytes: &mut [u8]) {
    bytes[..PAGE].fill(0);
}

/// Without header and branches: the roots of all tables but the smallest.
fn zero_roots(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE).filter(|page| page[0] == 2) {
        page.fill(0);
    }
}

#[test]
fn a_store_without_its_header_gives_all_rows_in_doubt() {
    let home_dir = tempfile::tempdir().unwrap();
    let dir = home_dir.path();
    let id = home(dir);
    let right = rows(&printed(dir, &["export", "kv"]));
    let mut bytes = fs::read(state_db(dir, &id)).unwrap();
    zero_header(&mut bytes);
    zero_roots(&mut bytes);
    fs::write(state_db(dir, &id), &bytes).unwrap();

    let output = lattice(dir, &["salvage", "kv"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    let found = rows(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(found.len(), 303);
    for (key, row) in &found {
        assert_eq!(row["value"], right[key]["value"], "{key}");
        let doubt = row["doubt"].as_str().unwrap();
        assert!(doubt.contains("cannot be opened"), "{doubt}");
    }
    assert!(said.contains("the file cannot be opened: "), "{said}");
    assert!(said.contains("salvage kv BUNDLE --ops"), "{said}");
    assert_eq!(fs::read(state_db(dir, &id)).unwrap(), bytes, "it changed");
}

/// From the ops of the damaged file to the same store in its place.
#[test]
fn the_ops_of_a_store_without_its_header_make_the_same_store() {
    let home_dir = tempfile::tempdir().unwrap();
    let dir = home_dir.path();
    let id = home(dir);
    let (all, exported) = (original(dir), printed(dir, &["export", "kv"]));
    let mut bytes = fs::read(state_db(dir, &id)).unwrap();
    zero_header(&mut bytes);
    zero_roots(&mut bytes);
    fs::write(state_db(dir, &id), &bytes).unwrap();

    let (file, code, said) = carve(dir, "found.bundle");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(ops_of(&file), all);

    let new = dir.join("new");
    let copy = dir.join("copy.db");
    let (file, copy) = (file.to_str().unwrap(), copy.to_str().unwrap());
    let applied = printed(&new, &["bundle", "apply", file, "--any-author"]);
    assert_eq!(applied.trim(), id);
    printed(&new, &["backup", &id, copy]);
    printed(dir, &["restore", copy, "--yes"]);
    assert_eq!(printed(dir, &["export", "kv"]), exported);
    printed(dir, &["verify", "kv"]);
}

/// One page after the other is lost as well. Each op that is found is one of the original's.
#[test]
fn each_lost_page_costs_the_ops_that_are_on_it() {
    let home_dir = tempfile::tempdir().unwrap();
    let dir = home_dir.path();
    let id = home(dir);
    let all = original(dir);
    let intact = fs::read(state_db(dir, &id)).unwrap();
    let pages = intact.len() / PAGE;
    let (mut whole, mut lost) = (0, 0);
    for page in (1..pages).step_by(pages.div_ceil(24)) {
        for at in [0, 2, 1000] {
            let mut damaged = intact.clone();
            zero_header(&mut damaged);
            let from = page * PAGE + at;
            for byte in &mut damaged[from..page * PAGE + PAGE] {
                *byte ^= 0x55;
            }
            fs::write(state_db(dir, &id), &damaged).unwrap();
            let (file, code, said) = carve(dir, &format!("{page}-{at}.bundle"));
            if !file.exists() {
                // It had the genesis.
                assert!(code == Some(3) || code == Some(4), "{said}");
                continue;
            }
            let found = ops_of(&file);
            for op in &found {
                assert!(all.contains(op), "page {page} from {at}: a false op");
            }
            // A page has at most 16 short ops.
            assert!(found.len() + 16 >= all.len(), "{} {said}", found.len());
            match found.len() == all.len() {
                true => whole += 1,
                false => lost += 1,
            }
        }
    }
    assert!(whole > 0 && lost > 0, "{whole} {lost}");
}

#[test]
fn the_entries_of_a_log_are_found() {
    let home_dir = tempfile::tempdir().unwrap();
    let dir = home_dir.path();
    let id = printed(dir, &["create", "core:logstore", "--alias", "log"]);
    printed(dir, &["append", "log", "one", "two"]);
    let file = state_db(dir, id.trim());
    let mut bytes = fs::read(&file).unwrap();
    zero_header(&mut bytes);
    fs::write(&file, bytes).unwrap();
    // By its path too, which names no store.
    let copy = dir.join("copy.db");
    fs::copy(&file, &copy).unwrap();
    for store in ["log", copy.to_str().unwrap()] {
        let output = lattice(dir, &["salvage", store]);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let found = String::from_utf8(output.stdout).unwrap();
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let found: Vec<Value> = found.lines().map(parse).collect();
        let contents: Vec<_> = found.iter().map(|entry| &entry["content"]).collect();
        assert_eq!(contents, ["one", "two"]);
        assert!(found.iter().all(|entry| entry["doubt"].is_string()));
    }
}

#[test]
fn a_file_that_has_no_store_is_no_store() {
    let home_dir = tempfile::tempdir().unwrap();
    let dir = home_dir.path();
    let file = dir.join("notes.txt");
    let leaf = [[1, 0, 0xff, 0xff, 7, 0, 0, 0].as_slice(), &[0x41; 9_000]].concat();
    for text in [b"buy milk\n".as_slice(), &leaf] {
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        for arguments in [&["salvage", file][..], &["salvage", file, "--ops"]] {
            let output = lattice(dir, arguments);
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("is not a store"), "{said}");
            assert_eq!(output.status.code(), Some(3), "{said}");
        }
    }
}
