//! The `meta` table, byte for byte, read with redb alone.

use std::fs;

use redb::{Database, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{lattice, printed};

const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

#[test]
fn plain_redb_reads_exactly_the_four_kinds_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let id = printed(dir.path(), &["create", "core:kvstore"])
        .trim()
        .to_owned();
    printed(dir.path(), &["put", &id, "key", "value"]);
    let info: serde_json::Value =
        serde_json::from_str(&printed(dir.path(), &["--json", "info", &id])).unwrap();
    let path = dir.path().join("stores").join(&id).join("state.db");

    // The four lines.
    let db = ReadOnlyDatabase::open(path).unwrap();
    let table = db.begin_read().unwrap().open_table(META).unwrap();
    let rows = table.iter().unwrap().map(|row| row.unwrap());
    let rows: Vec<_> = rows
        .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
        .collect();

    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let [schema, store_id, store_type, tip] = &rows[..] else {
        panic!("{} rows", rows.len())
    };
    assert_eq!(
        schema,
        &(b"schema_version".to_vec(), 1_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        (&store_id.0[..], hex(&store_id.1)),
        (&b"store_id"[..], id.replace('-', ""))
    );
    assert_eq!(
        store_type,
        &(b"store_type".to_vec(), b"core:kvstore".to_vec())
    );
    assert_eq!(&tip.0[..4], b"tip/");
    let tips = info["tips"].as_object().unwrap();
    assert_eq!(tips[&hex(&tip.0[4..])], hex(&tip.1));
}

#[test]
fn a_store_of_another_program_is_peeked_at_and_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let db = Database::create(&path).unwrap();
    let tx = db.begin_write().unwrap();
    {
        let mut meta = tx.open_table(META).unwrap();
        meta.insert(&b"store_id"[..], &[0x11; 16][..]).unwrap();
        meta.insert(&b"store_type"[..], &b"core:kvstore"[..])
            .unwrap();
        meta.insert(&b"schema_version"[..], &1_u64.to_le_bytes()[..])
            .unwrap();
        meta.insert(&[&b"tip/"[..], &[0x22; 32]].concat()[..], &[0x33; 32][..])
            .unwrap();
    }
    tx.commit().unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    let store = path.to_str().unwrap();
    let peeked = printed(dir.path(), &["--json", "peek", store]);
    let peeked: serde_json::Value = serde_json::from_str(&peeked).unwrap();
    assert_eq!(peeked["store_id"], "11111111-1111-1111-1111-111111111111");
    assert_eq!(peeked["tips"]["22".repeat(32)], "33".repeat(32));
    for command in [
        &["info", store][..],
        &["get", store, "key"],
        &["put", store, "key", "value"],
    ] {
        let refused = lattice(dir.path(), command);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(4), "{error}");
        assert!(error.contains("no genesis record"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}
