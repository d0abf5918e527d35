//! Replicas that write independently and exchange bundles, in any order, partially, repeatedly,
//! with forks from restored copies and with ops that no honest replica makes. Replicas with the
//! same ops must have the same state, and it must be the one that a model derives from the set of
//! ops.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::backend::MemoryBackend;
use lattice_backend::bundle::{BundleReader, write_bundle};
use lattice_backend::conformance::Rng;
use lattice_backend::engine::verify::Depth;
use lattice_backend::op::{ApplyIndex, BranchTips, Op, OpRef};
use lattice_backend::progress::ProgressSink;
use lattice_registry::StoreHandle;

use crate::support::bytes::{TestWrite, payload_writes};
use crate::support::op_ref;
use crate::support::replica::{On, Replica, genesis};

/// Number of schedules; each one is a seed.
const SCHEDULES: u64 = 1000;
const STEPS: usize = 18;
/// Threads that share the schedules.
const THREADS: u64 = 2;
const KEYS: [&str; 4] = ["a", "b", "c", "ab"];
/// Lengths of values, among them the longest that a cell holds and the shortest that it does not.
const LENGTHS: [usize; 5] = [0, 1, 1024, 1025, 3000];

/// A bundle of the ops that one replica has and a replica with these branch tips lacks; some ops
/// may be left out.
fn bundle(from: &Replica, known: &BranchTips, rng: &mut Rng) -> Vec<u8> {
    let ops = from.kv.ops_after(known).unwrap().map(Result::unwrap);
    let partly = rng.one_in(3);
    let mut ops: Vec<Vec<u8>> = ops.filter(|_| !(partly && rng.one_in(3))).collect();
    if rng.one_in(4) {
        rng.shuffle(&mut ops);
    }
    let mut bundle = Vec::new();
    write_bundle(&mut bundle, &genesis(), &mut ops.into_iter().map(Ok)).unwrap();
    bundle
}

fn apply(to: &Replica, bundle: &[u8]) {
    let mut reader = BundleReader::new(bundle).unwrap();
    let mut ops = Vec::new();
    while let Some(op) = reader.next_op().unwrap() {
        ops.push(op);
    }
    to.take(ops);
}

/// The values of keys by the set of all ops: puts that no op supersedes, the greatest
/// `(hlc, op id)` first. Of the state machine it uses only the meaning of payloads.
fn model(ops: &[Op]) -> BTreeMap<Vec<u8>, Vec<(OpRef, Vec<u8>)>> {
    let mut writes = Vec::new();
    for op in ops {
        for write in payload_writes(op.payload()) {
            writes.push((op, write));
        }
    }
    let superseded: BTreeSet<(&[u8], OpRef)> = writes
        .iter()
        .flat_map(|(_, write)| write.supersedes.iter().map(|op| (&write.key[..], *op)))
        .collect();
    let mut siblings = BTreeMap::<Vec<u8>, Vec<_>>::new();
    for (op, write) in &writes {
        let is_superseded = superseded.contains(&(&write.key[..], op.reference()));
        if let Some(value) = write.value.as_ref().filter(|_| !is_superseded) {
            let sibling = (op.hlc(), op.reference(), value.clone());
            siblings.entry(write.key.clone()).or_default().push(sibling);
        }
    }
    let greatest_first = |mut siblings: Vec<(_, OpRef, Vec<u8>)>| {
        siblings.sort_by_key(|(hlc, op, _)| std::cmp::Reverse((*hlc, op.id)));
        siblings
            .into_iter()
            .map(|(_, op, value)| (op, value))
            .collect()
    };
    siblings
        .into_iter()
        .map(|(key, siblings)| (key, greatest_first(siblings)))
        .collect()
}

