//! The module that this state machine makes, which computes the same state: the suite for state
//! machines compares them call by call. A module does not know its own content id, so this is left
//! out of it.

use lattice_backend::machine::LogicVersion;

/// The content id of `core:kvstore` as a module.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const EQUAL: &[LogicVersion] = &[LogicVersion::constant(
    include_str!("guest.cid").trim_ascii_end(),
)];
#[cfg(target_arch = "wasm32")]
pub(crate) const EQUAL: &[LogicVersion] = &[];
