//! Modules: arbitrary bytes, and modules generated for the interface.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use lattice_backend::backend::{BackendError, Direction, EVERYTHING};
use lattice_backend::machine::manifest::{ABI, Elements, Manifest, SECTION};
use lattice_backend::machine::{
    Args, DataRead, Limits, Method, MethodCall, MethodKind, Param, StateMachine, Step, Value,
    ValueType,
};
use lattice_backend::op::{ApplyIndex, OpKind, OpRef, OpView};
use lattice_backend::state::{CountedHistory, Staged};
use lattice_meta::{Hlc, OpId, PubKey, SchemaVersion};
use lattice_wasm::{Code, WasmMachine, WasmPayload};
use wasm_smith::Config;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use crate::rows::{Past, State};

/// Imports and exports of generated modules.
const SHAPE: &str = r#"(module
    (import "lattice1" "get" (func (param i32 i32 i32 i32) (result i64)))
    (import "lattice1" "take" (func (param i32)))
    (import "lattice1" "put" (func (param i32 i32 i32 i32)))
    (import "lattice1" "remove" (func (param i32 i32)))
    (import "lattice1" "scan" (func (param i32 i32 i32 i32 i32 i32 i32) (result i64)))
    (import "lattice1" "count" (func (result i64)))
    (import "lattice1" "number" (func (param i32 i32) (result i32)))
    (import "lattice1" "stamp" (func (param i64 i32)))
    (import "lattice1" "op" (func (param i64 i32 i32) (result i64)))
    (import "lattice1" "hash" (func (param i32 i32 i32)))
    (import "lattice1" "element" (func (param i32 i32 i32 i32 i32)))
    (import "lattice1" "fail" (func (param i32 i32)))
    (import "lattice1" "log" (func (param i32 i32 i32)))
    (memory (export "memory") 4)
    (func (export "lattice1_alloc") (param i32) (result i32) unreachable)
    (func (export "lattice1_decode") (param i32 i32) (result i64) unreachable)
    (func (export "lattice1_apply") (param i32 i32))
    (func (export "lattice1_settle") (param i32 i32 i32))
    (func (export "lattice1_elements") (param i64 i32 i32))
    (func (export "lattice1_prepare") (param i32 i32 i32) (result i64) unreachable)
    (func (export "lattice1_query") (param i32 i32 i32) (result i64) unreachable)
    (func (export "lattice1_describe") (param i32 i32) (result i64) unreachable)
    (func (export "lattice1_migrate") (param i64))
    (func (export "lattice1_convert") (param i32 i32) (result i64) unreachable))"#;

static SHAPE_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| wat::parse_str(SHAPE).expect("the text is a module"));

const OLD_TYPE: &str = "org.example.old";

/// A manifest for which all exports are required.
fn manifest(elements: Elements) -> Manifest {
    let method = |name: &'static str, kind| Method {
        name: name.into(),
        kind,
        doc: "A method of a generated module.".into(),
        params: vec![Param::optional("arg", ValueType::Bytes, "anything")].into(),
        result: ValueType::Record,
    };
    Manifest {
        abi: ABI,
        store_type: "org.example.generated".parse().expect("it is a type"),
        schemas: SchemaVersion::new(1)..=SchemaVersion::new(2),
        elements,
        methods: vec![
            method("make", MethodKind::Command),
            method("ask", MethodKind::Query),
        ],
        converts: vec![OLD_TYPE.parse().expect("it is a type")],
    }
}

fn append_leb(mut number: usize, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f | 0x80).expect("it has 8 bits"));
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("it has 7 bits"));
}

fn append_manifest(elements: Elements, wasm: &mut Vec<u8>) {
    let mut content = vec![u8::try_from(SECTION.len()).expect("it is short")];
    content.extend(SECTION.as_bytes());
    content.extend(manifest(elements).encode());
    wasm.push(0);
    append_leb(content.len(), wasm);
    wasm.extend(content);
}

/// Configures wasm-smith: modules within the interface, and sometimes with any other feature.
fn config(input: &mut Unstructured<'_>) -> Result<Config> {
    let shape = Config {
        module_shape: Some(SHAPE_BYTES.clone()),
        ..Config::default()
    };
    if input.ratio(1, 16)? {
        return Ok(shape);
    }
    Ok(Config {
        allow_floats: false,
        allow_start_export: false,
        allow_invalid_funcs: input.ratio(1, 16)?,
        compact_imports_enabled: false,
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        max_funcs: 40,
        max_instructions: input.int_in_range(1..=400)?,
        max_memory32_bytes: 8 << 20,
        max_table_elements: 4_096,
        max_type_size: 16,
        memory64_enabled: false,
        // Addresses are mostly in bounds, so that runs are longer.
        memory_offset_choices: wasm_smith::MemoryOffsetChoices(95, 4, 1),
        relaxed_simd_enabled: false,
        saturating_float_to_int_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..shape
    })
}

/// Replaces the body of an exported function, if the new body is not longer.
fn replace_body(wasm: &mut [u8], export: &str, code: &[u8]) {
    let (mut imported, mut index, mut nth) = (0_u32, None, 0_u32);
    let mut place = None;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ImportSection(imports)) => {
                let functions = imports.into_iter().flatten();
                let functions = functions.filter(|import| matches!(import.ty, TypeRef::Func(_)));
                imported = u32::try_from(functions.count()).unwrap_or(u32::MAX);
            }
            Ok(Payload::ExportSection(exports)) => {
                let mut exports = exports.into_iter().flatten();
                let found = exports.find(|found| found.name == export);
                let found = found.filter(|found| found.kind == ExternalKind::Func);
                index = found.and_then(|found| found.index.checked_sub(imported));
            }
            Ok(Payload::CodeSectionEntry(body)) => {
                if index == Some(nth) {
                    place = Some(body.range());
                }
                nth += 1;
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
    // No locals, `nop`s to fill the length, the code, and `end`.
    let Some(body) = place.and_then(|place| wasm.get_mut(place)) else {
        return;
    };
    if let Some(fill) = body.len().checked_sub(code.len() + 2) {
        let bytes = std::iter::once(0).chain(std::iter::repeat_n(1, fill));
        let bytes = bytes.chain(code.iter().copied()).chain([0x0b]);
        body.iter_mut().zip(bytes).for_each(|(old, new)| *old = new);
    }
}

