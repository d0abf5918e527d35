//! The committed bytes, which another implementation made (`tests/golden/generate.py`).

use std::collections::BTreeMap;

use lattice_meta::codec::CodecError;
use lattice_meta::{
    Genesis, GenesisError, GenesisHash, Hlc, MetaError, MetaInfo, MetaKey, MetaKeyError, Nonce,
    OpId, PubKey, SchemaVersion, StateHash, StoreId, StoreType, StoreTypeError,
};

/// The lines of a golden file: a name and its byte strings.
fn lines(file: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            (name, words.map(bytes).collect())
        })
        .collect()
}

fn bytes(word: &str) -> Vec<u8> {
    match word {
        "empty" => Vec::new(),
        digits => data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap(),
    }
}

/// The lines of a golden file that has one byte string under each name.
fn fields(file: &str) -> BTreeMap<String, Vec<u8>> {
    let fields: Vec<_> = lines(file);
    let count = fields.len();
    let fields: BTreeMap<_, _> = fields
        .into_iter()
        .map(|(name, mut values)| (name, values.remove(0)))
        .collect();
    assert_eq!(fields.len(), count, "{file} has a name twice");
    fields
}

fn check_genesis(file: &str) {
    let fields = fields(file);
    let field = |name: &str| fields[name].as_slice();
    let migrated_from = fields.get("migrated_id").map(|id| {
        let id = StoreId::from_bytes(id.as_slice().try_into().unwrap());
        (id, StateHash::from_slice(field("migrated_hash")).unwrap())
    });
    let genesis = Genesis::new(
        StoreType::from_bytes(field("store_type")).unwrap(),
        PubKey::from_slice(field("owner")).unwrap(),
        Nonce::from_slice(field("nonce")).unwrap(),
        Hlc::from_u64(u64::from_le_bytes(field("created_le").try_into().unwrap())),
        migrated_from,
    );
    assert_eq!(genesis.encode(), field("encoded"), "{file}");
    assert_eq!(
        Genesis::decode(field("encoded")).unwrap(),
        genesis,
        "{file}"
    );
    assert_eq!(
        genesis.hash(),
        GenesisHash::from_slice(field("genesis_hash")).unwrap(),
        "{file}"
    );
    assert_eq!(genesis.store_id().as_bytes(), field("store_id"), "{file}");
}

#[test]
fn golden_genesis_records() {
    check_genesis("genesis_plain.txt");
    check_genesis("genesis_migrated.txt");
    check_genesis("genesis_longest.txt");
}

#[test]
fn golden_hostile_genesis_records() {
    let mut seen = 0;
    for (name, values) in lines("genesis_hostile.txt") {
        let found = Genesis::decode(&values[0]).expect_err(&name);
        let expected = match name.as_str() {
            "format_0" => found == GenesisError::Format { found: 0 },
            "format_2" | "format_2_alone" => found == GenesisError::Format { found: 2 },
            "longer_than_any_record" => {
                matches!(found, GenesisError::Codec(CodecError::TooLong { .. }))
            }
            "trailing_byte" | "origin_behind_tag_0" => {
                matches!(found, GenesisError::Codec(CodecError::TrailingBytes { .. }))
            }
            // A length that is one too great or small shifts every field behind it.
            "nothing"
            | "one_byte_short"
            | "type_length_huge"
            | "type_length_one_more"
            | "type_length_one_less"
            | "type_upper_case"
            | "type_one_segment"
            | "type_not_utf8"
            | "type_129_bytes"
            | "origin_tag_2"
            | "origin_tag_255"
            | "origin_without_hash" => {
                matches!(found, GenesisError::Codec(CodecError::Malformed { .. }))
            }
            _ => panic!("no expectation for {name}"),
        };
        assert!(expected, "{name}: {found:?}");
        seen += 1;
    }
    assert_eq!(seen, 18);
}

#[test]
fn golden_meta_rows() {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = lines("meta_rows.txt")
        .into_iter()
        .map(|(_, mut row)| (row.remove(0), row.remove(0)))
        .collect();
    let genesis = Genesis::decode(&fields("genesis_plain.txt")["encoded"]).unwrap();
    let mut info = MetaInfo::new(&genesis, SchemaVersion::new(0x0102_0304_0506_0708));
    for (author, tip) in [(1, 0xa1), (2, 0xa2)] {
        info.tips.insert(
            PubKey::from_bytes([author; 32]),
            OpId::from_bytes([tip; 32]),
        );
    }
    assert_eq!(info.rows().collect::<Vec<_>>(), rows);
    assert_eq!(MetaInfo::from_rows(rows).unwrap(), info);
}

#[test]
fn golden_hostile_meta_rows() {
    let whole: BTreeMap<Vec<u8>, Vec<u8>> = lines("meta_rows.txt")
        .into_iter()
        .map(|(_, mut row)| (row.remove(0), row.remove(0)))
        .collect();
    let tip = MetaKey::Tip(PubKey::from_bytes([1; 32]));
    let length = |key, expected, found| MetaError::Length {
        key,
        expected,
        found,
    };
    let tip_key = |found| MetaError::Key(MetaKeyError::TipLength { found });
    let store_type = MetaError::StoreType;
    let expected = BTreeMap::from([
        ("store_id_15_bytes", length(MetaKey::StoreId, 16, 15)),
        ("store_id_17_bytes", length(MetaKey::StoreId, 16, 17)),
        ("store_id_as_text", length(MetaKey::StoreId, 16, 36)),
        (
            "store_type_empty",
            store_type(StoreTypeError::Length { found: 0 }),
        ),
        (
            "store_type_upper_case",
            store_type(StoreTypeError::Character {
                found: 'C',
                offset: 0,
            }),
        ),
        (
            "store_type_not_utf8",
            store_type(StoreTypeError::Encoding { offset: 5 }),
        ),
        ("schema_version_empty", length(MetaKey::SchemaVersion, 8, 0)),
        (
            "schema_version_4_bytes",
            length(MetaKey::SchemaVersion, 8, 4),
        ),
        (
            "schema_version_9_bytes",
            length(MetaKey::SchemaVersion, 8, 9),
        ),
        ("tip_31_bytes", length(tip, 32, 31)),
        ("tip_33_bytes", length(tip, 32, 33)),
        ("tip_key_without_author", tip_key(0)),
        ("tip_key_31_bytes", tip_key(31)),
        ("tip_key_33_bytes", tip_key(33)),
        ("tip_key_as_hex", tip_key(64)),
    ]);
    let mut seen = 0;
    for (name, mut row) in lines("meta_hostile.txt") {
        let mut rows = whole.clone();
        rows.insert(row.remove(0), row.remove(0));
        assert_eq!(
            MetaInfo::from_rows(rows).as_ref(),
            Err(&expected[name.as_str()]),
            "{name}"
        );
        seen += 1;
    }
    assert_eq!(seen, expected.len());
}
