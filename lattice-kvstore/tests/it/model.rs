//! The rule of heads and marks against a model that knows nothing but sets.
//!
//! The model looks at all ops at once and says what is a head and what is a mark. The state
//! machine takes the same ops one by one, in six orders that respect causality, and must end with
//! the model's rows each time, bit for bit.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::{Effect, OpKind, OpRef, Value};
use lattice_meta::{OpId, PubKey};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::Rows;
use crate::support::bytes::{TestHead, TestWrite, key_rows, mark_row, payload, payload_of};
use crate::support::host::{Host, TestOp, shown};

/// An op of a history: what the state machine gets, what it means, and what it follows.
#[derive(Debug, Clone)]
struct Entry {
    op: TestOp,
    /// The writes of a valid payload; none for a merge and an invalid one.
    writes: Vec<TestWrite>,
    parents: BTreeSet<usize>,
}

/// The heads of a key, the winner first: puts of applied valid ops that none supersedes.
fn heads(entries: &[&Entry], key: &[u8]) -> Vec<TestHead> {
    let writes_here = |entry: &&Entry| entry.writes.iter().find(|write| write.key == key).cloned();
    let superseded: BTreeSet<OpRef> = entries
        .iter()
        .filter_map(writes_here)
        .flat_map(|write| write.supersedes)
        .collect();
    let mut heads: Vec<TestHead> = entries
        .iter()
        .filter(|entry| !superseded.contains(&entry.op.reference))
        .filter_map(|entry| {
            let value = writes_here(entry)?.value?;
            Some(TestHead {
                hlc: entry.op.hlc,
                op: entry.op.reference,
                value,
            })
        })
        .collect();
    heads.sort_by_key(|head| std::cmp::Reverse((head.hlc, head.op.id)));
    heads
}

/// All rows of a store that has applied these ops.
fn rows(entries: &[&Entry]) -> Rows {
    let applied: BTreeSet<OpRef> = entries.iter().map(|entry| entry.op.reference).collect();
    let writes = || entries.iter().flat_map(|entry| &entry.writes);
    let keys: BTreeSet<&[u8]> = writes().map(|write| &write.key[..]).collect();
    let cells = keys
        .into_iter()
        .flat_map(|key| key_rows(key, &heads(entries, key)));
    let marks = writes().flat_map(|write| {
        let unknown = write.supersedes.iter().filter(|op| !applied.contains(op));
        unknown.map(|op| mark_row(op, &write.key))
    });
    cells.chain(marks).collect()
}

/// What an op is to be, in numbers that make sense once the ops before it are there.
#[derive(Debug, Clone)]
struct Plan {
    author: u8,
    id: [u8; 4],
    /// The author's op to follow instead of the last; the first of all choices is none.
    fork: Option<Index>,
    deps: Vec<Index>,
    hlc_step: u64,
    kind: Kind,
    writes: BTreeMap<u8, WritePlan>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Valid,
    Merge,
    Invalid(Flaw),
}

#[derive(Debug, Clone, Copy)]
enum Flaw {
    Empty,
    Format,
    Truncated,
    UnusedRef,
    EmptyKey,
}

#[derive(Debug, Clone)]
struct WritePlan {
    value: Option<u8>,
    /// Supersede the heads that the author can know of.
    honest: bool,
    targets: Vec<(Index, Twist)>,
}

/// How a superseded op is named.
#[derive(Debug, Clone, Copy)]
enum Twist {
    Exact,
    OtherAuthor,
    OtherSeq,
    OtherId,
}

fn hostile() -> impl Strategy<Value = Plan> {
    let twist = prop_oneof![
        6 => Just(Twist::Exact),
        1 => Just(Twist::OtherAuthor),
        1 => Just(Twist::OtherSeq),
        1 => Just(Twist::OtherId),
    ];
    let flaw = prop_oneof![
        Just(Flaw::Empty),
        Just(Flaw::Format),
        Just(Flaw::Truncated),
        Just(Flaw::UnusedRef),
        Just(Flaw::EmptyKey),
    ];
    let kind = prop_oneof![
        8 => Just(Kind::Valid),
        1 => Just(Kind::Merge),
        1 => flaw.prop_map(Kind::Invalid),
    ];
    let write = (
        proptest::option::weighted(0.75, any::<u8>()),
        any::<bool>(),
        proptest::collection::vec((any::<Index>(), twist), 0..3),
    )
        .prop_map(|(value, honest, targets)| WritePlan {
            value,
            honest,
            targets,
        });
    let writes = proptest::collection::btree_map(0..3_u8, write, 1..3);
    let fork = proptest::option::weighted(0.15, any::<Index>());
    let deps = proptest::collection::vec(any::<Index>(), 0..3);
    (
        0..3_u8,
        any::<[u8; 4]>(),
        fork,
        deps,
        1..3_u64,
        kind,
        writes,
    )
        .prop_map(|(author, id, fork, deps, hlc_step, kind, writes)| Plan {
            author,
            id,
            fork,
            deps,
            hlc_step,
            kind,
            writes,
        })
}

