//! Each limit on a call, at the greatest allowed count and at the next one.

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{Limit, LogicFault, MachineError, Value};
use lattice_wasm::abi;

use crate::guest::*;

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
fn gas_is_counted_exactly() {
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
