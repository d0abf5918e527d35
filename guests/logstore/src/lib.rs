//! Exports the native state machine of `core:logstore` as a module.
#![cfg_attr(target_arch = "wasm32", no_std)]

lattice_guest::export!(
    lattice_logstore::LogMachine,
    lattice_logstore::LogMachine::new(),
    [elements, prepare, query, describe]
);
