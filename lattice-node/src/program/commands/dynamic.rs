//! Commands that use the self-description of a store's methods, for any type.

use std::ffi::{OsStr, OsString};

use lattice_backend::engine::read::MethodError;
use lattice_backend::machine::{CallError, Fields, Method, MethodKind, Value, ValueType};
use lattice_meta::{Hlc, StoreType};
use serde_json::{Value as Json, json};

use super::code_of;
use super::stores::parse_type;
use super::values::{B64_SUFFIX, called, fields_in_line, from_json, in_line, to_json};
use crate::Access;
use crate::program::args;
use crate::program::context::{Context, from_base64};
use crate::program::failure::Failure;
use crate::program::output::{Output, echo, escape, styles};
use crate::program::pager;
use crate::program::pipes::FileArg;
use crate::program::suggest::did_you_mean;

pub(super) fn types(context: &mut Context<'_>) -> Result<(), Failure> {
    let registry = context.registry().clone();
    for store_type in registry.types() {
        let opener = registry.resolve(store_type)?;
        let logic = opener.logic();
        let value = json!({
            "store_type": store_type,
            "schema_version": logic.newest_schema(),
            "logic_version": logic.version().as_str(),
            "method_count": opener.methods().len(),
            "code": code_of(context, logic.version().as_str()),
        });
        context.out.either(value, |out| {
            let name = out.paint(styles::TYPE, &format!("{:<20}", store_type.as_str()));
            let (schema, version) = (logic.newest_schema(), logic.version());
            format!("{name}  schema {schema}  logic {version}")
        })?;
    }
    #[cfg(feature = "wasm")]
    super::code::types(context)?;
    Ok(())
}

pub(super) fn describe(context: &mut Context<'_>, what: &OsStr) -> Result<(), Failure> {
    // Every type name contains a separator that no id has. An alias with one wins.
    let aliases = context.aliases();
    let is_type = |text: &str| {
        !text.contains('/') && text.contains(['.', ':']) && aliases.store(text).is_none()
    };
    let (store_type, methods, store_id, logic) = match what.to_str().filter(|text| is_type(text)) {
        Some(text) => {
            let store_type = parse_type(context, text)?;
            let opener = context.registry().resolve(&store_type)?;
            let logic = opener.logic().version().to_string();
            (store_type, opener.methods(), None, logic)
        }
        None => {
            let path = context.path(what)?;
            context.note_read(what, &path);
            let found = context.node.manager().find(path, Access::ReadOnly)?;
            let opener = context.registry().resolve(found.recorded())?;
            let (meta, logic) = (found.meta(), opener.logic().version().to_string());
            let store_type = meta.store_type.clone();
            (store_type, opener.methods(), Some(meta.store_id), logic)
        }
    };
    let code = code_of(context, &logic);
    pager::show(context);
    let value = json!({
        "store_id": store_id,
        "store_type": store_type,
        "logic_version": logic,
        "code": code,
        "methods": methods.iter().map(method_json).collect::<Vec<_>>(),
    });
    context.out.either(value, |out| {
        let methods = description(out, &store_type, &methods);
        match code {
            Some(code) => format!("code {logic}, {code}\n{methods}"),
            None => methods,
        }
    })
}

pub(super) fn method_json(method: &Method) -> Json {
    let param = |param: &lattice_backend::machine::Param| {
        json!({
            "name": param.name,
            "type": param.value_type.name(),
            "required": param.required,
            "doc": param.doc,
        })
    };
    json!({
        "name": method.name,
        "kind": method.kind.name(),
        "doc": method.doc,
        "params": method.params.iter().map(param).collect::<Vec<_>>(),
        "result": method.result.name(),
    })
}

pub(super) fn description(out: &Output<'_>, store_type: &StoreType, methods: &[Method]) -> String {
    let mut text = format!(
        "{} has these methods:",
        out.paint(styles::TYPE, store_type.as_str())
    );
    for method in methods {
        let name = out.paint(styles::NAME, &method.name);
        let (kind, result) = (method.kind.name(), method.result);
        text.push_str(&format!(
            "\n\n{name} ({kind}, returns {result})\n    {}",
            method.doc
        ));
        for param in method.params.iter() {
            let optional = if param.required { "" } else { ", optional" };
            let kind = format!("({}{optional})", param.value_type);
            text.push_str(&format!(
                "\n    {:<15} {kind:<20} {}",
                param.name, param.doc
            ));
        }
    }
    text
}

