//! How often a file is opened.

use lattice_backend::progress::ProgressSink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{
    Copied, FileError, Integrity, OpenOptions, Peek, PeekError, Result as RowResult, StateBackend,
    StateDb, WriteTx,
};
use lattice_backend::redb::RedbBackend;
use lattice_meta::StoreId;
use lattice_registry::{Access, ManagerError, StoreManager};

use crate::counter::{COUNTER, Counter, options, registry};

/// One open of a store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    Peek,
    For(Access),
}

/// Records every open of a file, over a real backend.
#[derive(Debug)]
struct Noting {
    backend: RedbBackend,
    opened: Mutex<Vec<Opened>>,
}

impl Noting {
    fn note(&self, opened: Opened) {
        self.opened.lock().unwrap().push(opened);
    }

    fn take(&self) -> Vec<Opened> {
        std::mem::take(&mut *self.opened.lock().unwrap())
    }
}

impl StateBackend for Noting {
    fn peek(&self, path: &Path) -> Result<Peek, PeekError> {
        self.note(Opened::Peek);
        self.backend.peek(path)
    }

    fn create(
        &self,
        path: &Path,
        birth: &mut dyn FnMut(&mut dyn WriteTx) -> RowResult<()>,
    ) -> Result<(), FileError> {
        self.backend.create(path, birth)
    }

    fn scratch(&self) -> Result<Arc<dyn StateDb>, FileError> {
        self.backend.scratch()
    }

    fn backup(
        &self,
        path: &Path,
        target: &Path,
        edit: &mut dyn FnMut(&mut dyn WriteTx) -> RowResult<()>,
        progress: &ProgressSink,
    ) -> Result<Copied, FileError> {
        self.backend.backup(path, target, edit, progress)
    }

    fn check_integrity(&self, path: &Path) -> Result<Integrity, FileError> {
        self.backend.check_integrity(path)
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> Result<Arc<dyn StateDb>, FileError> {
        self.note(Opened::For(options.access));
        self.backend.open(path, options)
    }
}

fn noting() -> (tempfile::TempDir, Arc<Noting>, StoreManager, StoreId) {
    let dir = tempfile::tempdir().unwrap();
    let noting = Arc::new(Noting {
        backend: RedbBackend::on_files(),
        opened: Mutex::default(),
    });
    let backend: Arc<dyn StateBackend> = noting.clone();
    let manager = StoreManager::new(dir.path(), backend, registry(), options());
    let id = manager.create(&COUNTER.parse().unwrap()).unwrap();
    noting.take();
    (dir, noting, manager, id)
}

/// The read-only open makes all checks, peek included, before anything can change; then the open
/// for writing.
const WRITE: [Opened; 2] = [
    Opened::For(Access::ReadOnly),
    Opened::For(Access::ReadWrite),
];

#[test]
fn a_write_opens_its_file_twice_and_so_does_one_that_checks_the_type_first() {
    let (_dir, noting, manager, id) = noting();
    let path = manager.store_path(id);
    let append = |store: Arc<dyn lattice_registry::StoreHandle>| {
        store.downcast_ref::<Counter>().unwrap().append(1).unwrap();
    };
    append(manager.open_path(&path, Access::ReadWrite).unwrap());
    assert_eq!(noting.take(), WRITE);
    append(manager.open_path(&path, Access::ReadWrite).unwrap());
    assert_eq!(noting.take(), [], "it is open");
    manager.close(id).unwrap();

    let found = manager.find(&path, Access::ReadWrite).unwrap();
    assert_eq!(found.meta().store_type.as_str(), COUNTER);
    append(manager.open_found(found, Access::ReadWrite).unwrap());
    assert_eq!(noting.take(), WRITE);
    manager.close(id).unwrap();

    let found = manager.find(&path, Access::ReadOnly).unwrap();
    manager.open_found(found, Access::ReadOnly).unwrap();
    let read = [Opened::Peek, Opened::For(Access::ReadOnly)];
    assert_eq!(noting.take(), read);
}

#[test]
fn a_list_opens_each_store_once() {
    let (_dir, noting, manager, _) = noting();
    manager.create(&COUNTER.parse().unwrap()).unwrap();
    noting.take();
    assert!(manager.list().unwrap().iter().all(|it| it.is_known));
    assert_eq!(noting.take(), [Opened::For(Access::ReadOnly); 2]);
}

/// A store that is found and then not opened is released for others.
#[test]
fn a_found_store_is_released() {
    let (_dir, _, manager, id) = noting();
    let path = manager.store_path(id);
    drop(manager.find(&path, Access::ReadWrite).unwrap());
    let exclusive = options().sharing(lattice_backend::backend::Sharing::Exclusive);
    let backend = Arc::new(RedbBackend::on_files());
    let other = StoreManager::new(manager.dir(), backend, registry(), exclusive);
    other.open(id, Access::ReadWrite).unwrap();
}

#[test]
fn a_found_file_that_now_holds_a_different_store_is_refused() {
    let (dir, _, manager, id) = noting();
    let other = manager.create(&COUNTER.parse().unwrap()).unwrap();
    let path = dir.path().join("state.db");
    std::fs::copy(manager.store_path(id), &path).unwrap();
    let found = manager.find(&path, Access::ReadWrite).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::copy(manager.store_path(other), &path).unwrap();
    let refused = manager.open_found(found, Access::ReadWrite).unwrap_err();
    assert!(
        matches!(
            &refused,
            ManagerError::Open(lattice_backend::engine::open::OpenError::OtherStore { .. })
        ),
        "{refused:?}"
    );
}
