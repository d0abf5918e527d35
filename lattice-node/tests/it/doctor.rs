//! What `doctor` finds, and that the command which it names mends it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lattice_backend::backend::Table;
use serde_json::Value;

use crate::{copy_dir, edit, lattice, printed, state_db};

fn create(dir: &Path, alias: &str) -> String {
    let id = printed(dir, &["create", "core:kvstore", "--alias", alias]);
    printed(dir, &["put", alias, "a", "1"]);
    id.trim().to_owned()
}

/// The findings, without leftovers, and the exit code.
fn findings(dir: &Path, words: &[&str]) -> (Vec<Value>, i32) {
    let output = lattice(dir, &[&["--json", "doctor"], words].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let all = all.filter(|value: &Value| value.get("finding").is_some());
    (all.collect(), output.status.code().unwrap())
}

fn kinds(dir: &Path, words: &[&str]) -> (Vec<String>, i32) {
    let (found, code) = findings(dir, words);
    let kinds = found
        .iter()
        .map(|value| value["finding"].as_str().unwrap().to_owned());
    (kinds.collect(), code)
}

/// Runs the command that a finding names.
fn mend(dir: &Path, finding: &Value) {
    let line = finding["mended_by"].as_str().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_lattice")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let done = std::process::Command::new("sh")
        .args(["-c", line])
        .env("LATTICE_DATA_DIR", dir)
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(done.status.success(), "{line}: {done:?}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let dir = &home.path().join("data");
    assert_eq!(kinds(dir, &[]), (vec![], 0));
    create(dir, "one");
    create(dir, "two");
    for words in [&[][..], &["--full"], &["one"], &["one", "two", "--full"]] {
        assert_eq!(kinds(dir, words), (vec![], 0), "{words:?}");
    }
    let output = lattice(dir, &["doctor"]);
    let noted = String::from_utf8(output.stderr).unwrap();
    assert!(
        noted.contains("checked 2 stores: nothing is wrong"),
        "{noted}"
    );
}

#[test]
fn permissions_names_and_unverified_stores_are_found_and_mended() {
    let home = tempfile::tempdir().unwrap();
    let dir = &home.path().join("data");
    let id = create(dir, "one");
    let file = state_db(dir, &id);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&file, 0o644);
    mode(dir, 0o755);
    let (found, code) = findings(dir, &[]);
    assert_eq!((found.len(), code), (2, 0), "{found:?}");
    mend(dir, &found[1]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let (found, _) = findings(dir, &["--fix"]);
    assert_eq!(found[0]["fixed"], true, "{found:?}");
    assert_eq!(kinds(dir, &[]), (vec![], 0));
    mode(&dir.join("identity.key"), 0o644);
    let (found, _) = findings(dir, &[]);
    assert_eq!(found[0]["finding"], "mode", "{found:?}");
    mend(dir, &found[0]);
    assert_eq!(kinds(dir, &[]), (vec![], 0));

    // A store that was put there, and one that was taken away.
    create(dir, "two");
    let other = home.path().join("other");
    let theirs = create(&other, "theirs");
    copy_dir(
        &other.join("stores").join(&theirs),
        &dir.join("stores").join(&theirs),
    );
    mode(&dir.join("stores").join(&theirs), 0o700);
    let (found, code) = findings(dir, &[]);
    assert_eq!((found.len(), code), (1, 0), "{found:?}");
    assert_eq!(found[0]["finding"], "unverified");
    mend(dir, &found[0]);
    assert_eq!(kinds(dir, &[]), (vec![], 0));
    fs::remove_dir_all(dir.join("stores").join(&id)).unwrap();
    let (found, _) = findings(dir, &[]);
    assert_eq!(
        (found.len(), &found[0]["finding"]),
        (1, &"alias".into()),
        "{found:?}"
    );
    mend(dir, &found[0]);
    assert_eq!(kinds(dir, &[]), (vec![], 0));
}

#[test]
fn damage_is_found_and_is_the_only_reason_for_exit_code_4() {
    let home = tempfile::tempdir().unwrap();
    let dir = &home.path().join("data");
    let (id, other) = (create(dir, "one"), create(dir, "two"));
    edit(&state_db(dir, &id), |tx| {
        tx.put(Table::Data, b"ca", b"\0wrong").unwrap();
    });
    let (found, code) = findings(dir, &[]);
    assert_eq!((found.len(), code), (1, 4), "{found:?}");
    assert_eq!(found[0]["finding"], "damaged");
    assert_eq!(found[0]["store_id"], id);
    assert_eq!(kinds(dir, &["two", "--full"]), (vec![], 0));
    mend(dir, &found[0]);
    assert_eq!(kinds(dir, &["--full"]), (vec![], 0));
    // A file that is cut.
    let bytes = fs::read(state_db(dir, &other)).unwrap();
    fs::write(state_db(dir, &other), &bytes[..bytes.len() / 2]).unwrap();
    let (found, code) = kinds(dir, &[]);
    assert_eq!((found, code), (vec!["damaged".to_owned()], 4));
    // A row of history that only the full verification reads.
    edit(&state_db(dir, &id), |tx| {
        tx.put(Table::Applied, b"unknown", b"row").unwrap();
    });
    assert_eq!(kinds(dir, &["one"]), (vec![], 0));
    assert_eq!(kinds(dir, &["one", "--full"]).1, 4);
}

#[test]
fn identities_that_are_missing_replaced_or_shared_are_found() {
    let home = tempfile::tempdir().unwrap();
    let dir = &home.path().join("data");
    create(dir, "one");
    let key = dir.join("identity.key");
    let kept = home.path().join("kept");
    fs::rename(&key, &kept).unwrap();
    assert_eq!(kinds(dir, &[]), (vec!["identity_missing".to_owned()], 0));
    printed(dir, &["identity", "--create"]);
    assert_eq!(kinds(dir, &[]), (vec!["identity_replaced".to_owned()], 0));
    fs::rename(&kept, &key).unwrap();
    assert_eq!(kinds(dir, &[]), (vec![], 0));
    printed(dir, &["identity", "new", "--yes"]);
    assert_eq!(kinds(dir, &[]), (vec![], 0));

    // Two copies of a data directory write.
    let clone = home.path().join("clone");
    create(dir, "two");
    copy_dir(dir, &clone);
    fs::set_permissions(&clone, fs::Permissions::from_mode(0o700)).unwrap();
    printed(dir, &["put", "two", "b", "here"]);
    printed(&clone, &["put", "two", "b", "there"]);
    let bundle = home.path().join("bundle");
    printed(
        &clone,
        &["bundle", "create", "two", bundle.to_str().unwrap()],
    );
    printed(dir, &["bundle", "apply", bundle.to_str().unwrap()]);
    let (found, code) = findings(dir, &[]);
    assert_eq!((found.len(), code), (1, 0), "{found:?}");
    assert_eq!(found[0]["finding"], "cloned");
}

/// The mode of a link's target is the owner's to change.
#[test]
fn what_cannot_be_fixed_does_not_hide_the_other_findings() {
    let home = tempfile::tempdir().unwrap();
    let dir = &home.path().join("data");
    let id = create(dir, "one");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (aliases, elsewhere) = (dir.join("aliases.toml"), home.path().join("aliases"));
    fs::rename(&aliases, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &aliases).unwrap();
    mode(&elsewhere, 0o644);
    mode(&state_db(dir, &id), 0o644);
    let (found, code) = findings(dir, &["--fix"]);
    let fixed: Vec<_> = found.iter().map(|finding| &finding["fixed"]).collect();
    assert_eq!((fixed, code), (vec![&false.into(), &true.into()], 1));
    mend(dir, &found[0]);
    assert_eq!(kinds(dir, &[]), (vec![], 0));
}

#[test]
fn directories_are_searched_for_leftovers_beside_stores_that_are_checked() {
    let home = tempfile::tempdir().unwrap();
    let (dir, copies) = (&home.path().join("data"), home.path().join("copies"));
    create(dir, "one");
    let left = ".lattice-0123456789abcdef.partial";
    for dir in [dir, &copies] {
        fs::create_dir_all(dir.join(left)).unwrap();
    }
    let words = ["doctor", "one", copies.to_str().unwrap(), "--fix"];
    let text = printed(dir, &words);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!copies.join(left).exists() && dir.join(left).exists());
    printed(dir, &["doctor", "one", "--fix"]);
    assert!(dir.join(left).exists());
    printed(dir, &["doctor", "--fix"]);
    assert!(!dir.join(left).exists());
}

/// A copy does not help where code is missing.
#[cfg(feature = "wasm")]
#[test]
fn missing_code_is_no_reason_to_restore_a_copy() {
    let home = tempfile::tempdir().unwrap();
    let dir = &home.path().join("data");
    printed(dir, &["code", "add", &crate::code::module("chat")]);
    printed(dir, &["create", "org.example.chat"]);
    fs::remove_dir_all(dir.join("wasm")).unwrap();
    let (found, code) = findings(dir, &[]);
    assert_eq!((found.len(), code), (1, 0), "{found:?}");
    assert_eq!(found[0]["finding"], "unknown_type");
    assert_eq!(found[0]["mended_by"], Value::Null);
    let message = found[0]["message"].as_str().unwrap();
    assert!(message.contains("code add FILE`"), "{message}");
}
