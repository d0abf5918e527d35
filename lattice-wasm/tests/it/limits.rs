//! Each limit of the interface, at the greatest allowed count and at the next one.

use std::fmt::Write as _;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::manifest::{Manifest, SECTION};
use lattice_backend::machine::{Limit, LogicFault, MachineError, Method, Param, Value};
use lattice_wasm::{Code, CodeError, abi, read_manifest};

use crate::guest::*;

/// The exceeded limit, or `None` if the module is accepted.
#[track_caller]
fn limit(wasm: &[u8]) -> Option<(&'static str, u64, u64)> {
    match Code::new(wasm) {
        Ok(_) => None,
        Err(CodeError::Limit { what, limit, found }) => Some((what, limit, found)),
        Err(other) => panic!("{other:?}"),
    }
}

/// A module is accepted up to this count, and refused beyond.
#[track_caller]
fn at(what: &'static str, most: usize, module: impl Fn(usize) -> Vec<u8>) {
    assert_eq!(limit(&module(most)), None, "{most} {what}");
    let found = u64::try_from(most).unwrap();
    assert_eq!(
        limit(&module(most + 1)),
        Some((what, found, found + 1)),
        "{what}"
    );
}

#[track_caller]
fn at_body(what: &'static str, most: usize, body: impl Fn(usize) -> String) {
    at(what, most, |count| wasm(&manifest(), &body(count)));
}

