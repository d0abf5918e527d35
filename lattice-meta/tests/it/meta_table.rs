//! Rows of the `meta` table.

use lattice_meta::{
    Genesis, Hlc, MetaError, MetaInfo, MetaKey, MetaKeyError, Nonce, OpId, PubKey, SchemaVersion,
    StoreId, StoreType, StoreTypeError,
};
use proptest::prelude::*;

type OwnedRow = (Vec<u8>, Vec<u8>);

const AUTHOR: PubKey = PubKey::from_bytes([0xaa; 32]);

fn info() -> MetaInfo {
    let genesis = Genesis::new(
        StoreType::new("core:kvstore").unwrap(),
        AUTHOR,
        Nonce::from_bytes([1; 16]),
        Hlc::ZERO,
        None,
    );
    let mut info = MetaInfo::new(&genesis, SchemaVersion::new(3));
    info.tips.insert(AUTHOR, OpId::from_bytes([7; 32]));
    info
}

fn rows() -> Vec<OwnedRow> {
    info().rows().collect()
}

/// The table with one row's value exchanged.
fn with(key: MetaKey, value: &[u8]) -> Result<MetaInfo, MetaError> {
    let key = key.to_bytes();
    let mut rows = rows();
    rows.iter_mut().find(|(found, _)| *found == key).unwrap().1 = value.to_vec();
    MetaInfo::from_rows(rows)
}

fn without(key: MetaKey) -> Result<MetaInfo, MetaError> {
    let key = key.to_bytes();
    MetaInfo::from_rows(rows().into_iter().filter(|(found, _)| *found != key))
}

#[test]
fn a_new_store_has_three_rows_and_no_tips() {
    let mut birth = info();
    birth.tips.clear();
    let keys: Vec<Vec<u8>> = birth.rows().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"store_id"[..], b"store_type", b"schema_version"]);
    assert_eq!(MetaInfo::from_rows(birth.rows()).unwrap(), birth);
}

#[test]
fn each_missing_row_is_named() {
    for key in [MetaKey::StoreId, MetaKey::StoreType, MetaKey::SchemaVersion] {
        assert_eq!(without(key), Err(MetaError::Missing { key }));
    }
    let none: [OwnedRow; 0] = [];
    assert_eq!(
        MetaInfo::from_rows(none),
        Err(MetaError::Missing {
            key: MetaKey::StoreId
        })
    );
    assert!(without(MetaKey::Tip(AUTHOR)).unwrap().tips.is_empty());
}

#[test]
fn each_value_of_a_wrong_length_is_named_with_what_was_found() {
    for (key, expected) in [
        (MetaKey::StoreId, 16),
        (MetaKey::SchemaVersion, 8),
        (MetaKey::Tip(AUTHOR), 32),
    ] {
        for found in (0..80).filter(|&length| length != expected) {
            let length = MetaError::Length {
                key,
                expected,
                found,
            };
            assert_eq!(with(key, &vec![0; found]), Err(length));
        }
    }
}

#[test]
fn a_store_type_that_breaks_the_grammar_is_refused() {
    let refusal = |value: &[u8]| with(MetaKey::StoreType, value).unwrap_err();
    assert_eq!(
        refusal(b""),
        MetaError::StoreType(StoreTypeError::Length { found: 0 })
    );
    assert_eq!(
        refusal(b"core:\xff"),
        MetaError::StoreType(StoreTypeError::Encoding { offset: 5 })
    );
    assert_eq!(
        refusal(b"core:kvstore\0"),
        MetaError::StoreType(StoreTypeError::Character {
            found: '\0',
            offset: 12
        })
    );
}

#[test]
fn a_tip_key_of_a_wrong_length_is_refused() {
    for found in (0..80).filter(|&length| length != 32) {
        let key = [&b"tip/"[..], &vec![1; found]].concat();
        let refusal = MetaKeyError::TipLength { found };
        assert_eq!(MetaKey::from_bytes(&key), Err(refusal.clone()));
        let rows = rows().into_iter().chain([(key, vec![0; 32])]);
        assert_eq!(MetaInfo::from_rows(rows), Err(MetaError::Key(refusal)));
    }
}

