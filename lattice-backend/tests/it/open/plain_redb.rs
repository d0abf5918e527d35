//! Any program can read and write the `meta` table, with redb alone.

use super::*;

const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

#[test]
fn reads_exactly_the_four_kinds_of_rows() {
    let store = OnFiles::new();
    let db = Database::open(&store.site.path).unwrap();
    let table = db.begin_read().unwrap().open_table(META).unwrap();
    let rows: BTreeMap<Vec<u8>, Vec<u8>> = table
        .iter()
        .unwrap()
        .map(|row| row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
        .collect::<Result<_, _>>()
        .unwrap();
    drop(db);
    let tip = history(&store.site.open())[2].reference().id;
    let tip_key = [&b"tip/"[..], owner().public().as_bytes()].concat();
    let id = genesis().store_id();
    let expected: [(&[u8], &[u8]); 4] = [
        (b"store_id", id.as_bytes()),
        (b"store_type", b"org.example.registers"),
        (b"schema_version", &[4, 0, 0, 0, 0, 0, 0, 0]),
        (&tip_key, tip.as_bytes()),
    ];
    let expected = expected.map(|(key, value)| (key.to_vec(), value.to_vec()));
    assert_eq!(rows, BTreeMap::from(expected));
}

#[test]
fn writes_a_store_that_is_peeked_at_and_not_opened() {
    let store = OnFiles::new();
    std::fs::remove_file(&store.site.path).unwrap();
    let db = Database::create(&store.site.path).unwrap();
    let tx = db.begin_write().unwrap();
    {
        let mut meta = tx.open_table(META).unwrap();
        let tip_key = [&b"tip/"[..], &[5; 32]].concat();
        meta.insert(&b"store_id"[..], &[1_u8; 16][..]).unwrap();
        meta.insert(&b"store_type"[..], &b"org.example.registers"[..])
            .unwrap();
        meta.insert(&b"schema_version"[..], &3_u64.to_le_bytes()[..])
            .unwrap();
        meta.insert(&tip_key[..], &[6_u8; 32][..]).unwrap();
    }
    tx.commit().unwrap();
    drop(db);
    let info = store.site.backend.peek_info(&store.site.path).unwrap();
    assert_eq!(info.store_id.as_bytes(), &[1; 16]);
    assert_eq!(info.store_type.as_str(), "org.example.registers");
    assert_eq!(info.schema_version.get(), 3);
    assert_eq!(info.tips.len(), 1);
    let error = store.refused();
    assert!(matches!(error, OpenError::NoGenesis { .. }), "{error:?}");
}

#[test]
fn writes_databases_that_are_not_stores() {
    let store = OnFiles::new();
    std::fs::remove_file(&store.site.path).unwrap();
    drop(Database::create(&store.site.path).unwrap());
    assert_eq!(
        store.refused_meta(),
        MetaError::Missing {
            key: MetaKey::StoreId
        }
    );
    let typed: TableDefinition<'_, u64, &str> = TableDefinition::new("meta");
    let db = Database::open(&store.site.path).unwrap();
    let tx = db.begin_write().unwrap();
    tx.open_table(typed).unwrap().insert(1, "text").unwrap();
    tx.commit().unwrap();
    drop(db);
    let error = store.refused();
    assert!(
        matches!(
            &error,
            OpenError::Peek(PeekError::Backend {
                source: BackendError::Damaged { .. },
                ..
            })
        ),
        "{error:?}"
    );
}
