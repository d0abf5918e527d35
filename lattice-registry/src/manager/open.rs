//! Peek, resolve, open; and close.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lattice_backend::backend::{Access, FileError, OpenOptions, PeekError};
use lattice_backend::engine::open::{OpenError, OpenRequest};
use lattice_backend::engine::read::InfoError;
use lattice_meta::{MetaInfo, StoreId};

use super::list::check_place;
use super::{ManagerError, STATE_DB, StoreManager};
use crate::{Peeked, StoreHandle};

/// The least cache of an open store, in bytes.
const MIN_CACHE_BYTES: usize = 64 << 10;

/// The stores that are or were open.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_id: HashMap<StoreId, Arc<Slot>>,
    by_path: HashMap<PathBuf, Arc<Slot>>,
}

/// The open instances of one store: one for reading only, one for writing too. The lock is held
/// while the store is opened, so that whoever comes meanwhile gets the same instance.
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

/// What these locks guard is whole after every statement, so a panic elsewhere while one was held
/// is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreManager {
    /// Peeks at a store of this data directory.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn peek(&self, store_id: StoreId) -> Result<MetaInfo, ManagerError> {
        self.peek_path(self.existing(store_id)?)
    }

    /// Peeks at any store: a `state.db` or the directory that holds one.
    ///
    /// # Errors
    /// See [`ManagerError`].
    pub fn peek_path(&self, path: impl AsRef<Path>) -> Result<MetaInfo, ManagerError> {
        self.peek_file(&state_db(path.as_ref()))
    }

    /// Peeks at a file. Nobody can peek at one that is open exclusively; if it is so here, its handle
    /// is asked.
    pub(super) fn peek_file(&self, file: &Path) -> Result<MetaInfo, ManagerError> {
        let meta = match self.backend.peek_info(file) {
            Err(error @ PeekError::File(FileError::InUse { .. })) => {
                let Some(open) = self.opened(&canonical(file), Access::ReadOnly) else {
                    return Err(error.into());
                };
                open.info().map_err(|failed| match failed {
                    InfoError::Meta(found) => found,
                    InfoError::Backend(source) => PeekError::Backend {
                        path: file.to_path_buf(),
                        source,
                    },
                    _ => error,
                })?
            }
            peeked => peeked?,
        };
        check_place(file, &meta)?;
        Ok(meta)
    }

    /// Opens a store of this data directory: peeks at it, resolves its type, and opens it with the
    /// logic of that type. A store that is open already is given again; one that is open for
    /// writing serves readers too.
    ///
    /// # Errors
    /// See [`ManagerError`]. A refusal changes nothing.
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
    /// See [`ManagerError`]. A refusal changes nothing.
    pub fn open_path(
        &self,
        path: impl AsRef<Path>,
        access: Access,
    ) -> Result<Arc<dyn StoreHandle>, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        // A store that is open exclusively cannot be peeked at, not even from here.
        if let Some(open) = self.opened(&file, access) {
            return Ok(open);
        }
        let meta = self.peek_path(&file)?;
        let store_id = meta.store_id;
        let slot = Arc::clone(lock(&self.slots).by_id.entry(store_id).or_default());
        let mut open = lock(&slot.open);
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
        let instance = match self.open_new(&meta, file.clone(), access) {
            Err(ManagerError::Open(OpenError::File(FileError::InUse { .. })))
                if self.let_go(instances) =>
            {
                self.open_new(&meta, file.clone(), access)
            }
            opened => opened,
        }?;
        let handle = Arc::clone(&instance.handle);
        *instances.place(access) = Some(instance);
        lock(&self.slots).by_path.insert(file, Arc::clone(&slot));
        Ok(handle)
    }

    /// The instance of a file, by its one name, that serves this access, if it is open.
    pub(super) fn opened(&self, file: &Path, access: Access) -> Option<Arc<dyn StoreHandle>> {
        let slot = lock(&self.slots).by_path.get(file).cloned()?;
        let mut open = lock(&slot.open);
        let instance = self.usable(&mut open).serving(access)?;
        // Its slot may serve another place by now.
        (instance.path == file).then(|| Arc::clone(&instance.handle))
    }

    /// Closes a store for everybody who holds a handle to it; its file is released when this
    /// returns. A store that is not open stays so.
    ///
    /// # Errors
    /// [`ManagerError::Close`]; the file is released all the same.
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

    /// Closes all stores. The first error is given; the others are closed all the same.
    ///
    /// # Errors
    /// See [`StoreManager::close`].
    pub fn close_all(&self) -> Result<(), ManagerError> {
        let ids: Vec<_> = lock(&self.slots).by_id.keys().copied().collect();
        ids.into_iter()
            .map(|store_id| self.close(store_id))
            .fold(Ok(()), Result::and)
    }

    fn existing(&self, store_id: StoreId) -> Result<PathBuf, ManagerError> {
        let path = self.store_path(store_id);
        let exists = path
            .try_exists()
            .map_err(|source| ManagerError::io("look for", &path, source))?;
        let dir = self.stores_dir();
        if exists {
            Ok(path)
        } else {
            Err(ManagerError::NoSuchStore { store_id, dir })
        }
    }

    /// Closes an instance for reading that nobody uses any more; whether there was one. Writers who want
    /// a store to themselves, or are to repair it, have to wait for its readers.
    fn let_go(&self, instances: &mut Instances) -> bool {
        let unused = instances.read_only.take_if(|instance| {
            Arc::strong_count(&instance.handle) == 1 && !instance.handle.is_shared()
        });
        let Some(unused) = unused else {
            return false;
        };
        // It wrote nothing.
        let _ = unused.handle.close();
        self.give_back(unused.cache_bytes);
        true
    }

    fn open_new(
        &self,
        meta: &MetaInfo,
        path: PathBuf,
        access: Access,
    ) -> Result<Instance, ManagerError> {
        let opener = self.registry.resolve(&meta.store_type)?;
        let cache_bytes = self.take_cache();
        let request = self.request(meta, &path, access, cache_bytes);
        let meta = meta.clone();
        match opener.open(Peeked { meta, request }) {
            Ok(handle) => Ok(Instance {
                handle,
                path,
                cache_bytes,
            }),
            Err(error) => {
                self.give_back(cache_bytes);
                Err(error.into())
            }
        }
    }

    /// How a store is opened.
    pub(super) fn request(
        &self,
        meta: &MetaInfo,
        path: &Path,
        access: Access,
        cache_bytes: usize,
    ) -> OpenRequest {
        OpenRequest {
            backend: Arc::clone(&self.backend),
            path: path.to_path_buf(),
            options: OpenOptions {
                access,
                sharing: self.options.sharing,
                cache_bytes,
            },
            expected: Some(meta.store_id),
            identity: self.options.identity.clone(),
            clock: Arc::clone(&self.options.clock),
            logic: self.options.logic,
            watch: self.options.watch.clone(),
        }
    }

    /// Lets go of instances that were closed by a handle, or that a failure made unusable.
    fn usable<'a>(&self, open: &'a mut Instances) -> &'a mut Instances {
        for place in [&mut open.read_write, &mut open.read_only] {
            if let Some(instance) = place.take_if(|instance| !instance.handle.is_usable()) {
                // It failed before; that it cannot be closed cleanly is no news.
                let _ = instance.handle.close();
                self.give_back(instance.cache_bytes);
            }
        }
        open
    }

    /// Half of what is left of the budget.
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

/// The file meant by a path to it or to its directory.
pub(super) fn state_db(path: &Path) -> PathBuf {
    // A directory of the file's name holds no store: it stands where the file should.
    if path.is_dir() && path.file_name() != Some(STATE_DB.as_ref()) {
        path.join(STATE_DB)
    } else {
        path.to_path_buf()
    }
}

/// One name for a file, whichever way it was named. A path that cannot be followed is peeked at as
/// it is, and fails there with its own error.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}
