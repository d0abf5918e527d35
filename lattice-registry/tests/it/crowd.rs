//! Many threads that use the same stores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lattice_backend::backend::{BackendError, FileError, PeekError};
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::Depth;
use lattice_backend::engine::write::AppendError;
use lattice_meta::StoreId;
use lattice_registry::{Access, ManagerError, StoreManager, TypedStore};

use crate::counter::{COUNTER, Counter, manager};

/// How long the threads work; `LATTICE_CROWD_SECONDS` overrides it.
fn time() -> Duration {
    let seconds = std::env::var("LATTICE_CROWD_SECONDS").map_or(2, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Aborts the process if the work does not end, so that a deadlock is reported as a failure.
fn watched<T>(work: impl FnOnce() -> T) -> T {
    let limit = time() + Duration::from_secs(60);
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    std::thread::spawn(move || {
        let started = Instant::now();
        while !seen.load(Ordering::SeqCst) {
            if started.elapsed() > limit {
                eprintln!("a deadlock: nothing has ended after {limit:?}");
                std::process::exit(101);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let worked = work();
    done.store(true, Ordering::SeqCst);
    worked
}

/// Whether another thread may have closed, removed or opened the store concurrently.
fn is_meanwhile(error: &ManagerError) -> bool {
    let of_file =
        |error: &FileError| matches!(error, FileError::InUse { .. } | FileError::NotFound { .. });
    match error {
        ManagerError::NoSuchStore { .. } => true,
        ManagerError::Peek(PeekError::File(error)) => of_file(error),
        ManagerError::Open(OpenError::File(error)) => of_file(error),
        ManagerError::Open(OpenError::Peek(PeekError::File(error))) => of_file(error),
        ManagerError::Compact { source, .. } => {
            matches!(source, BackendError::SnapshotsLive | BackendError::ReadOnly)
                || is_gone(source)
        }
        ManagerError::Verify { source, .. } => is_gone(source),
        _ => false,
    }
}

fn allow<T>(done: Result<T, ManagerError>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(error) if is_meanwhile(&error) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Stores that threads create, use and remove, with the least sum of each, if it is known.
struct Field {
    manager: StoreManager,
    ids: Mutex<Vec<StoreId>>,
    sums: Mutex<std::collections::BTreeMap<StoreId, u64>>,
    removed: AtomicU64,
}

impl Field {
    fn any(&self, random: u64) -> Option<StoreId> {
        let ids = self.ids.lock().unwrap();
        let len = u64::try_from(ids.len()).unwrap();
        let nth = random.checked_rem(len)?;
        Some(ids[usize::try_from(nth).unwrap()])
    }

    fn act(&self, random: u64) {
        let choice = random % 100;
        let Some(id) = self.any(random / 100).filter(|_| choice > 3) else {
            let made = self.manager.create(&COUNTER.parse().unwrap()).unwrap();
            self.ids.lock().unwrap().push(made);
            return;
        };
        match choice {
            0..50 => self.append(id),
            50..70 => {
                let Some(store) = allow(self.manager.open(id, Access::ReadOnly)) else {
                    return;
                };
                match store.state_hash() {
                    Ok(_) => {}
                    Err(error) if is_gone(&error) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            70..85 => self.manager.close(id).unwrap(),
            85..90 => {
                allow(self.manager.compact(self.manager.store_path(id)));
            }
            90..95 => {
                for listed in self.manager.list().unwrap() {
                    allow(listed.meta);
                }
            }
            95..97 => {
                let path = self.manager.store_path(id);
                if let Some(verified) = allow(self.manager.verify_path(path, Depth::Full)) {
                    assert_eq!(verified.findings, []);
                }
            }
            _ => {
                if allow(self.manager.destroy(id)).is_some() {
                    self.ids.lock().unwrap().retain(|there| *there != id);
                    self.removed.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn append(&self, id: StoreId) {
        let Some(store) = allow(self.manager.open(id, Access::ReadWrite)) else {
            return;
        };
        let counter = store.downcast_ref::<Counter>().unwrap();
        match counter.append(1) {
            Ok(_) => *self.sums.lock().unwrap().entry(id).or_insert(0) += 1,
            // Another thread has closed or removed the store since.
            Err(AppendError::Backend(error)) if is_gone(&error) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn is_gone(error: &BackendError) -> bool {
    match error {
        BackendError::Closed | BackendError::Replaced => true,
        // The handle that met the removal first has kept it as its failure.
        BackendError::Unusable { first: Some(first) } => {
            first.to_string() == BackendError::Replaced.to_string()
        }
        _ => false,
    }
}

#[test]
fn threads_create_open_close_and_remove_the_same_stores() {
    let dir = tempfile::tempdir().unwrap();
    let field = Field {
        manager: manager(dir.path()),
        ids: Mutex::default(),
        sums: Mutex::default(),
        removed: AtomicU64::new(0),
    };
    watched(|| {
        let until = Instant::now() + time();
        std::thread::scope(|threads| {
            for thread in 0..16_u64 {
                let field = &field;
                threads.spawn(move || {
                    let mut random = 0x9e37_79b9_7f4a_7c15 ^ (thread << 32);
                    while Instant::now() < until {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        field.act(random);
                    }
                });
            }
        });
    });
    assert!(field.removed.load(Ordering::SeqCst) > 3);
    let (ids, sums) = (
        field.ids.into_inner().unwrap(),
        field.sums.into_inner().unwrap(),
    );
    let mut counted = 0;
    for listed in field.manager.list().unwrap() {
        let id = listed.meta.unwrap().store_id;
        assert!(ids.contains(&id));
        let store = field.manager.open(id, Access::ReadOnly).unwrap();
        // A commit may succeed although its caller got the error that the store was closed.
        let ops = store.op_count().unwrap();
        let acknowledged = sums.get(&id).copied().unwrap_or(0);
        assert!(
            ops >= acknowledged,
            "{acknowledged} were acknowledged, {ops} are there"
        );
        counted += acknowledged;
        let verified = field.manager.verify_path(store.path(), Depth::Full);
        assert_eq!(verified.unwrap().findings, []);
    }
    assert!(counted > 10, "{counted} appends are no crowd");
    // Removed stores leave no files.
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["known.toml", "stores"]);
}

#[test]
fn closing_releases_the_file_at_once_a_thousand_times() {
    let dir = tempfile::tempdir().unwrap();
    let managers = [manager(dir.path()), manager(dir.path())];
    let id = managers[0].create(&COUNTER.parse().unwrap()).unwrap();
    for round in 0..1000 {
        let manager = &managers[round % 2];
        let store = manager.open(id, Access::ReadWrite).unwrap();
        if round % 100 == 0 {
            store.downcast_ref::<Counter>().unwrap().append(1).unwrap();
        }
        // Closed by the manager or through the handle, while the handle exists.
        match round % 4 {
            0 | 1 => manager.close(id).unwrap(),
            _ => store.close().unwrap(),
        }
    }
    assert_eq!(
        managers[0]
            .open(id, Access::ReadOnly)
            .unwrap()
            .op_count()
            .unwrap(),
        10
    );
}

#[test]
fn handles_outlive_their_manager_and_the_last_one_releases_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = manager(dir.path());
    let id = first.create(&COUNTER.parse().unwrap()).unwrap();
    let store = first.open(id, Access::ReadWrite).unwrap();
    let typed = store.downcast_ref::<Counter>().unwrap().clone();
    drop(first);
    typed.append(1).unwrap();
    let second = manager(dir.path());
    let shared = second.open(id, Access::ReadWrite).unwrap();
    assert_eq!(shared.op_count().unwrap(), 1);
    drop(store);
    typed.append(1).unwrap();
    assert!(!typed.engine().is_shared());
    drop(typed);
    let again = second.open(id, Access::ReadWrite).unwrap();
    assert_eq!(again.op_count().unwrap(), 2);
}
