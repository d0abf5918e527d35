//! Failures of workflows.

use std::error::Error;
use std::fmt;

/// Why a workflow failed. `?` converts any error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is invalid; exit code 2.
    Argument { argument: String },
    /// The number of findings, which have already been printed.
    Findings { count: usize },
    /// A step of the workflow failed.
    Step(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { argument } => write!(f, "it does not take the argument `{argument}`"),
            Self::Findings { count } => write!(f, "{count} finding(s)"),
            Self::Step(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Failure {
    /// The underlying cause, for a message.
    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Step(error) => error.source(),
            _ => None,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Step(Box::new(error))
    }
}

/// Rejects arguments of a workflow that takes none.
pub(crate) fn no_arguments(arguments: &[String]) -> Result<(), Failure> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(Failure::Argument {
            argument: argument.clone(),
        }),
    }
}

/// Whether the only argument that a workflow takes is given.
pub(crate) fn flag(arguments: &[String], name: &str) -> Result<bool, Failure> {
    match arguments.split_first() {
        Some((first, rest)) if first == name => no_arguments(rest).map(|()| true),
        _ => no_arguments(arguments).map(|()| false),
    }
}
