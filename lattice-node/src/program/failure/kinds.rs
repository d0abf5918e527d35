//! The kinds of the libraries' errors.

use std::error::Error;

use lattice_backend::backend::{BackendError, FileError, PeekError};
use lattice_backend::engine::open::OpenError;
use lattice_kvstore::KvRefusal;
use lattice_registry::ResolveError;

use super::Kind;
#[cfg(feature = "wasm")]
use super::code;
use crate::ManagerError;

/// The kind of a store type's refusal: a condition that does not hold has a kind of its own.
pub(super) fn refusal_kind(refusal: &(dyn Error + 'static)) -> Kind {
    match refusal.downcast_ref() {
        Some(KvRefusal::Expectation { .. }) => Kind::Expectation,
        _ => Kind::Failed,
    }
}

/// The kind of a manager's error, also for an entry of a list.
pub(in crate::program) fn manager_kind(error: &ManagerError) -> Kind {
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

pub(super) fn open_kind(error: &OpenError) -> Kind {
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

pub(super) fn peek_kind(error: &PeekError) -> Kind {
    match error {
        PeekError::File(error) => file_kind(error),
        PeekError::Meta { .. } => Kind::Damaged,
        PeekError::Backend { source, .. } => backend_kind(source),
        _ => Kind::Failed,
    }
}

pub(super) fn file_kind(error: &FileError) -> Kind {
    match error {
        FileError::NotFound { .. } => Kind::NoStore,
        FileError::InUse { .. } => Kind::InUse,
        FileError::NotAStore { .. } => Kind::NotAStore,
        FileError::Damaged { .. } | FileError::JournalMissing { .. } => Kind::DamagedStore,
        _ => Kind::Failed,
    }
}

pub(super) fn backend_kind(error: &BackendError) -> Kind {
    match error {
        BackendError::Damaged { .. }
        | BackendError::Row { .. }
        | BackendError::JournalMissing { .. } => Kind::DamagedStore,
        BackendError::SnapshotsLive | BackendError::InUse(_) => Kind::InUse,
        BackendError::Shared(error) => backend_kind(error),
        _ => Kind::Failed,
    }
}
