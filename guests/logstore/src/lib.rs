//! `core:logstore` as a module: the state machine that runs natively, exported.
#![cfg_attr(target_arch = "wasm32", no_std)]

use lattice_logstore::LogMachine;

lattice_guest::export!(LogMachine, LogMachine::new());
