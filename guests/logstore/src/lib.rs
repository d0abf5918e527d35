//! `core:logstore` as a module: the state machine that runs natively, exported.
#![cfg_attr(target_arch = "wasm32", no_std)]

lattice_guest::export!(
    lattice_logstore::LogMachine,
    lattice_logstore::LogMachine::new()
);
