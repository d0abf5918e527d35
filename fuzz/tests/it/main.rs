//! Runs every input of the corpus on its target. Targets that run modules have a process of their
//! own.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

use std::fs;

use cap::Cap;
use lattice_fuzz::{MODULE_TARGETS, TARGETS, Target};

/// Memory limit of the tests: no input needs a fraction of it, whatever lengths it claims.
#[global_allocator]
static MEMORY: Cap<std::alloc::System> = Cap::new(std::alloc::System, 256 << 20);

fn targets() -> impl Iterator<Item = &'static (&'static str, Target)> {
    TARGETS
        .iter()
        .filter(|(name, _)| !MODULE_TARGETS.contains(name))
}

#[test]
fn every_kept_input_runs_without_a_panic() {
    targets().for_each(|(name, target)| support::take_kept(name, *target));
}

#[test]
fn every_directory_belongs_to_a_target() {
    for entry in fs::read_dir(support::corpus()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            lattice_fuzz::target(&name).is_some(),
            "no target is called {name}"
        );
    }
}

#[test]
fn mutations_of_kept_inputs_run_without_a_panic() {
    targets().for_each(|(name, target)| support::take_near(name, *target));
}
