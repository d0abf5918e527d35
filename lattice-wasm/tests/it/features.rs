//! The features of WebAssembly that modules may use, and growth and nesting at run time.

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{Limit, LogicFault, StateMachine};
use lattice_wasm::{Code, CodeError, WasmMachine, WasmPayload};

/// The manifest of a module with nothing but payloads.
const MANIFEST: &str = "\\01\\00\\03\\00\\00\\00\\00\\00\\00\\00a.b\
    \\01\\00\\00\\00\\00\\00\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00\\00\
    \\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00";

const MEMORY: &str = r#"(memory (export "memory") 1)"#;

/// A module whose `decode` returns this output, with other parts.
fn module(memory: &str, parts: &str, decode: &str) -> Result<Code, CodeError> {
    let text = format!(
        r#"(module {memory} {parts}
            (func (export "lattice1_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "lattice1_decode") (param i32 i32) (result i64) {decode})
            (func (export "lattice1_apply") (param i32 i32))
            (@custom "lattice.store" "{MANIFEST}"))"#
    );
    Code::new(&wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn machine(memory: &str, parts: &str, decode: &str) -> WasmMachine {
    WasmMachine::new(module(memory, parts, decode).unwrap(), &[]).unwrap()
}

/// Whether an `i32` expression has this value; or the fault.
fn gives(memory: &str, parts: &str, body: &str, number: i32) -> Result<bool, LogicFault> {
    // 0 means valid; any other output, also an empty one, is a reason.
    let decode = format!(
        "(select (i64.const 0) (i64.shl (i64.const 8) (i64.const 32))
            (i32.eq {body} (i32.const {number})))"
    );
    match machine(memory, parts, &decode).decode(b"") {
        Ok(WasmPayload::Valid(_)) => Ok(true),
        Ok(WasmPayload::Failed(BackendError::Fault(fault))) => Err(fault),
        Ok(other) => panic!("{other:?}"),
        Err(invalid) => {
            assert_eq!(invalid.reason(), "");
            Ok(false)
        }
    }
}

#[test]
fn extensions_that_are_allowed() {
    for (parts, body) in [
        (
            "(global $g (mut i32) (i32.const 0))",
            "(global.set $g (i32.const 1))",
        ),
        ("", "(drop (i32.extend8_s (i32.const 200)))"),
        (
            "(func $two (result i32 i32) (i32.const 1) (i32.const 2))",
            "(call $two) drop drop",
        ),
        (
            "",
            "(memory.copy (i32.const 0) (i32.const 8) (i32.const 8))",
        ),
        (
            "(data $d \"abc\")",
            "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop $d)",
        ),
        (
            "(table $t 2 funcref)",
            "(table.set $t (i32.const 0) (ref.null func))",
        ),
        ("", "(drop (ref.is_null (ref.null extern)))"),
    ] {
        let machine = machine(MEMORY, parts, &format!("{body} (i64.const 0)"));
        let decoded = machine.decode(b"");
        assert!(
            matches!(decoded, Ok(WasmPayload::Valid(_))),
            "{body}: {decoded:?}"
        );
    }
}

#[test]
fn extensions_that_are_refused() {
    let parts = |parts| (MEMORY, parts, "");
    let body = |body| (MEMORY, "", body);
    for (memory, parts, body) in [
        body("(drop (f32.const 0))"),
        body("(drop (f64.add (f64.const 1) (f64.const 2)))"),
        parts("(func (param f64))"),
        parts("(global f32 (f32.const 0))"),
        body("(drop (i32.trunc_sat_f32_s (f32.const 1)))"),
        body("(drop (v128.const i64x2 0 0))"),
        body("(return_call $f)"),
        parts("(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
        parts("(memory 1)"),
        parts("(tag (param i32))"),
        parts("(type (struct (field i32)))"),
        parts("(type (array i32))"),
        (r#"(memory (export "memory") i64 1)"#, "", ""),
        (r#"(memory (export "memory") 1 2 shared)"#, "", ""),
        body("(drop (i32.atomic.load (i32.const 0)))"),
        body("(i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)) drop drop"),
    ] {
        let parts = format!("{parts} (func $f (result i64) (i64.const 0))");
        let code = module(memory, &parts, &format!("{body} (i64.const 0)"));
        assert!(code.is_err(), "{memory} {parts} {body}");
    }
}

fn is_limit(outcome: Result<bool, LogicFault>, expected: Limit) -> bool {
    matches!(outcome, Err(LogicFault::Limit { limit, .. }) if limit == expected)
}

#[test]
fn memory_grows_to_the_modules_limit_or_to_the_hosts() {
    let bounded = r#"(memory (export "memory") 1 3)"#;
    let grow = |pages: u32| format!("(memory.grow (i32.const {pages}))");
    assert_eq!(gives(bounded, "", &grow(2), 1), Ok(true));
    assert_eq!(gives(bounded, "", &grow(3), -1), Ok(true));
    assert_eq!(gives(MEMORY, "", &grow(2_047), 1), Ok(true));
    assert!(is_limit(gives(MEMORY, "", &grow(2_048), -1), Limit::Memory));
    assert!(is_limit(
        gives(MEMORY, "", &grow(65_535), -1),
        Limit::Memory
    ));
    assert_eq!(gives(MEMORY, "", &grow(65_536), -1), Ok(true));
}

/// Growth beyond the module's own maximum is a fault, too: the engine does not report which limit
/// it exceeds.
#[test]
fn the_table_grows_to_a_limit() {
    let grow = |more: u32| format!("(table.grow (ref.null func) (i32.const {more}))");
    let bounded = "(table 1 3 funcref)";
    assert_eq!(gives(MEMORY, bounded, &grow(2), 1), Ok(true));
    assert!(gives(MEMORY, bounded, &grow(3), -1).is_err());
    let table = "(table 1 funcref)";
    assert_eq!(gives(MEMORY, table, &grow(4_095), 1), Ok(true));
    assert!(gives(MEMORY, table, &grow(4_096), -1).is_err());
}

#[test]
fn calls_nest_to_a_depth() {
    let deep = "(func $deep (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
            (else (i32.const 7))))";
    let nested = |depth: u32| {
        gives(
            MEMORY,
            deep,
            &format!("(call $deep (i32.const {depth}))"),
            7,
        )
    };
    // The host's call counts as one, and the last function calls nothing.
    let most = (0..2_000).rev().find(|depth| nested(*depth) == Ok(true));
    assert_eq!(most, Some(998));
    assert!(matches!(nested(999), Err(LogicFault::Trap { .. })));
}

#[test]
fn a_data_segment_beyond_the_memory_fails_every_call() {
    let parts = r#"(data (i32.const 65535) "ab")"#;
    assert!(matches!(
        gives(MEMORY, parts, "(i32.const 0)", 0),
        Err(LogicFault::Trap { .. })
    ));
}