fn many(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// Types, functions and exports that every module of these tests has.
const TYPES: usize = 13;
const FUNCTIONS: usize = 3;
const EXPORTS: usize = 4;

#[test]
fn bytes_of_a_module() {
    let whole = wasm(&manifest(), "");
    let filled = |length: usize| {
        // A custom section of this length has a header of 6 bytes and a name of 5.
        let name = [&[4][..], b"fill"].concat();
        let content = [name, vec![0; length - whole.len() - 9]].concat();
        let filled = [whole.clone(), section(0, &content)].concat();
        assert_eq!(filled.len(), length);
        filled
    };
    at("bytes", abi::MAX_CODE_BYTES, filled);
    let error = read_manifest(&filled(abi::MAX_CODE_BYTES + 1)).unwrap_err();
    assert!(matches!(error, CodeError::Limit { what: "bytes", .. }));
}

#[test]
fn types_and_what_they_have() {
    let types = |count| {
        many(count, |nth| {
            let param = |bit: usize| if nth >> bit & 1 == 0 { "i32" } else { "i64" };
            let params = (0..10).map(param).collect::<Vec<_>>().join(" ");
            format!("(type (func (param {params})))")
        })
    };
    at_body("types", 512, |count| types(count - TYPES));
    let list = |count| "i64 ".repeat(count);
    at_body("parameters of a function", 16, |count| {
        format!("(func (param {}))", list(count))
    });
    at_body("results of a function", 2, |count| {
        format!("(func (result {}) unreachable)", list(count))
    });
    // The same for a type that only a block has.
    at_body("results of a function", 2, |count| {
        let (block, drops) = (list(count), "drop ".repeat(count));
        format!("(func (block (result {block}) unreachable) {drops})")
    });
}

#[test]
fn functions_globals_exports_and_segments() {
    at_body("functions", 10_000, |count| {
        "(func)".repeat(count - FUNCTIONS)
    });
    at_body("globals", 256, |count| {
        "(global (mut i64) (i64.const 1))".repeat(count)
    });
    at_body("exports", 256, |count| {
        let exports = many(count - EXPORTS, |nth| {
            format!("(export \"more{nth}\" (func $f))")
        });
        format!("(func $f) {exports}")
    });
    at_body("data segments", 1_024, |count| "(data \"x\")".repeat(count));
    at_body("elements of segments", 4_096, |count| {
        let items = |count| "$f ".repeat(count);
        format!(
            "(func $f) (elem func {}) (elem func {})",
            items(96),
            items(count - 96)
        )
    });
    at_body("elements of segments", 4_096, |count| {
        let items = "(ref.null func)".repeat(count);
        format!("(table 4096 funcref) (elem (i32.const 0) funcref {items})")
    });
    at_body("element segments", 1_024, |count| {
        format!("(func $f) {}", "(elem func $f)".repeat(count))
    });
}

#[test]
fn tables_and_pages() {
    at_body("tables", 1, |count| "(table 1 funcref)".repeat(count));
    at_body("elements of the table", 4_096, |count| {
        format!("(table {count} funcref)")
    });
    at_body("pages of memory", 256, |count| {
        format!(r#"(memory (export "memory") {count})"#)
    });
}

#[test]
fn locals_branches_and_nesting() {
    at_body("locals in a function", 512, |count| {
        format!("(func (local {}))", "i32 ".repeat(count))
    });
    // Groups of locals whose sum would overflow.
    for groups in [&[500, 13][..], &[u32::MAX, 2], &[1, u32::MAX]] {
        let mut body = vec![u8::try_from(groups.len()).unwrap()];
        for (count, kind) in groups.iter().zip([0x7f, 0x7e]) {
            let count = usize::try_from(*count).unwrap();
            body.extend([&leb(count)[..], &[kind]].concat());
        }
        let (what, most, _) = limit(&with_function(&body)).unwrap();
        assert_eq!((what, most), ("locals in a function", 512));
    }
    at_body("branches in a table", 1_024, |count| {
        let targets = "0 ".repeat(count + 1);
        format!("(func (param i32) (br_table {targets} (local.get 0)))")
    });
    for open in ["block", "loop", "if (i32.const 1)"] {
        at_body("nested blocks", 512, |count| {
            let (open, close) = match open.starts_with("if") {
                true => (format!("({open} (then"), "))"),
                false => (format!("({open}"), ")"),
            };
            format!("(func {} {})", open.repeat(count), close.repeat(count))
        });
    }
    // Successive blocks are not nested.
    assert_eq!(
        limit(&wasm(
            &manifest(),
            &format!("(func {})", "(block)".repeat(5_000))
        )),
        None
    );
}

/// A module with a function of these bytes, after the functions that every module needs.
fn with_function(body: &[u8]) -> Vec<u8> {
    let text = wasm(&manifest(), "(func $last (type 0)) (type (func))");
    // Rebuilds the code section from the bodies of the other functions, and this one.
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    for payload in wasmparser::Parser::new(0).parse_all(&text) {
        let payload = payload.unwrap();
        if let wasmparser::Payload::CodeSectionStart { range, count, .. } = &payload {
            let old = &text[range.clone()];
            assert_eq!(usize::try_from(*count).unwrap(), 1 + FUNCTIONS);
            let bodies = &old[1..];
            // Replaces the first function of the text.
            let first = usize::from(bodies[0]);
            let rest = &bodies[1 + first..];
            let content = [&old[..1], &leb(body.len()), body, rest].concat();
            wasm.extend(section(10, &content));
        } else if let Some((id, range)) = payload.as_section() {
            wasm.extend(section(id, &text[range]));
        }
    }
    wasm
}

#[test]
fn bytes_of_a_function() {
    at("bytes in a function", 256 << 10, |count| {
        let mut body = vec![0];
        body.resize(count - 1, 0x01);
        body.push(0x0b);
        with_function(&body)
    });
}

#[test]
fn imports() {
    // Each import once is allowed; one more is a duplicate.
    let code = load(&manifest(), IMPORTS).unwrap();
    assert_eq!(code.store_type().as_str(), "org.example.hostile");
    let twice = format!(r#"{IMPORTS} (import "lattice1" "count" (func (result i64)))"#);
    assert_eq!(limit(&wasm(&manifest(), &twice)), Some(("imports", 12, 13)));
}

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

/// An answer may be as long as a value, and no longer.
#[test]
fn bytes_of_an_answer() {
    // One byte for the tag, one for the kind, and four for the length of a byte string.
    let answer = |length: u32| {
        let bytes = length - 5;
        let mut varint = leb(usize::try_from(bytes).unwrap());
        assert_eq!(varint.len(), 4);
        varint.splice(0..0, [0, 4]);
        let data: String = varint.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let body = format!(
            r#"(data (i32.const 16) "{data}")
            (func (export "lattice1_prepare") (param i32 i32 i32) (result i64) unreachable)
            (func (export "lattice1_query") (param i32 i32 i32) (result i64)
                (drop (memory.grow (i32.const 1030)))
                (i64.const {}))"#,
            16_u64 << 32 | u64::from(length + 1)
        );
        ask(&machine(&methods(), &body))
    };
    let Ok(Value::Bytes(bytes)) = answer(64 << 20) else {
        panic!("an answer of 64 MiB");
    };
    assert_eq!(bytes.len(), (64 << 20) - 5);
    let message = match answer((64 << 20) + 1) {
        Err(MachineError::Backend(error)) => trapped::<()>(Err(error)),
        other => panic!("{other:?}"),
    };
    assert!(
        message.starts_with("the answer to a query is "),
        "{message}"
    );
}

#[test]
fn pages_at_run_time() {
    let grow = |pages| applying(&format!("(drop (memory.grow (i32.const {pages})))"));
    run(&grow(2_044), b"p").unwrap();
    let expected = LogicFault::Limit {
        limit: Limit::Memory,
        allowed: 2_048 << 16,
    };
    assert_eq!(fault(run(&grow(2_045), b"p")), expected);
}

#[test]
fn elements_of_the_table_at_run_time() {
    let grow = |more| {
        let grow = format!("(drop (table.grow (ref.null func) (i32.const {more})))");
        machine(&manifest(), &format!("(table 96 funcref) {}", apply(&grow)))
    };
    run(&grow(4_000), b"p").unwrap();
    for more in [4_001, 60_000_000, u32::MAX - 97] {
        let message = trapped(run(&grow(more), b"p"));
        assert_eq!(message, "the table cannot grow beyond its limit");
    }
    // Growth beyond a 32-bit number of elements returns -1 in every engine.
    run(&grow(u32::MAX - 95), b"p").unwrap();
}

/// The gas limit for a payload of this many bytes.
fn gas(payload: u64) -> LogicFault {
    LogicFault::Limit {
        limit: Limit::Gas,
        allowed: abi::BASE_GAS + abi::GAS_PER_BYTE * payload,
    }
}

/// Fills 64 KiB `rounds` times, and then `bytes` more.
fn filling(payload: &[u8], rounds: u64, bytes: u64) -> Result<(), LogicFault> {
    let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x10000))";
    let last = format!("(memory.fill (i32.const 0) (i32.const 0) (i32.const {bytes}))");
    let body = times(rounds, fill);
    match run(&applying(&format!("{body} {last}")), payload) {
        Ok(_) => Ok(()),
        Err(BackendError::Fault(fault)) => Err(fault),
        Err(other) => panic!("{other:?}"),
    }
}

/// The greatest number for which `can` is true.
fn most(mut too_many: u64, can: impl Fn(u64) -> bool) -> u64 {
    let mut most = 0;
    while too_many - most > 1 {
        let middle = (most + too_many) / 2;
        match can(middle) {
            true => most = middle,
            false => too_many = middle,
        }
    }
    most
}

#[test]
fn gas_to_the_last() {
    let rounds = most(20_000, |rounds| filling(b"p", rounds, 0).is_ok());
    // Less gas is left than 64 KiB cost.
    let steps = most(4_200, |steps| filling(b"p", rounds, 16 * steps).is_ok());
    assert_eq!(filling(b"p", rounds, 16 * steps + 16), Err(gas(1)));
    // One more byte of payload is 2,048 more gas, and 16 bytes cost one gas.
    let steps = steps + abi::GAS_PER_BYTE;
    filling(b"pp", rounds, 16 * steps).unwrap();
    assert_eq!(filling(b"pp", rounds, 16 * steps + 16), Err(gas(2)));
}

/// The engine clears the added part of a memory or a table, and charges gas for it. A module that
/// lacks the gas fails by the gas limit, not by the limit of the memory.
#[test]
fn growth_without_gas() {
    let table = "(table 1 funcref)";
    for grow in [
        "(drop (memory.grow (i32.const 1)))",
        "(drop (table.grow (ref.null func) (i32.const 4000)))",
    ] {
        let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x4000))";
        let body = format!("{} {grow} (loop (br 0))", times(48_500, fill));
        let machine = machine(&manifest(), &format!("{table} {}", apply(&body)));
        assert_eq!(fault(run(&machine, b"p")), gas(1), "{grow}");
    }
}

