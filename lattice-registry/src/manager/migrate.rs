//! New stores made of old ones of another type.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::{Access, FileError, OpenError, PeekError, Stage, create_store};
use lattice_meta::{StateHash, StoreId, StoreType};

use super::create::sync_dir;
use super::{ManagerError, STATE_DB, StoreManager};
use crate::{Migration, Peeked, StoreHandle};

/// The cache of a store that is being made, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// What a migration has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The new store.
    pub store_id: StoreId,
    /// The old one, which is as it was.
    pub from: StoreId,
    /// Its state hash, which the new store's genesis names.
    pub state_hash: StateHash,
    /// Ops of the new store.
    pub ops: u64,
    /// How many of them an earlier, interrupted migration had made.
    pub resumed: u64,
}

/// The old store, as the new one names it.
struct Origin {
    store: Arc<dyn StoreHandle>,
    store_id: StoreId,
    state_hash: StateHash,
}

impl StoreManager {
    /// Makes a new store of a type out of an old one, by the migration that is registered for the
    /// two types. The old one stays as it is, and is named by the new one's genesis.
    ///
    /// The new store is built beside the others and appears among them whole. One that was
    /// interrupted goes on where it was if the old store's state is still the same, else it starts
    /// over.
    ///
    /// # Errors
    /// No such migration, an old store that changes meanwhile, one that another process migrates at
    /// the same time, a call that the new store refuses; and what opening and making stores reports.
    pub fn migrate(
        &self,
        path: impl AsRef<Path>,
        to: &StoreType,
    ) -> Result<Migrated, ManagerError> {
        let store = self.open_path(path, Access::ReadOnly)?;
        let migration = self.registry.migration(store.store_type(), to)?;
        self.birth(to)?;
        let store_id = store.store_id();
        let failed = |source| ManagerError::Migrate {
            store_id,
            source: Box::new(source),
        };
        let state_hash = store.state_hash().map_err(failed)?;
        let origin = Origin {
            store,
            store_id,
            state_hash,
        };
        // A type has no `+`, and a name of a file no `:` on some systems.
        let name = format!("migrating-{store_id}-{}", to.as_str().replace(':', "+"));
        let building = self.dir.join(name);
        let new = match self.begun(&building, to, &origin)? {
            Some(new) => new,
            None => self.begin(&building, to, &origin)?,
        };
        let fed = feed(&*new, &*migration, &origin, self);
        let closed = new.close();
        let (ops, resumed) = fed?;
        closed.map_err(failed)?;
        fs::create_dir_all(self.stores_dir())
            .map_err(|source| ManagerError::io("make", self.stores_dir(), source))?;
        self.place(&building, new.store_id())?;
        Ok(Migrated {
            store_id: new.store_id(),
            from: store_id,
            state_hash,
            ops,
            resumed,
        })
    }

    /// The store that an earlier migration of the same state has begun. What else is in its place is
    /// removed.
    fn begun(
        &self,
        building: &Path,
        to: &StoreType,
        origin: &Origin,
    ) -> Result<Option<Arc<dyn StoreHandle>>, ManagerError> {
        if !building.exists() {
            return Ok(None);
        }
        match self.open_building(building) {
            Ok(new) => {
                let genesis = new.genesis();
                let is_ours = genesis.migrated_from() == Some((origin.store_id, origin.state_hash))
                    && genesis.store_type() == to
                    && Some(genesis.owner()) == self.author();
                if is_ours {
                    return Ok(Some(new));
                }
                let store_id = new.store_id();
                new.close()
                    .map_err(|source| ManagerError::Close { store_id, source })?;
            }
            // Another process is at it.
            Err(
                error @ (ManagerError::Open(OpenError::File(FileError::InUse { .. }))
                | ManagerError::Peek(PeekError::File(FileError::InUse { .. }))),
            ) => return Err(error),
            // It was interrupted before it was a store.
            Err(_) => {}
        }
        fs::remove_dir_all(building)
            .map_err(|source| ManagerError::io("remove", building, source))?;
        Ok(None)
    }

    fn begin(
        &self,
        building: &Path,
        to: &StoreType,
        origin: &Origin,
    ) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let birth = self.birth(to)?;
        let genesis = self.genesis(to, Some((origin.store_id, origin.state_hash)))?;
        match fs::create_dir(building) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(ManagerError::io("make directory", building, error));
            }
            _ => {}
        }
        let file = building.join(STATE_DB);
        create_store(&*self.backend, &file, &genesis, birth.schema, &birth.logic)?;
        sync_dir(building)?;
        self.open_building(building)
    }

    fn open_building(&self, building: &Path) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let file: PathBuf = building.join(STATE_DB);
        let meta = self.backend.peek_info(&file)?;
        let opener = self.registry.resolve(&meta.store_type)?;
        let request = self.request(&meta, &file, Access::ReadWrite, CACHE_BYTES);
        Ok(opener.open(Peeked { meta, request })?)
    }
}

/// Feeds the old state to the new store. Gives how many ops it has, and how many it had before.
fn feed(
    new: &dyn StoreHandle,
    migration: &dyn Migration,
    origin: &Origin,
    manager: &StoreManager,
) -> Result<(u64, u64), ManagerError> {
    let store_id = origin.store_id;
    let failed = |source| ManagerError::Migrate { store_id, source };
    let watch = &manager.options.watch;
    let done = new.op_count().map_err(|error| failed(Box::new(error)))?;
    let mut ops = 0;
    for call in migration.calls(&*origin.store).map_err(failed)? {
        let (method, args) = call.map_err(failed)?;
        if ops >= done {
            let called = new.call(method, args);
            called.map_err(|error| failed(Box::new(error)))?;
        }
        ops += 1;
        watch.tell(Stage::Transfer, ops, None);
    }
    let now = origin.store.state_hash();
    if now.map_err(|error| failed(Box::new(error)))? != origin.state_hash {
        return Err(ManagerError::MigrateChanged { store_id });
    }
    Ok((ops, done))
}
