//! Resolve, open; and close.
//!
//! # Locks and their order
//!
//! 1. A thread holds `Slot::open` of a store while it opens or closes that store. No thread holds
//!    those of two stores.
//! 2. Below it, the backend takes the locks of the store's file. If another process holds them, the
//!    backend waits, and returns an error when its time is over. `find` takes a reader's lock
//!    without a slot; a thread that must wait for the slot releases it first.
//! 3. `slots` and `cache_left_bytes` of the manager are innermost, with or without a slot: a thread
//!    that holds one of them takes no other lock.
//!
//! The lock file of a store that is being built (`building.rs`) comes before all of these.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use lattice_backend::backend::Access;
use lattice_backend::engine::Counters;
use lattice_backend::engine::open::OpenRequest;
use lattice_meta::{MetaInfo, StoreId};

use super::find::{Found, canonical, state_db};
use super::{ManagerError, StoreManager};
use crate::{Peeked, StoreHandle};

/// The smallest cache of an open store, in bytes.
pub(super) const MIN_CACHE_BYTES: usize = 64 << 10;

/// The stores that are open, or were open before.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_id: HashMap<StoreId, Arc<Slot>>,
    by_path: HashMap<PathBuf, Arc<Slot>>,
}

/// The open instances of one store: one for reading only, one for writing as well. The lock is held
/// while the store is opened, so that other threads wait and get the same instance.
#[derive(Debug, Default)]
struct Slot {
    open: Mutex<Instances>,
}

#[derive(Debug, Default)]
struct Instances {
    read_write: Option<Instance>,
    read_only: Option<Instance>,
}

#[derive(Debug)]
struct Instance {
    handle: Arc<dyn StoreHandle>,
    path: PathBuf,
    cache_bytes: usize,
}

