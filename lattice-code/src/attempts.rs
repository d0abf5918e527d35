//! Opens a store with the first module that computes its state.

use std::sync::Arc;

use lattice_backend::backend::Access;
use lattice_backend::engine::open::{OpenError, Proof};
use lattice_backend::engine::verify::Rebuilt;
use lattice_backend::machine::{Logic, Method};
use lattice_registry::{Peeked, Rebuild, StoreHandle, StoreOpener};
use lattice_wasm::WasmStoreOpener;

use crate::decide::Choice;
use crate::decisions::Outcome;
use crate::lease::Lease;
use crate::library::CodeLibrary;

#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) choice: Choice,
    pub(crate) opener: WasmStoreOpener,
}

/// Opens a store with the first module that computes its state. There is at least one attempt.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) library: Arc<CodeLibrary>,
    pub(crate) attempts: Vec<Attempt>,
    /// Keeps the modules in the cache until the store has recorded one of them.
    pub(crate) _lease: Lease,
}

impl Attempts {
    fn first(&self) -> &WasmStoreOpener {
        &self.attempts[0].opener
    }

    /// Records what came of an attempt, for people. A store opens also if that fails, for example
    /// because the data directory is full.
    fn decided(&self, store: &Peeked, choice: &Choice, outcome: Outcome) {
        let meta = &store.peek.meta;
        let recorded = store.peek.logic.as_deref();
        let logic = choice.cid.to_string();
        let (id, store_type) = (meta.store_id, &meta.store_type);
        let _ = self
            .library
            .decided(id, store_type, recorded, &logic, outcome);
    }
}

impl StoreOpener for Attempts {
    fn logic(&self) -> Logic {
        self.first().logic()
    }

    fn methods(&self) -> Vec<Method> {
        self.first().methods()
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        self.first().rebuild(rebuild)
    }

    fn prove(&self, store: Peeked) -> Result<Proof, OpenError> {
        self.first().prove(store)
    }

    fn open(&self, mut store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        let is_writer = store.request.options.access == Access::ReadWrite;
        let (last, others) = self.attempts.split_last().expect("there is an attempt");
        for attempt in others.iter().chain([last]) {
            let opened = attempt.opener.open(store.clone());
            // The reader is closed by the first attempt.
            store.request.reader = None;
            match &opened {
                Ok(handle) if is_writer => {
                    let because = attempt.choice.because.to_string();
                    let recorded = store.peek.logic.as_deref();
                    let is_same = recorded == Some(&*handle.logic_version().to_string());
                    let outcome =
                        match is_same || recorded == Some(&*attempt.choice.cid.to_string()) {
                            true => Outcome::Used { because },
                            false => Outcome::Proven { because },
                        };
                    self.decided(&store, &attempt.choice, outcome);
                }
                Err(OpenError::LogicDiffers {
                    ops, difference, ..
                }) if is_writer => {
                    let op = difference.op.as_ref().map(|op| op.op.id.to_string());
                    self.decided(&store, &attempt.choice, Outcome::Refused { ops: *ops, op });
                    if !std::ptr::eq(attempt, last) {
                        continue;
                    }
                }
                _ => {}
            }
            return opened;
        }
        unreachable!("the last attempt returns")
    }
}
