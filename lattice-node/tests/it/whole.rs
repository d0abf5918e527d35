//! `verify`, `rebuild` and `migrate` through the program, also when it is killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redb::{Database, TableDefinition};
use serde_json::Value;

use crate::{lattice, printed};

/// Creates a key-value store with this many keys, in ops of a hundred; returns its id.
pub(crate) fn filled(dir: &Path, keys: usize) -> String {
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"])
        .trim()
        .to_owned();
    let row = |nth: usize| {
        format!(
            "{{\"key\":\"key {nth}\",\"value\":\"{}\"}}\n",
            "v".repeat(nth % 90)
        )
    };
    let file = dir.join("rows.jsonl");
    fs::write(&file, (0..keys).map(row).collect::<String>()).unwrap();
    printed(
        dir,
        &["import", "kv", file.to_str().unwrap(), "--batch", "100"],
    );
    fs::remove_file(file).unwrap();
    id
}

/// Writes one row with redb alone.
pub(crate) fn put(dir: &Path, id: &str, table: &str, key: &[u8], value: &[u8]) {
    let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
    let database = Database::open(dir.join("stores").join(id).join("state.db")).unwrap();
    let tx = database.begin_write().unwrap();
    tx.open_table(definition)
        .unwrap()
        .insert(key, value)
        .unwrap();
    tx.commit().unwrap();
}

pub(crate) fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn findings_are_reported_with_all_details_and_an_exit_code_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let id = filled(dir.path(), 250);
    let whole = json(&lattice(dir.path(), &["--json", "verify", "kv"]).stdout);
    assert_eq!(
        (&whole["ok"], &whole["ops"], &whole["elements"]),
        (&true.into(), &3.into(), &250.into())
    );
    put(dir.path(), &id, "data", b"ckey 7", b"\0short");
    let file = dir.path().join("stores").join(&id).join("state.db");
    let before = fs::read(&file).unwrap();
    let verified = lattice(dir.path(), &["--json", "verify", "kv"]);
    assert_eq!(verified.status.code(), Some(4));
    assert!(fs::read(&file).unwrap() == before);
    let found = json(&verified.stdout);
    assert_eq!(found["ok"], false);
    let row = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["kind"] == "row")
        .unwrap();
    assert_eq!(
        (&row["table"], &row["key"], &row["found"]),
        (&"data".into(), &"key 7".into(), &"\0short".into())
    );
    assert_eq!(row["expected"], "\0vvvvvvv");
    assert!(row["message"].is_string());
    assert_eq!(json(&verified.stderr)["error"]["kind"], "damaged");
    let quick = lattice(dir.path(), &["verify", "kv", "--quick"]);
    assert_eq!(quick.status.code(), Some(4));
    assert!(
        String::from_utf8(quick.stdout)
            .unwrap()
            .starts_with("state_hash: computed ")
    );
    // The history is intact, and determines what the state must be.
    let rebuilt = json(&lattice(dir.path(), &["--json", "rebuild", "kv"]).stdout);
    assert_eq!(rebuilt["state_hash"], whole["state_hash"]);
    assert_eq!(
        lattice(dir.path(), &["verify", "kv"]).status.code(),
        Some(0)
    );
    assert_eq!(printed(dir.path(), &["get", "kv", "key 7"]), "v".repeat(7));
    assert!(Path::new(rebuilt["kept"].as_str().unwrap()).exists());
}

#[test]
fn a_store_that_cannot_be_opened_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let id = filled(dir.path(), 10);
    put(dir.path(), &id, "system", b"genesis", b"none");
    let verified = lattice(dir.path(), &["--json", "verify", "kv"]);
    assert_eq!(verified.status.code(), Some(4));
    let found = json(&verified.stdout);
    assert_eq!(
        (&found["ok"], &found["store_id"]),
        (&false.into(), &id.into())
    );
    assert!(
        found["findings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("genesis")
    );
}

/// Kills a command after this time; returns whether it had already ended.
fn killed_after(dir: &Path, arguments: &[&str], after: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let has_ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    has_ended
}

fn stores(dir: &Path) -> usize {
    printed(dir, &["list"]).lines().count()
}

#[test]
fn a_migration_that_is_killed_repeatedly_completes_and_shows_no_store_before() {
    let dir = tempfile::tempdir().unwrap();
    let id = filled(dir.path(), 5_000);
    let file = dir.path().join("stores").join(&id).join("state.db");
    let before = fs::read(&file).unwrap();
    let migrate = ["migrate", "kv", "--to", "core:kvstore"];
    let mut kills = 0;
    for nth in 0_u64.. {
        assert!(nth < 1_200, "it never ends");
        if killed_after(dir.path(), &migrate, Duration::from_millis(3 + 5 * nth)) {
            break;
        }
        // The command may have ended just before the kill.
        if stores(dir.path()) == 2 {
            break;
        }
        kills += 1;
        assert!(fs::read(&file).unwrap() == before, "the old store changed");
    }
    assert!(kills > 3, "it was killed {kills} times only");
    let list = printed(dir.path(), &["--json", "list"]);
    let new = list
        .lines()
        .map(|line| json(line.as_bytes()))
        .find(|store| store["store_id"] != *id)
        .unwrap();
    let new = new["store_id"].as_str().unwrap();
    assert_eq!(lattice(dir.path(), &["verify", new]).status.code(), Some(0));
    let export = |store: &str| lattice(dir.path(), &["export", store]).stdout;
    assert!(export(new) == export("kv"));
    let info = json(&lattice(dir.path(), &["--json", "info", new]).stdout);
    assert_eq!(info["migrated_from"]["store_id"], *id);
    // The attempts have left no files. If the last one was killed when the store was in its place,
    // its lock file goes with the next store that is made.
    printed(dir.path(), &["create", "core:kvstore"]);
    let left = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        left.into_iter()
            .all(|name| !name.to_str().unwrap().starts_with("migrating")),
        "something is left"
    );
}

