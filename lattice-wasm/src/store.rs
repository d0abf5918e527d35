//! Stores of modules, for a registry.

use lattice_backend::engine::Engine;
use lattice_backend::machine::LogicError;
use lattice_registry::{EngineOpener, TypedStore};

use crate::code::Code;
use crate::machine::WasmMachine;

/// An open store whose code is a module. Callers call its methods by name, through
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

/// Opener of the stores of a module's type.
pub type WasmStoreOpener = EngineOpener<WasmStore>;

/// Returns an opener for a module that computes the same state as the logic versions in `equal_to`.
///
/// # Errors
/// [`LogicError`] for an invalid version in `equal_to`.
pub fn wasm_store_opener(code: Code, equal_to: &[&str]) -> Result<WasmStoreOpener, LogicError> {
    let machine = WasmMachine::new(code, equal_to)?;
    Ok(EngineOpener::new(move || machine.clone()))
}
