//! What one replica advertises and sends to another.

use std::collections::BTreeSet;

use lattice_backend::backend::Cause;
use lattice_backend::conformance::Rng;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::machine::StateMachine;
use lattice_backend::op::{BranchTips, Op, OpKind, OpRef};

use crate::late::{Flaw, Late};
use crate::registers::payload;
use crate::support::*;

fn after(store: &Store, known: &[OpRef]) -> Vec<OpRef> {
    let ops = store.ops_after(&BranchTips::from(known.to_vec())).unwrap();
    let expected = ops.len();
    let ops: Vec<OpRef> = ops
        .map(|bytes| {
            let op = Op::decode(bytes.unwrap(), store.hasher()).unwrap();
            op.reference()
        })
        .collect();
    assert_eq!(ops.len(), expected, "the length is known before");
    ops
}

#[test]
fn the_ops_after_an_op_of_a_chain_are_the_later_ones() {
    let store = replica(1);
    let ops: Vec<OpRef> = (0..300)
        .map(|_| append(&store, "key", "value").reference())
        .collect();
    assert_eq!(after(&store, &[]), ops);
    for known in [0, 1, 254, 255, 256, 257, 298, 299] {
        assert_eq!(after(&store, &ops[known..=known]), ops[known + 1..]);
    }
    // Several ops of one chain have the same effect as the last of them.
    assert_eq!(after(&store, &[ops[7], ops[100], ops[9]]), ops[101..]);
    // An op that is unknown here is ignored.
    let unknown = chain(&secret(2), 1)[0].reference();
    assert_eq!(after(&store, &[unknown, ops[298]]), ops[299..]);
    let other_id = OpRef {
        id: unknown.id,
        ..ops[299]
    };
    assert_eq!(after(&store, &[other_id]), ops);
}

/// Also while another thread writes, the ops are those that led to the state.
#[test]
fn ops_and_state_are_of_one_moment() {
    let store = replica(1);
    let writer = store.clone();
    std::thread::scope(|threads| {
        let writing = threads.spawn(move || {
            for number in 0..300 {
                append(&writer, &format!("key {number}"), "value");
            }
        });
        loop {
            let is_last = writing.is_finished();
            let (ops, state) = store.ops_and_state(&BranchTips::default()).unwrap();
            let ops: Vec<_> = ops.map(|op| op.unwrap()).collect();
            let other = replica(2);
            let report = other.ingest(ops.into_iter().map(Ok::<_, Cause>), &Authors::Any);
            assert!(report.unwrap().is_complete());
            assert_eq!(other.snapshot().unwrap().state().unwrap(), state);
            if is_last {
                break;
            }
        }
    });
    assert_eq!(store.op_count().unwrap(), 300);
    let state = store.snapshot().unwrap().state().unwrap();
    assert_eq!(state.state_hash, store.state_hash().unwrap());
    assert_eq!(state.frontier, store.frontier().unwrap());
    assert_eq!(state.logic, *store.machine().logic().version());
}

/// With tips alone, the op of the other branch would be lost.
#[test]
fn the_ops_after_one_branch_of_a_fork_are_the_other_branch() {
    let store = replica(1);
    let author = secret(2);
    let root = op(&author, None, &[], 0, &payload(b"k", b"root"));
    let left = op(&author, Some(&root), &[], 1, &payload(b"k", b"left"));
    let right = op(&author, Some(&root), &[], 1, &payload(b"k", b"right"));
    let more = op(&author, Some(&right), &[], 2, &payload(b"k", b"more"));
    ingest(&store, &[&root, &left, &right, &more]);
    let [root, left, right, more] = [root, left, right, more].map(|op| op.reference());
    assert_eq!(after(&store, &[left]), [right, more]);
    assert_eq!(after(&store, &[more]), [left]);
    assert_eq!(after(&store, &[root]), [left, right, more]);
    assert!(after(&store, &[left, more]).is_empty());
    assert_eq!(store.branch_tips().unwrap().tips.len(), 2);
}

