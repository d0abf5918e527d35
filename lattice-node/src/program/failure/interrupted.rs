//! Failures of interrupted commands.

use serde_json::Value;

use super::{Failure, Kind};
use crate::program::interrupt::Signal;

/// The message of an interrupted command, before more is known.
const INTERRUPTED: &str = "interrupted";

impl Failure {
    /// Adds a field to the error as JSON.
    pub(in crate::program) fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    pub(in crate::program) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    pub(in crate::program) fn interrupted(signal: Signal) -> Self {
        Self::new(Kind::Interrupted(signal), INTERRUPTED).with("signal", signal.name().into())
    }

    pub(in crate::program) fn is_interrupted(&self) -> bool {
        self.signal().is_some()
    }

    /// The signal that has interrupted the command.
    pub(in crate::program) fn signal(&self) -> Option<Signal> {
        match self.kind {
            Kind::Interrupted(signal) => Some(signal),
            _ => None,
        }
    }

    /// Whether the failure of an interrupted command says nothing more.
    pub(in crate::program) fn is_bare(&self) -> bool {
        self.message == INTERRUPTED
    }
}
