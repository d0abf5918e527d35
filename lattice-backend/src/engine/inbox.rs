//! Ops that cannot be applied yet. They are held in memory, within bounds, and forgotten on close.

use std::collections::{BTreeMap, BTreeSet};

use lattice_meta::{OpId, PubKey};

use crate::{Op, OpRef};

/// The most bytes of ops that a store holds back.
pub const MAX_HELD_BYTES: usize = 64 << 20;
/// The most ops that a store holds back.
pub const MAX_HELD_OPS: usize = MAX_HELD_BYTES / MIN_COST;
/// An op counts as this many bytes at the least, so that one bound holds for count and bytes.
const MIN_COST: usize = 1024;

/// What an op is held back for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Another op.
    Missing(OpRef),
    /// The clock, in milliseconds.
    Until(u64),
}

/// How the author of a held op stands to the store: strangers give way first, since anybody can make
/// as many of them as he likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Standing {
    /// The owner, this node, an author that was named or of whom ops are applied.
    Known,
    /// Anybody else.
    #[default]
    Stranger,
}

#[derive(Debug)]
struct Held {
    op: Op,
    reason: Reason,
    arrival: u64,
}

/// The ops that one author has in the inbox, in the order of arrival.
#[derive(Debug, Default)]
struct Share {
    arrivals: BTreeSet<(u64, OpId)>,
    cost: usize,
    standing: Standing,
}

impl Share {
    /// Who gives way: the last does.
    fn rank(&self, author: PubKey) -> (Standing, usize, PubKey) {
        (self.standing, self.cost, author)
    }
}

/// Ops that wait for others, and ops dated ahead of the clock.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: BTreeMap<OpId, Held>,
    waiting: BTreeSet<(OpRef, OpId)>,
    deferred: BTreeSet<(u64, OpId)>,
    shares: BTreeMap<PubKey, Share>,
    /// The authors by standing, and then by what their shares cost.
    ranking: BTreeSet<(Standing, usize, PubKey)>,
    cost: usize,
    arrivals: u64,
}

impl Inbox {
    /// How many ops are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Holds an op until `missing` is applied. Gives the ops that had to go for it.
    pub(super) fn wait(&mut self, op: Op, missing: OpRef, standing: Standing) -> Vec<OpId> {
        self.hold(op, Reason::Missing(missing), standing)
    }

    /// Holds an op until the clock shows `until_ms`. Gives the ops that had to go for it.
    pub(super) fn defer(&mut self, op: Op, until_ms: u64, standing: Standing) -> Vec<OpId> {
        self.hold(op, Reason::Until(until_ms), standing)
    }

    /// Takes out the ops that waited for this one.
    pub(super) fn take_waiting_for(&mut self, applied: &OpRef) -> Vec<Op> {
        let first = (*applied, OpId::from_bytes([0; 32]));
        let last = (*applied, OpId::from_bytes([0xff; 32]));
        let ids: Vec<_> = self
            .waiting
            .range(first..=last)
            .map(|(_, id)| *id)
            .collect();
        ids.iter().filter_map(|id| self.take(id)).collect()
    }

    /// Takes out the ops that are no longer dated ahead.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<Op> {
        let due = self
            .deferred
            .iter()
            .take_while(|(until_ms, _)| *until_ms <= now_ms);
        let ids: Vec<_> = due.map(|(_, id)| *id).collect();
        ids.iter().filter_map(|id| self.take(id)).collect()
    }

    fn hold(&mut self, op: Op, reason: Reason, standing: Standing) -> Vec<OpId> {
        let OpRef { author, id, .. } = op.reference();
        self.take(&id);
        match reason {
            Reason::Missing(missing) => self.waiting.insert((missing, id)),
            Reason::Until(until_ms) => self.deferred.insert((until_ms, id)),
        };
        self.arrivals += 1;
        let (arrival, cost) = (self.arrivals, cost(&op));
        self.change_share(author, |share| {
            share.arrivals.insert((arrival, id));
            share.cost += cost;
            share.standing = standing;
        });
        self.cost += cost;
        self.held.insert(
            id,
            Held {
                op,
                reason,
                arrival,
            },
        );
        self.evict()
    }

    /// Makes room: the author whose ops cost the most gives up the one that came first, so that a
    /// flood of one author's ops is at nobody else's cost; and a stranger before anybody who is known,
    /// so that a flood of many authors' is not, either.
    fn evict(&mut self) -> Vec<OpId> {
        let mut evicted = Vec::new();
        while self.cost > MAX_HELD_BYTES {
            let greatest = self
                .ranking
                .last()
                .and_then(|(_, _, author)| self.shares.get(author));
            let Some(&(_, id)) = greatest.and_then(|share| share.arrivals.first()) else {
                break;
            };
            self.take(&id);
            evicted.push(id);
        }
        evicted
    }

    fn take(&mut self, id: &OpId) -> Option<Op> {
        let Held {
            op,
            reason,
            arrival,
        } = self.held.remove(id)?;
        match reason {
            Reason::Missing(missing) => self.waiting.remove(&(missing, *id)),
            Reason::Until(until_ms) => self.deferred.remove(&(until_ms, *id)),
        };
        let cost = cost(&op);
        self.change_share(op.reference().author, |share| {
            share.arrivals.remove(&(arrival, *id));
            share.cost -= cost;
        });
        self.cost -= cost;
        Some(op)
    }

    fn change_share(&mut self, author: PubKey, change: impl FnOnce(&mut Share)) {
        let share = self.shares.entry(author).or_default();
        self.ranking.remove(&share.rank(author));
        change(share);
        if share.arrivals.is_empty() {
            self.shares.remove(&author);
        } else {
            self.ranking.insert(share.rank(author));
        }
    }
}

fn cost(op: &Op) -> usize {
    op.bytes().len().max(MIN_COST)
}
