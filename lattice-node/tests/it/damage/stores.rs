//! Stores to damage, with the same bytes in every run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::Sharing;
use lattice_backend::clock::{Clock, ManualClock};
use lattice_backend::engine::ingest::Authors;
use lattice_backend::redb::RedbBackend;
use lattice_meta::{Genesis, Hlc, Nonce, StoreId};
use lattice_node::{
    Access, KvStore, LogStore, ManagerOptions, SecretKey, StoreHandle, StoreManager, core_registry,
};

const NOW_MS: u64 = 1_700_000_000_000;

/// Which store, and how its last writer left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Kv,
    Log,
    KvCrashed,
    LogCrashedInExclusiveUse,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self::Kv,
        Self::Log,
        Self::KvCrashed,
        Self::LogCrashedInExclusiveUse,
    ];

    fn is_kv(self) -> bool {
        matches!(self, Self::Kv | Self::KvCrashed)
    }

    fn sharing(self) -> Sharing {
        match self {
            Self::LogCrashedInExclusiveUse => Sharing::Exclusive,
            _ => Sharing::SingleWriter,
        }
    }

    pub(crate) fn genesis(self) -> Genesis {
        let (store_type, nonce) = match self.is_kv() {
            true => (lattice_kvstore::store_type(), 1),
            false => (lattice_logstore::store_type(), 2),
        };
        let created = Hlc::from_parts(NOW_MS, 0).unwrap();
        let owner = secret(1).public();
        Genesis::new(
            store_type,
            owner,
            Nonce::from_bytes([nonce; 16]),
            created,
            None,
        )
    }

    pub(super) fn store_id(self) -> StoreId {
        self.genesis().store_id()
    }

    /// True if the writer did not end cleanly. Then a damaged flag, or a damaged page under
    /// exclusive use, can look as if the writer had ended before its last commit was acknowledged.
    /// The commit before then counts, because a reader cannot tell these cases apart.
    pub(super) fn has_crashed(self) -> bool {
        matches!(self, Self::KvCrashed | Self::LogCrashedInExclusiveUse)
    }

    /// The file's bytes before and after the last op.
    pub(crate) fn make(self) -> [Vec<u8>; 2] {
        self.make_smaller(1)
    }

    /// The same history with fewer ops and rows: their numbers are divided.
    pub(super) fn make_smaller(self, divisor: usize) -> [Vec<u8>; 2] {
        let write = |store: &dyn StoreHandle, nth: usize, rows: usize| {
            write(store, nth, rows.div_ceil(divisor));
        };
        let dirs = [1, 2, 1].map(|author| Replica::new(self, author));
        let [first, other, fork] = &dirs;
        let store = first.open(Access::ReadWrite);
        for nth in 0..12_usize.div_ceil(divisor) {
            write(&*store, nth, 25);
        }
        let other = other.open(Access::ReadWrite);
        pull(&*store, &*other);
        for nth in (20..24).step_by(divisor) {
            write(&*other, nth, 7);
            write(&*store, nth, 9);
        }
        pull(&*other, &*store);
        first.manager.close_all().unwrap();
        // The same author writes to a copy, which forks its chain.
        fs::copy(first.file(), fork.file()).unwrap();
        let store = first.open(Access::ReadWrite);
        write(&*store, 40, 3);
        let fork = fork.open(Access::ReadWrite);
        write(&*fork, 41, 4);
        pull(&*fork, &*store);
        let before = fs::read(first.file()).unwrap();
        write(&*store, 42, 20);
        if !self.has_crashed() {
            first.manager.close_all().unwrap();
        }
        [before, fs::read(first.file()).unwrap()]
    }
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

/// A data directory with one store.
struct Replica {
    _dir: tempfile::TempDir,
    manager: StoreManager,
    store_id: StoreId,
}

impl Replica {
    fn new(kind: Kind, author: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = ManagerOptions::new(secret(author)).sharing(kind.sharing());
        let manager = manager(dir.path(), options);
        let store_id = manager.create_replica(&kind.genesis()).unwrap();
        Self {
            _dir: dir,
            manager,
            store_id,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.manager.store_path(self.store_id)
    }

    fn open(&self, access: Access) -> Arc<dyn StoreHandle> {
        self.manager.open(self.store_id, access).unwrap()
    }
}

/// A manager of a data directory, with a clock that stands still.
pub(super) fn manager(dir: &Path, options: ManagerOptions) -> StoreManager {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW_MS));
    let options = options.clock(clock);
    let backend = Arc::new(RedbBackend::on_files());
    StoreManager::new(dir, backend, core_registry().unwrap(), options)
}

/// A manager that writes as the owner of the stores.
pub(super) fn owners_manager(dir: &Path) -> StoreManager {
    manager(dir, ManagerOptions::new(secret(1)))
}

/// Writes an op with this many rows, some of them long.
fn write(store: &dyn StoreHandle, nth: usize, rows: usize) {
    let content = |row: usize| {
        let len = if (nth + row).is_multiple_of(29) {
            9_000
        } else {
            5 + (nth * 31 + row * 7) % 160
        };
        vec![b'a' + u8::try_from(row % 26).unwrap(); len]
    };
    if let Some(kv) = store.downcast_ref::<KvStore>() {
        let batch = (0..rows).fold(kv.batch(), |batch, row| {
            let key = format!("key {:03}", (nth * 13 + row) % 400);
            batch.put(key, content(row))
        });
        batch
            .delete(format!("key {:03}", 400 + nth))
            .commit()
            .unwrap();
    } else {
        let log = store.downcast_ref::<LogStore>().unwrap();
        log.append_many((0..rows).map(content)).unwrap();
    }
}

/// Copies to `to` all ops that it lacks of `from`.
fn pull(from: &dyn StoreHandle, to: &dyn StoreHandle) {
    let ops = from.ops_after(&to.branch_tips().unwrap()).unwrap();
    let report = to.ingest(&mut ops.map(|op| Ok(op?)), &Authors::Any);
    assert!(report.unwrap().applied() > 0);
}