fn counted(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

fn check(replica: &Replica) -> (lattice_meta::StateHash, u64) {
    let count = replica.kv.op_count().unwrap();
    let ops: Vec<Op> = (0..count)
        .map(|index| replica.kv.op_at(ApplyIndex::new(index)).unwrap().unwrap())
        .collect();
    let expected = model(&ops);
    assert_eq!(replica.kv.count().unwrap(), counted(expected.len()));
    let all = replica.kv.iter().unwrap().map(Result::unwrap);
    let current = expected.iter().map(|(key, siblings)| (key, &siblings[0].1));
    assert!(
        all.eq(current.map(|(key, value)| (key.clone(), value.clone()))),
        "keys and current values"
    );
    let several = expected.iter().filter(|(_, siblings)| siblings.len() > 1);
    let mut several: Vec<Vec<u8>> = several.map(|(key, _)| key.clone()).collect();
    several.sort_by_key(|key| (key.len(), key.clone()));
    let found = replica.kv.conflicted_keys().unwrap().map(Result::unwrap);
    assert_eq!(found.collect::<Vec<_>>(), several);
    let mut keys: BTreeSet<Vec<u8>> = expected.keys().cloned().collect();
    keys.extend(replica.kv.iter().unwrap().keys().map(Result::unwrap));
    for key in keys {
        let siblings = replica.kv.conflicts(&key).unwrap();
        let found: Vec<_> = siblings
            .into_iter()
            .map(|sibling| (sibling.op, sibling.value))
            .collect();
        let expected = expected.get(&key).cloned().unwrap_or_else(Vec::new);
        assert_eq!(found, expected, "key {}", key.escape_ascii());
    }
    (replica.kv.state_hash().unwrap(), count)
}

fn step(rng: &mut Rng, replicas: &mut Vec<Replica>, hostile: &mut u32) {
    let place = rng.below(replicas.len());
    match rng.below(12) {
        0..=4 => {
            let replica = &replicas[place];
            replica.clock.advance(u64::try_from(rng.below(3)).unwrap());
            let key = KEYS[rng.below(KEYS.len())];
            let value = vec![u8::try_from(rng.below(200)).unwrap(); LENGTHS[rng.below(5)]];
            match rng.below(4) {
                0 => replica.kv.delete(key).unwrap(),
                1 => replica
                    .kv
                    .batch()
                    .put(key, &value[..])
                    .delete(KEYS[0])
                    .put("d", &value[..])
                    .commit()
                    .unwrap(),
                _ => replica.kv.put(key, value).unwrap(),
            };
        }
        5..=8 => {
            let other = rng.below(replicas.len());
            let known = match rng.one_in(3) {
                true => BranchTips::default(),
                false => replicas[other].kv.branch_tips().unwrap(),
            };
            let bundle = bundle(&replicas[place], &known, rng);
            apply(&replicas[other], &bundle);
            if rng.one_in(4) {
                apply(&replicas[other], &bundle);
            }
        }
        9 if replicas.len() < 6 => {
            // An old copy is restored and continues under the same author: a fork.
            let old = replicas[place].restored_copy();
            old.clock.advance(5);
            replicas.push(old);
        }
        _ => {
            // An op that supersedes a value that does not exist, or that its author cannot have
            // seen.
            let replica = &replicas[place];
            let count = replica.kv.op_count().unwrap();
            let target = match count.checked_sub(1) {
                Some(last) => {
                    let index =
                        u64::try_from(rng.below(usize::try_from(last + 1).unwrap())).unwrap();
                    let op = replica.kv.op_at(ApplyIndex::new(index)).unwrap();
                    op.unwrap().reference()
                }
                None => op_ref(9, 9, 9),
            };
            let target = match rng.one_in(3) {
                true => OpRef {
                    seq: target.seq + 1,
                    ..target
                },
                false => target,
            };
            *hostile += 1;
            let write = TestWrite {
                key: KEYS[rng.below(KEYS.len())].into(),
                supersedes: [target].into(),
                value: rng.one_in(2).then(|| vec![0xfe; LENGTHS[rng.below(5)]]),
            };
            let op = replica.foreign(*hostile, &[], &[write]);
            replica.take([op.bytes().to_vec()]);
        }
    }
}

fn schedule(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut replicas: Vec<Replica> = (1..=3)
        .map(|author| Replica::of(&genesis(), On::Memory, author))
        .collect();
    let mut hostile = 0;
    for _ in 0..STEPS {
        step(&mut rng, &mut replicas, &mut hostile);
    }
    for replica in &replicas {
        check(replica);
    }
    // At the end, each replica sends all its ops to each other one, so that missing ops arrive.
    for _ in 0..2 {
        for from in 0..replicas.len() {
            for to in 0..replicas.len() {
                let known = replicas[to].kv.branch_tips().unwrap();
                let ops = replicas[from]
                    .kv
                    .ops_after(&known)
                    .unwrap()
                    .map(Result::unwrap);
                replicas[to].take(ops.collect::<Vec<_>>());
            }
        }
    }
    let first = check(&replicas[0]);
    for replica in &replicas {
        assert_eq!(check(replica), first, "replicas that have the same ops");
    }
    let verified = replicas[0]
        .kv
        .verify(Depth::Full, &MemoryBackend::new(), &ProgressSink::none())
        .unwrap();
    assert_eq!(verified.findings, []);
    let forks = u64::try_from(replicas[0].kv.forks().unwrap().len()).unwrap();
    assert_eq!(verified.forks, forks);
}

#[test]
fn replicas_with_the_same_ops_have_the_state_of_the_model() {
    let share = |first: u64| {
        for nth in (first..SCHEDULES).step_by(usize::try_from(THREADS).unwrap()) {
            let seed = 0x636f_6e76_0000 + nth;
            let outcome = std::panic::catch_unwind(|| schedule(seed));
            if let Err(panic) = outcome {
                eprintln!("schedule with seed {seed:#x} failed");
                std::panic::resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|threads| {
        for first in 0..THREADS {
            threads.spawn(move || share(first));
        }
    });
}
