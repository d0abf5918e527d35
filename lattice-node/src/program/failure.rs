//! How a command fails: a kind, a message, an exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use lattice_backend::{AppendError, BackendError, FileError, InfoError, OpenError, PeekError};
use lattice_node::{IdentityError, ManagerError, NodeError};
use lattice_registry::ResolveError;

use super::output::escape;

/// What scripts tell failures apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed,
    Usage,
    NotFound,
    Damaged,
    InUse,
    UnknownType,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Damaged => "damaged",
            Self::InUse => "in_use",
            Self::UnknownType => "unknown_type",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Damaged => 4,
            Self::InUse => 5,
            Self::UnknownType => 6,
        }
    }
}

/// The end of a command that could not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    closed_pipe: bool,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            closed_pipe: false,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, message)
    }

    pub(super) fn of(kind: Kind, error: &dyn Error) -> Self {
        Self::new(kind, chain(error))
    }

    /// Whether it is only that nobody reads the output any more.
    pub(super) fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }

    /// The failure as an entry of a list shows it.
    pub(super) fn into_json(self) -> serde_json::Value {
        serde_json::json!({ "kind": self.kind.name(), "message": self.message })
    }

    pub(super) fn print(&self, json: bool) {
        if json {
            print_json(self.kind.name(), &self.message);
        } else {
            eprintln!("lattice: {}", escape(self.message.as_bytes()));
        }
    }
}

pub(super) fn print_json(kind: &str, message: &str) {
    eprintln!(
        "{}",
        serde_json::json!({ "error": { "kind": kind, "message": message } })
    );
}

/// An error and what caused it, in one line. A cause that its error has said already is not said
/// again.
fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            closed_pipe,
            ..Self::of(Kind::Failed, &error)
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let kind = match &error {
            NodeError::Manager(error) => manager_kind(error),
            NodeError::Identity(IdentityError::NotFound { .. }) => Kind::NotFound,
            _ => Kind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<ManagerError> for Failure {
    fn from(error: ManagerError) -> Self {
        Self::of(manager_kind(&error), &error)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::of(backend_kind(&error), &error)
    }
}

impl From<InfoError> for Failure {
    fn from(error: InfoError) -> Self {
        let kind = match &error {
            InfoError::Meta(error) => peek_kind(error),
            InfoError::Backend(error) => backend_kind(error),
            _ => Kind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl<R: Error + 'static> From<AppendError<R>> for Failure {
    fn from(error: AppendError<R>) -> Self {
        let kind = match &error {
            AppendError::Backend(error) => backend_kind(error),
            _ => Kind::Failed,
        };
        Self::of(kind, &error)
    }
}

/// The kind of what a manager reports, also where it is an entry of a list.
pub(crate) fn manager_kind(error: &ManagerError) -> Kind {
    match error {
        ManagerError::NoSuchStore { .. } => Kind::NotFound,
        ManagerError::Peek(error) => peek_kind(error),
        ManagerError::Resolve(ResolveError::Unknown { .. }) => Kind::UnknownType,
        ManagerError::Open(error) => open_kind(error),
        ManagerError::Misplaced { .. } => Kind::Damaged,
        ManagerError::OpenElsewhere { .. } => Kind::InUse,
        _ => Kind::Failed,
    }
}

fn open_kind(error: &OpenError) -> Kind {
    match error {
        OpenError::File(error) => file_kind(error),
        OpenError::Peek(error) => peek_kind(error),
        OpenError::Backend { source, .. } => backend_kind(source),
        OpenError::NewerSchema { .. } => Kind::UnknownType,
        OpenError::NoGenesis { .. }
        | OpenError::Genesis { .. }
        | OpenError::IdAgainstGenesis { .. }
        | OpenError::TypeAgainstGenesis { .. } => Kind::Damaged,
        _ => Kind::Failed,
    }
}

fn peek_kind(error: &PeekError) -> Kind {
    match error {
        PeekError::File(error) => file_kind(error),
        PeekError::Meta { .. } => Kind::Damaged,
        PeekError::Backend { source, .. } => backend_kind(source),
        _ => Kind::Failed,
    }
}

fn file_kind(error: &FileError) -> Kind {
    match error {
        FileError::NotFound { .. } => Kind::NotFound,
        FileError::InUse { .. } => Kind::InUse,
        FileError::NotAStore { .. } | FileError::Damaged { .. } => Kind::Damaged,
        _ => Kind::Failed,
    }
}

fn backend_kind(error: &BackendError) -> Kind {
    match error {
        BackendError::Damaged { .. } | BackendError::Row { .. } => Kind::Damaged,
        BackendError::Shared(error) => backend_kind(error),
        _ => Kind::Failed,
    }
}
