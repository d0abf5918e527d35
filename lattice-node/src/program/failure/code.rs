//! Failures of commands on modules.

use std::io;

use lattice_code::LibraryError;

use super::{Failure, Kind};

pub(super) fn kind(error: &LibraryError) -> Kind {
    match error {
        LibraryError::Missing { .. }
        | LibraryError::PinMissing { .. }
        | LibraryError::ReleaseMissing { .. } => Kind::UnknownType,
        LibraryError::Refused { source, .. } if source.is_newer() => Kind::Newer,
        LibraryError::Trust { .. } => Kind::Damaged,
        LibraryError::Files(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => {
            Kind::NotFound
        }
        _ => Kind::Failed,
    }
}

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Self {
        Self::of(kind(&error), &error)
    }
}
