//! Checks the methods that can be called by name.

use std::collections::BTreeSet;

use crate::backend::BackendError;
use crate::conformance::machine::broken::{Broken, Rule, unless_refused};
use crate::conformance::machine::model::Model;
use crate::conformance::machine::payloads::LINE_ENDS;
use crate::engine::contain::contain;
use crate::machine::{
    Args, Fields, MachineError, Method, MethodCall, MethodEntry, StateMachine, Value, ValueType,
};

/// Names are unique, all descriptions are one line, and commands and queries answer or refuse their
/// arguments.
pub(super) fn check<M: StateMachine>(machine: &M) -> Result<(), Broken> {
    let methods = contain(|| Ok::<_, BackendError>(machine.methods()))
        .map_err(|error| Broken::new(Rule::Fault, format!("`methods`: {error}")))?;
    let mut names = BTreeSet::new();
    for MethodEntry { method, .. } in methods {
        if !names.insert(&*method.name) {
            return Err(broken(format!(
                "two methods have the name `{}`",
                method.name
            )));
        }
        check_description(method)?;
    }
    methods.iter().try_for_each(|entry| call(machine, entry))
}

fn broken(message: String) -> Broken {
    Broken::new(Rule::Methods, message)
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(LINE_ENDS)
}

fn check_description(method: &Method) -> Result<(), Broken> {
    let name = &method.name;
    if !is_line(name) || !is_line(&method.doc) {
        return Err(broken(format!(
            "method `{name}` is not described in a line"
        )));
    }
    let mut params = BTreeSet::new();
    for param in method.params.iter() {
        if !params.insert(&*param.name) {
            let param = &param.name;
            return Err(broken(format!(
                "method `{name}` has two parameters `{param}`"
            )));
        }
        if !is_line(&param.name) || !is_line(&param.doc) {
            let param = &param.name;
            let message = format!("parameter `{param}` of `{name}` is not described in a line");
            return Err(broken(message));
        }
    }
    Ok(())
}

/// A small value of a type.
fn example(value_type: ValueType) -> Value {
    match value_type {
        ValueType::Bool => Value::Bool(true),
        ValueType::Integer => Value::Integer(1),
        ValueType::Bytes => Value::Bytes(b"a".to_vec()),
        ValueType::Text => Value::Text("a".into()),
        ValueType::List => Value::List(Vec::new()),
        ValueType::Record => Value::Record(Fields::new()),
        _ => Value::Null,
    }
}

/// Calls a method on an empty store: with all parameters, and with the required ones only.
fn call<M: StateMachine>(machine: &M, entry: &MethodEntry<M>) -> Result<(), Broken> {
    let model = Model::default();
    let method = &entry.method;
    for all in [true, false] {
        let given = method.params.iter().filter(|param| all || param.required);
        let args = given.map(|param| (param.name.to_string(), example(param.value_type)));
        // `Args` must accept every argument's name and type.
        let args = Value::Record(args.collect()).to_bytes();
        let args = Args::new(method, &args);
        let args = args.map_err(|error| broken(error.to_string()))?;
        let doing = format!("method `{}`", method.name);
        match entry.call {
            MethodCall::Command(command) => {
                let called = contain(|| command(machine, args).map_err(MachineError::from));
                unless_refused(&doing, called)?;
            }
            MethodCall::Query(query) => {
                let answer = contain(|| query(machine, args, &model.rows, &model.past()));
                unless_refused(&doing, answer)?;
            }
            MethodCall::Stream => {}
        }
    }
    Ok(())
}
