//! Calls of methods by name.

use crate::backend::BackendError;
use crate::engine::Engine;
use crate::engine::contain::contain;
use crate::engine::read::MethodError;
use crate::machine::{
    Args, CallError, CommandFn, Method, MethodCall, MethodEntry, StateMachine, Value,
};

/// Carries out a call: a command returns its receipt, a query its answer.
pub(super) fn call<M: StateMachine>(
    engine: &Engine<M>,
    name: &str,
    args: Value,
) -> Result<Value, MethodError> {
    let machine = engine.machine();
    let MethodEntry { method, call } = find(machine, name)?;
    match call {
        MethodCall::Query(query) => {
            let bytes = encoded(args);
            let args = Args::new(method, &bytes)?;
            let snapshot = engine.snapshot()?;
            let history = snapshot.history();
            Ok(contain(|| query(machine, args, &snapshot, &history))?)
        }
        MethodCall::Command(command) => {
            let receipt = engine.append(make(machine, method, *command, args)?)?;
            Ok(Value::record([
                ("author", Value::Text(receipt.op.author.to_string())),
                ("seq", receipt.op.seq.into()),
                ("op", Value::Text(receipt.op.id.to_string())),
                ("apply_index", receipt.index.get().into()),
            ]))
        }
        MethodCall::Stream => Err(MethodError::Stream {
            method: method.name.to_string(),
        }),
    }
}

/// The command of a call, for a caller that appends it.
pub(super) fn command<M: StateMachine>(
    machine: &M,
    name: &str,
    args: Value,
) -> Result<M::Command, MethodError> {
    let MethodEntry { method, call } = find(machine, name)?;
    match call {
        MethodCall::Command(command) => make(machine, method, *command, args),
        _ => Err(MethodError::NotACommand {
            method: method.name.to_string(),
            kind: method.kind,
        }),
    }
}

/// The encoded arguments. The value is dropped, since both can be large.
fn encoded(args: Value) -> Vec<u8> {
    args.to_bytes()
}

fn find<'a, M: StateMachine>(
    machine: &'a M,
    name: &str,
) -> Result<&'a MethodEntry<M>, MethodError> {
    let methods = machine.methods();
    let found = methods.iter().find(|known| known.method.name == name);
    found.ok_or_else(|| {
        let known = methods.iter().map(|known| known.method.name.to_string());
        MethodError::Call(CallError::UnknownMethod {
            store_type: machine.logic().store_type().clone(),
            method: name.chars().take(80).collect(),
            known: known.collect(),
        })
    })
}

fn make<M: StateMachine>(
    machine: &M,
    method: &Method,
    command: CommandFn<M>,
    args: Value,
) -> Result<M::Command, MethodError> {
    let bytes = encoded(args);
    let args = Args::new(method, &bytes)?;
    Ok(contain(|| Ok::<_, BackendError>(command(machine, args)))??)
}