/// Generates a module from the fuzzer's bytes.
pub(crate) fn generate(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let config = config(input)?;
    // Few random functions return an address that an input fits at, or accept a payload.
    let (gives, takes) = (input.ratio(7, 8)?, input.ratio(3, 4)?);
    let elements = match input.ratio(1, 2)? {
        true => Elements::Code,
        false => Elements::Rows,
    };
    let mut wasm = wasm_smith::Module::new(config, input)?.to_bytes();
    if gives {
        // `i32.const 0x10000`.
        replace_body(&mut wasm, "lattice1_alloc", b"\x41\x80\x80\x04");
    }
    if takes {
        // `i64.const 0`.
        replace_body(&mut wasm, "lattice1_decode", b"\x42\0");
    }
    append_manifest(elements, &mut wasm);
    Ok(wasm)
}

/// A generated module is refused, or each of its calls ends.
pub(crate) fn generated(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    if let Ok(wasm) = generate(&mut input) {
        exercise(&wasm);
    }
}

/// Bytes are refused as a module, or each call of the module ends.
pub(crate) fn module(bytes: &[u8]) {
    exercise(bytes);
}

/// The answer of a machine, as far as two runs must agree on it.
fn shown<T: std::fmt::Debug>(result: &lattice_backend::backend::Result<T>) -> Option<String> {
    match result {
        // The process has a memory limit, and the memory that is left differs between the runs.
        Err(BackendError::Storage { .. }) => None,
        result => Some(format!("{result:?}")),
    }
}

fn assert_same(one: Option<String>, other: Option<String>) {
    if let Some((one, other)) = one.zip(other) {
        assert_eq!(one, other, "the same call did something else");
    }
}

/// Applies a payload to rows that stay unchanged.
fn apply(
    machine: &WasmMachine,
    state: &State,
    payload: &[u8],
) -> lattice_backend::backend::Result<State> {
    let limits = Limits::new(payload.len());
    let mut staged = Staged::new(state, &limits);
    let past = Past(payload);
    let history = CountedHistory::new(&past, &limits);
    let op = OpView {
        index: ApplyIndex::new(4),
        reference: OpRef {
            author: PubKey::from_bytes([3; 32]),
            seq: 4,
            id: OpId::from_bytes([6; 32]),
        },
        hlc: Hlc::from_u64(1 << 40),
        payload,
    };
    let decoded = machine.decode(payload).ok();
    machine.run(OpKind::Application, &op, decoded, &mut staged, &history)?;
    let mut after = State::default();
    let mut rows = staged.range(EVERYTHING, Direction::Forward)?;
    while let Some(row) = rows.next()? {
        after.0.insert(row.key.to_vec(), row.value.to_vec());
    }
    Ok(after)
}

/// Makes each call of a module. Calls that decide about state run twice and must give equal
/// results. Returns whether the module was accepted, and whether an op was applied.
pub(crate) fn exercise(wasm: &[u8]) -> (bool, bool) {
    let Ok(code) = Code::new(wasm) else {
        return (false, false);
    };
    let machine = WasmMachine::new(code, &[]).expect("a content id is a logic version");
    let payload = b"payload";
    let past = Past(payload);
    let state = State([(b"key".to_vec(), b"value".to_vec())].into());
    let _ = machine.describe(payload);
    let verdict = || match machine.decode(payload) {
        Ok(WasmPayload::Failed(error)) => shown::<bool>(&Err(error)),
        Ok(_) => shown(&Ok(true)),
        Err(invalid) => shown(&Ok(invalid.to_string())),
    };
    let (one, other) = (verdict(), verdict());
    assert_same(one, other);
    let applied = apply(&machine, &state, payload);
    let again = shown(&apply(&machine, &state, payload));
    assert_same(shown(&applied), again);
    let after = applied.as_ref().unwrap_or(&state);
    if let Ok(mut rows) = after.range(EVERYTHING, Direction::Forward) {
        let schema = machine.logic().newest_schema();
        let _ = machine.elements_of(schema, &mut *rows, &past, &mut |_, _, _| ());
    }
    for entry in machine.methods() {
        let given = entry.method.params.first().map(|param| {
            let argument = (param.name.to_string(), Value::Bytes(b"argument".to_vec()));
            Value::Record([argument].into())
        });
        let given = given.unwrap_or(Value::Null).to_bytes();
        let Ok(args) = Args::new(&entry.method, &given) else {
            continue;
        };
        match entry.call {
            MethodCall::Command(command) => {
                if let Ok(command) = command(&machine, args) {
                    let _ = machine.prepare(&command, after, &past);
                }
            }
            MethodCall::Query(query) => drop(query(&machine, args, after, &past)),
            MethodCall::Stream => {}
        }
    }
    let limits = Limits::new(0);
    let history = CountedHistory::new(&past, &limits);
    let mut staged = Staged::new(after, &limits);
    let _ = machine.migrate(SchemaVersion::new(1), &mut staged, &history);
    let _ = machine.convert(Step {
        from: OLD_TYPE.parse().expect("it is a type"),
        state: Value::Null,
        result: Value::Null,
    });
    (true, applied.is_ok())
}