/// Random forked histories and random known ops, compared with the definition: every op that is not
/// on the `prev` chain of an op that is known here, in causal order.
#[test]
fn the_ops_sent_equal_those_of_the_definition() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let store = replica(1);
        let authors = [secret(2), secret(3)];
        let mut ops = Vec::<Op>::new();
        for nth in 0..30_u8 {
            let author = rng.pick(&authors).unwrap();
            let own = ops
                .iter()
                .filter(|op| op.reference().author == author.public());
            let own: Vec<&Op> = own.collect();
            let prev = match rng.below(8) {
                0 => None,
                1 | 2 => rng.pick(&own).copied(),
                _ => own.last().copied(),
            };
            let made = op(author, prev, &[], u64::from(nth), &payload(b"k", &[nth]));
            assert_eq!(ingest(&store, &[&made]).applied(), 1);
            ops.push(made);
        }
        assert_whole(&store);
        for _ in 0..20 {
            let count = rng.below(4);
            let mut known: Vec<OpRef> = (0..count)
                .map(|_| rng.pick(&ops).unwrap().reference())
                .collect();
            known.push(chain(&secret(9), 1)[0].reference());
            let mut has = BTreeSet::new();
            for op in ops.iter().rev() {
                let own = op.reference();
                if known.contains(&own) || has.contains(&own) {
                    has.insert(own);
                    has.extend(op.prev());
                }
            }
            let expected: Vec<OpRef> = ops
                .iter()
                .map(Op::reference)
                .filter(|op| !has.contains(op))
                .collect();
            assert_eq!(
                after(&store, &known),
                expected,
                "seed {seed}, known {known:?}"
            );
        }
    }
}

#[test]
fn a_view_does_not_change_while_the_store_is_written() {
    let store = replica(1);
    append(&store, "key", "1");
    let ops = store.ops_after(&BranchTips::default()).unwrap();
    append(&store, "key", "2");
    assert_eq!(ops.count(), 1);
}

#[test]
fn two_replicas_converge() {
    let (one, two) = (replica(1), replica(2));
    for round in 0..5_u8 {
        append(&one, "one", [round]);
        append(&one, "both", [round]);
        append(&two, "both", [round]);
        assert!(pull(&one, &two).is_complete());
        append(&two, "two", [round]);
        assert!(pull(&two, &one).is_complete());
        assert_converged(&[&one, &two]);
    }
    assert_eq!(pull(&one, &two).outcomes, []);
    assert_eq!(one.op_count().unwrap(), 20);
}

/// Ops reach a third replica through the others, in other orders.
#[test]
fn three_replicas_converge_through_one_another() {
    let stores = [replica(1), replica(2), replica(3)];
    let mut rng = Rng::new(3);
    for round in 0..60_u8 {
        let (at, from) = (rng.below(3), rng.below(3));
        append(&stores[at], "abc".get(at..=at).unwrap(), [round]);
        append(&stores[at], "shared", [round]);
        if rng.one_in(3) {
            pull(&stores[from], &stores[at]);
        }
    }
    for _ in 0..2 {
        pull(&stores[0], &stores[1]);
        pull(&stores[1], &stores[2]);
        pull(&stores[2], &stores[0]);
    }
    assert_converged(&stores.each_ref());
    assert_eq!(stores[0].op_count().unwrap(), 120);
    assert!(stores[0].forks().unwrap().is_empty());
}

/// If the frontier has more ops than one op can name, merges join them in the transaction of the op
/// that follows them all.
#[test]
fn a_frontier_of_more_ops_than_deps_is_merged_in_the_same_transaction() {
    let backend = Late::new(Flaw::None);
    let site = Site::new(backend.clone(), "state.db");
    let store = site.open();
    let firsts: Vec<Op> = (0..1100_u64)
        .map(|nth| {
            let mut seed = [0xaa; 32];
            seed[..8].copy_from_slice(&nth.to_le_bytes());
            let author = lattice_backend::op::SecretKey::from_bytes(&seed);
            op(&author, None, &[], 0, &payload(&nth.to_le_bytes(), b"v"))
        })
        .collect();
    let report = ingest(&store, &firsts.iter().collect::<Vec<_>>());
    assert_eq!(report.applied(), 1100);
    assert_eq!(store.frontier().unwrap().len(), 1100);
    let before = backend.commits();
    let last = append(&store, "key", "value");
    assert_eq!(backend.commits(), before + 1);
    assert_eq!(store.frontier().unwrap(), [last.reference()]);
    assert_eq!(store.op_count().unwrap(), 1102);
    let merge = store.op_at(at(1100)).unwrap().unwrap();
    assert_eq!((merge.kind(), merge.deps().len()), (OpKind::Merge, 1024));
    assert!(merge.payload().is_empty());
    assert_eq!(last.prev(), Some(merge.reference()));
    assert_eq!(last.deps().len(), 1100 - 1024);
    assert_whole(&store);
    let other = replica(7);
    assert!(pull(&store, &other).is_complete());
    assert_converged(&[&store, &other]);
}
