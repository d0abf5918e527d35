//! Histories made from plans, and causal orders of them.

use std::collections::BTreeSet;

use lattice_backend::op::{OpKind, OpRef};
use lattice_meta::{OpId, PubKey};
use proptest::sample::Index;

use super::plan::{Flaw, Kind, Plan, Twist, WritePlan};
use super::siblings;
use crate::support::bytes::{TestWrite, payload, payload_of};
use crate::support::host::TestOp;
use crate::support::op_ref;

/// An op of a history: the op as the state machine gets it, its writes, and its parents.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) op: TestOp,
    /// The writes of a valid payload; empty for a merge and for an invalid payload.
    pub(super) writes: Vec<TestWrite>,
    pub(super) parents: BTreeSet<usize>,
}

/// The places of an op's ancestors, without the op itself.
fn past(entries: &[Entry], parents: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut past = BTreeSet::new();
    let mut open: Vec<usize> = parents.iter().copied().collect();
    while let Some(place) = open.pop() {
        if past.insert(place) {
            open.extend(&entries[place].parents);
        }
    }
    past
}

/// Places ops in chains first and fills them afterwards, so that an op can name later ones.
pub(super) fn history(plans: &[Plan]) -> Vec<Entry> {
    let mut entries = Vec::<Entry>::new();
    for (place, plan) in plans.iter().enumerate() {
        entries.push(in_chain(&entries, place, plan));
    }
    let named: Vec<OpRef> = entries.iter().map(|entry| entry.op.reference).collect();
    for (place, plan) in plans.iter().enumerate() {
        let writes = writes(&entries, &named, place, plan);
        let entry = &mut entries[place];
        match plan.kind {
            Kind::Merge => entry.op.kind = OpKind::Merge,
            Kind::Invalid(flaw) => entry.op.payload = spoiled(writes, flaw),
            Kind::Valid => {
                entry.op.payload = payload(&writes);
                entry.writes = writes;
            }
        }
    }
    entries
}

fn in_chain(entries: &[Entry], place: usize, plan: &Plan) -> Entry {
    let author = PubKey::from_bytes([plan.author; 32]);
    let own: Vec<usize> = (0..entries.len())
        .filter(|&own| entries[own].op.reference.author == author)
        .collect();
    let prev = match plan.fork {
        Some(fork) => fork
            .index(own.len() + 1)
            .checked_sub(1)
            .map(|choice| own[choice]),
        None => own.last().copied(),
    };
    let deps = plan
        .deps
        .iter()
        .filter(|_| place > 0)
        .map(|dep| dep.index(place));
    let parents: BTreeSet<usize> = prev.into_iter().chain(deps).collect();
    let latest = parents
        .iter()
        .map(|&parent| entries[parent].op.hlc)
        .max()
        .unwrap_or(0);
    // Random first bytes break ties between equal times; the place makes the id unique.
    let mut id = [0; 32];
    id[..4].copy_from_slice(&plan.id);
    id[31] = u8::try_from(place).unwrap();
    let seq = prev.map_or(0, |prev| entries[prev].op.reference.seq + 1);
    let op = TestOp {
        kind: OpKind::Application,
        reference: OpRef {
            author,
            seq,
            id: OpId::from_bytes(id),
        },
        hlc: latest + plan.hlc_step,
        payload: Vec::new(),
    };
    Entry {
        op,
        writes: Vec::new(),
        parents,
    }
}

fn writes(entries: &[Entry], named: &[OpRef], place: usize, plan: &Plan) -> Vec<TestWrite> {
    let past = past(entries, &entries[place].parents);
    let seen: Vec<&Entry> = past.iter().map(|&place| &entries[place]).collect();
    let write = |(&key, write): (&u8, &WritePlan)| {
        let key = vec![b'a' + key];
        let mut supersedes = BTreeSet::new();
        if write.honest {
            supersedes.extend(siblings(&seen, &key).iter().map(|sibling| sibling.op));
        }
        for (target, twist) in &write.targets {
            let mut target = named[target.index(named.len())];
            match twist {
                // An id is a hash that covers the references, so no op can name itself.
                Twist::Exact if target == named[place] => continue,
                Twist::Exact => {}
                Twist::OtherAuthor => target.author = PubKey::from_bytes([9; 32]),
                Twist::OtherSeq => target.seq += 1,
                Twist::OtherId => target.id = OpId::from_bytes([9; 32]),
            }
            supersedes.insert(target);
        }
        TestWrite {
            key,
            supersedes,
            value: write.value.clone(),
        }
    };
    plan.writes.iter().map(write).collect()
}

/// A payload with these writes and exactly one flaw.
fn spoiled(mut writes: Vec<TestWrite>, flaw: Flaw) -> Vec<u8> {
    let mut good = payload(&writes);
    match flaw {
        Flaw::Empty => Vec::new(),
        Flaw::Format => {
            good[0] = 2;
            good
        }
        Flaw::Truncated => {
            good.pop();
            good
        }
        Flaw::UnusedRef => {
            let mut refs: BTreeSet<OpRef> = writes
                .iter()
                .flat_map(|write| write.supersedes.clone())
                .collect();
            refs.insert(op_ref(7, 7, 7));
            payload_of(&refs.into_iter().collect::<Vec<_>>(), &writes)
        }
        Flaw::EmptyKey => {
            writes[0].key.clear();
            payload(&writes)
        }
    }
}

/// A causal order of all ops, selected by these numbers.
pub(super) fn causal_order(entries: &[Entry], choices: &[Index]) -> Vec<usize> {
    let mut order = Vec::<usize>::new();
    let mut choices = choices.iter().cycle();
    while order.len() < entries.len() {
        let ready: Vec<usize> = (0..entries.len())
            .filter(|place| !order.contains(place))
            .filter(|&place| {
                entries[place]
                    .parents
                    .iter()
                    .all(|parent| order.contains(parent))
            })
            .collect();
        order.push(ready[choices.next().unwrap().index(ready.len())]);
    }
    order
}
