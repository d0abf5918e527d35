//! The memory that modules take: the allocator counts it, in a process of its own.
#![allow(clippy::unwrap_used)]

use std::alloc::System;

use cap::Cap;
use lattice_backend::backend::BackendError;
use lattice_backend::machine::StateMachine;
use lattice_backend::machine::manifest::{ABI, Elements, Manifest, SECTION};
use lattice_meta::SchemaVersion;
use lattice_wasm::{Code, WasmMachine, WasmPayload};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Maximum size of the memory of a module, in bytes.
const GUEST: usize = 128 << 20;

/// A module whose `decode` has this body, with 5 initial pages.
fn decoding(body: &str) -> WasmMachine {
    let first = SchemaVersion::new(1);
    let manifest = Manifest {
        abi: ABI,
        store_type: "org.example.memory".parse().unwrap(),
        schemas: first..=first,
        elements: Elements::Rows,
        methods: Vec::new(),
        converts: Vec::new(),
    };
    let escaped = |byte: &u8| format!("\\{byte:02x}");
    let manifest: String = manifest.encode().iter().map(escaped).collect();
    let text = format!(
        r#"(module (memory (export "memory") 5) (table 1 funcref)
            (func (export "lattice1_alloc") (param i32) (result i32) (i32.const 0))
            (func (export "lattice1_decode") (param i32 i32) (result i64)
                {body} (i64.const 0))
            (func (export "lattice1_apply") (param i32 i32))
            (@custom "{SECTION}" "{manifest}"))"#
    );
    let code = Code::new(&wat::parse_str(text).unwrap()).unwrap();
    WasmMachine::new(code, &[]).unwrap()
}

/// The result of a call while the process may allocate only `room` more bytes.
fn within(room: usize, machine: &WasmMachine) -> Result<(), BackendError> {
    MEMORY.set_limit(MEMORY.allocated() + room).unwrap();
    let decoded = machine.decode(b"p");
    MEMORY.set_limit(usize::MAX).unwrap();
    match decoded.unwrap() {
        WasmPayload::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

fn is_storage(result: &Result<(), BackendError>) -> bool {
    matches!(result, Err(BackendError::Storage { .. }))
}

/// A single test, since others in the process would change its figures.
#[test]
fn memory_is_bounded_and_running_out_is_not_a_fault_of_the_code() {
    // Page by page: the engine doubles its reservation, and copies.
    let pages = decoding(
        "(loop (drop (memory.grow (i32.const 1)))
            (br_if 0 (i32.lt_u (memory.size) (i32.const 2048))))",
    );
    let before = MEMORY.max_allocated();
    within(3 * GUEST, &pages).unwrap();
    println!("{} MiB at most", (MEMORY.max_allocated() - before) >> 20);
    // In one step.
    let all = decoding("(drop (memory.grow (i32.const 2043)))");
    within(GUEST + (8 << 20), &all).unwrap();
    assert!(MEMORY.allocated() < 16 << 20, "memory is given back");
    // A host with less memory does not hold the op, since a replica with more memory applies it.
    for machine in [&pages, &all] {
        let ended = within(GUEST / 2, machine);
        assert!(is_storage(&ended), "{ended:?}");
        let ended = within(100_000, machine);
        assert!(is_storage(&ended), "{ended:?}");
        within(3 * GUEST, machine).unwrap();
    }
}
