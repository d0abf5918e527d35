//! An instance of a module. It serves one call and is dropped after it, so that no state outlives
//! an op.

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{Limit, LogicFault};
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{Extern, Instance, Memory, Store, TrapCode, WasmParams, WasmResults};

use crate::abi::{Export, MEMORY, PAGE_BYTES};
use crate::code::Code;
use crate::host::{Context, Gas, Reach, Refused, function, trap};

type Result<T> = std::result::Result<T, BackendError>;

pub(crate) struct Running {
    store: Store<Context>,
    instance: Instance,
    memory: Memory,
}

/// The place of an input or an output in the memory of a module.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Place {
    /// The last `len` bytes of it.
    pub(crate) fn last(self, len: usize) -> Self {
        let len = u32::try_from(len).unwrap_or(self.len).min(self.len);
        let at = self.at + (self.len - len);
        Self { at, len }
    }
}

impl Running {
    /// An instance for one call, made ahead or here.
    pub(crate) fn start(code: &Code, gas: Gas) -> Result<Self> {
        let mut running = match code.ready() {
            Some(running) => running,
            None => Self::make(code)?,
        };
        let fuel = running.store.set_fuel(gas.allowed());
        fuel.map_err(|error| trap(error.to_string()))?;
        running.store.data_mut().gas = gas;
        Ok(running)
    }

    /// Makes an instance, for any call. No code of the module runs.
    pub(crate) fn make(code: &Code) -> Result<Self> {
        let mut store = Store::new(code.engine(), Context::default());
        store.limiter(|context| &mut context.growth);
        // In the order of the module's imports, which were checked: building a table of all imports
        // by name takes longer than everything else for an instance.
        let mut imports = Vec::with_capacity(code.imports().len());
        for name in code.imports() {
            let function = function(&mut store, name);
            let function = function.ok_or_else(|| trap("the module imports what is unknown"))?;
            imports.push(Extern::Func(function));
        }
        let instance = Instance::new(&mut store, code.module(), &imports);
        let instance = instance.map_err(|error| fault(&mut store, &error))?;
        // The check of the module ensures that it exports its memory.
        let memory = instance.get_memory(&store, MEMORY);
        let memory = memory.ok_or_else(|| trap("the module has no memory"))?;
        store.data_mut().memory = Some(memory);
        Ok(Self {
            store,
            instance,
            memory,
        })
    }

    pub(crate) fn context(&mut self) -> &mut Context {
        self.store.data_mut()
    }

    /// The size of its memory, in pages.
    pub(crate) fn pages(&self) -> u64 {
        self.memory.size(&self.store)
    }

    /// Calls an exported function.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        export: Export,
        params: P,
        reach: Reach<'_>,
    ) -> Result<R> {
        let function = self
            .instance
            .get_typed_func::<P, R>(&self.store, export.name())
            .map_err(|error| trap(error.to_string()))?;
        reach
            .while_in(|| function.call(&mut self.store, params))
            .map_err(|error| fault(&mut self.store, &error))
    }

    /// Writes an input to memory that the module allocates.
    pub(crate) fn input(&mut self, parts: &[&[u8]], reach: Reach<'_>) -> Result<Place> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let len = u32::try_from(len).map_err(|_| trap("an input of more than 4 GiB"))?;
        let at: u32 = self.call(Export::Alloc, len, reach)?;
        let memory = self.memory.data_mut(&mut self.store);
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let mut place = memory.get_mut(start..);
        for part in parts {
            let Some((here, rest)) = place.and_then(|place| place.split_at_mut_checked(part.len()))
            else {
                let found = format!("`lattice1_alloc` gave address {at} for {len} bytes");
                return Err(trap(found));
            };
            here.copy_from_slice(part);
            place = Some(rest);
        }
        Ok(Place { at, len })
    }

    /// The output at an address (the upper half) with a length (the lower half).
    pub(crate) fn output(&self, place: u64) -> Result<&[u8]> {
        let [at, len] = [place >> 32, place & u64::from(u32::MAX)].map(usize::try_from);
        let memory = self.memory.data(&self.store);
        let bytes = at.ok().zip(len.ok()).and_then(|(at, len)| {
            let rest = memory.get(at..)?;
            rest.get(..len)
        });
        bytes.ok_or_else(|| trap("an output is beyond the memory of the module"))
    }
}

/// Determines why a call ended.
fn fault(store: &mut Store<Context>, error: &wasmi::Error) -> BackendError {
    let context = store.data_mut();
    if let Some(error) = context.error.take() {
        return error;
    }
    let gas = context.gas.allowed();
    let limit = |limit, allowed| BackendError::Fault(LogicFault::Limit { limit, allowed });
    match (error.as_trap_code(), context.growth.refused.take()) {
        (Some(TrapCode::OutOfSystemMemory), _) | (_, Some(Refused::Host)) => no_memory(),
        (Some(TrapCode::OutOfFuel), _) | (_, Some(Refused::Gas)) => limit(Limit::Gas, gas),
        (_, Some(Refused::Memory)) => {
            let bytes = crate::abi::MAX_PAGES * PAGE_BYTES;
            limit(Limit::Memory, u64::try_from(bytes).unwrap_or(u64::MAX))
        }
        (_, Some(Refused::Table)) => trap("the table cannot grow beyond its limit"),
        (_, None) => match error.kind() {
            // The engine's message contains the table's number in the store, which differs between
            // runs.
            ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
                trap("out of bounds table access by an element segment")
            }
            _ => trap(error.to_string()),
        },
    }
}

/// The host lacks memory that the code is entitled to. This is not a fault of the code: a fault
/// would hold the op until other code settles it.
fn no_memory() -> BackendError {
    BackendError::Storage {
        doing: "giving memory to the code of the store",
        source: std::io::Error::from(std::io::ErrorKind::OutOfMemory).into(),
    }
}
