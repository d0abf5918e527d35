//! Ops that cannot be applied yet: ops whose parents are missing, and ops dated ahead of the clock,
//! which are deferred. They stay in memory, within bounds, and are lost on close.
//!
//! A pending op counts its missing parents, and [`MissingParents`] finds it by each of them. When
//! such a parent is applied, its entries there are removed, without a look-up of the other parents.
//! An entry corresponds to the 72 bytes in which a pending op names a parent, so the peer that sent
//! these bytes has paid for it.

mod missing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lattice_meta::{Hlc, OpId, PubKey};

use crate::op::{Op, OpRef, Stamp};
use missing::MissingParents;

/// The most bytes of pending ops that a store keeps.
pub const MAX_PENDING_BYTES: usize = 64 << 20;
/// The most pending ops that a store keeps.
pub const MAX_PENDING_OPS: usize = MAX_PENDING_BYTES / MIN_COST;
/// A shorter op counts as this many bytes, so that one limit bounds both number and bytes.
const MIN_COST: usize = 1024;

/// Names a pending op in four bytes. The slot of a removed op is reused.
type Slot = u32;

/// Why an op is pending.
#[derive(Debug)]
enum Reason {
    Missing {
        /// The number of missing parents.
        count: usize,
        /// No parent before this position is missing.
        first: u16,
    },
    /// It is dated ahead; due at this time, in milliseconds.
    Deferred { until_ms: u64 },
}

/// Whether the store knows an op's author. Ops of unknown authors are evicted first, since a peer
/// can create any number of authors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum AuthorTrust {
    /// The owner, this node, an author that the caller named, or one with applied ops.
    Known,
    /// Any other author.
    #[default]
    Unknown,
}

#[derive(Debug)]
struct Pending {
    op: Op,
    reason: Reason,
    arrival: u64,
}

/// The pending ops of one author, in the order of arrival.
#[derive(Debug, Default)]
struct Share {
    arrivals: BTreeSet<(u64, Slot)>,
    cost: usize,
    trust: AuthorTrust,
}

impl Share {
    /// The author with the greatest rank loses an op first.
    fn rank(&self, author: PubKey) -> (AuthorTrust, usize, PubKey) {
        (self.trust, self.cost, author)
    }
}

/// Ops that cannot be applied yet.
#[derive(Debug, Default)]
pub(crate) struct PendingOps {
    ops: BTreeMap<Slot, Pending>,
    slots: BTreeMap<OpId, Slot>,
    /// Slots that were in use and now hold no op.
    free: Vec<Slot>,
    missing: MissingParents,
    /// Ops whose first missing parent has arrived, and which still miss others.
    moved: BTreeSet<Slot>,
    /// Local ops that pending ops name; see [`Self::note_appended`].
    appended: BTreeMap<OpRef, Hlc>,
    deferred: BTreeSet<(u64, Slot)>,
    shares: BTreeMap<PubKey, Share>,
    /// The authors, ordered by trust and then by the cost of their shares.
    ranking: BTreeSet<(AuthorTrust, usize, PubKey)>,
    cost: usize,
    arrivals: u64,
    /// Other processes have written since [`Self::take_unsure`].
    is_unsure: bool,
}

impl PendingOps {
    /// The number of pending ops.
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    /// Keeps an op until its missing parents have arrived. `missing` holds their positions among
    /// the op's parents, ascending. Returns the ops that were evicted to make room.
    pub(crate) fn wait(&mut self, op: Op, missing: &[u16], trust: AuthorTrust) -> Vec<OpId> {
        let reason = Reason::Missing {
            count: missing.len(),
            first: missing.first().copied().unwrap_or(0),
        };
        let slot = self.insert(op, reason, trust);
        let parents = self.ops[&slot].op.parents();
        let mut missing = missing.iter().peekable();
        for (nth, parent) in (0..).zip(parents) {
            if missing.next_if_eq(&&nth).is_some() {
                self.missing.insert(&parent, slot, nth);
            }
        }
        self.evict()
    }

    /// Keeps an op until the clock reaches `until_ms`. Returns the ops that were evicted to make
    /// room.
    pub(crate) fn defer(&mut self, op: Op, until_ms: u64, trust: AuthorTrust) -> Vec<OpId> {
        let slot = self.insert(op, Reason::Deferred { until_ms }, trust);
        self.deferred.insert((until_ms, slot));
        self.evict()
    }

    /// The first missing parent of an op, if it is pending and not deferred.
    pub(crate) fn first_missing(&mut self, id: &OpId) -> Option<OpRef> {
        let slot = *self.slots.get(id)?;
        self.find_missing(slot)
    }

    /// Makes a pending op that was delivered again the last to arrive.
    pub(crate) fn renew(&mut self, id: &OpId, trust: AuthorTrust) {
        let Some(&slot) = self.slots.get(id) else {
            return;
        };
        let Some(pending) = self.ops.get_mut(&slot) else {
            return;
        };
        self.arrivals += 1;
        let arrival = self.arrivals;
        let before = std::mem::replace(&mut pending.arrival, arrival);
        let author = pending.op.reference().author;
        self.change_share(author, |share| {
            share.arrivals.remove(&(before, slot));
            share.arrivals.insert((arrival, slot));
            share.trust = trust;
        });
    }

