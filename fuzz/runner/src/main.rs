//! The target that `LATTICE_FUZZ_TARGET` names, under libFuzzer.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("LATTICE_FUZZ_TARGET").expect("LATTICE_FUZZ_TARGET is to be set");
        lattice_fuzz::target(&name).expect("there is a target of that name")
    });
    target(input);
});
