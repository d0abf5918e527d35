//! The example of a store type with Serde payloads, `examples/votes.rs`.

#[path = "../../examples/votes.rs"]
mod example;

use example::{Machine, Vote};
use lattice_backend::conformance::{MachineSuite, Rng};

#[test]
fn it_keeps_the_rules_of_state_machines() {
    let vote = |rng: &mut Rng| Vote(["tea", "coffee", ""][rng.below(3)].into());
    MachineSuite::new(|| Machine, vote).run();
}

#[test]
fn it_runs() {
    example::main().unwrap();
}
