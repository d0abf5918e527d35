//! Exports the native state machine of `core:kvstore` as a module.
#![cfg_attr(target_arch = "wasm32", no_std)]

lattice_guest::export!(
    lattice_kvstore::KvMachine,
    lattice_kvstore::KvMachine::new(),
    [elements, prepare, query, describe]
);
