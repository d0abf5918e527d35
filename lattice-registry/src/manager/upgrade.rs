//! Brings stores that other code wrote up to date.

use std::path::Path;

use lattice_backend::backend::Access;
use lattice_backend::engine::open::{LogicPolicy, Proof};
use lattice_meta::{SchemaVersion, StateHash, StoreId};

use super::find::{canonical, state_db};
use super::open::MIN_CACHE_BYTES;
use super::{ManagerError, StoreManager};
use crate::{Peeked, StoreOpener};

/// The result of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradedStore {
    /// The store.
    pub store_id: StoreId,
    /// The version of the logic that the store recorded before, if it recorded one.
    pub recorded: Option<String>,
    /// The version that it records now.
    pub logic: String,
    /// The layout of its rows before.
    pub from: SchemaVersion,
    /// The layout of its rows now.
    pub to: SchemaVersion,
    /// The number of replayed ops; `None` if the code needed no proof.
    pub replayed: Option<u64>,
    /// The state hash, which an upgrade does not change.
    pub state_hash: StateHash,
}

impl UpgradedStore {
    /// Whether the upgrade changed the store.
    pub fn is_changed(&self) -> bool {
        self.from != self.to || self.recorded.as_deref() != Some(&*self.logic)
    }
}

impl StoreManager {
    /// Replays the history of a store with other code of its type. Changes nothing.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn prove(
        &self,
        path: impl AsRef<Path>,
        opener: &dyn StoreOpener,
    ) -> Result<Proof, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let peek = self.peek_recorded(&file)?;
        let request = self.request(&peek.meta, &file, Access::ReadOnly, MIN_CACHE_BYTES);
        Ok(opener.prove(Peeked { peek, request })?)
    }

    /// Brings a store's layout up to date with code of its type, and makes the store record the
    /// code, if a replay of its history proves that the code computes the same state. Without an
    /// opener, uses the code that the registry resolves, as opening the store for writing does;
    /// code that names the recorded logic as equal then needs no proof, and if the layout is up to
    /// date, the record stays. The store must not be open here.
    ///
    /// # Errors
    /// See [`ManagerError`];
    /// [`OpenError::LogicDiffers`](lattice_backend::engine::open::OpenError::LogicDiffers) if the
    /// code computes another state. The store has not changed then.
    pub fn upgrade(
        &self,
        path: impl AsRef<Path>,
        opener: Option<&dyn StoreOpener>,
    ) -> Result<UpgradedStore, ManagerError> {
        let mut found = self.find(path, Access::ReadWrite)?;
        let (resolved, policy);
        let opener = match opener {
            Some(opener) => {
                policy = LogicPolicy::Prove;
                opener
            }
            None => {
                policy = self.options.logic;
                resolved = self.registry.resolve(found.recorded())?;
                &*resolved
            }
        };
        if let Some(reader) = &found.reader {
            self.vouch(&found.file, &**reader)?;
        }
        let (store_id, file) = (found.meta().store_id, found.file.clone());
        let (recorded, from) = (found.peek.logic.clone(), found.meta().schema_version);
        let request = self.request(found.meta(), &file, Access::ReadWrite, MIN_CACHE_BYTES);
        let mut request = request.logic(policy);
        request.reader = found.reader.take();
        let peek = found.peek.clone();
        let handle = opener.open(Peeked { peek, request })?;
        let known = recorded.as_deref().unwrap_or("");
        let is_replayed = match policy {
            LogicPolicy::Prove => handle.logic_version().as_str() != known,
            _ => !opener.logic().computes_as(known),
        };
        let upgraded = || {
            let state = handle.state()?;
            let (ops, to) = (handle.op_count()?, handle.schema_version());
            Ok(UpgradedStore {
                store_id,
                recorded: recorded.clone(),
                logic: state.logic.to_string(),
                from,
                to,
                replayed: is_replayed.then_some(ops),
                state_hash: state.state_hash,
            })
        };
        let upgraded = upgraded();
        let closed = handle.close();
        let upgraded = upgraded.map_err(|source| ManagerError::Verify { store_id, source })?;
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        Ok(upgraded)
    }
}
