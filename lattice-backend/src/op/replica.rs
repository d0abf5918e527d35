//! What replicas say to each other about their ops.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lattice_meta::{PubKey, StateHash};

use crate::op::OpRef;

/// How far the two orders of a store reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct OpsEnd {
    /// The number of applied ops: the next apply index.
    pub applied: u64,
    /// The next number of a held op.
    pub held: u64,
}

impl OpsEnd {
    /// The greater of both numbers.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            applied: self.applied.max(other.applied),
            held: self.held.max(other.held),
        }
    }
}

/// One of the two orders of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpOrder {
    /// Applied ops by apply index.
    Applied,
    /// Held ops by their numbers, which have gaps.
    Held,
}

/// What a replica has, as of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaView {
    /// How far its orders reach.
    pub end: OpsEnd,
    /// The number of held ops.
    pub held: u64,
    /// The tips of all branches of all authors, held ops included, ascending.
    pub tips: Arc<[OpRef]>,
    /// The hash of the whole state.
    pub state: StateHash,
}

/// What another replica has of an author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Has {
    /// These ops, and all before them on their branches. Ops that are unknown here say nothing.
    Ops(Vec<OpRef>),
    /// All ops before this apply index.
    Before(u64),
}

/// What another replica lacks of an author: all ops but these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The author.
    pub author: PubKey,
    /// What the replica has.
    pub has: Has,
}

/// What another replica lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// Everything.
    All,
    /// Ops of these authors, each named once.
    Of(Vec<Lack>),
}
