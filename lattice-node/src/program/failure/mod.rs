//! Failures of commands: a kind, a message, an exit code.

#[cfg(feature = "wasm")]
mod code;
mod interrupted;
mod kind;
#[cfg(feature = "shell")]
mod printed;
mod step;
mod text;

use std::error::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use lattice_backend::backend::{BackendError, Cause, FileError, PeekError};
use lattice_backend::bundle::BundleError;
use lattice_backend::engine::ingest::IngestError;
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::read::{FeedError, InfoError, MethodError};
use lattice_backend::engine::write::AppendError;
use lattice_kvstore::KvRefusal;
use lattice_registry::{RegisterError, ResolveError};

pub(super) use kind::Kind;
pub(super) use step::Step;
use text::{bounded, is_not_a_directory, next_step, print_error, step_to_a_directory};
pub(super) use text::{chain, print_json};

use crate::program::hints::Hints;
use crate::program::output::{escape_text, json_text};
use crate::program::suggest::did_you_mean;
use crate::{AliasError, IdentityError, ManagerError, NodeError};

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    message: String,
    closed_pipe: bool,
    /// True if the message does not name the store.
    lacks_place: bool,
    /// True if the exit code is the answer, and no message is printed.
    silent: bool,
    /// Further fields of the error as JSON.
    fields: serde_json::Map<String, serde_json::Value>,
    /// True if the message names a remedy that makes others useless.
    has_remedy: bool,
    /// True if something in a path is not a directory; the remedy is added when it is known where
    /// the stores are.
    is_not_a_directory: bool,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            closed_pipe: false,
            lacks_place: false,
            silent: false,
            has_remedy: false,
            is_not_a_directory: false,
            fields: serde_json::Map::new(),
        }
    }

    /// A negative answer that only the exit code gives.
    pub(super) fn silent(kind: Kind) -> Self {
        Self {
            silent: true,
            ..Self::new(kind, "")
        }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// A file that the user named cannot be read.
    pub(super) fn file(path: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NoFile,
            _ => Kind::Failed,
        };
        Self::of(kind, &error).within(&format!("cannot read {}", path.display()))
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> u8 {
        self.kind.code()
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.kind == Kind::InUse
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub(super) fn no_store(message: impl Into<String>) -> Self {
        Self::new(Kind::NoStore, message)
    }

    pub(super) fn damaged(message: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, message)
    }

    /// An error with its causes, and the remedy if one is known.
    pub(super) fn of(kind: Kind, error: &(dyn Error + 'static)) -> Self {
        let failure = Self {
            is_not_a_directory: is_not_a_directory(error),
            ..Self::new(kind, chain(error))
        };
        match next_step(error) {
            Some(step) => Self {
                has_remedy: true,
                ..failure.and(step)
            },
            None => failure,
        }
    }

    /// The output cannot be written.
    pub(super) fn output(error: io::Error) -> Self {
        let closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        let failed = Self::of(Kind::Failed, &error);
        Self {
            closed_pipe,
            message: format!("cannot print: {}", failed.message),
            ..failed
        }
    }

    /// Prefixes the message.
    pub(super) fn within(self, context: &str) -> Self {
        Self {
            message: format!("{context}: {}", self.message),
            ..self
        }
    }

    /// Prefixes the message with the store's path, if the message does not name the store.
    pub(super) fn at(self, place: Option<&Path>) -> Self {
        match place.filter(|_| self.lacks_place) {
            Some(place) => self.within(&place.display().to_string()),
            None => self,
        }
    }

    /// Adds the remedy for damage, and completes the commands in the message.
    pub(super) fn complete(self, hints: &Hints, step: Step) -> Self {
        let failure = match step.remedy(&self, hints.data_dir()) {
            Some(remedy) => self.and(remedy),
            None => self,
        };
        let failure = match failure.is_not_a_directory {
            true => {
                let step = step_to_a_directory(&failure.message, hints.data_dir());
                failure.and(step)
            }
            false => failure,
        };
        Self {
            is_not_a_directory: false,
            message: hints.complete(&failure.message),
            ..failure
        }
    }

    /// Calls a file by the name that the user knows it by.
    pub(super) fn renamed(self, file: &Path, name: &str) -> Self {
        Self {
            message: self.message.replace(&file.display().to_string(), name),
            ..self
        }
    }

    /// Appends to the message.
    pub(super) fn and(self, more: &str) -> Self {
        Self {
            message: format!("{}; {more}", self.message),
            ..self
        }
    }

    /// True if the reader closed the output, and nothing else failed.
    pub(super) fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }

    pub(super) fn is_damage(&self) -> bool {
        self.kind.is_damage()
    }

    /// The failure as JSON, for an entry of a list or a finding of a verification.
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "kind": self.kind.name(), "message": bounded(&self.message) })
    }

    pub(super) fn print(&self, json: bool) {
        if self.silent {
            return;
        }
        let message = bounded(&self.message);
        if json {
            let mut error = serde_json::Map::new();
            error.insert("kind".into(), self.kind.name().into());
            error.insert("message".into(), message.as_ref().into());
            error.extend(self.fields.clone());
            print_error(&json_text(&serde_json::json!({ "error": error })));
        } else {
            let prefix = super::error_prefix();
            print_error(&format!("{prefix} {}", escape_text(&message)));
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of(Kind::Failed, &error)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Manager(error) => error.into(),
            NodeError::Identity(error) => error.into(),
            error => Self::of(Kind::Failed, &error),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let kind = match &error {
            IdentityError::NotFound { .. } => Kind::NotFound,
            _ => Kind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        Self::of(Kind::Failed, &error)
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        ManagerError::from(error).into()
    }
}

impl From<AliasError> for Failure {
    fn from(error: AliasError) -> Self {
        let kind = match &error {
            AliasError::Form { .. } | AliasError::Taken { .. } => Kind::Usage,
            AliasError::NotFound { .. } => Kind::NotFound,
            _ => Kind::Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<ManagerError> for Failure {
    fn from(error: ManagerError) -> Self {
        if let ManagerError::Unverifiable { path, source } = error {
            let failure = Self::from(*source).and("--trust takes the store without verification");
            return failure.within(&format!("{} cannot be verified here", path.display()));
        }
        let failure = Self::of(manager_kind(&error), &error);
        let ManagerError::Resolve(ResolveError::Unknown { store_type, known }) = &error else {
            return failure;
        };
        let known: Vec<_> = known.iter().map(|known| known.as_str()).collect();
        match did_you_mean(store_type.as_str(), known) {
            Some(meant) => failure.and(&meant),
            None => failure.and(match cfg!(feature = "wasm") {
                true => {
                    "add its code with `lattice code add FILE`, or use a program that includes the type"
                }
                false => "use a program that includes the type",
            }),
        }
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let kind = match &error {
            BundleError::Backend(error) => backend_kind(error),
            BundleError::Format { .. } => Kind::Newer,
            BundleError::Read(_) | BundleError::Write(_) => Kind::Failed,
            _ => Kind::Damaged,
        };
        let failure = Self {
            lacks_place: matches!(error, BundleError::Backend(_) | BundleError::BadOp { .. }),
            ..Self::of(kind, &error)
        };
        let is_damage_on_the_way = matches!(
            error,
            BundleError::Genesis(_)
                | BundleError::Code { .. }
                | BundleError::Cut { .. }
                | BundleError::Length { .. }
                | BundleError::OpCount { .. }
                | BundleError::ByteCount { .. }
                | BundleError::Digest
                | BundleError::Trailing
        );
        match is_damage_on_the_way {
            true => failure
                .and("copy it again, or create it again with `bundle create` where it comes from"),
            false => failure,
        }
    }
}

impl From<FeedError> for Failure {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Backend(error) => error.into(),
            error => Self::of(Kind::Failed, &error),
        }
    }
}

impl From<MethodError> for Failure {
    fn from(error: MethodError) -> Self {
        let kind = match &error {
            MethodError::Call(_) | MethodError::Stream { .. } | MethodError::NotACommand { .. } => {
                Kind::Usage
            }
            MethodError::Append(error) => match error.downcast_ref() {
                Some(AppendError::<KvRefusal>::Refused(refusal)) => refusal_kind(refusal),
                _ => Kind::Failed,
            },
            MethodError::Backend(error) => backend_kind(error),
            _ => Kind::Failed,
        };
        Self {
            lacks_place: matches!(error, MethodError::Backend(_)),
            ..Self::of(kind, &error)
        }
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self {
            lacks_place: true,
            ..Self::of(backend_kind(&error), &error)
        }
    }
}

impl From<IngestError<Cause>> for Failure {
    fn from(error: IngestError<Cause>) -> Self {
        match error {
            IngestError::Backend(error) => error.into(),
            IngestError::Source { error, .. } => Self::of(Kind::Failed, &*error),
            error => Self::failed(error.to_string()),
        }
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
            AppendError::Refused(refusal) => refusal_kind(refusal),
            _ => Kind::Failed,
        };
        Self {
            lacks_place: matches!(error, AppendError::Backend(_)),
            ..Self::of(kind, &error)
        }
    }
}

/// The kind of a store type's refusal: a condition that does not hold has a kind of its own.
fn refusal_kind(refusal: &(dyn Error + 'static)) -> Kind {
    match refusal.downcast_ref() {
        Some(KvRefusal::Expectation { .. }) => Kind::Expectation,
        _ => Kind::Failed,
    }
}

/// The kind of a manager's error, also for an entry of a list.
pub(super) fn manager_kind(error: &ManagerError) -> Kind {
    match error {
        ManagerError::NoSuchStore { .. } => Kind::NoStore,
        ManagerError::NoDirectory { .. } => Kind::NoFile,
        ManagerError::Peek(error) => peek_kind(error),
        ManagerError::Resolve(ResolveError::Unknown { .. }) => Kind::UnknownType,
        ManagerError::Resolve(ResolveError::NoMigration { .. }) => Kind::Usage,
        #[cfg(feature = "wasm")]
        ManagerError::Resolve(ResolveError::Resolver { source, .. }) => {
            source.downcast_ref().map_or(Kind::Failed, code::kind)
        }
        ManagerError::Create(error) => file_kind(error),
        ManagerError::MigrateChanged { .. } | ManagerError::VerifyChanged { .. } => Kind::InUse,
        ManagerError::Verify { source, .. } | ManagerError::Compact { source, .. } => {
            backend_kind(source)
        }
        ManagerError::Open(error) => open_kind(error),
        ManagerError::Misplaced { .. } => Kind::Damaged,
        ManagerError::MigrateDamaged { .. }
        | ManagerError::CopyDamaged { .. }
        | ManagerError::Unsound { .. } => Kind::DamagedStore,
        ManagerError::Unverifiable { source, .. } => manager_kind(source),
        ManagerError::OpenElsewhere { .. } => Kind::InUse,
        _ => Kind::Failed,
    }
}

fn open_kind(error: &OpenError) -> Kind {
    match error {
        OpenError::File(error) => file_kind(error),
        OpenError::Peek(error) => peek_kind(error),
        OpenError::Backend { source, .. } => backend_kind(source),
        OpenError::NewerSchema { .. } => Kind::Newer,
        OpenError::NeedsMigration { .. }
        | OpenError::LogicChanged { .. }
        | OpenError::OlderSchema { .. } => Kind::NeedsUpgrade,
        OpenError::Genesis { .. }
        | OpenError::IdAgainstGenesis { .. }
        | OpenError::TypeAgainstGenesis { .. }
        | OpenError::History { .. } => Kind::DamagedStore,
        OpenError::NoGenesis { .. }
        | OpenError::LogicDiffers { .. }
        | OpenError::MigrationDiffers { .. } => Kind::Damaged,
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
        FileError::NotFound { .. } => Kind::NoStore,
        FileError::InUse { .. } => Kind::InUse,
        FileError::NotAStore { .. } => Kind::NotAStore,
        FileError::Damaged { .. } | FileError::JournalMissing { .. } => Kind::DamagedStore,
        _ => Kind::Failed,
    }
}

fn backend_kind(error: &BackendError) -> Kind {
    match error {
        BackendError::Damaged { .. }
        | BackendError::Row { .. }
        | BackendError::JournalMissing { .. } => Kind::DamagedStore,
        BackendError::SnapshotsLive | BackendError::InUse(_) => Kind::InUse,
        BackendError::Shared(error) => backend_kind(error),
        _ => Kind::Failed,
    }
}

#[cfg(test)]
mod tests;
