//! What a module says of itself: limits of the manifest, and what has to fit the module.

use std::fmt::Write as _;

use lattice_backend::machine::manifest::{Manifest, SECTION};
use lattice_backend::machine::{Method, Param};
use lattice_wasm::{Code, CodeError, read_manifest};

use crate::guest::*;

#[test]
fn bytes_of_a_manifest() {
    let manifest_of = |length: usize| {
        let mut manifest = methods();
        let shortest = manifest.encode().len();
        let doc = "x".repeat(length - shortest + manifest.methods[0].doc.len());
        manifest.methods[0].doc = doc.into();
        assert_eq!(manifest.encode().len(), length);
        manifest
    };
    let body = "(func (export \"lattice1_prepare\") (export \"lattice1_query\")
        (param i32 i32 i32) (result i64) (i64.const 0))";
    load(&manifest_of(64 << 10), body).unwrap();
    let error = load(&manifest_of((64 << 10) + 1), body).unwrap_err();
    assert!(matches!(error, CodeError::Manifest(_)), "{error:?}");
}

#[test]
fn parts_of_a_manifest() {
    let body = r#"(func (export "lattice1_prepare") (export "lattice1_query")
        (param i32 i32 i32) (result i64) (i64.const 0))"#;
    let convert = r#"(func (export "lattice1_convert") (param i32 i32) (result i64) unreachable)"#;
    let at = |most: usize, manifest: &dyn Fn(usize) -> Manifest| {
        let body = format!("{body} {convert}");
        load(&manifest(most), &body).unwrap();
        let error = load(&manifest(most + 1), &body).unwrap_err();
        assert!(matches!(error, CodeError::Manifest(_)), "{error:?}");
    };
    at(256, &|count| {
        let mut manifest = methods();
        let method = &manifest.methods[1];
        let named = |nth| Method {
            name: format!("m{nth}").into(),
            ..method.clone()
        };
        manifest.methods = (0..count).map(named).collect();
        manifest
    });
    at(64, &|count| {
        let mut manifest = methods();
        let params = manifest.methods[1].params.to_mut();
        let param = params.remove(0);
        params.extend((0..count).map(|nth| Param {
            name: format!("p{nth}").into(),
            ..param.clone()
        }));
        manifest
    });
    at(256, &|count| {
        let old = |nth| format!("org.example.old{nth}").parse().unwrap();
        Manifest {
            converts: (0..count).map(old).collect(),
            ..methods()
        }
    });
}

/// A module has exactly one section of the interface, of a version that this program knows.
#[test]
fn sections_of_a_manifest() {
    let whole = wasm(&manifest(), "");
    let bytes = manifest().encode();
    let without = whole.len() - custom(SECTION, &bytes).len();
    let missing = &whole[..without];
    for (wasm, expected) in [
        (missing.to_vec(), 0),
        ([&whole[..], &custom(SECTION, &bytes)].concat(), 2),
        ([missing, &custom("lattice.stor", &bytes)].concat(), 0),
        ([missing, &custom("Lattice.store", &bytes)].concat(), 0),
    ] {
        let expected = CodeError::NoManifest { found: expected };
        assert_eq!(Code::new(&wasm).unwrap_err(), expected);
        assert_eq!(read_manifest(&wasm).unwrap_err(), expected);
    }
    // Of a manifest for a later interface, only the version is read.
    let mut later = bytes.clone();
    later[0] = 2;
    for manifest in [later, vec![2, 0], vec![0xff, 0xff, 1]] {
        let error = Code::new(&[missing, &custom(SECTION, &manifest)].concat()).unwrap_err();
        assert!(error.is_newer(), "{error:?}");
    }
    // Truncated, lengthened and changed manifests: none decodes as a different one.
    for cut in 0..bytes.len() {
        let wasm = [missing, &custom(SECTION, &bytes[..cut])].concat();
        let error = Code::new(&wasm).unwrap_err();
        assert!(matches!(error, CodeError::Manifest(_)) && !error.is_newer());
    }
    let longer = [missing, &custom(SECTION, &[&bytes[..], b"x"].concat())].concat();
    assert!(matches!(Code::new(&longer), Err(CodeError::Manifest(_))));
}

#[test]
fn another_store_type_is_refused() {
    let whole = wasm(&manifest(), "");
    let own = "org.example.hostile".parse().unwrap();
    let other = "org.example.other".parse().unwrap();
    Code::for_type(&whole, &own).unwrap();
    let expected = CodeError::OtherType {
        asked: "org.example.other".parse().unwrap(),
        found: own,
    };
    assert_eq!(Code::for_type(&whole, &other).unwrap_err(), expected);
}

