//! A compiled module.

use std::fmt;
use std::sync::{Arc, Weak};

use lattice_backend::machine::manifest::Manifest;
use lattice_meta::{Cid, StoreType};
use wasmi::{CompilationMode, Config, CustomFuelCosts, Engine, Module, OperatorCost};

use crate::abi::{
    BULK_BYTES_PER_GAS, Export, IMPORTS, MAX_CALL_DEPTH, MAX_MESSAGE_BYTES, MAX_STACK_BYTES,
};
use crate::ahead::{self, Shelf};
use crate::error::CodeError;
use crate::instance::Running;
use crate::text::text;
use crate::validate::validate;

/// A checked and compiled module. Clones are cheap and share it: one serves all stores with this
/// code.
#[derive(Clone)]
pub struct Code(Arc<Compiled>);

struct Compiled {
    cid: Cid,
    manifest: Manifest,
    exports: Vec<Export>,
    /// The names of its imports, in its order.
    imports: Vec<&'static str>,
    /// Used by this module only, so that dropping the module frees what the engine has allocated.
    engine: Engine,
    module: Module,
    bytes: usize,
    shelf: Shelf,
}

/// A module that is compiled, as long as others use it.
pub(crate) struct WeakCode(Weak<Compiled>);

impl WeakCode {
    pub(crate) fn upgrade(&self) -> Option<Code> {
        self.0.upgrade().map(Code)
    }
}

/// Gas cost of a call of another function of the module.
const CALL_GAS: u8 = 6;

/// The WebAssembly features that the interface allows: what Rust and C compilers emit, without
/// floating point, whose results differ in the bits of NaNs.
fn config() -> Config {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        .floats(false)
        .allow_start_fn(false)
        .ignore_custom_sections(true)
        .wasm_saturating_float_to_int(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_extended_const(false)
        .set_max_recursion_depth(MAX_CALL_DEPTH)
        .set_max_stack_height(MAX_STACK_BYTES)
        // A call clears the locals of the function, up to 4 KiB.
        .operator_cost(OperatorCost {
            call: CALL_GAS,
            call_indirect: 2 * CALL_GAS,
            ..OperatorCost::default()
        })
        // Translation costs no gas: otherwise the first op that calls a function would pay for it.
        .fuel_cost(CustomFuelCosts {
            bytes_copied_per_fuel: BULK_BYTES_PER_GAS,
            fuel_per_bytes_translated: 0,
            fuel_per_bytes_validated: 0,
        })
        // Everything is validated here; a function is translated when it is first called.
        .compilation_mode(CompilationMode::LazyTranslation);
    config
}

impl Code {
    /// Checks the bytes of a module, and compiles it.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn new(wasm: &[u8]) -> Result<Self, CodeError> {
        let checked = validate(wasm)?;
        let engine = Engine::new(&config());
        let module = Module::new(&engine, wasm).map_err(|error| CodeError::Compile {
            // The message can quote names of the module.
            reason: text(error.to_string().as_bytes(), MAX_MESSAGE_BYTES),
        })?;
        let known = |name: &str| IMPORTS.iter().find(|known| known.name == name);
        let imports = module.imports();
        let imports = imports.filter_map(|import| known(import.name()));
        let imports = imports.map(|known| known.name).collect();
        Ok(Self(Arc::new(Compiled {
            cid: Cid::of(wasm),
            manifest: checked.manifest,
            exports: checked.exports,
            imports,
            engine,
            module,
            bytes: wasm.len(),
            shelf: Shelf::new(checked.instance_bytes <= ahead::MAX_INSTANCE_BYTES),
        })))
    }

    /// The same, for code of one store type.
    ///
    /// # Errors
    /// [`CodeError::OtherType`], and as for [`new`](Self::new).
    pub fn for_type(wasm: &[u8], asked: &StoreType) -> Result<Self, CodeError> {
        let code = Self::new(wasm)?;
        let found = code.store_type();
        match found == asked {
            true => Ok(code),
            false => Err(CodeError::OtherType {
                asked: asked.clone(),
                found: found.clone(),
            }),
        }
    }

    /// The id of the module's bytes, which is its logic version.
    pub fn cid(&self) -> Cid {
        self.0.cid
    }

    /// The manifest of the module.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The store type that the module implements.
    pub fn store_type(&self) -> &StoreType {
        &self.0.manifest.store_type
    }

    /// The length of the module, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    pub(crate) fn has(&self, export: Export) -> bool {
        self.0.exports.contains(&export)
    }

    /// An instance that was made ahead, if there is one.
    pub(crate) fn ready(&self) -> Option<Running> {
        self.0.shelf.take(|| WeakCode(Arc::downgrade(&self.0)))
    }

    /// Drops an instance whose call has ended.
    pub(crate) fn discard(&self, running: Running) {
        self.0.shelf.discard(running);
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.0.shelf
    }

    pub(crate) fn imports(&self) -> &[&'static str] {
        &self.0.imports
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn module(&self) -> &Module {
        &self.0.module
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code")
            .field("cid", &self.cid())
            .field("store_type", self.store_type())
            .finish_non_exhaustive()
    }
}