#[test]
fn a_row_given_twice_is_refused_even_if_it_is_equal() {
    for row in rows() {
        let key = MetaKey::from_bytes(&row.0).unwrap().unwrap();
        let refusal = MetaInfo::from_rows(rows().into_iter().chain([row]));
        assert_eq!(refusal, Err(MetaError::Twice { key }));
    }
}

#[test]
fn unknown_keys_are_collected_and_change_nothing_else() {
    let unknown: [&[u8]; 6] = [
        b"",
        b"store_id\0",
        b"STORE_ID",
        b"tip",
        b"tips/x",
        &[0xff; 100],
    ];
    let extra = unknown
        .iter()
        .map(|key| (key.to_vec(), b"whatever".to_vec()));
    let read = MetaInfo::from_rows(rows().into_iter().chain(extra)).unwrap();
    assert_eq!(read.unknown_keys, unknown);
    assert_eq!(
        MetaInfo {
            unknown_keys: Vec::new(),
            ..read.clone()
        },
        info()
    );
    // They are not written again.
    assert_eq!(read.rows().collect::<Vec<_>>(), rows());
}

#[test]
fn messages_name_the_row_and_what_was_found() {
    let message = with(MetaKey::SchemaVersion, &[0; 4])
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "meta row `schema_version`: expected 8 bytes, found 4"
    );
    let message = with(MetaKey::Tip(AUTHOR), &[]).unwrap_err().to_string();
    assert_eq!(
        message,
        format!("meta row `tip/{AUTHOR}`: expected 32 bytes, found 0")
    );
}

#[test]
fn the_human_readable_form_has_texts_and_no_unknown_keys() {
    let mut info = info();
    info.unknown_keys.push(b"later".to_vec());
    let json = serde_json::to_value(&info).unwrap();
    let expected = serde_json::json!({
        "store_id": info.store_id.to_string(),
        "store_type": "core:kvstore",
        "schema_version": 3,
        "tips": { AUTHOR.to_string(): "07".repeat(32) },
    });
    assert_eq!(json, expected);
}

fn tables() -> impl Strategy<Value = MetaInfo> {
    let tips = prop::collection::btree_map(any::<[u8; 32]>(), any::<[u8; 32]>(), 0..12);
    let store_type = "[a-z0-9]{1,20}[.:][a-z0-9_]{0,3}x".prop_filter_map("grammar", |text| {
        StoreType::new(&text.replace(".-", ".").replace("._", ".")).ok()
    });
    (any::<[u8; 16]>(), store_type, any::<u64>(), tips).prop_map(
        |(store_id, store_type, schema_version, tips)| MetaInfo {
            store_id: StoreId::from_bytes(store_id),
            store_type,
            schema_version: SchemaVersion::new(schema_version),
            tips: tips
                .into_iter()
                .map(|(author, tip)| (PubKey::from_bytes(author), OpId::from_bytes(tip)))
                .collect(),
            unknown_keys: Vec::new(),
        },
    )
}

proptest! {
    #[test]
    fn tables_round_trip_in_any_order_of_rows(info in tables(), seed in any::<u64>()) {
        let mut rows: Vec<OwnedRow> = info.rows().collect();
        prop_assert_eq!(rows.len(), 3 + info.tips.len());
        // Any order: sorted by a hash of the seed and the key.
        rows.sort_by_key(|(key, _)| {
            key.iter().fold(seed, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        });
        prop_assert_eq!(MetaInfo::from_rows(rows).unwrap(), info);
    }

    #[test]
    fn keys_round_trip(author in any::<[u8; 32]>()) {
        for key in [
            MetaKey::StoreId,
            MetaKey::StoreType,
            MetaKey::SchemaVersion,
            MetaKey::Tip(PubKey::from_bytes(author)),
        ] {
            prop_assert_eq!(MetaKey::from_bytes(&key.to_bytes()), Ok(Some(key)));
        }
    }

    #[test]
    fn any_rows_are_read_or_refused(
        mut extra in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5),
        tip in any::<Vec<u8>>(),
    ) {
        extra.push(([&b"tip/"[..], &tip].concat(), tip));
        let _ = MetaInfo::from_rows(rows().into_iter().chain(extra));
    }
}