/// One author who lies about nothing and never forks.
fn honest() -> impl Strategy<Value = Plan> {
    hostile().prop_map(|mut plan| {
        plan.author = 0;
        plan.fork = None;
        if matches!(plan.kind, Kind::Invalid(_)) {
            plan.kind = Kind::Valid;
        }
        for write in plan.writes.values_mut() {
            write.honest = true;
            write.targets.clear();
        }
        plan
    })
}

/// The places of an op's ancestors, itself not among them.
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

/// Places ops in chains first and fills them then, so that an op can name later ones.
fn history(plans: &[Plan]) -> Vec<Entry> {
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
    // Random first bytes decide between equal times; the place makes the id unique.
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
            supersedes.extend(heads(&seen, &key).iter().map(|head| head.op));
        }
        for (target, twist) in &write.targets {
            let mut target = named[target.index(named.len())];
            match twist {
                // An id is a hash of what it names, so no op can name itself.
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
            value: write.value.map(|value| vec![value; 3]),
        }
    };
    plan.writes.iter().map(write).collect()
}

/// A payload that would say all this, if it had not one flaw.
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
            refs.insert(crate::support::op_ref(7, 7, 7));
            payload_of(&refs.into_iter().collect::<Vec<_>>(), &writes)
        }
        Flaw::EmptyKey => {
            writes[0].key.clear();
            payload(&writes)
        }
    }
}

/// The places of all ops in an order that respects causality, chosen by these numbers.
fn causal_order(entries: &[Entry], choices: &[Index]) -> Vec<usize> {
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

fn check(plans: &[Plan], choices: &[Vec<Index>]) -> Result<(), TestCaseError> {
    let entries = history(plans);
    let all: Vec<&Entry> = entries.iter().collect();
    let expected = rows(&all);
    for (number, choices) in choices.iter().enumerate() {
        let mut host = Host::new();
        let order = causal_order(&entries, choices);
        for (done, &place) in order.iter().enumerate() {
            let effect = host.record(&entries[place].op);
            let expected = match plans[place].kind {
                Kind::Merge => None,
                Kind::Invalid(_) => Some(Effect::Void),
                Kind::Valid => Some(Effect::Applied),
            };
            prop_assert_eq!(effect, expected);
            if number == 0 {
                let so_far: Vec<&Entry> = order[..=done]
                    .iter()
                    .map(|&place| &entries[place])
                    .collect();
                prop_assert_eq!(
                    shown(host.rows()),
                    shown(&rows(&so_far)),
                    "after {:?}",
                    order
                );
            }
        }
        prop_assert_eq!(shown(host.rows()), shown(&expected), "in order {:?}", order);
        check_reads(&host, &all)?;
    }
    Ok(())
}

fn check_reads(host: &Host, entries: &[&Entry]) -> Result<(), TestCaseError> {
    let mut conflicted = Vec::new();
    for key in [&b"a"[..], b"b", b"c"] {
        let heads = heads(entries, key);
        let named = || [("key", Value::Bytes(key.to_vec()))];
        let value = heads.first().map(|head| head.value.clone());
        prop_assert_eq!(host.query("get", named()), value.into());
        let ops: Vec<Value> = heads
            .iter()
            .map(|head| {
                Value::record([
                    ("value", Value::Bytes(head.value.clone())),
                    ("author", Value::Text(head.op.author.to_string())),
                    ("seq", head.op.seq.into()),
                    ("op", Value::Text(head.op.id.to_string())),
                    ("hlc", head.hlc.into()),
                ])
            })
            .collect();
        prop_assert_eq!(host.query("conflicts", named()), Value::List(ops));
        if heads.len() > 1 {
            conflicted.push(Value::Bytes(key.to_vec()));
        }
    }
    prop_assert_eq!(host.query("conflicted_keys", []), Value::List(conflicted));
    Ok(())
}

fn orders() -> impl Strategy<Value = Vec<Vec<Index>>> {
    proptest::collection::vec(proptest::collection::vec(any::<Index>(), 24), 6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn three_authors_who_fork_and_lie_end_with_the_models_rows_in_every_order(
        plans in proptest::collection::vec(hostile(), 1..20), orders in orders(),
    ) {
        check(&plans, &orders)?;
    }

    #[test]
    fn one_author_who_sees_all_of_it_never_has_a_conflict_or_a_mark(
        mut plans in proptest::collection::vec(honest(), 1..20), orders in orders(),
    ) {
        for plan in &mut plans {
            plan.deps.clear();
        }
        check(&plans, &orders[..1])?;
        let entries = history(&plans);
        let rows = rows(&entries.iter().collect::<Vec<_>>());
        prop_assert!(rows.keys().all(|row| row[0] == b'c'));
    }
}
