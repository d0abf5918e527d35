//! Making stores.

use std::path::Path;

use lattice_backend::engine::open::create_store;
use lattice_meta::{Genesis, Hlc, Nonce, StateHash, StoreId, StoreType};

use super::building::Building;
use super::{ManagerError, StoreManager};

impl StoreManager {
    /// Makes an empty store of a type and gives its id. It appears under `stores/` whole or not at
    /// all.
    ///
    /// # Errors
    /// A manager without an identity, an unknown type, and what the file system reports.
    pub fn create(&self, store_type: &StoreType) -> Result<StoreId, ManagerError> {
        self.registry.resolve(store_type)?;
        let genesis = self.genesis(store_type, None)?;
        let store_id = genesis.store_id();
        // A directory of its own in which it is built: others build beside it.
        let building = Building::begin_new(self, store_id)?;
        self.create_file(&building.file(), &genesis)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// Makes the file of a new store.
    pub(super) fn create_file(&self, file: &Path, genesis: &Genesis) -> Result<(), ManagerError> {
        let opener = self.registry.resolve(genesis.store_type())?;
        let logic = opener.logic();
        let (schema, logic) = (logic.newest_schema(), logic.version());
        create_store(&*self.backend, file, genesis, schema, logic).map_err(ManagerError::Create)
    }

    /// The record that a new store begins with.
    pub(super) fn genesis(
        &self,
        store_type: &StoreType,
        migrated_from: Option<(StoreId, StateHash)>,
    ) -> Result<Genesis, ManagerError> {
        let owner = self.author().ok_or(ManagerError::NoIdentity)?;
        let mut nonce = [0; Nonce::LEN];
        getrandom::fill(&mut nonce)
            .map_err(|error| ManagerError::Random(error.to_string().into()))?;
        Ok(Genesis::new(
            store_type.clone(),
            owner,
            Nonce::from_bytes(nonce),
            Hlc::from_parts(self.options.clock.now_ms(), 0)?,
            migrated_from,
        ))
    }
}