#[test]
fn imports_of_a_later_interface() {
    for (module, is_newer) in [
        ("lattice2", true),
        ("lattice10", true),
        ("lattice0", false),
        ("lattice", false),
        ("lattice01", false),
        ("lattice2x", false),
        ("Lattice2", false),
    ] {
        let body = format!(r#"(import "{module}" "get" (func (param i32)))"#);
        let error = load(&manifest(), &body).unwrap_err();
        assert_eq!(error.is_newer(), is_newer, "{error:?}");
    }
}

#[test]
fn missing_and_wrong_exports() {
    let mut all = methods();
    all.elements = lattice_backend::machine::manifest::Elements::Code;
    all.schemas = lattice_meta::SchemaVersion::new(1)..=lattice_meta::SchemaVersion::new(2);
    all.converts = vec!["org.example.old".parse().unwrap()];
    const EXPORTS: [(&str, &str, bool); 10] = [
        ("alloc", "(param i32) (result i32)", true),
        ("decode", "(param i32 i32) (result i64)", true),
        ("apply", "(param i32 i32)", true),
        ("settle", "(param i32 i32 i32)", false),
        ("elements", "(param i64 i32 i32)", true),
        ("prepare", "(param i32 i32 i32) (result i64)", true),
        ("query", "(param i32 i32 i32) (result i64)", true),
        ("describe", "(param i32 i32) (result i64)", false),
        ("migrate", "(param i64)", true),
        ("convert", "(param i32 i32) (result i64)", true),
    ];
    let memory = r#"(memory (export "memory") 1)"#;
    let module = |left_out: &str, more: &str| {
        let mut text = format!("{memory} {more}");
        for (name, signature, _) in EXPORTS {
            if name != left_out {
                write!(
                    text,
                    r#"(func (export "lattice1_{name}") {signature} unreachable)"#
                )
                .unwrap();
            }
        }
        Code::new(&bare(&all, &text))
    };
    module("", "").unwrap();
    let found = |code: Result<Code, CodeError>| match code.unwrap_err() {
        CodeError::Export { found, .. } => found,
        other => panic!("{other:?}"),
    };
    for (name, _, is_needed) in EXPORTS {
        match is_needed {
            true => assert_eq!(found(module(name, "")), "none of that name"),
            false => drop(module(name, "").unwrap()),
        }
        let other = format!(r#"(func (export "lattice1_{name}") (result i32) unreachable)"#);
        assert_eq!(found(module(name, &other)), "() -> (i32)", "{name}");
        for other in [
            "(global (export \"X\") i32 (i32.const 0))",
            "(table (export \"X\") 1 funcref)",
        ] {
            let other = other.replace('X', &format!("lattice1_{name}"));
            assert_eq!(
                found(module(name, &other)),
                "an item that is not a function"
            );
        }
    }
    assert_eq!(
        found(module("", r#"(func (export "lattice1_x"))"#)),
        "\"lattice1_x\""
    );
    assert_eq!(
        found(module(
            "",
            r#"(global (export "lattice1_") i32 (i32.const 0))"#
        )),
        "\"lattice1_\""
    );
    module(
        "",
        r#"(func (export "lattice2_x")) (func (export "anything"))"#,
    )
    .unwrap();
    let memories = |text: &str| found(Code::new(&bare(&manifest(), text)));
    assert_eq!(memories(""), "0 memories");
    assert_eq!(memories("(memory 1)"), "none of that name");
    assert_eq!(
        memories(r#"(memory 1) (global (export "memory") i32 (i32.const 0))"#),
        "none of that name"
    );
}

/// Lists and errors show a method's name.
#[test]
fn controls_in_the_text_of_a_method_are_refused() {
    let body = "(func (export \"lattice1_prepare\") (export \"lattice1_query\")
        (param i32 i32 i32) (result i64) (i64.const 0))";
    let expected = CodeError::Forbidden {
        what: "a control character in the text of a method",
    };
    for hostile in ["a\nb", "\u{1b}[2J", "\u{202e}x", "\0"] {
        for place in 0..4 {
            let mut manifest = methods();
            let method = &mut manifest.methods[1];
            let param = &mut method.params.to_mut()[0];
            *[
                &mut method.name,
                &mut method.doc,
                &mut param.name,
                &mut param.doc,
            ][place] = hostile.into();
            assert_eq!(load(&manifest, body).unwrap_err(), expected);
        }
    }
    let mut manifest = methods();
    manifest.methods[1].name = "fr\u{e4}gen".into();
    load(&manifest, body).unwrap();
}

#[test]
fn a_method_that_is_a_stream_is_refused() {
    let mut manifest = methods();
    manifest.methods[0].kind = lattice_backend::machine::MethodKind::Stream;
    let expected = CodeError::Forbidden {
        what: "a method that is a stream",
    };
    assert_eq!(load(&manifest, "").unwrap_err(), expected);
}
