//! What a verification can find.

use lattice_meta::{Hlc, PubKey, StateHash};

use crate::backend::{Integrity, Table};
use crate::engine::read::HeldOp;
use crate::engine::verify::difference::shown;
use crate::engine::verify::{HashDifference, OpDifference, RowDifference};
use crate::machine::{LogicFault, LogicVersion};
use crate::op::{ApplyIndex, OpRef};

/// How thoroughly a store is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The rows of the state are counted and hashed again, and held against the state hash.
    Quick,
    /// Every signature, chain and clock is checked, the whole history is applied once more beside
    /// the store, and everything that the store keeps is held against what comes of it.
    Full,
}

/// What is wrong with one op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpFault {
    /// There is none in its place.
    #[error("there is no op in this place")]
    Missing,
    /// There is one behind the last that the store counts.
    #[error("it is behind the last op that the store counts")]
    Uncounted,
    /// Its bytes are no op.
    #[error("it cannot be read: {found}")]
    Unreadable {
        /// What was found.
        found: String,
    },
    /// Its author did not sign it.
    #[error("its signature does not hold")]
    Signature,
    /// It was applied before.
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
    /// It is not dated after what it follows.
    #[error("{reason}")]
    Clock {
        /// What was expected and found.
        reason: String,
    },
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The engine's own checksums do not hold.
    #[error("the database is damaged: {detail}")]
    Damaged {
        /// What the engine found.
        detail: String,
    },
    /// A row that no version of the format has.
    #[error(
        "table `{table}` has a row {} that the format does not know",
        shown(key)
    )]
    UnknownRow {
        /// The table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
    /// An op that is not as it should be.
    #[error("op number {index}{}: {fault}", named(op, author, hlc))]
    Op {
        /// Its position in the order of application.
        index: ApplyIndex,
        /// The op, if it can be read.
        op: Option<OpRef>,
        /// Its author, if it can be read.
        author: Option<PubKey>,
        /// When it was made, if it can be read.
        hlc: Option<Hlc>,
        /// What is wrong.
        fault: OpFault,
    },
    /// A held op that is not as it should be.
    #[error("held op {op}: {fault}")]
    HeldOp {
        /// The op.
        op: OpRef,
        /// What is wrong.
        fault: OpFault,
    },
    /// More ops that are not as they should be.
    #[error("{count} more ops have something wrong")]
    MoreOps {
        /// How many.
        count: u64,
    },
    /// An op has another effect than was recorded.
    #[error("{0}")]
    Effect(OpDifference),
    /// The state hash is another.
    #[error("{0}")]
    StateHash(HashDifference),
    /// A row is another.
    #[error("{0}")]
    Row(RowDifference),
    /// The greatest timestamp that the store keeps is not the greatest one applied.
    #[error("the store keeps {found} as the greatest timestamp, and it is {expected}")]
    Clock {
        /// The greatest timestamp applied, as a number.
        expected: u64,
        /// The one that the store keeps.
        found: u64,
    },
}

fn named(op: &Option<OpRef>, author: &Option<PubKey>, hlc: &Option<Hlc>) -> String {
    match (op, author, hlc) {
        (Some(op), Some(author), Some(hlc)) => {
            format!(" ({}, by {author}, made at {} ms)", op.id, hlc.ms())
        }
        (Some(op), ..) => format!(" ({op})"),
        _ => String::new(),
    }
}

impl Finding {
    /// The kind of the finding in a word, for programs.
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
            Self::Clock { .. } => "clock",
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How thorough it was.
    pub depth: Depth,
    /// Ops of the history; a quick verification does not look at them.
    pub ops: u64,
    /// Elements of the state.
    pub elements: u64,
    /// The hash of the state, computed from its rows.
    pub state_hash: StateHash,
    /// Sequence numbers of which an author made several ops. They are history, and nothing is wrong
    /// with the store for it.
    pub forks: u64,
    /// Ops that are held: the code of the store type could not apply them, or they follow such an
    /// op. They are not part of the state.
    pub held: u64,
    /// The first 64 of them.
    pub held_ops: Vec<HeldOp>,
    /// The logic that the state is recorded as computed by, its bytes escaped.
    pub recorded_logic: String,
    /// The logic that it was verified by.
    pub logic: LogicVersion,
    /// What the engine's own checksums say; [`Integrity::None`] if nobody has looked at them.
    pub checksums: Integrity,
    /// What is wrong; nothing in a whole store.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}
