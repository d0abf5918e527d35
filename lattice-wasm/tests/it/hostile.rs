//! Hostile modules: each is refused when it is loaded, or ends with a fault of the code.

use std::time::{Duration, Instant};

use lattice_backend::machine::{Limit, LogicFault};
use lattice_wasm::{CodeError, abi};

use crate::guest::{apply, applying, custom, fault, load, manifest, run, trapped, wasm};

fn gas() -> LogicFault {
    LogicFault::Limit {
        limit: Limit::Gas,
        allowed: abi::BASE_GAS + abi::GAS_PER_BYTE,
    }
}

fn memory() -> LogicFault {
    LogicFault::Limit {
        limit: Limit::Memory,
        allowed: 128 << 20,
    }
}

#[track_caller]
fn refused(body: &str) -> CodeError {
    load(&manifest(), body).unwrap_err()
}

#[track_caller]
fn malformed(body: &str) -> String {
    match refused(body) {
        CodeError::Malformed { reason, .. } | CodeError::Compile { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn gas_stops_an_endless_loop() {
    assert_eq!(fault(run(&applying("(loop (br 0))"), b"p")), gas());
}

#[test]
fn the_stack_limit_stops_an_endless_recursion() {
    let deep = format!("(func $deep (call $deep)) {}", apply("(call $deep)"));
    let machine = crate::guest::machine(&manifest(), &deep);
    assert_eq!(trapped(run(&machine, b"p")), "call stack exhausted");
    // Wide frames exhaust the value stack.
    let wide = format!(
        "(func $wide (local {}) (call $wide)) {}",
        "i64 ".repeat(512),
        apply("(call $wide)")
    );
    let machine = crate::guest::machine(&manifest(), &wide);
    assert_eq!(trapped(run(&machine, b"p")), "call stack exhausted");
}

#[test]
fn memory_that_grows_without_end_is_a_fault() {
    let grow = "(loop (drop (memory.grow (i32.const 1))) (br 0))";
    assert_eq!(fault(run(&applying(grow), b"p")), memory());
    // In one step, by more than the allowed pages.
    let grow = |pages: u32| {
        let grow = format!("(i32.store (i32.const 0) (memory.grow (i32.const {pages})))");
        let put = "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 4))";
        run(&applying(&format!("{grow} {put}")), b"p")
    };
    for pages in [2_045, 10_000, 65_532] {
        assert_eq!(fault(grow(pages)), memory(), "{pages}");
    }
    // Growth beyond a 32-bit address space returns -1 in every engine.
    for pages in [65_533, 65_536, u32::MAX] {
        let rows = grow(pages).unwrap();
        assert_eq!(rows.0[&b"\xff"[..]], [0xff; 4], "{pages}");
    }
}

#[test]
fn a_memory_of_65_536_first_pages_is_refused() {
    let error = refused(r#"(memory (export "memory") 65536)"#);
    let expected = CodeError::Limit {
        what: "pages of memory",
        limit: 256,
        found: 65_536,
    };
    assert_eq!(error, expected);
}

/// The time of an op that runs out of gas.
fn time_of(body: &str) -> Duration {
    let machine = applying(body);
    let begin = Instant::now();
    assert_eq!(fault(run(&machine, b"p")), gas());
    begin.elapsed()
}

/// Bulk instructions on memory and tables take about as much time per gas as others.
#[test]
fn instructions_on_ranges_are_priced_by_their_length() {
    let plain = "(local $n i32)
        (loop (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 0))";
    let fill = "(drop (memory.grow (i32.const 256)))
        (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x1000000)) (br 0))";
    let copy = "(drop (memory.grow (i32.const 512)))
        (loop (memory.copy (i32.const 0) (i32.const 0x1000000) (i32.const 0x1000000)) (br 0))";
    let plain = time_of(plain);
    for ranges in [fill, copy] {
        let time = time_of(ranges);
        assert!(time < 3 * plain, "{time:?}, a loop {plain:?}: {ranges}");
    }
}

#[test]
fn floating_point_is_refused() {
    for body in [
        "(func (param f32))",
        "(func (result f64) unreachable)",
        "(func (local f32))",
        "(func (drop (f32.const 1)))",
        "(func (drop (i32.trunc_f32_s (f32.reinterpret_i32 (i32.const 1)))))",
        "(func (drop (i32.trunc_sat_f64_s (f64.reinterpret_i64 (i64.const 1)))))",
        "(global f32 (f32.const 0))",
        "(global (mut f64) (f64.const 0))",
        "(func (drop (block (result f64) unreachable)))",
        "(type (func (param f64)))",
    ] {
        let reason = malformed(body);
        assert!(reason.contains("floating"), "{body}: {reason}");
    }
}

#[test]
fn proposals_that_the_interface_leaves_out_are_refused() {
    for body in [
        "(func (drop (v128.const i32x4 0 0 0 0)))",
        "(func $f (return_call $f))",
        "(memory $other 1)",
        r#"(memory (export "memory") i64 1)"#,
        r#"(memory (export "memory") 1 2 shared)"#,
        "(func (drop (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))))",
        "(tag (param i32))",
        "(type (struct (field i32)))",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        "(func (drop (ref.null any)))",
        "(table 1 i31ref)",
        "(func (i32.atomic.store (i32.const 0) (i32.const 0)))",
    ] {
        let body = match body.contains("$other") {
            true => format!(r#"(memory (export "memory") 1) {body}"#),
            false => body.to_owned(),
        };
        refused(&body);
    }
}

#[test]
fn a_start_function_is_refused() {
    let expected = CodeError::Forbidden {
        what: "a start function",
    };
    assert_eq!(refused("(func $f) (start $f)"), expected);
}

#[test]
fn a_table_of_200_000_branches_is_refused() {
    let body = |targets: usize| {
        let targets = "0 ".repeat(targets);
        format!("(func (param i32) (block (br_table {targets} (local.get 0))))")
    };
    let reason = malformed(&body(200_000));
    assert!(reason.contains("br_table size"), "{reason}");
    // The validator accepts at most this many.
    let expected = CodeError::Limit {
        what: "branches in a table",
        limit: 1_024,
        found: 60_000,
    };
    assert_eq!(refused(&body(60_001)), expected);
}

#[test]
fn a_function_of_45_000_locals_is_refused() {
    let body = format!("(func (local {}))", "i64 ".repeat(45_000));
    let expected = CodeError::Limit {
        what: "locals in a function",
        limit: 512,
        found: 45_000,
    };
    assert_eq!(refused(&body), expected);
}

#[test]
fn an_unknown_import_is_refused() {
    let found = |body: &str| match refused(body) {
        CodeError::Import { found } => found,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(
        found(r#"(import "lattice1" "clock" (func (result i64)))"#),
        r#"the unknown function "clock" of "lattice1""#
    );
    assert_eq!(
        found(r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32)))"#),
        r#"the function "fd_write" of "wasi_snapshot_preview1""#
    );
    assert_eq!(
        found(r#"(import "lattice1" "count" (func (param i32) (result i64)))"#),
        r#"with a different signature the function "count" of "lattice1""#
    );
    for what in [
        "(memory 1)",
        "(global i32)",
        "(table 1 funcref)",
        "(global (mut i64))",
    ] {
        let body = format!(r#"(import "lattice1" "count" {what})"#);
        assert_eq!(
            found(&body),
            r#"an item that is not a function, "count" of "lattice1""#
        );
    }
}

#[test]
fn accesses_out_of_bounds_and_divisions_by_zero_trap() {
    for (body, message) in [
        (
            "(i32.store (i32.const -4) (i32.const 1))",
            "out of bounds memory access",
        ),
        (
            "(drop (i64.load offset=0xffffffff (i32.const -1)))",
            "out of bounds memory access",
        ),
        (
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1))",
            "out of bounds memory access",
        ),
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "integer divide by zero",
        ),
        (
            "(drop (i32.rem_s (i32.const 1) (i32.const 0)))",
            "integer divide by zero",
        ),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
            "integer overflow",
        ),
        ("(unreachable)", "wasm `unreachable` instruction executed"),
    ] {
        assert_eq!(trapped(run(&applying(body), b"p")), message, "{body}");
    }
    let table = format!(
        "(type $t (func)) (table 1 funcref) {}",
        apply("(call_indirect (type $t) (i32.const 7))")
    );
    let machine = crate::guest::machine(&manifest(), &table);
    let message = trapped(run(&machine, b"p"));
    assert!(message.contains("undefined element"), "{message}");
}

/// Segments out of bounds are detected when an instance is made.
#[test]
fn segments_out_of_bounds_are_faults() {
    for body in [
        r#"(data (i32.const -1) "x")"#,
        r#"(data (i32.const 0x40000) "x")"#,
        "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
    ] {
        let machine = crate::guest::machine(&manifest(), body);
        let message = trapped(run(&machine, b"p"));
        assert!(message.contains("out of bounds"), "{body}: {message}");
        // The message is part of the reason for which an op is held, so it must be the same again.
        assert_eq!(trapped(run(&machine, b"p")), message);
    }
}

/// Loops without work, with little stack: they run out of gas, and never overflow the host's stack.
#[test]
fn empty_loops_need_no_host_stack() {
    for body in [
        "(loop (br 0))",
        "(loop (drop (memory.grow (i32.const 0))) (br 0))",
        "(loop (drop (table.grow (ref.null func) (i32.const 0))) (br 0))",
        "(loop (drop (memory.size)) (br 0))",
        "(loop (call $nothing) (br 0))",
        "(loop (call_indirect (i32.const 0)) (br 0))",
        "(loop (drop (call $count)) (br 0))",
        "(loop (block (br_table 0 1 (i32.const 1))) (br 0))",
        "(loop (if (i32.const 1) (then (br 1))))",
        "(loop (global.set 0 (i32.const 1)) (br 0))",
    ] {
        let body = format!(
            "(table 1 funcref) (func $nothing) (elem (i32.const 0) $nothing)
             (global (mut i32) (i32.const 0)) {}",
            apply(body)
        );
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let code = wasm(&manifest(), &body);
        let ended = thread.spawn(move || {
            let code = lattice_wasm::Code::new(&code).unwrap();
            let machine = lattice_wasm::WasmMachine::new(code, &[]).unwrap();
            fault(run(&machine, b"p"))
        });
        assert_eq!(ended.unwrap().join().unwrap(), gas(), "{body}");
    }
}

#[test]
fn bytes_that_are_not_a_module_are_refused() {
    let whole = wasm(&manifest(), "");
    for cut in 0..whole.len() {
        // Without its last section, the module has no manifest.
        lattice_wasm::Code::new(&whole[..cut]).unwrap_err();
    }
    let with = |more: &[u8]| lattice_wasm::Code::new(&[&whole[..], more].concat());
    with(&custom("name", b"anything")).unwrap();
    for more in [&b"\0"[..], b"x", &crate::guest::section(99, b""), &whole] {
        let error = with(more).unwrap_err();
        let is_no_module = matches!(
            error,
            CodeError::Malformed { .. } | CodeError::Compile { .. }
        );
        assert!(is_no_module, "{error:?}");
    }
    // A component is not a module, whether it contains one or not.
    for inside in [Vec::new(), crate::guest::section(1, &whole)] {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        component.extend(inside);
        component.extend(custom("lattice.store", &manifest().encode()));
        lattice_wasm::Code::new(&component).unwrap_err();
    }
}
