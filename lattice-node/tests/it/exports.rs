//! Files that `export` writes, and that `import` reads back.

use std::fs;
use std::path::Path;

use lattice_node::{Access, KvStore, LogStore, Node};
use serde_json::Value;

use crate::stdio::said;
use crate::{lattice, printed};

fn create(dir: &Path, store_type: &str, alias: &str) {
    printed(dir, &["create", store_type, "--alias", alias]);
}

fn open_kv(dir: &Path, alias: &str) -> (Node, KvStore) {
    let peek = printed(dir, &["--json", "peek", alias]);
    let peek: Value = serde_json::from_str(&peek).unwrap();
    let node = Node::open(dir).unwrap();
    let id = peek["store_id"].as_str().unwrap().parse().unwrap();
    let kv = node.open_as(id, Access::ReadWrite).unwrap();
    (node, kv)
}

#[test]
fn every_format_carries_every_byte_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "from");
    let (node, kv) = open_kv(dir.path(), "from");
    let mut batch = kv.batch();
    for byte in 0..=255_u8 {
        batch = batch
            .put([byte], [byte, b',', byte])
            .put([b'k', byte, b'"'], []);
        batch = batch.put(
            [b'\r', b'\n', byte, b'\t'],
            [b'"', byte, b'\r', b'\n', b';'],
        );
    }
    batch
        .put("a,b;c\td", "\u{feff}\u{2028} \\t\\")
        .commit()
        .unwrap();
    node.manager().close_all().unwrap();
    let expected = printed(dir.path(), &["export", "from"]);
    for (place, (name, more, is_raw)) in [
        ("a.jsonl", &[][..], false),
        ("a.csv", &[], true),
        ("a.tsv", &[], true),
        ("a.csv.gz", &[], true),
        ("a.jsonl.gz", &[], false),
        ("b.csv", &["--b64"], false),
        ("b.jsonl", &["--b64"], false),
        ("c.csv", &["--delimiter", ";"], true),
        ("c.txt", &["--format", "csv"], true),
        ("d.txt", &["--format", "csv", "--delimiter", "\\t"], true),
    ]
    .into_iter()
    .enumerate()
    {
        let file = dir.path().join(name);
        let words = ["export", "from", file.to_str().unwrap()];
        let output = lattice(dir.path(), &[&words[..], more].concat());
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{name}");
        let told = said(&output);
        assert!(told.contains("exported 769 keys of store "), "{told}");
        let warns = told.contains("bytes that are not UTF-8");
        assert_eq!(warns, is_raw, "{name}: {told}");
        let to = format!("to-{place}");
        create(dir.path(), "core:kvstore", &to);
        let words = ["import", &to, file.to_str().unwrap()];
        let more: Vec<_> = more
            .iter()
            .copied()
            .filter(|word| *word != "--b64")
            .collect();
        let output = lattice(dir.path(), &[&words[..], &more].concat());
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert_eq!(printed(dir.path(), &["export", &to]), expected, "{name}");
    }
}

#[test]
fn entries_of_logs_survive_a_table() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:logstore", "from");
    let entries = [
        &b""[..],
        b"one\r\ntwo",
        b"\xff\"",
        b",",
        b"\xef\xbb\xbfx",
        b"\0",
    ];
    let peek: Value =
        serde_json::from_str(&printed(dir.path(), &["--json", "peek", "from"])).unwrap();
    let node = Node::open(dir.path()).unwrap();
    let id = peek["store_id"].as_str().unwrap().parse().unwrap();
    let log: LogStore = node.open_as(id, Access::ReadWrite).unwrap();
    log.append_many(entries).unwrap();
    node.manager().close_all().unwrap();
    for (place, more) in [
        &["--format", "csv"][..],
        &["--format", "csv", "--b64"],
        &["--b64"],
    ]
    .into_iter()
    .enumerate()
    {
        let exported = lattice(dir.path(), &[&["export", "from"], more].concat());
        assert!(exported.status.success(), "{}", said(&exported));
        let to = format!("to-{place}");
        create(dir.path(), "core:logstore", &to);
        let more: Vec<_> = more
            .iter()
            .copied()
            .filter(|word| *word != "--b64")
            .collect();
        let words = [&["import", &to, "-"][..], &more].concat();
        let imported = crate::stdio::fed(dir.path(), &words, &exported.stdout);
        assert!(imported.status.success(), "{}", said(&imported));
        let all = printed(dir.path(), &["export", &to]);
        let read: Vec<Vec<u8>> = all
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap();
                match value["content"].as_str() {
                    Some(text) => text.as_bytes().to_vec(),
                    None => match value["content_b64"].as_str().unwrap() {
                        "/yI=" => b"\xff\"".to_vec(),
                        other => panic!("{other}"),
                    },
                }
            })
            .collect();
        assert_eq!(read, entries);
    }
}

