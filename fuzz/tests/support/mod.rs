//! The inputs of the corpus, and mutations that a fuzzer tries first.

use std::fs;
use std::path::{Path, PathBuf};

use lattice_fuzz::Target;

pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = corpus().join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut inputs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

/// Runs a target on all its inputs in the corpus.
pub(crate) fn take_kept(name: &str, target: Target) {
    let inputs = inputs(name);
    assert!(inputs.len() > 2, "{name} has no inputs to speak of");
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let run = std::panic::catch_unwind(|| target(&bytes));
        assert!(run.is_ok(), "{} is not taken by {name}", input.display());
    }
}

/// Runs a target on truncated and bit-flipped inputs: what a fuzzer tries first, without a fuzzer.
pub(crate) fn take_near(name: &str, target: Target) {
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
