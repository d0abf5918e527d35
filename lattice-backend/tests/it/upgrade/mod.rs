//! Stores that older code has written.

mod logic;
mod rebuild;
mod schema;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lattice_backend::backend::OpenOptions;
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{LogicPolicy, OpenError, OpenRequest};
use lattice_backend::progress::{Progress, ProgressSink, Stage};
use lattice_backend::redb::RedbBackend;
use tempfile::TempDir;

use crate::registers::Registers;
use crate::support::*;

/// A store on files, with ops of two authors, a fork and an invalid payload.
struct Old {
    dir: TempDir,
    site: Site,
}

impl Old {
    fn written_by(machine: Registers) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let mut site = Site::new(RedbBackend::on_files(), dir.path().join("unused.db"));
        site.machine = machine;
        site.path = path;
        Engine::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
        let store = site.open();
        for nth in 0..300 {
            append(&store, &format!("key {}", nth % 40), format!("value {nth}"));
        }
        let other = secret(2);
        let first = op(
            &other,
            None,
            &[],
            1,
            &crate::registers::payload(b"theirs", b"one"),
        );
        let left = op(
            &other,
            Some(&first),
            &[],
            2,
            &crate::registers::payload(b"key 1", b"left"),
        );
        let right = op(&other, Some(&first), &[], 2, &[0]);
        ingest(&store, &[&first, &left, &right]);
        assert_whole_at(&store, &site);
        store.close().unwrap();
        Self { dir, site }
    }

    fn request(&self) -> OpenRequest {
        self.site.request().identity(owner())
    }

    fn open(&self, machine: &Registers) -> Result<Store, OpenError> {
        Engine::open(self.request(), machine.clone())
    }

    fn open_with(&self, machine: &Registers, policy: LogicPolicy) -> Result<Store, OpenError> {
        let mut request = self.request();
        request.logic = policy;
        Engine::open(request, machine.clone())
    }

    fn read(&self, machine: &Registers, policy: LogicPolicy) -> Result<Store, OpenError> {
        let mut request = self.request();
        request.options = OpenOptions::read_only();
        request.logic = policy;
        Engine::open(request, machine.clone())
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.site.path).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Verifies the store. (The rows of an old layout are not their elements.)
fn assert_whole_at(store: &Store, site: &Site) {
    let verified = store
        .verify(
            lattice_backend::engine::verify::Depth::Full,
            &*site.backend,
            &ProgressSink::none(),
        )
        .unwrap();
    assert_eq!(verified.findings, []);
    assert_eq!(verified.state_hash, store.state_hash().unwrap());
}

/// Records the reports to a progress sink.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Progress>>>);

impl Told {
    fn progress(&self) -> ProgressSink {
        let told = self.clone();
        ProgressSink::new(move |progress| told.0.lock().unwrap().push(progress))
    }

    fn of(&self, stage: Stage) -> Vec<(u64, Option<u64>)> {
        let told = self.0.lock().unwrap();
        let of_stage = told.iter().filter(|progress| progress.stage == stage);
        of_stage
            .map(|progress| (progress.done, progress.total))
            .collect()
    }
}
