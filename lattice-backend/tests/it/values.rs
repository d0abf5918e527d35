//! Encoded values and manifests: decoding is the inverse of encoding, and each value has one
//! encoding.

use lattice_backend::machine::manifest::{ABI, Elements, Manifest};
use lattice_backend::machine::{
    MAX_VALUE_DEPTH, MAX_VALUES, Method, MethodKind, Param, Value, ValueType,
};
use lattice_meta::SchemaVersion;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Integer),
        any::<i8>().prop_map(|number| Value::Integer(number.into())),
        vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
        ".{0,8}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            btree_map(".{0,3}", inner, 0..6)
                .prop_map(|fields| Value::Record(fields.into_iter().collect())),
        ]
    })
}

/// Changes bytes at one position.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Append(u8),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    // Bytes with a meaning: kinds, small lengths, and varints that continue.
    let byte = prop_oneof![0..10_u8, Just(0x80), any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(place, byte)| Change::Set(place, byte)),
        (any::<Index>(), byte.clone()).prop_map(|(place, byte)| Change::Insert(place, byte)),
        any::<Index>().prop_map(Change::Remove),
        any::<Index>().prop_map(Change::Cut),
        byte.prop_map(Change::Append),
    ]
}

pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Insert(place, byte) => bytes.insert(place.index(bytes.len() + 1), *byte),
            Change::Append(byte) => bytes.push(*byte),
            _ if bytes.is_empty() => {}
            Change::Set(place, byte) => *place.get_mut(&mut bytes) = *byte,
            Change::Remove(place) => drop(bytes.remove(place.index(bytes.len()))),
            Change::Cut(place) => bytes.truncate(place.index(bytes.len())),
        }
    }
    bytes
}

fn value_type() -> impl Strategy<Value = ValueType> {
    select(vec![
        ValueType::Null,
        ValueType::Bool,
        ValueType::Integer,
        ValueType::Bytes,
        ValueType::Text,
        ValueType::List,
        ValueType::Record,
    ])
}

fn method() -> impl Strategy<Value = (MethodKind, String, ValueType, Vec<Param>)> {
    let kind = select(vec![
        MethodKind::Command,
        MethodKind::Query,
        MethodKind::Stream,
    ]);
    let param = (".{0,8}", value_type(), any::<bool>());
    let params = btree_map("[a-z]{1,3}", param, 0..4).prop_map(|params| {
        let params = params
            .into_iter()
            .map(|(name, (doc, value_type, required))| Param {
                name: name.into(),
                value_type,
                required,
                doc: doc.into(),
            });
        params.collect()
    });
    (kind, ".{0,8}", value_type(), params)
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let schemas = (1..=u64::MAX).prop_flat_map(|first| (Just(first), first..=u64::MAX));
    let converts = vec(select(vec!["core:kvstore", "org.example.chat"]), 0..3);
    let store_type = "[a-z]{1,8}[.:][a-z]{1,8}";
    let methods = btree_map("[a-z]{1,4}", method(), 0..4);
    (store_type, schemas, any::<bool>(), methods, converts).prop_map(
        |(store_type, (first, last), is_code, methods, converts)| Manifest {
            abi: ABI,
            store_type: store_type.parse().unwrap(),
            schemas: SchemaVersion::new(first)..=SchemaVersion::new(last),
            elements: match is_code {
                true => Elements::Code,
                false => Elements::Rows,
            },
            methods: methods
                .into_iter()
                .map(|(name, (kind, doc, result, params))| Method {
                    name: name.into(),
                    kind,
                    doc: doc.into(),
                    params: params.into(),
                    result,
                })
                .collect(),
            converts: converts.iter().map(|text| text.parse().unwrap()).collect(),
        },
    )
}

fn check_value(bytes: &[u8]) {
    if let Ok(value) = Value::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes, "{value:?}");
    }
}

fn check_manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes, "{manifest:?}");
    }
}

proptest! {
    #[test]
    fn values_decode_to_what_was_encoded(value in value()) {
        prop_assert_eq!(Value::from_bytes(&value.to_bytes()), Ok(value));
    }

    #[test]
    fn mutated_value_bytes_that_decode_are_canonical(
        value in value(),
        changes in vec(change(), 1..4),
    ) {
        check_value(&changed(value.to_bytes(), &changes));
    }

    #[test]
    fn short_bytes_that_decode_are_canonical(bytes in vec(0..10_u8, 0..12)) {
        check_value(&bytes);
    }

    #[test]
    fn manifests_decode_to_what_was_encoded(manifest in manifest()) {
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn mutated_manifest_bytes_that_decode_are_canonical(
        manifest in manifest(),
        changes in vec(change(), 1..4),
    ) {
        check_manifest(&changed(manifest.encode(), &changes));
    }
}

/// Nested lists.
fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]))
}

#[test]
fn values_nest_at_most_32_levels_and_scalars_count_as_none() {
    let deepest = nested(MAX_VALUE_DEPTH);
    assert_eq!(Value::from_bytes(&deepest.to_bytes()), Ok(deepest));
    let mut with_leaf = b"\x06\x01".repeat(MAX_VALUE_DEPTH);
    with_leaf.push(0);
    assert!(Value::from_bytes(&with_leaf).is_ok());
    let deeper = nested(MAX_VALUE_DEPTH + 1).to_bytes();
    let error = Value::from_bytes(&deeper).unwrap_err();
    assert!(error.expected.contains("32 levels"), "{error}");
}

#[test]
fn values_have_a_million_parts() {
    let most = Value::List(vec![Value::Null; MAX_VALUES - 1]);
    assert_eq!(Value::from_bytes(&most.to_bytes()), Ok(most));
    let more = Value::List(vec![Value::Null; MAX_VALUES]).to_bytes();
    let error = Value::from_bytes(&more).unwrap_err();
    assert!(error.expected.contains("1048576 values"), "{error}");
}