#[test]
fn keys_are_selected_by_prefix_and_range() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    for key in ["a", "b", "ba", "bb", "bc", "c"] {
        printed(dir.path(), &["put", "kv", key, key]);
    }
    let keys = |more: &[&str]| {
        let exported = printed(dir.path(), &[&["export", "kv"], more].concat());
        let keys: Vec<String> = exported
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                row["key"].as_str().unwrap().to_owned()
            })
            .collect();
        keys.join(" ")
    };
    assert_eq!(keys(&["--prefix", "b"]), "b ba bb bc");
    assert_eq!(keys(&["--from", "ba"]), "ba bb bc c");
    assert_eq!(keys(&["--to", "bb"]), "a b ba");
    assert_eq!(
        keys(&["--prefix", "b", "--from", "b0", "--to", "bc"]),
        "ba bb"
    );
    assert_eq!(keys(&["--prefix", "x"]), "");
    assert_eq!(keys(&["--from", "c", "--to", "b"]), "");
    let encoded = printed(dir.path(), &["export", "kv", "--b64", "--from", "Yw=="]);
    assert_eq!(encoded, "{\"key_b64\":\"Yw==\",\"value_b64\":\"Yw==\"}\n");
    let header = printed(
        dir.path(),
        &["export", "kv", "--format", "csv", "--prefix", "x"],
    );
    assert_eq!(header, "key,value\n");
}

#[test]
fn entries_are_selected_by_time_and_keep_their_index() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:logstore", "log");
    let mut times = Vec::new();
    for text in ["one", "two", "three", "four"] {
        printed(dir.path(), &["append", "log", text]);
        // Each append is dated later than the one before.
        let last = printed(dir.path(), &["--json", "tail", "log", "-n", "1"]);
        let last: Value = serde_json::from_str(&last).unwrap();
        let time = last["time"].as_u64().unwrap();
        assert!(times.last().is_none_or(|before| *before < time));
        times.push(time);
    }
    let entries = |more: &[&str]| {
        let exported = printed(dir.path(), &[&["export", "log"], more].concat());
        let entries: Vec<String> = exported
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                format!("{}{}", row["entry"], row["content"].as_str().unwrap())
            })
            .collect();
        entries.join(" ")
    };
    let (second, fourth) = (times[1].to_string(), times[3].to_string());
    assert_eq!(entries(&["--from", &second]), "1two 2three 3four");
    assert_eq!(entries(&["--to", &fourth]), "0one 1two 2three");
    assert_eq!(
        entries(&["--from", &second, "--to", &fourth]),
        "1two 2three"
    );
    assert_eq!(
        entries(&["--from", "1970-01-01", "--to", "9000-01-01T00:00Z"]),
        "0one 1two 2three 3four"
    );
    assert_eq!(entries(&["--to", "1970-01-02"]), "");
    for wrong in [
        &["--from", "yesterday"][..],
        &["--to", "2026-02-30"],
        &["--prefix", "x"],
    ] {
        let output = lattice(dir.path(), &[&["export", "log"], wrong].concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{wrong:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn a_file_appears_whole_private_and_never_replaces_another() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    printed(dir.path(), &["put", "kv", "a", "1"]);
    let file = dir.path().join("out.csv");
    let name = file.to_str().unwrap();
    let output = lattice(dir.path(), &["--json", "export", "kv", name]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["rows"], &summary["bytes"]),
        (&1.into(), &14.into())
    );
    assert_eq!(summary["file"], name);
    assert_eq!(fs::read_to_string(&file).unwrap(), "key,value\na,1\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let output = lattice(dir.path(), &["export", "kv", name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("name another file"),
        "{}",
        said(&output)
    );
    let output = lattice(dir.path(), &["export", "kv", "/nowhere/at/all.csv"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let output = lattice(dir.path(), &["export", "kv", "x.csv.zst"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("| zstd >"), "{}", said(&output));
    let output = lattice(dir.path(), &["--json", "export", "kv", "--format", "csv"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let stdout = lattice(dir.path(), &["--json", "export", "kv", "-"]);
    assert_eq!(stdout.stdout, b"{\"key\":\"a\",\"value\":\"1\"}\n");
    let summary: Value = serde_json::from_slice(&stdout.stderr).unwrap();
    assert_eq!(summary["file"], "standard output");
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_str().unwrap().contains("partial")),
        "{names:?}"
    );
}