#[test]
fn a_rebuild_that_is_killed_leaves_the_store_as_it_was_or_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20_000);
    let state =
        |dir: &Path| json(&lattice(dir, &["--json", "info", "kv"]).stdout)["state_hash"].clone();
    let before = state(dir.path());
    for nth in 0..12 {
        killed_after(
            dir.path(),
            &["rebuild", "kv"],
            Duration::from_millis(5 + 20 * nth),
        );
        assert_eq!(
            lattice(dir.path(), &["verify", "kv"]).status.code(),
            Some(0)
        );
        assert_eq!(state(dir.path()), before);
    }
    printed(dir.path(), &["rebuild", "kv"]);
    assert_eq!(state(dir.path()), before);
}

/// All stores are verified, whatever is found in one of them.
#[test]
fn all_stores_are_verified() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        let id = printed(dir, &["create", "core:kvstore", "--alias", name]);
        printed(dir, &["put", name, "a", "1"]);
        ids.push(id.trim().to_owned());
    }
    let objects = || {
        let output = lattice(dir, &["--json", "verify", "--all"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let all: Vec<serde_json::Value> = all.collect();
        (all, output.status.code())
    };
    let (all, code) = objects();
    assert_eq!((all.len(), code), (3, Some(0)));
    assert!(all.iter().all(|store| store["ok"] == true), "{all:?}");
    let bytes = std::fs::read(crate::state_db(dir, &ids[0])).unwrap();
    std::fs::write(crate::state_db(dir, &ids[0]), &bytes[..bytes.len() / 2]).unwrap();
    crate::edit(&crate::state_db(dir, &ids[1]), |tx| {
        let table = lattice_backend::backend::Table::Data;
        tx.put(table, b"ca", b"\0wrong").unwrap();
    });
    let (all, code) = objects();
    assert_eq!((all.len(), code), (3, Some(4)));
    let intact: Vec<_> = all.iter().filter(|store| store["ok"] == true).collect();
    assert_eq!(intact.len(), 1, "{all:?}");
    assert_eq!(intact[0]["store_id"], ids[2]);
    let output = lattice(dir, &["verify", "--all"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("two\n") && text.contains("three\nok: 1 op"),
        "{text}"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 stores damaged"), "{said}");
}

/// A bit that is flipped far inside of a value is shown, with the key of the user; what follows
/// from it is counted.
#[test]
fn a_finding_shows_what_differs() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    let value: String = (0..9000)
        .map(|n| char::from(b'a' + u8::try_from(n / 100 % 26).unwrap()))
        .collect();
    let value = value.replacen("bbbb", "{\"b\":", 1);
    printed(dir, &["put", "kv", "users/bob", &value]);
    printed(dir, &["put", "kv", "other", "x"]);
    crate::edit(&crate::state_db(dir, id.trim()), |tx| {
        let table = lattice_backend::backend::Table::Data;
        let (key, mut row) = {
            let mut rows = tx
                .range(
                    table,
                    lattice_backend::backend::EVERYTHING,
                    lattice_backend::backend::Direction::Forward,
                )
                .unwrap();
            let mut longest = (Vec::new(), Vec::new());
            while let Some(row) = rows.next().unwrap() {
                if row.value.len() > longest.1.len() {
                    longest = (row.key.to_vec(), row.value.to_vec());
                }
            }
            longest
        };
        let place = row.len() - 1500;
        row[place] ^= 1;
        tx.put(table, &key, &row).unwrap();
    });
    let output = lattice(dir, &["verify", "kv"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("row: key \"users/bob\": byte "), "{text}");
    assert!(first.len() < 300, "{text}");
    let (computed, stored) = first.split_once("stored").unwrap();
    assert_ne!(
        computed
            .split_once("computed")
            .unwrap()
            .1
            .trim_end_matches(", "),
        stored
    );
    assert!(
        text.contains("1 more finding follows from the first (1 state_hash)"),
        "{text}"
    );
    let output = lattice(dir, &["--json", "verify", "kv"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = found["findings"].as_array().unwrap();
    let row = all.iter().find(|finding| finding["kind"] == "row").unwrap();
    let (expected, found) = (
        row["expected"].as_str().unwrap(),
        row["found"].as_str().unwrap(),
    );
    assert_eq!(
        (expected.len(), row["key"].as_str()),
        (found.len(), Some("users/bob"))
    );
    assert!(
        expected.len() <= 4096 && expected.len() > 1024,
        "{}",
        expected.len()
    );
    let place = |name: &str| usize::try_from(row[name].as_u64().unwrap()).unwrap();
    let at = place("differs_at") - place("excerpt_at");
    assert_eq!(expected[..at], found[..at]);
    assert_ne!(expected.as_bytes()[at], found.as_bytes()[at]);
    assert!(place("expected_bytes") >= 9000);
}