pub(super) fn call(context: &mut Context<'_>, call: args::Call) -> Result<(), Failure> {
    context.allow(call.writing);
    let path = context.path(&call.store.store)?;
    let found = context.node.manager().find(&path, Access::ReadOnly)?;
    let store_id = found.meta().store_id;
    let methods = context.registry().resolve(found.recorded())?.methods();
    let Some(method) = methods.iter().find(|method| method.name == call.method) else {
        let known = methods.iter().map(|method| &*method.name);
        let error = CallError::UnknownMethod {
            store_type: found.meta().store_type.clone(),
            method: call.method.clone(),
            known: known.clone().map(str::to_owned).collect(),
        };
        let failure = Failure::usage(error.to_string());
        let meant = match &*call.method {
            "len" => "count",
            "count" => "len",
            other => other,
        };
        return Err(match did_you_mean(meant, known) {
            Some(meant) => failure.and(&meant),
            None => failure,
        });
    };
    let mut given = Fields::new();
    for word in &call.arguments {
        let (name, value) = argument(context, method, word)?;
        if given.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("argument {name} is given twice")));
        }
    }
    let given = Value::Record(given);
    let access = match method.kind {
        MethodKind::Command => {
            context.path_to_change(&call.store.store)?;
            context.note_use(&path);
            context.node.become_writer()?;
            Access::ReadWrite
        }
        _ => {
            context.note_read(&call.store.store, &path);
            Access::ReadOnly
        }
    };
    #[cfg(feature = "wasm")]
    if let Some(newer) = context.code.newer(&found.recorded())? {
        let line = super::code::newer_line(&newer, &call.store.store);
        context.out.note(&format!("newer code: {line}"));
    }
    let manager = context.node.manager();
    let store = manager.open_found(found, access)?;
    let store_type = store.store_type().clone();
    let result = store.call(&method.name, given).map_err(explained)?;
    let result = in_words_of_the_program(&store_type, result);
    manager.close(store_id)?;
    match method.kind {
        MethodKind::Command if context.out.is_json() => context.out.json(&called(&result)),
        _ => print(&mut context.out, &result),
    }
}

/// Names the fields of the built-in types as the commands of the program do: one name for one
/// thing, and times in milliseconds.
fn in_words_of_the_program(store_type: &StoreType, result: Value) -> Value {
    const BUILT_IN: [&str; 2] = [lattice_kvstore::STORE_TYPE, lattice_logstore::STORE_TYPE];
    if !BUILT_IN.contains(&store_type.as_str()) {
        return result;
    }
    match result {
        Value::List(values) => {
            let values = values.into_iter();
            Value::List(
                values
                    .map(|value| in_words_of_the_program(store_type, value))
                    .collect(),
            )
        }
        Value::Record(fields) => {
            let named = fields
                .into_iter()
                .map(|(name, value)| match (&*name, value) {
                    ("time_ms", value) => ("time".to_owned(), value),
                    ("hlc", Value::Integer(hlc)) => {
                        let hlc = Hlc::from_u64(u64::try_from(hlc).unwrap_or(u64::MAX));
                        ("time".to_owned(), hlc.ms().into())
                    }
                    // The number of an entry in its op.
                    ("index", value) => ("change".to_owned(), value),
                    ("seq", Value::Integer(seq)) => (name, Value::Text(seq.to_string())),
                    (_, value) => (name, value),
                });
            Value::Record(named.collect())
        }
        value => value,
    }
}

/// A failed call; for a wrong type, says how to write a value of the right type.
fn explained(error: MethodError) -> Failure {
    let step = match &error {
        MethodError::Call(CallError::ParamType {
            param,
            expected,
            found: ValueType::Text,
            ..
        }) => Some(format!("give it as {param}:={}", example(*expected))),
        MethodError::Call(CallError::MissingParam {
            param, expected, ..
        }) => Some(match expected {
            ValueType::Bytes | ValueType::Text => format!("give it as {param}=TEXT"),
            expected => format!("give it as {param}:={}", example(*expected)),
        }),
        _ => None,
    };
    let failure = Failure::from(error);
    match step {
        Some(step) => failure.and(&step),
        None => failure,
    }
}

