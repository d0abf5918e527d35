//! The time that gas buys: ops that use up their gas in loops of many kinds.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lattice_backend::machine::{Limit, LogicFault};
use lattice_wasm::{WasmMachine, abi};

use crate::guest::*;

/// How many times longer a loop may take than a loop of additions, for the same gas. In release the
/// slowest one, calls of a function with 512 locals, takes about 5 times as long. In debug the
/// host's own code is not optimised.
const MOST_TIMES: u32 = 12;

const ADD: &str = "(local i32)
    (loop (local.set 2 (i32.add (local.get 2) (i32.const 1))) (br 0))";

/// A module whose `apply` has this loop.
fn looping(body: &str) -> WasmMachine {
    let locals = "i64 ".repeat(512);
    let parts = format!(
        "(table 4096 funcref) (func $nothing) (func $locals (local {locals}))
         (elem (i32.const 0) $nothing) (elem func $nothing) (data \"xyz\") {}",
        apply(body)
    );
    machine(&manifest(), &parts)
}

/// The time of an op that runs out of gas, for the gas of an op that earns none.
fn time_of(machine: &WasmMachine) -> Duration {
    let begin = Instant::now();
    let fault = fault(run(machine, b"p"));
    let time = begin.elapsed();
    let LogicFault::Limit {
        limit: Limit::Gas,
        allowed,
    } = fault
    else {
        panic!("{fault}");
    };
    time / u32::try_from(allowed / abi::BASE_GAS).unwrap()
}

#[test]
fn no_instruction_takes_much_longer_than_its_gas_price() {
    let mut targets = String::new();
    for nth in 0..1_024 {
        write!(targets, "{} ", nth % 2).unwrap();
    }
    let loops = [
        ("br", "(loop (br 0))".to_owned()),
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
        ("hash of nothing", "(loop (call $hash (i32.const 0) (i32.const 0) (i32.const 0)) (br 0))".into()),
        ("hash of 1 KiB", "(loop (call $hash (i32.const 0) (i32.const 1024) (i32.const 0)) (br 0))".into()),
        ("hash of 128 KiB", "(loop (call $hash (i32.const 0) (i32.const 0x20000) (i32.const 0)) (br 0))".into()),
        ("scan of nothing", "(loop (drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (br 0))".into()),
    ];
    // Data from history earns gas, so that these run 30 times as long.
    let of_history = [
        (
            "number",
            "(loop (drop (call $number (i32.const 0) (i32.const 0))) (br 0))".to_owned(),
        ),
        (
            "stamp",
            "(loop (call $stamp (i64.const 1) (i32.const 0)) (br 0))".into(),
        ),
        (
            "op",
            "(loop (drop (call $op (i64.const 1) (i32.const 0) (i32.const 100))) (br 0))".into(),
        ),
    ];
    let of_history = of_history.into_iter().filter(|_| !cfg!(debug_assertions));
    let add = looping(ADD);
    for (name, body) in loops.into_iter().chain(of_history) {
        let machine = looping(&body);
        let (mut least, mut add_most) = (Duration::MAX, Duration::ZERO);
        // Other work on the machine lengthens some of the times.
        for _ in 0..5 {
            add_most = add_most.max(time_of(&add));
            least = least.min(time_of(&machine));
            if least <= MOST_TIMES * add_most {
                break;
            }
        }
        println!("{name:24} {least:>12.1?}, adding {add_most:>12.1?}");
        assert!(
            least <= MOST_TIMES * add_most,
            "{name}: {least:?}, adding {add_most:?}"
        );
    }
}
