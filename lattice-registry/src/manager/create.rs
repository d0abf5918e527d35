//! Creating stores.

use std::path::Path;

use lattice_backend::engine::ingest::DEFER_AHEAD_MS;
use lattice_backend::engine::open::create_store;
use lattice_backend::engine::read::StoreMark;
use lattice_meta::{Genesis, Hlc, Nonce, StateHash, StoreId, StoreType};

use super::building::Building;
use super::known::{How, Key};
use super::{ManagerError, StoreManager};
use crate::Recorded;

impl StoreManager {
    /// Creates an empty store of a type, and returns its id. The store appears under `stores/`
    /// atomically.
    ///
    /// # Errors
    /// If the manager has no identity or does not know the type; and what the file system reports.
    pub fn create(&self, store_type: &StoreType) -> Result<StoreId, ManagerError> {
        self.registry.resolve(store_type)?;
        let genesis = self.genesis(store_type, None)?;
        let store_id = genesis.store_id();
        // Each store is built in its own directory, because others may be built at the same time.
        let building = Building::begin_new(self, store_id)?;
        self.create_file(&building.file(), &genesis, store_type.into())?;
        self.record_new(&genesis)?;
        building.place(self, store_id)?;
        Ok(store_id)
    }

    /// Enters a new store. Before it is in its place, so that no process sees it unknown.
    pub(super) fn record_new(&self, genesis: &Genesis) -> Result<(), ManagerError> {
        let mark = StoreMark::of_new(genesis);
        self.record(&Key::Store(mark.store_id), &mark, How::Created)
    }

    /// Creates the file of a new store with the code that `recorded` resolves to.
    pub(super) fn create_file(
        &self,
        file: &Path,
        genesis: &Genesis,
        recorded: Recorded<'_>,
    ) -> Result<(), ManagerError> {
        let opener = self.registry.resolve(recorded)?;
        let logic = opener.logic();
        let (schema, logic) = (logic.newest_schema(), logic.version());
        create_store(&*self.backend, file, genesis, schema, logic).map_err(ManagerError::Create)
    }

    /// Refuses a store that is dated further ahead of the clock than its ops may be.
    pub(super) fn check_created(&self, genesis: &Genesis) -> Result<(), ManagerError> {
        let created_ms = genesis.created().ms();
        let due_ms = created_ms.saturating_sub(DEFER_AHEAD_MS);
        match self.options.clock.now_ms() < due_ms {
            true => Err(ManagerError::CreatedAhead {
                store_id: genesis.store_id(),
                created_ms,
                due_ms,
            }),
            false => Ok(()),
        }
    }

    /// The genesis record of a new store.
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
