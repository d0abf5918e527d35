//! Targets that run modules: each module is refused, or ends within bounds of time and memory. They
//! run in a process of their own, since a module may have 128 MiB.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

use std::alloc::System;
use std::time::{Duration, Instant};

use cap::Cap;
use lattice_fuzz::MODULE_TARGETS;

/// Two tests run at a time. The memory of a module is at most 128 MiB. On growth the engine
/// reserves twice the new size and copies the old contents.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 1 << 30);

const MODULES: u64 = 400;

/// Pseudorandom bytes, the same for each run.
fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes
}

#[test]
fn kept_modules_and_their_mutations_run_without_a_panic() {
    for name in MODULE_TARGETS {
        let target = lattice_fuzz::target(name).unwrap();
        support::take_kept(name, target);
        support::take_near(name, target);
    }
}

#[test]
fn generated_modules_are_refused_or_terminate() {
    let (mut accepted, mut applied, mut longest) = (0_u64, 0_u64, Duration::ZERO);
    let begin = Instant::now();
    for seed in 0..MODULES {
        let bytes = random_bytes(seed, 4_096);
        let begin = Instant::now();
        let (is_accepted, is_applied) = lattice_fuzz::generated_module(&bytes);
        accepted += u64::from(is_accepted);
        applied += u64::from(is_applied);
        longest = longest.max(begin.elapsed());
        // Eleven calls of 50 million gas take two seconds; rows that the host passes in earn more
        // gas.
        assert!(
            longest < Duration::from_secs(60),
            "seed {seed}: {longest:?}"
        );
    }
    println!(
        "{MODULES} modules: {accepted} accepted, {applied} applied an op; {:.1?}, at most {longest:.1?}; {} MiB",
        begin.elapsed(),
        MEMORY.max_allocated() >> 20
    );
    assert!(accepted > MODULES / 2 && applied > MODULES / 20);
}
