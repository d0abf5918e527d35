//! The built-in store types and their migrations. This is the only place that lists them.

#[cfg(feature = "wasm")]
use lattice_code::releases::{self, ReleaseMachine, ReleaseOpener};
use lattice_kvstore::{KvMachine, KvOpener};
use lattice_logstore::{LogMachine, LogOpener};
use lattice_registry::{RegisterError, Registry};

/// A registry of the built-in store types, to which callers can add their own.
///
/// # Errors
/// None in a build where the built-in types have different names.
pub fn core_registry() -> Result<Registry, RegisterError> {
    let mut registry = Registry::new();
    registry.register(lattice_kvstore::store_type(), KvOpener::new(KvMachine::new))?;
    registry.register(
        lattice_logstore::store_type(),
        LogOpener::new(LogMachine::new),
    )?;
    // It has no migration to itself: a copy would have the author of the copy as its publisher.
    #[cfg(feature = "wasm")]
    registry.register(
        releases::store_type(),
        ReleaseOpener::new(ReleaseMachine::new),
    )?;
    // A migration to the same type makes a store with a history of its own, e.g. because ops of the
    // old one have wrong timestamps.
    let (kv, log) = (
        lattice_kvstore::store_type(),
        lattice_logstore::store_type(),
    );
    registry.register_migration(kv.clone(), kv, lattice_kvstore::copy_keys)?;
    registry.register_migration(log.clone(), log, lattice_logstore::copy_entries)?;
    Ok(registry)
}
