//! A module that calls imports as a program says, and such programs.

use std::borrow::Cow;

use lattice_backend::conformance::Rng;
use lattice_backend::machine::manifest::{ABI, Elements, Manifest, SECTION};
use lattice_backend::machine::{Method, MethodKind, Param, Value, ValueType};
use lattice_backend::op::Op;
use lattice_meta::SchemaVersion;

use crate::Done;
use crate::session::{Call, Subject};

const PARAMS: &[Param] = &[Param::required("arg", ValueType::Bytes, "a program")];
/// Address of a program's data while the module executes it.
const DATA: u32 = 0x1004;
const DATA_BYTES: usize = 512;
const MAX_CALLS: usize = 24;

/// The varint of a length below 2^14.
fn varint(len: usize) -> Done<Vec<u8>> {
    let low = u8::try_from(len & 0x7f)?;
    match u8::try_from(len >> 7)? {
        0 => Ok(vec![low]),
        high => Ok(vec![low | 0x80, high]),
    }
}

/// The module, with its manifest.
pub(crate) fn wasm() -> Done<Vec<u8>> {
    let schema = SchemaVersion::new(1);
    let ask = Method {
        name: "ask".into(),
        kind: MethodKind::Query,
        doc: "Carries out a program.".into(),
        params: Cow::Borrowed(PARAMS),
        result: ValueType::Bytes,
    };
    let manifest = Manifest {
        abi: ABI,
        store_type: "org.example.probe".parse()?,
        schemas: schema..=schema,
        elements: Elements::Code,
        methods: vec![ask],
        converts: Vec::new(),
    };
    let manifest = manifest.encode();
    let name = [&varint(SECTION.len())?, SECTION.as_bytes()].concat();
    let mut wasm = wat::parse_str(include_str!("probe.wat"))?;
    wasm.push(0);
    wasm.extend(varint(name.len() + manifest.len())?);
    wasm.extend(name);
    wasm.extend(manifest);
    Ok(wasm)
}

pub(crate) fn subject(wasm: &[u8]) -> Subject<'_> {
    Subject {
        name: "probe",
        wasm,
        command: ask,
        query: ask,
        payload: Some(payload),
    }
}

fn ask(rng: &mut Rng, ops: &[Op]) -> Call {
    let program = Value::Bytes(program(rng, ops, 0, READS));
    ("ask", Value::record([("arg", program)]))
}

fn payload(rng: &mut Rng, ops: &[Op]) -> Vec<u8> {
    let (export, imports) = match rng.below(8) {
        0 => (1, ROWS),
        1 => (2, ALWAYS),
        _ => (0, ALL),
    };
    let mut program = program(rng, ops, export, imports);
    if rng.one_in(20) {
        let len = rng.below(program.len());
        program.truncate(len);
    }
    program
}

fn small(rng: &mut Rng, end: usize) -> u32 {
    u32::try_from(rng.below(end)).expect("it is small")
}

/// The address of a buffer; rarely any address.
fn buffer(rng: &mut Rng) -> u32 {
    match rng.below(400) {
        0 => u32::MAX - small(rng, 9),
        1 => 0x3_0000 - small(rng, 9),
        2 => 0x3_0000,
        _ => 0x200 + small(rng, 0x180),
    }
}

/// A length; rarely one that exceeds the memory.
fn len(rng: &mut Rng, end: usize) -> u32 {
    match rng.below(600) {
        0 => u32::MAX - small(rng, 9),
        1 => 0x3_0000,
        _ => small(rng, end),
    }
}

/// How many bytes to hash: most often about the length of some half chunks of BLAKE3, up to 10
/// chunks; at times few bytes or many more; rarely more than the memory has.
fn hashed_len(rng: &mut Rng) -> u32 {
    match rng.below(8) {
        0 => len(rng, 0x2_0000),
        1 => len(rng, 130),
        _ => 511 + 512 * small(rng, 20) + small(rng, 3),
    }
}