/// Frames of 512 numbers, nested until they fill the value stack.
#[test]
fn bytes_of_the_stack() {
    let nested = |depth: u32| {
        let locals = "i64 ".repeat(511);
        let deep = format!(
            "(func $deep (param i64) (local {locals})
                (if (i64.gt_u (local.get 0) (i64.const 1))
                    (then (call $deep (i64.sub (local.get 0) (i64.const 1))))))
            {}",
            apply(&format!("(call $deep (i64.const {depth}))"))
        );
        run(&machine(&manifest(), &deep), b"p").is_ok()
    };
    let most = (1..1_000).rev().find(|depth| nested(*depth)).unwrap();
    // A frame has 4,096 bytes, and a few more for operands.
    let frames = 1_000_000 / 4_096;
    assert!((frames - 5..=frames).contains(&most), "{most}");
}

/// A loop that runs `count` times.
fn times(count: u64, body: &str) -> String {
    format!(
        "(local $n i64)
        (loop $again {body}
            (local.set $n (i64.add (local.get $n) (i64.const 1)))
            (br_if $again (i64.lt_u (local.get $n) (i64.const {count}))))"
    )
}

#[test]
fn elements_of_a_row() {
    let gives = |count| {
        let element = "(call $element (i32.const 0)
            (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))";
        let body = format!(
            r#"(func (export "lattice1_elements") (param i64 i32 i32) {})"#,
            times(count, element)
        );
        machine(&coded(), &body)
    };
    let found = elements(&gives(abi::MAX_ELEMENTS), 1).unwrap();
    assert_eq!(found.len(), 1 << 16);
    let message = trapped(elements(&gives(abi::MAX_ELEMENTS + 1), 1));
    assert_eq!(message, "a row has more than 65536 elements");
}