fn example(expected: ValueType) -> &'static str {
    match expected {
        ValueType::Bool => "true",
        ValueType::Integer => "10",
        ValueType::List => "'[...]'",
        ValueType::Record => "'{...}'",
        _ => "JSON",
    }
}

/// Parses `NAME=TEXT`, `NAME:=JSON` or `NAME=@FILE`.
fn argument(
    context: &Context<'_>,
    method: &Method,
    word: &OsStr,
) -> Result<(String, Value), Failure> {
    let bytes = word.as_encoded_bytes();
    let wrong = |reason: &str| Failure::usage(format!("argument {}: {reason}", echo(bytes)));
    let form = || wrong("expected NAME=TEXT, NAME:=JSON or NAME=@FILE");
    let equals = bytes
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or_else(form)?;
    let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
    let is_json = name.ends_with(b":");
    let name = std::str::from_utf8(name.strip_suffix(b":").unwrap_or(name)).map_err(|_| form())?;
    if name.is_empty() {
        return Err(form());
    }
    let value = if is_json {
        let json: Json = serde_json::from_slice(value)
            .map_err(|error| wrong(&format!("expected JSON after :=, found {error}")))?;
        from_json(json).map_err(|reason| wrong(&reason))?
    } else if let Some(file) = value.strip_prefix(b"@") {
        read_file(context, os_string(file)?.into())?
    } else {
        match std::str::from_utf8(value) {
            Ok(text) => Value::Text(text.into()),
            Err(_) => Value::Bytes(value.to_vec()),
        }
    };
    let is_param = |name: &str| method.params.iter().any(|param| param.name == name);
    match (name.strip_suffix(B64_SUFFIX), value) {
        (Some(plain), Value::Text(text)) if !is_param(name) && is_param(plain) => {
            let bytes = from_base64(text.as_bytes()).map_err(|reason| wrong(&reason))?;
            Ok((plain.to_owned(), Value::Bytes(bytes)))
        }
        (_, value) => Ok((name.to_owned(), as_text(method, name, value))),
    }
}

/// The contents of a file are bytes; converts them to text for a parameter of type text.
fn as_text(method: &Method, name: &str, value: Value) -> Value {
    let wants_text = method
        .params
        .iter()
        .any(|param| param.name == name && param.value_type == ValueType::Text);
    match value {
        Value::Bytes(bytes) if wants_text => match String::from_utf8(bytes) {
            Ok(text) => Value::Text(text),
            Err(error) => Value::Bytes(error.into_bytes()),
        },
        value => value,
    }
}

fn os_string(bytes: &[u8]) -> Result<OsString, Failure> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        Ok(OsString::from_vec(bytes.to_vec()))
    }
    #[cfg(not(unix))]
    {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Failure::usage("expected a file name in UTF-8"))?;
        Ok(text.into())
    }
}

/// A file as bytes, read at most one byte beyond the limit of an argument.
fn read_file(context: &Context<'_>, file: FileArg) -> Result<Value, Failure> {
    let opened = file.open(context, "FILE")?;
    let bytes = opened.read_at_most(lattice_backend::op::MAX_OP_BYTES + 1)?;
    Ok(Value::Bytes(bytes))
}

/// Prints a single value as it is, a record as lines, a list with one line per element.
fn print(out: &mut Output<'_>, result: &Value) -> Result<(), Failure> {
    match result {
        Value::List(values) => values.iter().try_for_each(|value| {
            out.row(to_json(value), |_| match value {
                Value::Record(fields) => fields_in_line(fields),
                value => in_line(value),
            })
        }),
        value if out.is_json() => out.json(&to_json(value)),
        Value::Bytes(bytes) => out.value(bytes),
        Value::Record(fields) => fields.iter().try_for_each(|(name, value)| {
            let name = out.paint(styles::FAINT, &format!("{:<15}", escape(name.as_bytes())));
            out.line(&format!("{name} {}", in_line(value)))
        }),
        value => out.line(&in_line(value)),
    }
}
