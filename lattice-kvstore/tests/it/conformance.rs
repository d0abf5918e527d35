//! Runs the conformance suite for state machines.

use std::collections::BTreeSet;

use lattice_backend::conformance::{MachineSuite, Rng};
use lattice_backend::op::{Op, OpRef};
use lattice_kvstore::{Command, Expectation, KvMachine};

use crate::support::bytes::{TestWrite, payload};
use crate::support::op_ref;

fn key(rng: &mut Rng) -> Vec<u8> {
    vec![b'a', u8::try_from(rng.below(4)).unwrap()][..1 + rng.below(2)].to_vec()
}

/// Lengths of values that fit in cells and, sometimes, of longer ones.
fn length(rng: &mut Rng) -> usize {
    match rng.below(8) {
        0 => 1024,
        1 => 1025,
        _ => rng.below(5),
    }
}

fn command(rng: &mut Rng) -> Command {
    let mut command = Command::new();
    for _ in 0..=rng.below(3) {
        let (key, len) = (key(rng), length(rng));
        if rng.one_in(4) {
            command.delete(key);
        } else {
            command.put(key, rng.bytes(len));
        }
    }
    if rng.one_in(8) {
        let expectation = if rng.one_in(2) {
            Expectation::Absent
        } else {
            Expectation::Present
        };
        command.expect(key(rng), expectation);
    }
    command
}

/// Valid payloads that supersede any ops, seen or unseen, and ops that never arrive.
fn hostile(rng: &mut Rng, ops: &[Op]) -> Vec<u8> {
    let target = |rng: &mut Rng| {
        let mut target = rng.pick(ops).map_or(op_ref(9, 9, 9), Op::reference);
        if rng.one_in(4) {
            target = OpRef {
                seq: target.seq + 1,
                ..target
            };
        }
        target
    };
    let keys: BTreeSet<Vec<u8>> = (0..=rng.below(3)).map(|_| key(rng)).collect();
    let writes: Vec<TestWrite> = keys
        .into_iter()
        .map(|key| TestWrite {
            key,
            supersedes: (0..rng.below(4)).map(|_| target(rng)).collect(),
            value: (!rng.one_in(3)).then(|| {
                let len = length(rng);
                rng.bytes(len)
            }),
        })
        .collect();
    payload(&writes)
}

#[test]
fn the_state_machine_keeps_the_rules_of_all_state_machines() {
    MachineSuite::new(KvMachine::new, command)
        .hostile(hostile)
        .run();
}
