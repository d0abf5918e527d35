//! What `list`, `info` and `stats` say of stores.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{lattice, printed, state_db};

fn create(dir: &Path, store_type: &str, alias: &str) -> String {
    let id = printed(dir, &["create", store_type, "--alias", alias]);
    id.trim().to_owned()
}

fn values(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let printed = printed(dir, &[&["--json"], arguments].concat());
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn value(dir: &Path, arguments: &[&str]) -> Value {
    values(dir, arguments).pop().unwrap()
}

#[test]
fn a_list_is_sorted_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let pear = create(dir, "core:kvstore", "pear");
    create(dir, "core:logstore", "apple");
    create(dir, "core:kvstore", "Fig");
    printed(dir, &["create", "core:kvstore"]);
    printed(dir, &["put", "pear", "k", &"v".repeat(100_000)]);
    let names = |words: &[&str]| -> Vec<Value> {
        let all = values(dir, &[&["list"], words].concat());
        all.into_iter()
            .map(|store| store["alias"].clone())
            .collect()
    };
    let (fig, apple, pear_name) = (json!("Fig"), json!("apple"), json!("pear"));
    let listed = [&fig, &apple, &pear_name, &Value::Null].map(Clone::clone);
    assert_eq!(names(&[]), listed);
    assert_eq!(names(&["--sort", "size"])[0], "pear");
    let by_type = names(&["--sort", "type"]);
    let listed = [fig, pear_name, Value::Null, apple];
    assert_eq!(by_type, listed);
    let by_id = values(dir, &["list", "--sort", "id"]);
    assert!(by_id.is_sorted_by_key(|store| store["store_id"].to_string()));
    // A pipe gets complete ids and exact sizes.
    let list = printed(dir, &["list"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    let bytes = fs::metadata(state_db(dir, &pear)).unwrap().len();
    let line = format!("{pear}  core:kvstore ");
    let line = list.lines().find(|it| it.starts_with(&line)).unwrap();
    assert!(line.ends_with(&format!("{bytes}  pear")), "{list}");
}

/// The numbers of keys and of entries, also with concurrent values and after removals.
#[test]
fn info_has_the_number_of_keys_or_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    create(&one, "core:kvstore", "kv");
    create(&one, "core:logstore", "log");
    assert_eq!(value(&one, &["info", "kv"])["key_count"], 0);
    for key in ["a", "b", "c"] {
        printed(&one, &["put", "kv", key, "1"]);
    }
    printed(&one, &["del", "kv", "b"]);
    printed(&one, &["append", "log", "x", "y", "z"]);
    let counts = |store: &str| {
        let info = value(&one, &["info", store]);
        (info["key_count"].clone(), info["entry_count"].clone())
    };
    assert_eq!(counts("kv"), (json!(2), Value::Null));
    assert_eq!(counts("log"), (Value::Null, json!(3)));
    assert!(printed(&one, &["info", "log"]).contains("entries         3\n"));

    let file = dir.path().join("bundle");
    let file = file.to_str().unwrap();
    printed(&one, &["bundle", "create", "kv", file]);
    let apply = ["bundle", "apply", file, "--any-author"];
    printed(&two, &[&apply[..], &["--alias", "kv"]].concat());
    printed(&one, &["put", "kv", "a", "one"]);
    printed(&two, &["put", "kv", "a", "two"]);
    fs::remove_file(file).unwrap();
    printed(&two, &["bundle", "create", "kv", file]);
    printed(&one, &apply);
    assert_eq!(counts("kv"), (json!(2), Value::Null));
    assert_eq!(value(&one, &["info", "kv"])["elements"], 3);
    assert!(printed(&one, &["info", "kv"]).contains("keys            2\n"));
}

#[test]
fn stats_say_what_takes_the_space() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = create(dir, "core:kvstore", "kv");
    let rows = dir.join("rows.jsonl");
    let row = |place: u32| {
        let prefix = match place.is_multiple_of(2) {
            true => "even",
            false => "odd:x",
        };
        let value = "v".repeat(1000);
        format!("{{\"key\":\"{prefix}/{place:05}\",\"value\":\"{value}\"}}\n")
    };
    fs::write(&rows, (0..3000).map(row).collect::<String>()).unwrap();
    printed(dir, &["import", "kv", rows.to_str().unwrap()]);
    printed(dir, &["put", "kv", "alone", "v"]);
    let stats = value(dir, &["stats", "kv"]);
    assert_eq!(stats["key_count"], 3001);
    assert_eq!(
        stats["by_prefix"],
        json!([
            { "prefix": "odd:x/", "key_count": 1500, "bytes": 1500 * 1011 },
            { "prefix": "even/", "key_count": 1500, "bytes": 1500 * 1010 },
            { "prefix": "", "key_count": 1, "bytes": 6 },
        ])
    );
    let other = value(dir, &["stats", "kv", "--delimiter", ":", "--limit", "1"]);
    assert_eq!(
        other["by_prefix"],
        json!([
            { "prefix": "odd:", "key_count": 1500, "bytes": 1500 * 1011 },
            { "prefix": null, "key_count": 1501, "bytes": 1500 * 1010 + 6 },
        ])
    );
    let authors = stats["by_author"].as_array().unwrap();
    assert_eq!((authors.len(), &authors[0]["ops"]), (1, &stats["ops"]));
    let number = |stats: &Value, name: &str| stats[name].as_u64().unwrap();
    let state = number(&stats, "state_bytes");
    assert!((3_000_000..3_500_000).contains(&state), "{state}");
    assert!(number(&stats, "history_bytes") > 3_000_000);

    // What compaction gives back is about what was said.
    let said = number(&stats, "reclaimable_bytes");
    let before = fs::metadata(state_db(dir, &id)).unwrap().len();
    printed(dir, &["compact", "kv"]);
    let freed = before - fs::metadata(state_db(dir, &id)).unwrap().len();
    assert!(freed > before / 10, "{freed} of {before}");
    assert!(
        said.abs_diff(freed) < before / 10,
        "{said}, and {freed} of {before}"
    );
    let left = number(&value(dir, &["stats", "kv"]), "reclaimable_bytes");
    assert!(left < before / 20, "{left} of {before}");

    create(dir, "core:logstore", "log");
    printed(dir, &["append", "log", "one", "two"]);
    let stats = value(dir, &["stats", "log"]);
    assert_eq!(
        (&stats["entry_count"], &stats["by_prefix"]),
        (&json!(2), &Value::Null)
    );
    let text = printed(dir, &["stats", "log"]);
    assert!(
        text.contains("2 entries") && text.contains("1 op"),
        "{text}"
    );
}

/// A name wins over a type.
#[test]
fn a_store_with_a_dot_in_its_name_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = create(dir, "core:kvstore", "my.store");
    assert_eq!(value(dir, &["describe", "my.store"])["store_id"], id);
}

/// The file is read once for all stores.
#[test]
fn names_that_cannot_be_read_are_noted_once() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        printed(dir.path(), &["create", "core:kvstore"]);
    }
    fs::write(dir.path().join("aliases.toml"), "x=").unwrap();
    let output = lattice(dir.path(), &["metrics", "--all"]);
    let noted = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{noted}");
    assert_eq!(noted.matches("aliases.toml").count(), 1, "{noted}");
}
