//! Stores whose code is a module, for a registry.

use lattice_backend::engine::Engine;
use lattice_backend::machine::LogicError;
use lattice_registry::{EngineOpener, TypedStore};

use crate::code::Code;
use crate::machine::WasmMachine;

/// An open store whose code is a module. It is called by the names of its methods, as a
/// [`StoreHandle`](lattice_registry::StoreHandle).
#[derive(Debug, Clone)]
pub struct WasmStore {
    engine: Engine<WasmMachine>,
}

impl TypedStore for WasmStore {
    type Machine = WasmMachine;

    fn from_engine(engine: Engine<WasmMachine>) -> Self {
        Self { engine }
    }

    fn engine(&self) -> &Engine<WasmMachine> {
        &self.engine
    }
}

/// What opens the stores of a module's type with the module.
pub type WasmStoreOpener = EngineOpener<WasmStore>;

/// An opener of stores by a module, which computes the same state as the logic versions of
/// `equal_to`.
///
/// # Errors
/// [`LogicError`] for one of these versions.
pub fn wasm_store_opener(code: Code, equal_to: &[&str]) -> Result<WasmStoreOpener, LogicError> {
    let machine = WasmMachine::new(code, equal_to)?;
    Ok(EngineOpener::new(move || machine.clone()))
}
