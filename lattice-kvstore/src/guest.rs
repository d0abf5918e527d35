//! The module built from this state machine. It computes the same state: the conformance suite
//! compares the two call by call. A module does not know its own content id, so this constant is
//! empty there.

use lattice_backend::machine::LogicVersion;

/// The content id of `core:kvstore` as a module.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const EQUAL: &[LogicVersion] = &[LogicVersion::constant(
    include_str!("guest.cid").trim_ascii_end(),
)];
#[cfg(target_arch = "wasm32")]
pub(crate) const EQUAL: &[LogicVersion] = &[];
