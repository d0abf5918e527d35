//! State machines over untrusted rows and payloads.

use arbitrary::Unstructured;
use lattice_backend::backend::{Direction, EVERYTHING, Row};
use lattice_backend::machine::{
    Args, DataRead, Fields, Limits, Method, MethodCall, StateMachine, Value, ValueType,
};
use lattice_backend::op::{ApplyIndex, OpKind, OpRef, OpView};
use lattice_backend::state::{CountedHistory, Staged};
use lattice_kvstore::KvMachine;
use lattice_logstore::LogMachine;
use lattice_meta::{Hlc, OpId, PubKey};

use crate::frames::{Frames, pairs};
use crate::rows::{Past, State};

/// A reference to the op that carries a payload.
fn reference() -> OpRef {
    OpRef {
        author: PubKey::from_bytes([3; 32]),
        seq: 4,
        id: OpId::from_bytes([6; 32]),
    }
}

fn view(payload: &[u8]) -> OpView<'_> {
    OpView {
        index: ApplyIndex::new(4),
        reference: reference(),
        hlc: Hlc::from_u64(1 << 40),
        payload,
    }
}

/// Applies a payload twice: an invalid one changes nothing, and both runs agree.
fn apply<M: StateMachine>(machine: &M, state: &State, payload: &[u8]) -> Option<State> {
    let once = || {
        let limits = Limits::new(payload.len());
        let mut staged = Staged::new(state, &limits);
        let (op, past) = (view(payload), Past(payload));
        let history = CountedHistory::new(&past, &limits);
        let decoded = machine.decode(payload).ok();
        machine
            .run(OpKind::Application, &op, decoded, &mut staged, &history)
            .ok()?;
        let mut after = State::default();
        let mut rows = staged.range(EVERYTHING, Direction::Forward).ok()?;
        while let Some(row) = rows.next().ok()? {
            after.0.insert(row.key.to_vec(), row.value.to_vec());
        }
        Some(after)
    };
    let _ = machine.describe(payload);
    let applied = once();
    assert_eq!(applied, once(), "the same op did something else");
    applied
}

/// A value for a parameter, of its type or of a different one.
fn argument(kind: ValueType, input: &mut Unstructured<'_>, depth: u8) -> arbitrary::Result<Value> {
    let kind = match input.int_in_range(0..=9)? {
        0 => ValueType::Null,
        1 => ValueType::List,
        2 => ValueType::Record,
        3 => ValueType::Text,
        _ => kind,
    };
    Ok(match kind {
        ValueType::Bool => Value::Bool(input.arbitrary()?),
        ValueType::Integer => Value::Integer(match input.int_in_range(0..=3)? {
            0 => input.arbitrary()?,
            1 => u64::MAX.into(),
            _ => input.int_in_range(0..=9)?,
        }),
        ValueType::Bytes => Value::Bytes(input.arbitrary::<&[u8]>()?.to_vec()),
        ValueType::Text => Value::Text(input.arbitrary::<&str>()?.to_owned()),
        ValueType::List if depth < 3 => {
            let mut list = Vec::new();
            for _ in 0..input.int_in_range(0..=4)? {
                list.push(argument(ValueType::Record, input, depth + 1)?);
            }
            Value::List(list)
        }
        ValueType::Record if depth < 3 => {
            let mut fields = Fields::new();
            for _ in 0..input.int_in_range(0..=4)? {
                let names = [
                    "key", "value", "op", "author", "seq", "id", "entries", "content",
                ];
                let name = *input.choose(&names)?;
                fields.insert(
                    name.to_owned(),
                    argument(ValueType::Bytes, input, depth + 1)?,
                );
            }
            Value::Record(fields)
        }
        _ => Value::Null,
    })
}

fn arguments(method: &Method, input: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let mut fields = Fields::new();
    for param in method.params.iter() {
        if param.required || input.ratio(1, 2)? {
            let value = argument(param.value_type, input, 0)?;
            fields.insert(param.name.to_string(), value);
        }
    }
    Ok(Value::Record(fields))
}

/// Makes calls by name as the input says; commands are applied to the state.
fn call<M: StateMachine>(
    machine: &M,
    state: &mut State,
    past: &[u8],
    input: &mut Unstructured<'_>,
) {
    while !input.is_empty() {
        let Ok(entry) = input.choose(machine.methods()) else {
            return;
        };
        let Ok(args) = arguments(&entry.method, input) else {
            return;
        };
        let args = args.to_bytes();
        let Ok(args) = Args::new(&entry.method, &args) else {
            continue;
        };
        match entry.call {
            MethodCall::Command(command) => {
                let Ok(command) = command(machine, args) else {
                    continue;
                };
                if let Ok(payload) = machine.prepare(&command, state, &Past(past))
                    && let Some(after) = apply(machine, state, &payload)
                {
                    *state = after;
                }
            }
            MethodCall::Query(query) => {
                let _ = query(machine, args, state, &Past(past));
            }
            MethodCall::Stream => {}
        }
    }
}

fn cells<M: StateMachine>(machine: &M, bytes: &[u8]) {
    let mut frames = Frames(bytes);
    let (Some(rows), Some(payload)) = (frames.next(), frames.next()) else {
        return;
    };
    let mut state = State(pairs(rows).into_iter().collect());
    let schema = machine.logic().newest_schema();
    for (key, value) in &state.0 {
        let row = Row { key, value };
        let _ = machine.elements(schema, row, &Past(payload), &mut |_, _| {});
    }
    let _ = apply(machine, &state, payload);
    call(
        machine,
        &mut state,
        payload,
        &mut Unstructured::new(frames.0),
    );
}

/// Rows of a key-value store, then a payload, then calls.
pub(crate) fn kv_cells(bytes: &[u8]) {
    cells(&KvMachine::new(), bytes);
}

/// Rows of a log, then a payload, then calls.
pub(crate) fn log_cells(bytes: &[u8]) {
    cells(&LogMachine::new(), bytes);
}

/// Applies a payload to an empty state, and then to the state that it has made.
fn payload<M: StateMachine>(machine: &M, bytes: &[u8]) {
    if let Some(after) = apply(machine, &State::default(), bytes) {
        let _ = apply(machine, &after, bytes);
    }
}

pub(crate) fn kv_payload(bytes: &[u8]) {
    payload(&KvMachine::new(), bytes);
}

pub(crate) fn log_payload(bytes: &[u8]) {
    payload(&LogMachine::new(), bytes);
}

pub(crate) fn kv_call(bytes: &[u8]) {
    call(
        &KvMachine::new(),
        &mut State::default(),
        &[],
        &mut Unstructured::new(bytes),
    );
}

pub(crate) fn log_call(bytes: &[u8]) {
    call(
        &LogMachine::new(),
        &mut State::default(),
        &[],
        &mut Unstructured::new(bytes),
    );
}
