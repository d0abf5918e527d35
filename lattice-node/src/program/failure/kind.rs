//! What scripts distinguish: kinds and exit codes.

/// The kinds of failures that scripts distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Failed,
    Usage,
    /// A condition of a write does not hold.
    Expectation,
    NoStore,
    NoKey,
    NoFile,
    /// A name, an identity or code that is not there.
    NotFound,
    /// Bytes are invalid. The message names the remedy, if there is one.
    Damaged,
    /// Bytes of a store differ from those written.
    DamagedStore,
    InUse,
    UnknownType,
    Interrupted,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Expectation => "expectation",
            Self::NoStore => "no_store",
            Self::NoKey => "no_key",
            Self::NoFile => "no_file",
            Self::NotFound => "not_found",
            Self::Damaged | Self::DamagedStore => "damaged",
            Self::InUse => "in_use",
            Self::UnknownType => "unknown_type",
            Self::Interrupted => "interrupted",
        }
    }

    pub(in super::super) const fn code(self) -> u8 {
        match self {
            Self::Failed | Self::Expectation => 1,
            Self::Usage => 2,
            Self::NoStore | Self::NoKey | Self::NoFile | Self::NotFound => 3,
            Self::Damaged | Self::DamagedStore => 4,
            Self::InUse => 5,
            Self::UnknownType => 6,
            // The exit code that a shell reports for a command ended by Ctrl-C.
            Self::Interrupted => 130,
        }
    }

    pub(in super::super) fn is_damage(self) -> bool {
        matches!(self, Self::Damaged | Self::DamagedStore)
    }

    /// The remedy that applies to every failure of this kind.
    pub(super) const fn next_step(self) -> Option<&'static str> {
        match self {
            Self::DamagedStore => Some(
                "`lattice verify` reports what is damaged, `lattice rebuild` recomputes the state \
                 if the history is intact, and `lattice restore` restores a copy",
            ),
            _ => None,
        }
    }
}
