//! Runs the conformance suite for state machines.

use lattice_backend::conformance::{MachineSuite, Rng};
use lattice_logstore::{Append, LogMachine, encode_payload};

#[test]
fn logs_are_the_same_in_every_causal_order() {
    let entry = |rng: &mut Rng| {
        let length = rng.below(6);
        rng.bytes(length)
    };
    let append = |rng: &mut Rng| {
        let count = rng.below(5); // none is refused, and left out
        Append {
            entries: (0..count).map(|_| entry(rng)).collect(),
        }
    };
    let hostile = |rng: &mut Rng, _: &[lattice_backend::op::Op]| {
        let mut payload = encode_payload(&[entry(rng), entry(rng)]).unwrap();
        match rng.below(4) {
            0 => payload[0] = 2,
            1 => payload[1] = 3,
            2 => payload.truncate(9),
            _ => payload.push(0),
        }
        payload
    };
    MachineSuite::new(LogMachine::new, append)
        .hostile(hostile)
        .run();
}