    /// Notes that an op was applied. Removes and returns the ops that no longer wait for it: those
    /// that miss no other parent, and those not dated after it, which can never be applied.
    pub(crate) fn arrive(&mut self, parent: &Stamp) -> Vec<Op> {
        let mut settled = Vec::new();
        for (slot, nth) in self.missing.places(&parent.op) {
            let pending = self.ops.get_mut(&slot);
            let Some(Pending { op, reason, .. }) = pending else {
                continue;
            };
            // Another parent may have the same hash.
            if op.parents().nth(nth.into()) != Some(parent.op) {
                continue;
            }
            let Reason::Missing { count, first } = reason else {
                continue;
            };
            self.missing.remove(&parent.op, slot, nth);
            *count -= 1;
            if *count == 0 || op.hlc() <= parent.hlc {
                settled.extend(self.take(slot));
            } else if *first == nth {
                self.moved.insert(slot);
            }
        }
        settled
    }

    /// The ops whose first missing parent has changed since the last call, each with its new one.
    pub(crate) fn take_moved(&mut self) -> Vec<(OpId, OpRef)> {
        let moved = std::mem::take(&mut self.moved);
        let now_missing = moved.into_iter().filter_map(|slot| {
            let missing = self.find_missing(slot)?;
            Some((self.ops.get(&slot)?.op.reference().id, missing))
        });
        now_missing.collect()
    }

    /// Remembers a local op that pending ops name: a copy of this author's store made the same op
    /// earlier. The next ingest takes it by [`Self::take_appended`], since the transaction of a
    /// local op applies no ops of others and may be rolled back.
    pub(crate) fn note_appended(&mut self, op: Stamp) {
        if !self.missing.places(&op.op).is_empty() {
            self.appended.insert(op.op, op.hlc);
        }
    }

    /// Removes and returns the remembered local ops. The caller checks whether they are applied.
    pub(crate) fn take_appended(&mut self) -> Vec<Stamp> {
        let appended = std::mem::take(&mut self.appended).into_iter();
        appended.map(|(op, hlc)| Stamp { hlc, op }).collect()
    }

    /// Notes that other processes may have applied ops that pending ops miss.
    pub(crate) fn note_others(&mut self) {
        self.is_unsure = true;
    }

    /// The missing parents of all pending ops, if other processes may have applied some of them
    /// since the last call.
    pub(crate) fn take_unsure(&mut self) -> BTreeSet<OpRef> {
        if !std::mem::take(&mut self.is_unsure) {
            return BTreeSet::new();
        }
        let of_one = |(slot, pending): (&Slot, &Pending)| {
            let parents = (0..).zip(pending.op.parents());
            let missing =
                parents.filter(|(nth, parent)| self.missing.contains(parent, *slot, *nth));
            missing.map(|(_, parent)| parent).collect::<Vec<_>>()
        };
        self.ops.iter().flat_map(of_one).collect()
    }

    /// Removes and returns the deferred ops that are due.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<Op> {
        let due = self
            .deferred
            .iter()
            .take_while(|(until_ms, _)| *until_ms <= now_ms);
        let slots: Vec<_> = due.map(|(_, slot)| *slot).collect();
        slots
            .into_iter()
            .filter_map(|slot| self.take(slot))
            .collect()
    }

    fn find_missing(&mut self, slot: Slot) -> Option<OpRef> {
        let Pending { op, reason, .. } = self.ops.get_mut(&slot)?;
        let Reason::Missing { first, .. } = reason else {
            return None;
        };
        let mut parents = (*first..).zip(op.parents().skip((*first).into()));
        let (nth, parent) =
            parents.find(|(nth, parent)| self.missing.contains(parent, slot, *nth))?;
        *first = nth;
        Some(parent)
    }

    fn insert(&mut self, op: Op, reason: Reason, trust: AuthorTrust) -> Slot {
        let OpRef { author, id, .. } = op.reference();
        if let Some(&slot) = self.slots.get(&id) {
            self.take(slot);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.ops.len()).expect("no more ops are pending than fit in memory")
        });
        self.arrivals += 1;
        let (arrival, cost) = (self.arrivals, cost(&op));
        self.change_share(author, |share| {
            share.arrivals.insert((arrival, slot));
            share.cost += cost;
            share.trust = trust;
        });
        self.cost += cost;
        self.slots.insert(id, slot);
        let pending = Pending {
            op,
            reason,
            arrival,
        };
        self.ops.insert(slot, pending);
        slot
    }

    /// Evicts ops until the rest fits: the oldest op of the author whose ops cost the most, and ops
    /// of unknown authors before those of known ones. A flood of one author's ops thus evicts its
    /// own, and a flood of many new authors' ops evicts none of a known author.
    fn evict(&mut self) -> Vec<OpId> {
        let mut evicted = Vec::new();
        while self.cost > MAX_PENDING_BYTES {
            let greatest = self
                .ranking
                .last()
                .and_then(|(_, _, author)| self.shares.get(author));
            let oldest = greatest.and_then(|share| share.arrivals.first().copied());
            let Some(op) = oldest.and_then(|(_, slot)| self.take(slot)) else {
                break;
            };
            evicted.push(op.reference().id);
        }
        evicted
    }

    fn take(&mut self, slot: Slot) -> Option<Op> {
        let Pending {
            op,
            reason,
            arrival,
        } = self.ops.remove(&slot)?;
        let OpRef { author, id, .. } = op.reference();
        self.slots.remove(&id);
        self.free.push(slot);
        self.moved.remove(&slot);
        match reason {
            Reason::Missing { count: 0, .. } => {}
            Reason::Missing { first, .. } => {
                for (nth, parent) in (first..).zip(op.parents().skip(first.into())) {
                    self.missing.remove(&parent, slot, nth);
                }
            }
            Reason::Deferred { until_ms } => {
                self.deferred.remove(&(until_ms, slot));
            }
        }
        let cost = cost(&op);
        self.change_share(author, |share| {
            share.arrivals.remove(&(arrival, slot));
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
