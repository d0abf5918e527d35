//! How a state machine breaks a rule.

use crate::backend::BackendError;
use crate::conformance::broke::broke;
use crate::machine::{LogicFault, MachineError};
use crate::op::OpRef;

/// The rules. A shrunk failure breaks the same rule with fewer ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The bytes of a payload alone determine whether it is valid.
    Decode,
    /// A description is one line.
    Describe,
    /// Methods have different names and can be called.
    Methods,
    /// `prepare` returns valid payloads.
    Prepare,
    /// Code terminates within its limits and without a panic.
    Fault,
    /// Code returns no backend errors of its own.
    Error,
    /// Elements depend on their row alone.
    Elements,
    /// The keys of elements are unique.
    UniqueKeys,
    /// The elements do not depend on the order of arrival.
    Order,
    /// The same ops in the same order result in the same rows.
    Rows,
    /// The code depends only on its arguments.
    Purity,
    /// Overrides have the same results as the defaults.
    Override,
    /// Stores have the same results as the suite's model of a store.
    Store,
}

/// A broken rule.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) message: String,
    /// The op that shows it, if a single op does.
    pub(super) at: Option<OpRef>,
    /// Whether a limit was exceeded.
    pub(super) is_limit: bool,
}

impl Broken {
    pub(super) fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self {
            rule,
            message: message.into(),
            at: None,
            is_limit: false,
        }
    }

    pub(super) fn at(mut self, op: OpRef) -> Self {
        self.at = Some(op);
        self
    }

    /// The code of the store type failed or returned an error. `used` formats its resource use.
    pub(super) fn failed(doing: &str, error: &BackendError, used: &dyn std::fmt::Display) -> Self {
        let BackendError::Fault(fault) = error else {
            return Self::new(Rule::Error, broke(doing, error));
        };
        Self {
            is_limit: matches!(fault, LogicFault::Limit { .. }),
            ..Self::new(Rule::Fault, format!("{doing}: {fault}\n  it used {used}"))
        }
    }
}

/// The result of a call that may refuse; `None` if it refused.
pub(super) fn unless_refused<T, R>(
    doing: &str,
    answer: Result<T, MachineError<R>>,
) -> Result<Option<T>, Broken> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(MachineError::Refused(_)) => Ok(None),
        Err(MachineError::Backend(error)) => Err(Broken::failed(
            doing,
            &error,
            &"what is not counted outside of ops",
        )),
    }
}

/// Formats bytes for a message.
pub(super) fn text(bytes: &[u8]) -> String {
    const MOST: usize = 96;
    match bytes.get(..MOST) {
        Some(start) if bytes.len() > MOST => {
            let length = bytes.len();
            format!("\"{}...\" ({length} bytes)", start.escape_ascii())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
