//! Each limit on the bytes of a module, at the greatest allowed count and at the next one.

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
    assert_eq!(limit(&wasm(&manifest(), &twice)), Some(("imports", 13, 14)));
}
