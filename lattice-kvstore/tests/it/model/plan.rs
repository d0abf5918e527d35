//! Random plans of histories.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

/// The plan of an op, in numbers that are resolved once the ops before it exist.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) author: u8,
    pub(super) id: [u8; 4],
    /// The author's op to follow instead of the last one; the first choice is to follow none.
    pub(super) fork: Option<Index>,
    pub(super) deps: Vec<Index>,
    pub(super) hlc_step: u64,
    pub(super) kind: Kind,
    pub(super) writes: BTreeMap<u8, WritePlan>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Valid,
    Merge,
    Invalid(Flaw),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Flaw {
    Empty,
    Format,
    Truncated,
    UnusedRef,
    EmptyKey,
}

#[derive(Debug, Clone)]
pub(super) struct WritePlan {
    pub(super) value: Option<Vec<u8>>,
    /// Supersede the values that the author can have seen.
    pub(super) honest: bool,
    pub(super) targets: Vec<(Index, Twist)>,
}

/// How a superseded op is named.
#[derive(Debug, Clone, Copy)]
pub(super) enum Twist {
    Exact,
    OtherAuthor,
    OtherSeq,
    OtherId,
}

/// Short and long values: up to 1,024 bytes are inside a cell.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let len = proptest::sample::select(&[0_usize, 5, 1024, 1025, 3000][..]);
    (any::<u8>(), len).prop_map(|(byte, len)| vec![byte; len])
}

pub(super) fn hostile() -> impl Strategy<Value = Plan> {
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
        proptest::option::weighted(0.75, value()),
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

/// A single author who makes only honest ops and never forks.
pub(super) fn honest() -> impl Strategy<Value = Plan> {
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
