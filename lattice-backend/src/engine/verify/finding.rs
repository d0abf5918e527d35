//! The findings of a verification.

use lattice_meta::{Hlc, PubKey, StateHash};

use crate::backend::{Integrity, Table};
use crate::clock::Time;
use crate::engine::read::HeldOp;
use crate::engine::verify::difference::shown;
use crate::engine::verify::{HashDifference, OpDifference, RowDifference};
use crate::machine::{LogicFault, LogicVersion};
use crate::op::{ApplyIndex, OpRef};

/// How thoroughly a store is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Counts and hashes the rows of the state again, and compares the result with the state hash.
    Quick,
    /// Checks every signature, chain and clock, replays the whole history beside the store, and
    /// compares everything that the store keeps with the result.
    Full,
}

/// What is wrong with an op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpFault {
    /// There is no op at its apply index.
    #[error("there is no op at this index")]
    Missing,
    /// It stands after the last op that the store counts.
    #[error("it is after the last op that the store counts")]
    Uncounted,
    /// Its bytes do not decode as an op.
    #[error("it cannot be read: {found}")]
    Unreadable {
        /// What was found.
        found: String,
    },
    /// Its signature is not its author's.
    #[error("its signature is not valid")]
    Signature,
    /// It was already applied before.
    #[error("it was applied before")]
    Twice,
    /// It names an op that was not applied before it.
    #[error("it follows op {parent}, which was not applied before it")]
    Parent {
        /// The op that it names.
        parent: OpRef,
    },
    /// The code of the store type failed on it.
    #[error("{fault}")]
    Code {
        /// What the code did.
        fault: LogicFault,
    },
    /// It is not dated after an op that it follows.
    #[error("{reason}")]
    Clock {
        /// The timestamps expected and found.
        reason: String,
    },
}

/// A defect of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The database is damaged: a checksum of the backend fails, or a table cannot be read.
    #[error("the database is damaged: {detail}")]
    Damaged {
        /// The damage found.
        detail: String,
    },
    /// A row that no version of the format allows.
    #[error(
        "table `{table}` has a row {}, which the format does not allow",
        shown(key)
    )]
    UnknownRow {
        /// The table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
    /// An op with a fault.
    #[error("op at index {index}{}: {fault}", named(op, author, hlc))]
    Op {
        /// Its apply index.
        index: ApplyIndex,
        /// The op, if its bytes decode to one.
        op: Option<OpRef>,
        /// Its author, if its bytes decode to an op.
        author: Option<PubKey>,
        /// Its timestamp, if its bytes decode to an op.
        hlc: Option<Hlc>,
        /// What is wrong.
        fault: OpFault,
    },
    /// A held op with a fault.
    #[error("held op {op}: {fault}")]
    HeldOp {
        /// The op.
        op: OpRef,
        /// What is wrong.
        fault: OpFault,
    },
    /// More ops with faults.
    #[error("{count} more ops have faults")]
    MoreOps {
        /// The number of those ops.
        count: u64,
    },
    /// The effect of an op differs from the recorded one.
    #[error("{0}")]
    Effect(OpDifference),
    /// The state hash differs.
    #[error("{0}")]
    StateHash(HashDifference),
    /// A row differs.
    #[error("{0}")]
    Row(RowDifference),
    /// The store records that other logic computed its state, which the logic that verified it does
    /// not name as equal. If nothing else was found, both compute the same state: an upgrade, or
    /// opening the store for writing, records the current version.
    #[error(
        "the store records the logic {recorded}, and {current} verified it; `lattice upgrade STORE` \
         records {current} if a replay gives the same state"
    )]
    Logic {
        /// The recorded version.
        recorded: String,
        /// The version that verified the store.
        current: LogicVersion,
    },
    /// The recorded greatest timestamp differs from the greatest applied one.
    #[error("greatest timestamp: computed {expected}, recorded {found}")]
    Clock {
        /// The greatest timestamp applied, as a number.
        expected: u64,
        /// The recorded timestamp.
        found: u64,
    },
}

fn named(op: &Option<OpRef>, author: &Option<PubKey>, hlc: &Option<Hlc>) -> String {
    match (op, author, hlc) {
        (Some(op), Some(author), Some(hlc)) => {
            format!(
                " ({}, by {author}, made at {})",
                op.id,
                Time::from_ms(hlc.ms())
            )
        }
        (Some(op), ..) => format!(" ({op})"),
        _ => String::new(),
    }
}

impl Finding {
    /// The kind of the finding in one word, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "damaged",
            Self::UnknownRow { .. } => "unknown_row",
            Self::Op { .. } => "op",
            Self::HeldOp { .. } => "held_op",
            Self::MoreOps { .. } => "more_ops",
            Self::Effect(_) => "effect",
            Self::StateHash(_) => "state_hash",
            Self::Row(_) => "row",
            Self::Logic { .. } => "logic",
            Self::Clock { .. } => "clock",
        }
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How thorough the verification was.
    pub depth: Depth,
    /// The number of ops in the history; a quick verification does not read them.
    pub ops: u64,
    /// The number of elements in the state.
    pub elements: u64,
    /// The hash of the state, computed from its rows.
    pub state_hash: StateHash,
    /// The number of sequence numbers at which an author made several ops. Forks are part of the
    /// history and no defect of the store.
    pub forks: u64,
    /// The number of held ops: those that the code of the store type could not apply, and those
    /// that follow one of them. They are not part of the state.
    pub held: u64,
    /// The first 64 held ops.
    pub held_ops: Vec<HeldOp>,
    /// The recorded version of the logic that computed the state, its bytes escaped.
    pub recorded_logic: String,
    /// The version of the logic that verified it.
    pub logic: LogicVersion,
    /// The result of the backend's checksums; [`Integrity::None`] if nothing has checked them.
    pub checksums: Integrity,
    /// What is wrong; empty for an intact store.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether the store is intact.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}
