//! Migrates stores to new stores of other types.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{Access, FileError, PeekError};
use lattice_backend::engine::open::{LogicPolicy, OpenError};
use lattice_backend::engine::verify::Depth;
use lattice_backend::progress::Stage;
use lattice_meta::{StateHash, StoreId, StoreType};

use super::building::{Building, MIGRATING};
use super::known::{How, Key};
use super::{ManagerError, StoreManager};
use crate::files::{finishing, sync_dir};
use crate::{Migration, Peeked, StoreHandle};

/// The cache of a store that is being built, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// The result of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The new store.
    pub store_id: StoreId,
    /// The old store, which has not changed.
    pub from: StoreId,
    /// The old store's state hash, which the new store's genesis names.
    pub state_hash: StateHash,
    /// The number of ops of the new store.
    pub ops: u64,
    /// How many of them an interrupted migration had made before.
    pub resumed: u64,
}

/// The old store, as the new store's genesis names it.
struct Origin {
    store: Arc<dyn StoreHandle>,
    store_id: StoreId,
    state_hash: StateHash,
    /// The number of its ops.
    ops: u64,
}

impl Origin {
    /// Checks that the rows match the state hash; otherwise the new store would name a state that
    /// it was not made from.
    fn check_rows(&self, manager: &StoreManager) -> Result<(), ManagerError> {
        let store_id = self.store_id;
        let (backend, progress) = (&*manager.backend, &manager.options.progress);
        let verified = self.store.verify(Depth::Quick, backend, progress);
        let verified = verified.map_err(|source| ManagerError::Verify { store_id, source })?;
        match verified.findings.first() {
            None => Ok(()),
            // Another process wrote between the two reads.
            Some(_) if self.check_unchanged().is_err() => self.check_unchanged(),
            Some(finding) => Err(ManagerError::MigrateDamaged {
                store_id,
                finding: finding.to_string(),
            }),
        }
    }

    fn check_unchanged(&self) -> Result<(), ManagerError> {
        let store_id = self.store_id;
        let ops = self.store.op_count();
        let ops = ops.map_err(|source| ManagerError::Verify { store_id, source })?;
        match ops == self.ops {
            true => Ok(()),
            false => Err(ManagerError::MigrateChanged { store_id }),
        }
    }
}

impl StoreManager {
    /// Makes a new store of type `to` from an old store, with the migration that is registered for
    /// the two types. The old store does not change; the new one's genesis names it.
    ///
    /// The new store is built in a separate directory, and appears under `stores/` atomically. An
    /// interrupted migration is resumed if the old store's state and the new store's logic have not
    /// changed; otherwise it starts over. A failed migration leaves nothing behind.
    ///
    /// # Errors
    /// If no such migration is registered; if the old store changes during the migration, or its
    /// rows do not match its state hash; if another process migrates the store at the same time; if
    /// the new store refuses a call; and what opening and creating stores report.
    pub fn migrate(
        &self,
        path: impl AsRef<Path>,
        to: &StoreType,
    ) -> Result<Migrated, ManagerError> {
        let store = self.open_path(path, Access::ReadOnly)?;
        let migration = self.registry.migration(store.store_type(), to)?;
        self.migrate_from(store, to, &*migration, "")
    }

    /// Migrates a store with a migration that is not registered, for example one that takes a part
    /// of the state. `part` says which: a migration of the same store with another part does not
    /// resume this one. It becomes a part of a file name.
    ///
    /// # Errors
    /// See [`migrate`](Self::migrate).
    pub fn migrate_by(
        &self,
        path: impl AsRef<Path>,
        to: &StoreType,
        migration: &dyn Migration,
        part: &str,
    ) -> Result<Migrated, ManagerError> {
        let store = self.open_path(path, Access::ReadOnly)?;
        self.migrate_from(store, to, migration, part)
    }

