//! What gas costs: the time of an op that uses up its gas, for loops of many kinds.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lattice_wasm::{WasmMachine, abi};

use crate::guest::*;

/// Runs an op that ends by a fault; gives how long it took, for each 50 million gas.
fn time_of(machine: &WasmMachine) -> (Duration, String) {
    let begin = Instant::now();
    let fault = fault(run(machine, b"p"));
    (begin.elapsed(), fault.to_string())
}

#[test]
fn no_instruction_takes_much_longer_than_its_gas_pays_for() {
    assert_eq!(abi::BASE_GAS, 50_000_000);
    let locals = "i64 ".repeat(512);
    let mut targets = String::new();
    for nth in 0..1_024 {
        write!(targets, "{} ", nth % 2).unwrap();
    }
    for (name, body) in [
        ("br", "(loop (br 0))".to_owned()),
        ("add", "(local i32) (loop (local.set 2 (i32.add (local.get 2) (i32.const 1))) (br 0))".into()),
        ("div", "(local i64) (loop (local.set 2 (i64.div_u (i64.const -1) (i64.or (local.get 2) (i64.const 3)))) (br 0))".into()),
        ("store", "(loop (i64.store (i32.const 0) (i64.const 3)) (br 0))".into()),
        ("grow 0", "(loop (drop (memory.grow (i32.const 0))) (br 0))".into()),
        ("table.grow 0", "(loop (drop (table.grow (ref.null func) (i32.const 0))) (br 0))".into()),
        ("call", "(loop (call $nothing) (br 0))".into()),
        ("call of 512 locals", "(loop (call $locals) (br 0))".into()),
        ("call_indirect", "(loop (call_indirect (i32.const 0)) (br 0))".into()),
        ("fill 15", "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 15)) (br 0))".into()),
        ("fill 64K", "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0))".into()),
        ("fill 16M", "(drop (memory.grow (i32.const 256))) (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x1000000)) (br 0))".into()),
        ("copy 16M", "(drop (memory.grow (i32.const 512))) (loop (memory.copy (i32.const 0) (i32.const 0x1000000) (i32.const 0x1000000)) (br 0))".into()),
        ("table.fill", "(loop (table.fill (i32.const 0) (ref.null func) (i32.const 4000)) (br 0))".into()),
        ("table.copy", "(loop (table.copy (i32.const 0) (i32.const 10) (i32.const 4000)) (br 0))".into()),
        ("table.init", "(loop (table.init 1 (i32.const 0) (i32.const 0) (i32.const 1)) (br 0))".into()),
        ("memory.init", "(loop (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1)) (br 0))".into()),
        ("br_table", format!("(loop (block (br_table {targets} 0 (i32.const 1))) (br 0))")),
        ("count", "(loop (drop (call $count)) (br 0))".into()),
        ("get of nothing", "(loop (drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0))) (br 0))".into()),
        ("get of nothing, 128 KiB", "(loop (drop (call $get (i32.const 0) (i32.const 0x20000) (i32.const 0) (i32.const 0))) (br 0))".into()),
        ("number", "(loop (drop (call $number (i32.const 0) (i32.const 0))) (br 0))".into()),
        ("stamp", "(loop (call $stamp (i64.const 1) (i32.const 0)) (br 0))".into()),
        ("op", "(loop (drop (call $op (i64.const 1) (i32.const 0) (i32.const 100))) (br 0))".into()),
        ("scan of nothing", "(loop (drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (br 0))".into()),
    ] {
        let parts = format!(
            "(table 4096 funcref) (func $nothing) (func $locals (local {locals}))
             (elem (i32.const 0) $nothing) (elem func $nothing) (data \"xyz\") {}", apply(&body));
        let machine = machine(&manifest(), &parts);
        let (time, fault) = time_of(&machine);
        println!("{name:24} {time:>12.1?}  {fault}");
    }
}
