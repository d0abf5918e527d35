//! Opens a store with the first module that computes its state.

use std::sync::Arc;

use lattice_backend::backend::Access;
use lattice_backend::engine::open::{OpenError, Proof};
use lattice_backend::engine::verify::Rebuilt;
use lattice_backend::machine::{Logic, Method};
use lattice_registry::{Describer, Peeked, Rebuild, StoreHandle, StoreOpener};
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

impl Attempts {
    fn attempt(
        &self,
        attempt: &Attempt,
        store: &Peeked,
    ) -> Result<Arc<dyn StoreHandle>, OpenError> {
        let opened = attempt.opener.open(store.clone());
        if store.request.options.access == Access::ReadWrite {
            let recorded = store.peek.logic.as_deref();
            let because = attempt.choice.because.to_string();
            match &opened {
                Ok(_) => {
                    let is_own = recorded.is_none_or(|it| attempt.opener.logic().computes_as(it));
                    let outcome = match is_own {
                        true => Outcome::Used { because },
                        false => Outcome::Proven { because },
                    };
                    self.decided(store, &attempt.choice, outcome);
                }
                Err(OpenError::LogicDiffers {
                    ops, difference, ..
                }) => {
                    let op = difference.op.as_ref().map(|op| op.op.id.to_string());
                    self.decided(store, &attempt.choice, Outcome::Refused { ops: *ops, op });
                }
                Err(_) => {}
            }
        }
        opened
    }
}

impl StoreOpener for Attempts {
    fn logic(&self) -> Logic {
        self.first().logic()
    }

    fn methods(&self) -> Vec<Method> {
        self.first().methods()
    }

    fn describer(&self) -> Describer {
        self.first().describer()
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        self.first().rebuild(rebuild)
    }

    fn prove(&self, store: Peeked) -> Result<Proof, OpenError> {
        self.first().prove(store)
    }

    fn open(&self, mut store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        let (last, others) = self.attempts.split_last().expect("there is an attempt");
        for attempt in others {
            match self.attempt(attempt, &store) {
                Err(OpenError::LogicDiffers { .. }) => {}
                opened => return opened,
            }
            // An attempt closes the reader.
            store.request.reader = None;
        }
        self.attempt(last, &store)
    }
}