/// A program of calls of some imports. Its data begins with two references and with bytes for keys.
fn program(rng: &mut Rng, ops: &[Op], export: u8, imports: &[u32]) -> Vec<u8> {
    let mut program = vec![0, export, 0, 0];
    for _ in 0..2 {
        let op = rng.pick(ops).map_or([5; 72], |op| op.reference().to_key());
        program.extend(op);
    }
    program.extend((0..256).map(|_| b"\0ab\xff"[rng.below(4)]));
    program.extend(rng.bytes(DATA_BYTES - 144 - 256));
    let push = |program: &mut Vec<u8>, call: [u32; 8]| {
        program[0] += 1;
        program.extend(call.iter().flat_map(|number| number.to_le_bytes()));
    };
    for _ in 0..=rng.below(MAX_CALLS) {
        let call = call(rng, ops, imports);
        push(&mut program, call);
        if [GET, OP].contains(&call[0]) && rng.one_in(8) {
            // Most values do not fit into the buffer.
            push(&mut program, [TAKE, buffer(rng), 0, 0, 0, 0, 0, 0]);
        }
    }
    program
}

const GET: u32 = 0;
const TAKE: u32 = 1;
const PUT: u32 = 2;
const REMOVE: u32 = 3;
const SCAN: u32 = 4;
const COUNT: u32 = 5;
const NUMBER: u32 = 6;
const STAMP: u32 = 7;
const OP: u32 = 8;
const ELEMENT: u32 = 9;
const FAIL: u32 = 10;
const LOG: u32 = 11;
const HASH: u32 = 12;
/// The imports available in `apply`, in `settle`, in `query`, and in any call.
const ALL: &[u32] = &[
    GET, GET, PUT, PUT, PUT, REMOVE, SCAN, SCAN, SCAN, COUNT, NUMBER, STAMP, OP, LOG, HASH,
];
const ROWS: &[u32] = &[GET, PUT, PUT, REMOVE, SCAN, LOG, HASH];
const READS: &[u32] = &[
    GET, GET, SCAN, SCAN, SCAN, COUNT, NUMBER, STAMP, OP, LOG, HASH,
];
const ALWAYS: &[u32] = &[LOG, HASH];

/// A key of 0 to 3 bytes, with few distinct bytes.
fn key(rng: &mut Rng) -> [u32; 2] {
    [DATA + 144 + small(rng, 250), len(rng, 4)]
}

fn apply_index(rng: &mut Rng, ops: &[Op]) -> u32 {
    match rng.below(100) {
        0 => u32::MAX,
        1 => small(rng, 2_000),
        // The last one is the index of the op itself.
        _ => small(rng, ops.len() + 1),
    }
}

/// The number of an import, and its arguments.
fn call(rng: &mut Rng, ops: &[Op], imports: &[u32]) -> [u32; 8] {
    let import = match rng.below(900) {
        0 => ELEMENT,
        1 => FAIL,
        2 => TAKE,
        3 => NUMBER,
        4 => PUT,
        _ => imports[rng.below(imports.len())],
    };
    let mut call = vec![import];
    match import {
        GET => {
            call.extend(key(rng));
            call.extend([buffer(rng), len(rng, 24)]);
        }
        PUT => {
            call.extend(key(rng));
            call.extend([DATA + small(rng, DATA_BYTES), len(rng, 40)]);
        }
        REMOVE => call.extend(key(rng)),
        SCAN => {
            call.push(match rng.below(200) {
                0 => 1 << (5 + rng.below(27)),
                1 => 3 << (2 * rng.below(2)),
                _ => small(rng, 3) | small(rng, 3) << 2 | small(rng, 2) << 4,
            });
            call.extend(key(rng));
            call.extend(key(rng));
            call.extend([buffer(rng), len(rng, 128)]);
        }
        // Rarely a reference that no op has.
        NUMBER => call.extend([DATA + 72 * small(rng, 2) + small(rng, 9) / 8, buffer(rng)]),
        STAMP => call.extend([apply_index(rng, ops), buffer(rng)]),
        OP => call.extend([apply_index(rng, ops), buffer(rng), len(rng, 400)]),
        LOG => call.extend([small(rng, 3), buffer(rng), len(rng, 16)]),
        HASH => call.extend([buffer(rng), hashed_len(rng), buffer(rng)]),
        _ => call.extend([buffer(rng), len(rng, 16), buffer(rng), len(rng, 16)]),
    }
    call.resize(8, 0);
    call.try_into().expect("it has 8 numbers")
}
