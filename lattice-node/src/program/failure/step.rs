//! The remedy for a damaged store, which depends on the command that failed.

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

    /// The remedy for damage of a store. It does not name the command that has just failed, nor one
    /// that a later step has come from.
    pub(super) const fn for_damage(self) -> &'static str {
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

    /// The remedy if the place of a store has something else.
    pub(super) const fn for_replaced(self) -> &'static str {
        match self {
            Self::Restore => "restore another copy",
            Self::Salvage => "`lattice restore FILE` restores a copy",
            _ => {
                "`lattice restore FILE` restores a copy, and without one `lattice salvage STORE` exports \
                 what can be found"
            }
        }
    }
}
