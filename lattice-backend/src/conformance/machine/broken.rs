//! How a state machine breaks a rule.

use crate::backend::BackendError;
use crate::conformance::broke::broke;
use crate::machine::{LogicFault, MachineError};
use crate::op::OpRef;

/// The rules. A failure that is shrunk breaks the same rule with fewer ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Whether a payload is valid depends on its bytes alone.
    Decode,
    /// A description is one line.
    Describe,
    /// Methods can be told apart and called.
    Methods,
    /// What `prepare` makes is valid.
    Prepare,
    /// Code ends, within its limits and without a panic.
    Fault,
    /// Code reports no error of the backend that the backend did not report.
    Error,
    /// Elements depend on their row alone.
    Elements,
    /// The keys of elements are unique.
    UniqueKeys,
    /// The elements do not depend on the order of arrival.
    Order,
    /// The same ops in the same order give the same rows.
    Rows,
    /// The code depends on nothing but its arguments.
    Purity,
    /// Overrides do what the defaults do.
    Override,
    /// Stores do what the suite's model of a store does.
    Store,
}

/// A rule that is broken.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) message: String,
    /// The op at which it shows, if it shows at one.
    pub(super) at: Option<OpRef>,
    /// Whether it is a limit that was exceeded.
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

    /// The code of the store type failed, or an error came out of it. `used` says what it used.
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

/// Of a call whose refusals are no failures: nothing if it refused.
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

/// Bytes in a message.
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
