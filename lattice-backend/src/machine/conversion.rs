//! How code turns a store of an old type into one of its own type, in steps: the code asks queries
//! of the old store and returns commands for the new one; the host runs both.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use lattice_meta::StoreType;

use crate::machine::Value;

/// A step of a conversion: the host's input to the code.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The type of the old store.
    pub from: StoreType,
    /// The [`Query::state`] that the code returned in the previous step; null in the first one.
    pub state: Value,
    /// The result of the previous step's query; null in the first one.
    pub result: Value,
}

/// The code's output in a step of a conversion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conversion {
    /// Commands to run in the new store: method and arguments.
    pub calls: Vec<(String, Value)>,
    /// The next query; `None` at the end.
    pub next: Option<Query>,
}

/// A query that the code asks of the old store.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// A query method of the old type.
    pub method: String,
    /// Its arguments.
    pub args: Value,
    /// What the code gets back as [`Step::state`] in the next step.
    pub state: Value,
}

const FROM: &str = "from";
const STATE: &str = "state";
const RESULT: &str = "result";
const CALLS: &str = "calls";
const NEXT: &str = "next";
const METHOD: &str = "method";
const ARGS: &str = "args";

impl From<Step> for Value {
    fn from(step: Step) -> Self {
        Self::record([
            (FROM, Self::Text(step.from.to_string())),
            (STATE, step.state),
            (RESULT, step.result),
        ])
    }
}

impl From<Conversion> for Value {
    fn from(conversion: Conversion) -> Self {
        let call = |(method, args)| Self::record([(METHOD, Self::Text(method)), (ARGS, args)]);
        let next = conversion.next.map_or(Self::Null, |next| {
            Self::record([
                (METHOD, Self::Text(next.method)),
                (ARGS, next.args),
                (STATE, next.state),
            ])
        });
        let calls = conversion.calls.into_iter().map(call).collect();
        Self::record([(CALLS, Self::List(calls)), (NEXT, next)])
    }
}

/// A value without the form that the two sides of a conversion exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ConversionError {
    /// What was expected.
    pub expected: &'static str,
}

fn fields<const N: usize>(
    value: Value,
    names: [&str; N],
    expected: &'static str,
) -> Result<[Value; N], ConversionError> {
    let error = ConversionError { expected };
    let Value::Record(mut fields) = value else {
        return Err(error);
    };
    if fields.len() != N || !names.iter().all(|name| fields.contains(name)) {
        return Err(error);
    }
    Ok(names.map(|name| {
        fields
            .remove(name)
            .expect("the record has exactly these fields")
    }))
}

fn text(value: Value, expected: &'static str) -> Result<String, ConversionError> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(ConversionError { expected }),
    }
}

impl TryFrom<Value> for Step {
    type Error = ConversionError;

    fn try_from(value: Value) -> Result<Self, ConversionError> {
        let expected = "a record of `from`, `state` and `result`";
        let [from, state, result] = fields(value, [FROM, STATE, RESULT], expected)?;
        let from = text(from, expected)?.parse();
        Ok(Self {
            from: from.map_err(|_| ConversionError { expected })?,
            state,
            result,
        })
    }
}

impl TryFrom<Value> for Conversion {
    type Error = ConversionError;

    fn try_from(value: Value) -> Result<Self, ConversionError> {
        let expected = "a record of `calls` and `next`";
        let [calls, next] = fields(value, [CALLS, NEXT], expected)?;
        let Value::List(calls) = calls else {
            return Err(ConversionError { expected });
        };
        let call = |call| {
            let expected = "a record of `method` and `args`";
            let [method, args] = fields(call, [METHOD, ARGS], expected)?;
            Ok((text(method, expected)?, args))
        };
        let next = match next {
            Value::Null => None,
            next => {
                let expected = "null, or a record of `method`, `args` and `state`";
                let [method, args, state] = fields(next, [METHOD, ARGS, STATE], expected)?;
                let method = text(method, expected)?;
                Some(Query {
                    method,
                    args,
                    state,
                })
            }
        };
        Ok(Self {
            calls: calls.into_iter().map(call).collect::<Result<_, _>>()?,
            next,
        })
    }
}