/// What these locks protect is consistent after every statement. A panic while a lock was held does
/// no harm, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreManager {
    /// Opens a store of this data directory: peeks at it, resolves its type, and opens it with the
    /// logic of that type. Returns the existing instance if the store is open; an instance for
    /// writing serves readers too.
    ///
    /// # Errors
    /// See [`ManagerError`]. A failed call changes nothing.
    pub fn open(
        &self,
        store_id: StoreId,
        access: Access,
    ) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        self.open_path(self.existing(store_id)?, access)
    }

    /// Opens any store: a `state.db` or the directory that holds one.
    ///
    /// # Errors
    /// See [`ManagerError`]. A failed call changes nothing.
    pub fn open_path(
        &self,
        path: impl AsRef<Path>,
        access: Access,
    ) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        // A store that is open exclusively cannot be peeked at, not even by this process.
        if let Some(open) = self.opened(&file, access) {
            return Ok(open);
        }
        match self.find(&file, access) {
            // Another thread may have opened it exclusively since.
            Err(error) if error.is_in_use() => self.opened(&file, access).ok_or(error),
            found => self.open_found(found?, access),
        }
    }

    /// Opens a store that was found, if the file still holds the same store.
    ///
    /// # Errors
    /// See [`ManagerError`]; [`OtherStore`] if the file holds another store now. A failed call
    /// changes nothing.
    ///
    /// [`OtherStore`]: lattice_backend::engine::open::OpenError::OtherStore
    pub fn open_found(
        &self,
        mut found: Found,
        access: Access,
    ) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let (file, meta) = (found.file.clone(), found.meta().clone());
        let store_id = meta.store_id;
        let slot = self.slot(store_id, &file);
        let mut open = slot.open.try_lock().unwrap_or_else(|held| match held {
            TryLockError::Poisoned(poisoned) => poisoned.into_inner(),
            TryLockError::WouldBlock => {
                // The file is not kept open during the wait: the thread that holds the slot could
                // not open it exclusively, nor after a crash.
                found.close();
                lock(&slot.open)
            }
        });
        let instances = self.usable(&mut open);
        if let Some(instance) = instances.any().filter(|instance| instance.path != file) {
            let open = instance.path.clone();
            return Err(ManagerError::OpenElsewhere {
                store_id,
                open,
                path: file,
            });
        }
        if let Some(instance) = instances.serving(access) {
            return Ok(Arc::clone(&instance.handle));
        }
        // An unused reader of a file whose writer crashed would keep this writer out.
        if access == Access::ReadWrite {
            self.let_go(instances);
        }
        let instance = match self.open_new(&mut found, access) {
            Err(error) if error.is_in_use() && self.let_go(instances) => {
                self.open_new(&mut found, access)
            }
            opened => opened,
        }?;
        let handle = Arc::clone(&instance.handle);
        *instances.place(access) = Some(instance);
        Ok(handle)
    }

    /// The slot of a store, which is also found by the path of its file from now on.
    fn slot(&self, store_id: StoreId, file: &Path) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        let slot = Arc::clone(slots.by_id.entry(store_id).or_default());
        slots.by_path.insert(file.to_path_buf(), Arc::clone(&slot));
        slot
    }

    /// The open instance of a file, given by its canonical path, that serves this access.
    pub(super) fn opened(&self, file: &Path, access: Access) -> Option<Arc<dyn StoreHandle>> {
        let slot = lock(&self.slots).by_path.get(file).cloned()?;
        let mut open = lock(&slot.open);
        let instance = self.usable(&mut open).serving(access)?;
        // The slot may serve another path now.
        (instance.path == file).then(|| Arc::clone(&instance.handle))
    }

    /// Closes a store and all its handles, and releases its file before it returns. Does nothing if
    /// the store is not open.
    ///
    /// # Errors
    /// [`ManagerError::Close`]; the file is released in any case.
    pub fn close(&self, store_id: StoreId) -> Result<(), ManagerError> {
        let Some(slot) = lock(&self.slots).by_id.get(&store_id).cloned() else {
            return Ok(());
        };
        let mut open = lock(&slot.open);
        let mut closed = Ok(());
        for instance in [open.read_write.take(), open.read_only.take()]
            .into_iter()
            .flatten()
        {
            closed = closed.and(instance.handle.close());
            self.give_back(instance.cache_bytes);
        }
        closed.map_err(|source| ManagerError::Close { store_id, source })
    }

    /// The sum of what the stores that are open now have done, and how many these are. A store that
    /// is open for reading and for writing counts twice.
    pub fn counters(&self) -> (usize, Counters) {
        let slots: Vec<_> = lock(&self.slots).by_id.values().cloned().collect();
        let mut all = (0, Counters::default());
        for slot in slots {
            let open = lock(&slot.open);
            for instance in [&open.read_write, &open.read_only].into_iter().flatten() {
                all = (all.0 + 1, all.1 + instance.handle.counters());
            }
        }
        all
    }

    /// Closes all stores, even if some fail. Returns the first error.
    ///
    /// # Errors
    /// See [`StoreManager::close`].
    pub fn close_all(&self) -> Result<(), ManagerError> {
        let ids: Vec<_> = lock(&self.slots).by_id.keys().copied().collect();
        ids.into_iter()
            .map(|store_id| self.close(store_id))
            .fold(Ok(()), Result::and)
    }

    /// Closes the read-only instance if no caller holds a handle to it, and returns whether it did.
    /// A writer that opens the store exclusively, or repairs it, must wait for all readers.
    fn let_go(&self, instances: &mut Instances) -> bool {
        let unused = instances.read_only.take_if(|instance| {
            Arc::strong_count(&instance.handle) == 1 && !instance.handle.is_shared()
        });
        let Some(unused) = unused else {
            return false;
        };
        // The instance wrote nothing.
        let _ = unused.handle.close();
        self.give_back(unused.cache_bytes);
        true
    }

    fn open_new(&self, found: &mut Found, access: Access) -> Result<Instance, ManagerError> {
        let path = found.file.display();
        let _span = tracing::debug_span!("open", %path, ?access).entered();
        let opener = self.registry.resolve(&found.peek)?;
        if access == Access::ReadWrite {
            match &found.reader {
                Some(reader) => self.vouch(&found.file, &**reader)?,
                None => self.ensure_known_closed(&found.file)?,
            };
        }
        let cache_bytes = self.take_cache();
        let mut request = self.request(found.meta(), &found.file, access, cache_bytes);
        request.reader = found.reader.take();
        let peek = found.peek.clone();
        match opener.open(Peeked { peek, request }) {
            Ok(handle) => Ok(Instance {
                handle,
                path: found.file.clone(),
                cache_bytes,
            }),
            Err(error) => {
                self.give_back(cache_bytes);
                Err(error.into())
            }
        }
    }

    /// The request to open a store.
    pub(super) fn request(
        &self,
        meta: &MetaInfo,
        path: &Path,
        access: Access,
        cache_bytes: usize,
    ) -> OpenRequest {
        OpenRequest::new(Arc::clone(&self.backend), path)
            .access(access)
            .sharing(self.options.sharing)
            .wait(self.options.wait)
            .cache_bytes(cache_bytes)
            .expected(meta.store_id)
            .identity(self.options.identity.clone())
            .clock(Arc::clone(&self.options.clock))
            .logic(self.options.logic)
            .continue_copy(self.options.copied)
            .progress(self.options.progress.clone())
    }

    /// Drops instances that a handle closed or that a failure made unusable.
    fn usable<'a>(&self, open: &'a mut Instances) -> &'a mut Instances {
        for place in [&mut open.read_write, &mut open.read_only] {
            if let Some(instance) = place.take_if(|instance| !instance.handle.is_usable()) {
                // It failed before, so an error at closing adds nothing.
                let _ = instance.handle.close();
                self.give_back(instance.cache_bytes);
            }
        }
        open
    }

    /// Takes half of the remaining budget.
    fn take_cache(&self) -> usize {
        let mut left = lock(&self.cache_left_bytes);
        let share = *left / 2;
        if share <= MIN_CACHE_BYTES {
            return MIN_CACHE_BYTES;
        }
        *left -= share;
        share
    }

    fn give_back(&self, cache_bytes: usize) {
        if cache_bytes > MIN_CACHE_BYTES {
            *lock(&self.cache_left_bytes) += cache_bytes;
        }
    }
}

impl Instances {
    /// The instance that serves this access.
    fn serving(&self, access: Access) -> Option<&Instance> {
        match access {
            Access::ReadWrite => self.read_write.as_ref(),
            Access::ReadOnly => self.any(),
        }
    }

    fn any(&self) -> Option<&Instance> {
        self.read_write.as_ref().or(self.read_only.as_ref())
    }

    fn place(&mut self, access: Access) -> &mut Option<Instance> {
        match access {
            Access::ReadWrite => &mut self.read_write,
            Access::ReadOnly => &mut self.read_only,
        }
    }
}
