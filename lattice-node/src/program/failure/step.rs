//! The remedy for a damaged store, which depends on the command that failed.

use std::path::Path;

use super::{Failure, Kind};
use crate::program::args::Command;

/// The command that failed, as far as the remedy depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::program) enum Step {
    Verify,
    Rebuild,
    Restore,
    Salvage,
    Other,
}

impl Step {
    pub(in crate::program) const fn of(command: &Command) -> Self {
        match command {
            Command::Verify(_) => Self::Verify,
            Command::Rebuild(_) => Self::Rebuild,
            Command::Restore(_) => Self::Restore,
            Command::Salvage(_) => Self::Salvage,
            _ => Self::Other,
        }
    }

    /// The remedy for a store that cannot be read, if the failure has none of its own.
    pub(super) fn remedy(self, failure: &Failure, data_dir: Option<&Path>) -> Option<&'static str> {
        let is_in_place = |data_dir: &Path| {
            let stores = data_dir.join("stores").display().to_string();
            failure.message.contains(&stores)
        };
        match failure.kind {
            Kind::DamagedStore if !failure.has_remedy => Some(self.for_damage()),
            // The first bytes of a file say what it is, and they can be damaged as well.
            Kind::NotAStore if data_dir.is_some_and(is_in_place) => {
                Some("if a store was there, `lattice restore FILE` restores a copy")
            }
            _ => None,
        }
    }

    /// The remedy for damage of a store. It does not name the command that has just failed, nor one
    /// that a later step has come from.
    const fn for_damage(self) -> &'static str {
        match self {
            Self::Other => {
                "`lattice verify STORE` reports what is damaged, `lattice rebuild STORE` recomputes \
                 the state if the history is intact, and `lattice restore FILE` restores a copy"
            }
            Self::Verify => {
                "`lattice rebuild STORE` recomputes the state if the history is intact, and `lattice \
                 restore FILE` restores a copy"
            }
            Self::Rebuild => {
                "`lattice restore FILE` restores a copy, and without one `lattice salvage STORE` exports \
                 what can be read"
            }
            Self::Salvage => "`lattice restore FILE` restores a copy",
            Self::Restore => "restore another copy",
        }
    }
}
