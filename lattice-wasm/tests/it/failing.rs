//! A module that fails at the call of the host that an op names, and the same module without
//! faults.

use lattice_backend::machine::manifest::{Elements, Manifest};
use lattice_backend::machine::{Args, Limit, LogicFault, MethodCall, StateMachine, Value};
use lattice_wasm::{WasmCommand, WasmMachine};

use crate::guest::*;

/// A module that makes every call of the host that it may. It counts its calls, and if the payload
/// is `T`, a count and a kind of fault, it fails before the call with this count. A fixed module
/// does not fail.
pub(crate) fn steps(fault: &str) -> WasmMachine {
    let body = format!(
        r#"
    (data (i32.const 256) "told to \1b[31mfal")
    (global $n (mut i32) (i32.const 0))
    ;; The payload.
    (global $p (mut i32) (i32.const 0))
    (func $fault (param $kind i32) {fault})
    (func $step
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.and
                (i32.eq (i32.load8_u (global.get $p)) (i32.const 84))
                (i32.eq (i32.load8_u offset=1 (global.get $p)) (global.get $n)))
            (then (call $fault (i32.load8_u offset=2 (global.get $p))))))
    (func $is (param $at i32) (param $byte i32) (result i32)
        (i32.eq (i32.load8_u (local.get $at)) (local.get $byte)))

    (func (export "lattice1_decode") (param $at i32) (param $len i32) (result i64)
        (if (call $is (local.get $at) (i32.const 68)) (then (call $fault (i32.const 0))))
        ;; One that begins with `I` is invalid.
        (if (call $is (local.get $at) (i32.const 73)) (then (return (i64.const 0x10000000010))))
        (i64.const 0))

    (func (export "lattice1_apply") (param $at i32) (param $len i32)
        (local $key i32)
        (local.set $key (i32.add (local.get $at) (i32.const 16)))
        (global.set $p (i32.add (local.get $at) (i32.const 88)))
        ;; A row that remains of code that fails, if anything does.
        (call $step) (call $put (local.get $key) (i32.const 9) (local.get $at) (local.get $len))
        (call $step) (drop (call $get (local.get $key) (i32.const 9) (i32.const 0x10000)
            (i32.const 0)))
        (call $step) (call $take (i32.const 0x10000))
        (call $step) (drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0x10000) (i32.const 0x1000)))
        (call $step) (drop (call $count))
        (call $step) (drop (call $number (local.get $key) (i32.const 0x10000)))
        (call $step) (call $stamp (i64.load (local.get $at)) (i32.const 0x10000))
        (call $step) (drop (call $op (i64.load (local.get $at)) (i32.const 0x10000)
            (i32.const 0x1000)))
        (call $step) (call $log (i32.const 0) (i32.const 256) (i32.const 9))
        (call $step) (call $remove (local.get $key) (i32.const 9))
        (call $step) (call $put (local.get $key) (i32.const 72)
            (global.get $p) (i32.sub (local.get $len) (i32.const 88)))
        (call $step))

    (func (export "lattice1_settle") (param $kind i32) (param $at i32) (param $len i32)
        (local $key i32)
        (local.set $key (i32.add (local.get $at) (i32.const 15)))
        (call $step) (drop (call $get (local.get $key) (i32.const 73) (i32.const 0) (i32.const 0)))
        (call $step) (call $put (local.get $key) (i32.const 73) (i32.const 0) (i32.const 0))
        (call $step))

    (func (export "lattice1_elements") (param $schema i64) (param $at i32) (param $len i32)
        (local $row i32) (local $key i32) (local $value i32) (local $end i32)
        (local.set $end (i32.add (local.get $at) (local.get $len)))
        (global.set $n (i32.const 100))
        (loop $rows
            (local.set $key (i32.add (local.get $at) (i32.const 8)))
            (local.set $value (i32.add (local.get $key) (i32.load (local.get $at))))
            ;; An empty value is no payload: the byte after it is of the next row.
            (if (i32.load offset=4 (local.get $at))
                (then (global.set $p (local.get $value)) (global.set $n (i32.const 100)))
                (else (global.set $p (i32.const 0))))
            (call $step) (drop (call $count))
            (call $step)
            (call $element (local.get $row) (local.get $key) (i32.load (local.get $at))
                (local.get $value) (i32.load offset=4 (local.get $at)))
            (call $step)
            (local.set $at (i32.add (local.get $value) (i32.load offset=4 (local.get $at))))
            (local.set $row (i32.add (local.get $row) (i32.const 1)))
            (br_if $rows (i32.lt_u (local.get $at) (local.get $end)))))

    ;; The arguments: a record of `arg`, or of nothing. The payload is what `arg` is.
    (func (export "lattice1_prepare") (param $method i32) (param $at i32) (param $len i32)
            (result i64)
        (if (call $is (i32.add (local.get $at) (i32.const 8)) (i32.const 80))
            (then (call $fault (i32.const 0))))
        (i32.store8 (i32.add (local.get $at) (i32.const 7)) (i32.const 0))
        (i64.or
            (i64.shl (i64.extend_i32_u (i32.add (local.get $at) (i32.const 7))) (i64.const 32))
            (i64.extend_i32_u (i32.sub (local.get $len) (i32.const 7)))))

    (func (export "lattice1_query") (param $method i32) (param $at i32) (param $len i32)
            (result i64)
        (if (call $is (i32.add (local.get $at) (i32.const 8)) (i32.const 81))
            (then (call $fault (i32.const 0))))
        (i64.const 0x1000000000002))

    (func (export "lattice1_describe") (param $at i32) (param $len i32) (result i64)
        (call $fault (i32.const 0))
        (i64.const 0x10000000007))
    "#
    );
    let manifest = Manifest {
        elements: Elements::Code,
        ..methods()
    };
    machine(&manifest, &body)
}

