//! Replicas of a poll are equal, whatever the order of ops and whatever the payloads.

use lattice_backend::conformance::{MachineSuite, Rng};
use poll::Poll;

#[test]
fn replicas_are_equal() {
    let command = |rng: &mut Rng| ["tea", "coffee", ""][rng.below(3)].to_owned();
    MachineSuite::new(|| Poll, command).run();
}
