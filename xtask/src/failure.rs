//! How a workflow ends when it does not end well.

use crate::ci::CiError;
use crate::command::CommandError;
use crate::docs::DocsError;
use crate::fuzz::FuzzError;
use crate::golden::GoldenError;
use crate::layers::LayersError;
use crate::workspace::WorkspaceError;

/// Why a workflow failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line is not understood; exit code 2.
    #[error("it does not take the argument `{argument}`")]
    Argument { argument: String },
    /// The findings themselves have been printed before.
    #[error("{count} finding(s)")]
    Findings { count: usize },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Layers(#[from] LayersError),
    #[error(transparent)]
    Golden(#[from] GoldenError),
    #[error(transparent)]
    Fuzz(#[from] FuzzError),
    #[error(transparent)]
    Docs(#[from] DocsError),
    #[error(transparent)]
    Ci(#[from] CiError),
}

/// Refuses arguments for a workflow that has none.
pub(crate) fn no_arguments(arguments: &[String]) -> Result<(), Failure> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(Failure::Argument {
            argument: argument.clone(),
        }),
    }
}