#[test]
fn lines_of_the_log() {
    let logs = |count| {
        let log = "(call $log (i32.const 0) (i32.const 0) (i32.const 9))";
        run(&applying(&times(count, log)), b"p")
    };
    logs(64).unwrap();
    assert_eq!(trapped(logs(65)), "more than 64 lines in the log");
    // The limit applies to each call of a module.
    let both = format!(
        "{} {}",
        apply(&times(
            40,
            "(call $log (i32.const 0) (i32.const 0) (i32.const 9))"
        )),
        r#"(func (export "lattice1_settle") (param i32 i32 i32))"#
    );
    run(&machine(&manifest(), &both), b"p").unwrap();
}

#[test]
fn bytes_of_a_message() {
    let fails = |length: usize| {
        let fill = format!("(memory.fill (i32.const 0) (i32.const 109) (i32.const {length}))");
        let fail = format!("(call $fail (i32.const 0) (i32.const {length}))");
        trapped(run(&applying(&format!("{fill} {fail}")), b"p"))
    };
    assert_eq!(fails(0), "");
    assert_eq!(fails(1_024), "m".repeat(1_024));
    let cut = fails(1_025);
    assert_eq!(cut, format!("{}...", "m".repeat(1_024)));
    assert_eq!(fails(200_000), cut);
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
fn exports_that_are_missing_or_others() {
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
                "something else than a function"
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
