//! The script of a worker: a function of its seed and of the step number, so that the checker knows
//! which step was in progress.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The two replicas, each with its own writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The two stores of each replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Kv,
    Log,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Kv, Self::Log];
}

/// Number of threads of a [`Work::Burst`].
pub(crate) const BURST: u64 = 6;

/// One kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Puts one key.
    Put,
    /// Puts this many keys in one op.
    Batch(u64),
    /// Removes the first key of an earlier step, if the key exists.
    Delete(u64),
    /// Puts of [`BURST`] concurrent threads, which share commits.
    Burst,
    /// Appends this many entries in one op.
    Append(u64),
    /// Ingests the ops of the other replica.
    Ingest(Kind),
    Migrate(Kind),
    Rebuild(Kind),
    Compact(Kind),
    Backup(Kind),
    Reopen,
    /// Creates a store; a later step removes it.
    Create,
    Destroy,
}

impl Work {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Batch(_) => "batch",
            Self::Delete(_) => "delete",
            Self::Burst => "burst",
            Self::Append(_) => "append",
            Self::Ingest(_) => "ingest",
            Self::Migrate(_) => "migrate",
            Self::Rebuild(_) => "rebuild",
            Self::Compact(_) => "compact",
            Self::Backup(_) => "backup",
            Self::Reopen => "reopen",
            Self::Create => "create",
            Self::Destroy => "destroy",
        }
    }
}

/// A step: its number, its replica and its work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) number: u64,
    pub(crate) side: Side,
    pub(crate) work: Work,
}

impl Step {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let side = Side::BOTH[usize::from(random.below(2) == 1)];
        let kind = Kind::BOTH[usize::from(random.below(2) == 1)];
        let work = match random.below(100) {
            0..25 => Work::Put,
            25..35 => Work::Batch(1 + random.below(60)),
            35..41 => Work::Delete(number.saturating_sub(random.below(30))),
            41..46 => Work::Burst,
            46..63 => Work::Append(1 + random.below(20)),
            63..75 => Work::Ingest(kind),
            75..79 => Work::Migrate(kind),
            79..83 => Work::Rebuild(kind),
            83..88 => Work::Compact(kind),
            88..92 => Work::Backup(kind),
            92..94 => Work::Reopen,
            94..97 => Work::Create,
            _ => Work::Destroy,
        };
        Self { number, side, work }
    }

    /// The `index`-th key that a step writes.
    pub(crate) fn key(side: Side, number: u64, index: u64) -> Vec<u8> {
        format!("{}/{number:06}/{index:02}", side.name()).into_bytes()
    }

    /// The value of the `index`-th key or the content of the `index`-th entry: up to a few pages
    /// long.
    pub(crate) fn value(side: Side, number: u64, index: u64) -> Vec<u8> {
        let mut random = Random::new(number << 8 | index);
        let len = match random.below(20) {
            0 => 9_000,
            1 => 0,
            _ => random.below(200),
        };
        let mut value = format!("{} {number} {index} ", side.name()).into_bytes();
        value.extend((0..len).map(|_| b'a' + u8::try_from(random.below(26)).expect("26 letters")));
        value
    }
}
