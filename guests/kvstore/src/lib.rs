//! `core:kvstore` as a module: the state machine that runs natively, exported.
#![cfg_attr(target_arch = "wasm32", no_std)]

use lattice_kvstore::KvMachine;

lattice_guest::export!(KvMachine, KvMachine::new());