    fn migrate_from(
        &self,
        store: Arc<dyn StoreHandle>,
        to: &StoreType,
        migration: &dyn Migration,
        part: &str,
    ) -> Result<Migrated, ManagerError> {
        // The new store's genesis vouches for the old state.
        self.ensure_known(store.path())?;
        self.registry.resolve(to)?;
        let store_id = store.store_id();
        let failed = |source| ManagerError::Migrate {
            store_id,
            source: Box::new(source),
        };
        // Ops are never removed, so as long as their number is the same, the state is the same.
        let ops = store.op_count().map_err(failed)?;
        let state_hash = store.state_hash().map_err(failed)?;
        let origin = Origin {
            store,
            store_id,
            state_hash,
            ops,
        };
        origin.check_rows(self)?;
        // `+` does not occur in a type, and some systems do not allow `:` in file names.
        tracing::info!(store = %store_id, %to, ops, "migrating");
        let name = format!(
            "{MIGRATING}{store_id}-{}{part}",
            to.as_str().replace(':', "+")
        );
        let building = Building::begin(self, &name)?;
        let mut begun = self.begun(&building, to, &origin)?;
        loop {
            let new = match begun.take() {
                Some(new) => new,
                None => self.begin(&building, to, &origin)?,
            };
            let fed = feed(&*new, migration, &origin, self);
            let closed = new.close();
            let (ops, resumed) = fed?;
            closed.map_err(failed)?;
            if resumed > ops {
                // The existing store does not come from this migration.
                continue;
            }
            let _finishing = finishing();
            let mark = self.mark_of(&building.file())?;
            self.record(&Key::Store(mark.store_id), &mark, How::Migrated)?;
            building.place(self, new.store_id())?;
            tracing::info!(store = %new.store_id(), ops, resumed, "migrated");
            return Ok(Migrated {
                store_id: new.store_id(),
                from: store_id,
                state_hash,
                ops,
                resumed,
            });
        }
    }

    /// The store that an interrupted migration of the same state left.
    fn begun(
        &self,
        building: &Building,
        to: &StoreType,
        origin: &Origin,
    ) -> Result<Option<Arc<dyn StoreHandle>>, ManagerError> {
        let new = match self.open_building(building) {
            Ok(new) => new,
            // Another process has the file open by its path. It must not be removed under that
            // process.
            Err(
                error @ (ManagerError::Open(OpenError::File(FileError::InUse { .. }))
                | ManagerError::Peek(PeekError::File(FileError::InUse { .. }))),
            ) => return Err(error),
            // The migration was interrupted before the store existed.
            Err(_) => return Ok(None),
        };
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
        Ok(None)
    }

    fn begin(
        &self,
        building: &Building,
        to: &StoreType,
        origin: &Origin,
    ) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let genesis = self.genesis(to, Some((origin.store_id, origin.state_hash)))?;
        building.empty()?;
        self.create_file(&building.file(), &genesis, to.into())?;
        sync_dir(building.dir())?;
        self.open_building(building)
    }

    fn open_building(&self, building: &Building) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        self.open_unplaced(&building.file())
    }

    /// Opens a store for writing that is not in its place yet. Refuses one that other logic
    /// started.
    pub(super) fn open_unplaced(&self, file: &Path) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let peek = self.backend.peek(file)?;
        let opener = self.registry.resolve(&peek)?;
        let request = self.request(&peek.meta, file, Access::ReadWrite, CACHE_BYTES);
        let request = request.logic(LogicPolicy::Refuse);
        Ok(opener.open(Peeked { peek, request })?)
    }
}

/// Feeds the old state to the new store. Returns the number of ops in total, and how many of them
/// existed before.
fn feed(
    new: &dyn StoreHandle,
    migration: &dyn Migration,
    origin: &Origin,
    manager: &StoreManager,
) -> Result<(u64, u64), ManagerError> {
    let store_id = origin.store_id;
    let failed = |source| ManagerError::Migrate { store_id, source };
    let done = new.op_count().map_err(|error| failed(Box::new(error)))?;
    let total = count(migration, origin, manager);
    let progress = &manager.options.progress;
    progress.report(Stage::Transfer, 0, total);
    let mut ops = 0;
    for call in migration.calls(&*origin.store).map_err(failed)? {
        let (method, args) = call.map_err(failed)?;
        // Everything read so far belongs to the state that the new store names.
        origin.check_unchanged()?;
        if ops >= done {
            let called = new.call(&method, args);
            called.map_err(|error| failed(Box::new(error)))?;
        }
        ops += 1;
        progress.report(Stage::Transfer, ops, total);
    }
    origin.check_unchanged()?;
    Ok((ops, done))
}

/// The number of calls of a migration, for reports of progress. Making the calls takes a fraction
/// of the time that writing their ops takes. An error counts nothing: it comes again when the ops
/// are written.
fn count(migration: &dyn Migration, origin: &Origin, manager: &StoreManager) -> Option<u64> {
    let progress = &manager.options.progress;
    if progress.is_none() {
        return None;
    }
    progress.report(Stage::Count, 0, None);
    let mut total = 0;
    for call in migration.calls(&*origin.store).ok()? {
        call.ok()?;
        total += 1;
        progress.report(Stage::Count, total, None);
    }
    Some(total)
}
