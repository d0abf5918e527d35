//! Fuzz targets: functions of bytes, one for each decoder of untrusted input.
//!
//! A target returns for every input; if it does not, it has found a defect. `cargo xtask fuzz` runs
//! the targets under libFuzzer; the inputs in `corpus/` also run as tests.
//!
//! ```
//! let genesis = lattice_fuzz::target("genesis").expect("it is one of them");
//! genesis(b"not a genesis record"); // refused, and nothing else
//! ```

mod bundles;
mod frames;
mod ingests;
mod journals;
mod modules;
mod records;
mod rows;
mod states;
mod streams;

/// Must return for every input; a panic or a hang is a defect.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("meta", records::meta),
    ("genesis", records::genesis),
    ("op", records::op),
    ("kv_cells", states::kv_cells),
    ("log_cells", states::log_cells),
    ("kv_payload", states::kv_payload),
    ("log_payload", states::log_payload),
    ("kv_call", states::kv_call),
    ("log_call", states::log_call),
    ("bundle", bundles::bundle),
    ("import", records::import),
    ("value", records::value),
    ("value_bytes", records::value_bytes),
    ("manifest", records::manifest),
    ("ingest", ingests::ingest),
    ("journal", journals::journal),
    ("stream", streams::stream),
    ("session", streams::session),
    ("module", modules::module),
    ("generated", modules::generated),
];

/// Targets that run modules, each of which may have 128 MiB of memory.
pub const MODULE_TARGETS: &[&str] = &["module", "generated"];

/// Generates a module as the target `generated` does and makes its calls. Returns whether the
/// module was accepted, and whether it applied an op.
pub fn generated_module(bytes: &[u8]) -> (bool, bool) {
    let wasm = modules::generate(&mut arbitrary::Unstructured::new(bytes));
    wasm.map_or((false, false), |wasm| modules::exercise(&wasm))
}

/// Returns the target with this name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}
