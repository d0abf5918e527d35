//! Runs the target that `LATTICE_FUZZ_TARGET` names under libFuzzer.
#![no_main]

use std::alloc::System;
use std::sync::OnceLock;

use cap::Cap;
use libfuzzer_sys::fuzz_target;

/// Memory limit of a target, in bytes. Inputs are far shorter, whatever lengths they claim. An
/// input that makes a target exceed the limit ends the process.
const MAX_MEMORY_BYTES: usize = 64 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MAX_MEMORY_BYTES);

/// The limit for targets that run modules, whose memory may grow to 128 MiB. On growth the engine
/// reserves twice the new size and copies the old contents.
const MAX_MODULE_MEMORY_BYTES: usize = 512 << 20;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("LATTICE_FUZZ_TARGET").expect("LATTICE_FUZZ_TARGET is to be set");
        if lattice_fuzz::MODULE_TARGETS.contains(&name.as_str()) {
            let raised = MEMORY.set_limit(MAX_MODULE_MEMORY_BYTES);
            raised.expect("it is more than is allocated");
        }
        lattice_fuzz::target(&name).expect("there is a target of that name")
    });
    target(input);
});
