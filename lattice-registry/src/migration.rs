//! How a store of one type becomes a new store of another.

use lattice_backend::backend::Cause;
use lattice_backend::machine::Value;

use crate::handle::StoreHandle;

/// Calls by name, each a command that becomes one op.
pub type Calls = Box<dyn Iterator<Item = Result<(&'static str, Value), Cause>>>;

/// Feeds the state of an old store to a new one, as calls of the new one's commands. A plain
/// closure is one.
///
/// The calls must be a function of the old store's state: a migration that was interrupted goes on
/// behind the calls that became ops before.
pub trait Migration: Send + Sync {
    /// The calls that make the new store's state. They read the old one, which is open for reading
    /// only, through a snapshot.
    ///
    /// # Errors
    /// Why the old store cannot be read as what it must be.
    fn calls(&self, old: &dyn StoreHandle) -> Result<Calls, Cause>;
}

impl<F> Migration for F
where
    F: Fn(&dyn StoreHandle) -> Result<Calls, Cause> + Send + Sync,
{
    fn calls(&self, old: &dyn StoreHandle) -> Result<Calls, Cause> {
        self(old)
    }
}
