//! The inputs that are kept, as tests: every one runs on the target that it was kept for.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use cap::Cap;
use lattice_fuzz::TARGETS;

/// What the tests may have at once: no input is worth a fraction of it, whatever lengths it claims.
#[global_allocator]
static MEMORY: Cap<std::alloc::System> = Cap::new(std::alloc::System, 256 << 20);

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = corpus().join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut inputs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_kept_input_is_taken() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(inputs.len() > 2, "{name} has no inputs to speak of");
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            let run = std::panic::catch_unwind(|| target(&bytes));
            assert!(run.is_ok(), "{} is not taken by {name}", input.display());
        }
    }
}

#[test]
fn every_directory_is_that_of_a_target() {
    for entry in fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            lattice_fuzz::target(&name).is_some(),
            "no target is called {name}"
        );
    }
}

/// Cuts and flipped bits of what is kept: what a fuzzer tries first, without one.
#[test]
fn inputs_near_the_kept_ones_are_taken() {
    for (name, target) in TARGETS {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for input in inputs(name) {
            let bytes = fs::read(input).unwrap();
            for _ in 0..8 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let mut bytes = bytes.clone();
                let len = u64::try_from(bytes.len()).unwrap();
                let Some(place) = random.checked_rem(len) else {
                    continue;
                };
                let place = usize::try_from(place).unwrap();
                match random >> 60 {
                    0..4 => bytes.truncate(place),
                    _ => bytes[place] ^= 1 << (random >> 56 & 7),
                }
                target(&bytes);
            }
        }
    }
}
