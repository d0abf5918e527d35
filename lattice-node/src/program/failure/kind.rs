//! What scripts distinguish: kinds and exit codes.

use crate::program::interrupt::Signal;

/// The kinds of failures that scripts distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Failed,
    Usage,
    /// A setting is wrong.
    Config,
    /// A condition of a write does not hold.
    Expectation,
    NoStore,
    NoKey,
    NoFile,
    /// A name, an identity or code that is not there.
    NotFound,
    /// A file is something else than a store.
    NotAStore,
    /// Bytes are invalid. The message names the remedy, if there is one.
    Damaged,
    /// Bytes of a store differ from those written.
    DamagedStore,
    InUse,
    UnknownType,
    /// A newer program wrote it.
    Newer,
    /// An older program, or other code, wrote it.
    NeedsUpgrade,
    Interrupted(Signal),
}

impl Kind {
    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Expectation => "expectation",
            Self::NoStore => "no_store",
            Self::NoKey => "no_key",
            Self::NoFile => "no_file",
            Self::NotFound => "not_found",
            Self::NotAStore => "not_a_store",
            Self::Damaged | Self::DamagedStore => "damaged",
            Self::InUse => "in_use",
            Self::UnknownType => "unknown_type",
            Self::Newer => "newer",
            Self::NeedsUpgrade => "needs_upgrade",
            Self::Interrupted(_) => "interrupted",
        }
    }

    pub(in super::super) const fn code(self) -> u8 {
        match self {
            Self::Failed | Self::Expectation | Self::NeedsUpgrade => 1,
            Self::Usage | Self::Config => 2,
            Self::NoStore | Self::NoKey | Self::NoFile | Self::NotFound | Self::NotAStore => 3,
            Self::Damaged | Self::DamagedStore => 4,
            Self::InUse => 5,
            Self::UnknownType | Self::Newer => 6,
            Self::Interrupted(signal) => signal.code(),
        }
    }

    pub(in super::super) fn is_damage(self) -> bool {
        matches!(self, Self::Damaged | Self::DamagedStore)
    }

    /// The kinds, in the order of their declaration, as a chain: a kind that is not in it does not
    /// compile.
    const fn next(self) -> Option<Self> {
        Some(match self {
            Self::Failed => Self::Usage,
            Self::Usage => Self::Config,
            Self::Config => Self::Expectation,
            Self::Expectation => Self::NoStore,
            Self::NoStore => Self::NoKey,
            Self::NoKey => Self::NoFile,
            Self::NoFile => Self::NotFound,
            Self::NotFound => Self::NotAStore,
            Self::NotAStore => Self::Damaged,
            Self::Damaged => Self::DamagedStore,
            Self::DamagedStore => Self::InUse,
            Self::InUse => Self::UnknownType,
            Self::UnknownType => Self::Newer,
            Self::Newer => Self::NeedsUpgrade,
            Self::NeedsUpgrade => Self::Interrupted(Signal::Int),
            Self::Interrupted(_) => return None,
        })
    }

    /// All kinds.
    pub(in super::super) fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Failed), |kind| kind.next())
    }

    /// The names of all kinds.
    pub(in super::super) fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::all().map(Self::name).collect();
        names.dedup();
        names
    }
}
