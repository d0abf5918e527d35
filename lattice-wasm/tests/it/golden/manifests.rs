//! Manifests, valid and hostile.

use guest_chat::{ChatMachine, First};
use lattice_backend::machine::manifest::{
    ABI, Elements, MAX_MANIFEST_BYTES, Manifest, ManifestError, StoreCode,
};
use lattice_backend::machine::{Method, MethodKind, Param, ValueType};
use lattice_kvstore::KvMachine;
use lattice_logstore::LogMachine;
use lattice_meta::SchemaVersion;
use lattice_meta::codec::CodecError;
use lattice_wasm::{guests, read_manifest};

use super::{field, fields};

fn smallest() -> Manifest {
    Manifest {
        abi: ABI,
        store_type: "a.b".parse().unwrap(),
        schemas: SchemaVersion::new(1)..=SchemaVersion::new(1),
        elements: Elements::Rows,
        methods: Vec::new(),
        converts: Vec::new(),
    }
}

fn method(
    kind: MethodKind,
    name: &'static str,
    doc: &'static str,
    result: ValueType,
    params: &[Param],
) -> Method {
    Method {
        name: name.into(),
        kind,
        doc: doc.into(),
        params: params.to_vec().into(),
        result,
    }
}

fn full() -> Manifest {
    let params = [
        Param::optional("null", ValueType::Null, "A null."),
        Param::required("bool", ValueType::Bool, "A truth value."),
        Param::optional("integer", ValueType::Integer, "An integer."),
        Param::required("bytes", ValueType::Bytes, "A byte string."),
        Param::optional("text", ValueType::Text, "Ein Text für Menschen."),
        Param::required("list", ValueType::List, "A list."),
        Param::optional("record", ValueType::Record, "A record."),
    ];
    let from = [Param::required("from", ValueType::Integer, "")];
    Manifest {
        abi: ABI,
        store_type: "acme.tools:board".parse().unwrap(),
        schemas: SchemaVersion::new(2)..=SchemaVersion::new(u64::MAX),
        elements: Elements::Code,
        methods: vec![
            method(
                MethodKind::Command,
                "do",
                "Does it.",
                ValueType::Record,
                &params,
            ),
            method(MethodKind::Query, "ask", "Asks.", ValueType::List, &[]),
            method(
                MethodKind::Stream,
                "follow",
                "Follows.",
                ValueType::Bytes,
                &from,
            ),
        ],
        converts: ["acme.tools:list", "core:kvstore"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
    }
}

#[test]
fn golden_manifests() {
    for (name, bytes) in fields("manifest.txt") {
        let expected = match name.as_str() {
            "smallest" => smallest(),
            "full" => full(),
            "counter" => read_manifest(guests::COUNTER).unwrap(),
            other => panic!("no expectation for {other}"),
        };
        assert_eq!(expected.encode(), bytes, "{name}");
        assert_eq!(Manifest::decode(&bytes), Ok(expected), "{name}");
    }
}

#[test]
fn golden_hostile_manifests_are_refused() {
    for (name, bytes) in fields("manifest_hostile.txt") {
        let error = match Manifest::decode(&bytes) {
            Ok(manifest) => panic!("{name}: {manifest:?}"),
            Err(error) => error,
        };
        let is_expected = match name.as_str() {
            "abi_0" => error == ManifestError::Abi { found: 0 },
            "abi_2" | "abi_2_alone" => error == ManifestError::Abi { found: 2 },
            "abi_256" => error == ManifestError::Abi { found: 256 },
            "too_long" => {
                let (limit, found) = (MAX_MANIFEST_BYTES, bytes.len());
                error == CodecError::TooLong { limit, found }.into()
            }
            "trailing_byte" => matches!(
                error,
                ManifestError::Codec(CodecError::TrailingBytes { .. })
            ),
            name if name.starts_with("type_")
                && !name.contains("utf8")
                && !name.contains("huge") =>
            {
                matches!(error, ManifestError::StoreType(_))
            }
            "first_schema_0"
            | "schemas_both_0"
            | "last_schema_below_first"
            | "elements_2"
            | "method_twice"
            | "method_twice_as_other_kind"
            | "method_kind_3"
            | "method_kind_255"
            | "method_result_7"
            | "param_twice"
            | "param_type_7" => matches!(error, ManifestError::Field { .. }),
            "converts_no_type" => matches!(error, ManifestError::StoreType(_)),
            _ => matches!(error, ManifestError::Codec(CodecError::Malformed { .. })),
        };
        assert!(is_expected, "{name}: {error:?}");
    }
}

/// The manifest in a compiled module equals the one that the encoder writes.
fn check_written<M: StoreCode>(module: &[u8]) {
    let manifest = Manifest::of::<M>().unwrap();
    assert_eq!(read_manifest(module), Ok(manifest), "{}", M::STORE_TYPE);
}

#[test]
fn modules_have_the_manifests_of_their_sources() {
    check_written::<KvMachine>(guests::KVSTORE);
    check_written::<LogMachine>(guests::LOGSTORE);
    check_written::<ChatMachine<First>>(guests::CHAT);
}

#[test]
fn a_module_has_the_golden_manifest_of_the_counter() {
    let manifest = field("manifest.txt", "counter");
    let found = guests::COUNTER.windows(manifest.len());
    assert_eq!(found.filter(|found| *found == manifest).count(), 1);
}