/// The kinds of faults: a message, a trapping instruction, gas, an address.
pub(crate) const FAULTS: &str = "(block (block (block (block (br_table 0 1 2 3 (local.get $kind)))
        (call $fail (i32.const 256) (i32.const 16)))
        (unreachable))
        (loop (br 0)))
        (drop (call $get (i32.const -1) (i32.const 9) (i32.const 0) (i32.const 0)))";

pub(crate) const TOLD: &str = "told to \\u{1b}[31mfal";

pub(crate) fn failing() -> WasmMachine {
    steps(FAULTS)
}

pub(crate) fn fixed(equal_to: &[&str]) -> WasmMachine {
    WasmMachine::new(steps("").code().clone(), equal_to).unwrap()
}

pub(crate) fn version(machine: &WasmMachine) -> String {
    machine.code().cid().to_string()
}

/// The counts at which an op fails: those of `apply` and `settle`, and those of `elements`.
pub(crate) const COUNTS: [u8; 18] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 101, 102, 103,
];

pub(crate) fn is_message(fault: &LogicFault, kind: u8) -> bool {
    match (fault, kind) {
        (LogicFault::Trap { message }, 0) => message == TOLD,
        (LogicFault::Trap { message }, 1) => message.contains("unreachable"),
        (LogicFault::Limit { limit, .. }, 2) => *limit == Limit::Gas,
        (LogicFault::Trap { message }, 3) => message.contains("beyond the memory"),
        _ => false,
    }
}

pub(crate) fn command(machine: &WasmMachine, payload: &[u8]) -> WasmCommand {
    let entry = &machine.methods()[0];
    let MethodCall::Command(command) = entry.call else {
        panic!("{} is a command", entry.method.name);
    };
    let args = Value::record([("arg", Value::Bytes(payload.to_vec()))]);
    command(machine, Args::new(&entry.method, &args.to_bytes()).unwrap()).unwrap()
}
