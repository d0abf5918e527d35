//! The modules that ship, with some bytes changed: every call of an accepted one must end.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_backend::backend::MemoryBackend;
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::Forge;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::{Authors, Outcome};
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::{StateMachine, Value};
use lattice_backend::progress::ProgressSink;
use lattice_wasm::{Code, WasmMachine, guests};
use proptest::prelude::*;

use crate::guest::*;

/// A change of a module: its kind, with its byte or its length.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Set(u8),
    Flip(u8),
    Remove,
    Insert(u8),
    /// Copies this many bytes over others.
    Copy(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<u8>().prop_map(Edit::Set),
        (0..8_u8).prop_map(|bit| Edit::Flip(1 << bit)),
        Just(Edit::Remove),
        any::<u8>().prop_map(Edit::Insert),
        (1..16_usize).prop_map(Edit::Copy),
    ]
}

fn change(wasm: &mut Vec<u8>, at: usize, from: usize, edit: Edit) {
    match edit {
        Edit::Set(byte) => wasm[at] = byte,
        Edit::Flip(bits) => wasm[at] ^= bits,
        Edit::Remove => drop(wasm.remove(at)),
        Edit::Insert(byte) => wasm.insert(at, byte),
        Edit::Copy(len) => {
            let len = len.min(wasm.len() - at.max(from));
            wasm.copy_within(from..from + len, at);
        }
    }
}

/// Payloads of the store types, valid and invalid.
fn payloads() -> Vec<Vec<u8>> {
    let log = lattice_logstore::encode_payload(&[b"one".to_vec(), Vec::new()]).unwrap();
    let mut kv = vec![1];
    kv.extend(0_u64.to_le_bytes());
    kv.extend(1_u64.to_le_bytes());
    kv.extend(3_u64.to_le_bytes());
    kv.extend(b"key");
    kv.extend(0_u64.to_le_bytes());
    kv.push(1);
    kv.extend(5_u64.to_le_bytes());
    kv.extend(b"value");
    vec![
        kv,
        log,
        b"post\0tea\0hello\0".to_vec(),
        Vec::new(),
        vec![0xff; 40],
    ]
}

/// Ingests ops into a store of a module, and calls the module's other exports: nothing may panic or
/// run on, and a held op must change nothing. Returns whether the module is accepted.
fn exercise(wasm: &[u8]) -> bool {
    let Ok(code) = Code::new(wasm) else {
        return false;
    };
    let machine = WasmMachine::new(code, &[]).unwrap();
    let mut forge = Forge::for_store(machine.logic().store_type().clone());
    let (backend, path) = (Arc::new(MemoryBackend::new()), Path::new("state.db"));
    Engine::create(&*backend, path, forge.genesis(), &machine).unwrap();
    let mut request = OpenRequest::new(backend.clone(), path);
    request.clock = Arc::new(ManualClock::new(3_400_000_000_000));
    let store = Engine::open(request, machine.clone()).unwrap();
    for (author, payload) in (0..).zip(payloads()) {
        let begin = Instant::now();
        drop(machine.describe(&payload));
        let before = (store.op_count().unwrap(), store.state_hash().unwrap());
        let op = forge.op(author, None, &[], &payload);
        let given = [Ok::<_, Infallible>(op.bytes().to_vec())];
        let report = store.ingest(given, &Authors::Any).unwrap();
        match &report.outcomes[..] {
            [(_, Outcome::Applied { .. })] => assert_eq!(store.op_count().unwrap(), before.0 + 1),
            [(_, Outcome::Held { .. })] => {
                let after = (store.op_count().unwrap(), store.state_hash().unwrap());
                assert_eq!(after, before);
            }
            other => panic!("{other:?}"),
        }
        assert!(store.is_usable());
        // Four calls of at most 50 million gas, and the gas that rows earn.
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
    for entry in machine.methods() {
        // Most methods need arguments, and refuse.
        drop(store.call(&entry.method.name, Value::Null));
    }
    drop(store.verify(Depth::Full, &*backend, &ProgressSink::none()));
    true
}

#[test]
fn the_payloads_are_valid_for_the_modules() {
    for (wasm, nth) in [
        (guests::KVSTORE, 0),
        (guests::LOGSTORE, 1),
        (guests::CHAT, 2),
    ] {
        let machine = WasmMachine::new(Code::new(wasm).unwrap(), &[]).unwrap();
        assert!(
            !run(&machine, &payloads()[nth]).unwrap().0.is_empty(),
            "{nth}"
        );
        assert!(exercise(wasm));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_modules_are_refused_or_terminate(
        which in 0..3_usize,
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), edit()),
            1..4,
        ),
    ) {
        let mut wasm = [guests::KVSTORE, guests::LOGSTORE, guests::CHAT][which].to_vec();
        for (at, from, edit) in edits {
            let (at, from) = (at.index(wasm.len()), from.index(wasm.len()));
            change(&mut wasm, at, from, edit);
        }
        exercise(&wasm);
    }
}

/// Flips every bit of the parts that are not code: types, imports, tables, exports, the manifest.
#[test]
fn each_bit_flip_outside_of_the_code_is_refused_or_harmless() {
    let wasm = guests::CHAT;
    let mut places = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let Some((id, range)) = payload.unwrap().as_section()
            && ![10, 11].contains(&id)
        {
            places.extend(range.start - 2..range.end);
        }
    }
    let mut accepted = 0;
    let mut changed = wasm.to_vec();
    for &place in &places {
        for bit in 0..8 {
            changed[place] ^= 1 << bit;
            accepted += u32::from(Code::new(&changed).is_ok());
            changed[place] ^= 1 << bit;
        }
    }
    // Letters of documentation may change, but little else.
    println!("{} bits, {accepted} accepted", 8 * places.len());
    assert!(accepted > 0 && accepted < u32::try_from(4 * places.len()).unwrap());
}
