//! One damaged store, and every operation on it.

use std::fmt::{Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::backend::{
    BackendError, Direction, EVERYTHING, FileError, OpenOptions, StateBackend, Table,
};
use lattice_backend::conformance::Rng;
use lattice_backend::op::ApplyIndex;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::KvStore;
use lattice_logstore::{LogStore, Selection};
use lattice_node::{Access, Depth, ManagerOptions, ProgressSink, StoreHandle, StoreManager};
use lattice_registry::ManagerError;

use super::kinds::Damage;
use super::stores::{Kind, manager, owners_manager};

type Rows = Vec<(Table, Vec<u8>, Vec<u8>)>;

/// An intact store.
pub(super) struct Original {
    kind: Kind,
    bytes: Vec<u8>,
    rows: Rows,
    /// The rows before the last commit, if that commit can be lost.
    rows_before: Option<Rows>,
}

/// The effect of the damage on the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// All rows are unchanged.
    Same,
    /// At least one row differs.
    Changed,
    /// The rows are those before the last commit, which looks as if it was never acknowledged.
    OneCommitBack,
    /// Not all rows can be read.
    Unreadable,
}

/// The result of a case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    pub(super) damage: Damage,
    pub(super) live: Live,
    /// True if full verification, with the backend's checksums, found something.
    pub(super) found: bool,
    /// True if the replay of history alone found something; `None` if the store does not open.
    pub(super) found_by_replay: Option<bool>,
    /// True if a write succeeded.
    pub(super) wrote: bool,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let replay = match self.found_by_replay {
            None => "-",
            Some(true) => "found",
            Some(false) => "clean",
        };
        write!(
            f,
            "{:?} {:?} {:?} {} {replay} {}",
            self.kind, self.damage, self.live, self.found, self.wrote
        )
    }
}

impl Original {
    pub(super) fn all() -> Vec<Self> {
        Kind::ALL.map(Self::new).into()
    }

    fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let rows_of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            rows(&path).unwrap()
        };
        let [before, bytes] = kind.make();
        let rows_before = kind.has_crashed().then(|| rows_of(&before));
        let rows = rows_of(&bytes);
        Self {
            kind,
            bytes,
            rows,
            rows_before,
        }
    }

    /// Classifies the rows, which are read both in sequence and by key.
    fn live(&self, path: &Path) -> Live {
        match (rows(path), self.by_key(path)) {
            (Ok(rows), Ok(true)) if rows == self.rows => Live::Same,
            (Ok(rows), Ok(_)) if self.rows_before.as_ref() == Some(&rows) => Live::OneCommitBack,
            (Ok(_), Ok(_)) => Live::Changed,
            _ => Live::Unreadable,
        }
    }

    fn by_key(&self, path: &Path) -> Result<bool, Unread> {
        let db = RedbBackend::on_files().open(path, &OpenOptions::read_only())?;
        let tx = db.snapshot()?;
        for (table, key, value) in &self.rows {
            if tx.get(*table, key)?.as_ref() != Some(value) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("there are rows without end")]
    Endless,
}

fn rows(path: &Path) -> Result<Rows, Unread> {
    let db = RedbBackend::on_files().open(path, &OpenOptions::read_only())?;
    let tx = db.snapshot()?;
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut rows = tx.range(table, EVERYTHING, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            found.push((table, row.key.to_vec(), row.value.to_vec()));
            if found.len() > 100_000 {
                return Err(Unread::Endless);
            }
        }
    }
    Ok(found)
}

/// Damages a store, runs every operation on it, and returns the result. Panics if damage of a row
/// is not found, or if reading writes.
pub(super) fn run(originals: &[Original], seed: u64, dir: &Path) -> Outcome {
    let mut rng = Rng::new(seed);
    let place = rng.below(originals.len());
    let original = &originals[place];
    let foreign = &originals[(place + 1) % originals.len()];
    let damage = Damage::any(&mut rng);
    let mut bytes = original.bytes.clone();
    damage.does(&mut bytes, &foreign.bytes, &mut rng);

    let reader = manager(dir, ManagerOptions::reader());
    let file = reader.store_path(original.kind.store_id());
    // Remove what a failed case has left.
    drop(fs::remove_dir_all(dir.join("stores")));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, &bytes).unwrap();
    let live = original.live(&file);
    drop(reader.peek(original.kind.store_id()));
    assert_eq!(reader.list().unwrap().len(), 1);
    let verified = reader.verify_path(&file, Depth::Full);
    let found_by_replay = read(&reader, &file);
    assert!(
        fs::read(&file).unwrap() == bytes,
        "{damage:?}: reading wrote"
    );
    let found = match &verified {
        Ok(verified) => !verified.is_ok(),
        Err(error) => {
            assert!(!is_refusal_of_a_whole_store(error), "{error:?}");
            true
        }
    };
    assert!(
        matches!(live, Live::Same | Live::OneCommitBack) || found,
        "{damage:?} of {:?}: rows are {live:?}, and nothing is found",
        original.kind
    );
    let wrote = write(dir, &file);
    Outcome {
        kind: original.kind,
        damage,
        live,
        found,
        found_by_replay,
        wrote,
    }
}

/// True if an error is not about the file's contents.
fn is_refusal_of_a_whole_store(error: &ManagerError) -> bool {
    matches!(error, ManagerError::OpenElsewhere { .. })
}

/// Reads everything, and returns whether a replay of the history finds something.
fn read(manager: &StoreManager, file: &PathBuf) -> Option<bool> {
    let store = manager.open_path(file, Access::ReadOnly).ok()?;
    drop(store.info());
    drop(store.state_hash());
    drop(store.frontier());
    drop(store.forks());
    if let Ok(tips) = store.branch_tips() {
        drop(store.ops_after(&tips));
    }
    if let Ok(ops) = store.ops_after(&lattice_backend::op::BranchTips::default()) {
        exhaust(ops);
    }
    let count = store.op_count().unwrap_or(0).min(100);
    for index in 0..count {
        if let Ok(Some(op)) = store.op_at(ApplyIndex::new(index)) {
            assert!(!store.describe(&op).contains('\n'));
        }
    }
    for method in store.methods() {
        drop(store.call(&method.name, lattice_backend::machine::Value::record([])));
    }
    if let Some(kv) = store.downcast_ref::<KvStore>() {
        read_keys(kv);
    }
    if let Some(log) = store.downcast_ref::<LogStore>() {
        read_entries(log);
    }
    let backend = RedbBackend::on_files();
    let verified = store.verify(Depth::Full, &backend, &ProgressSink::none());
    let found = !verified.is_ok_and(|verified| verified.is_ok());
    drop(manager.close_all());
    Some(found)
}

#[track_caller]
fn exhaust<T, E>(rows: impl Iterator<Item = Result<T, E>>) {
    let count = rows.take(200_000).take_while(Result::is_ok).count();
    assert!(count < 200_000, "rows without end");
}

fn read_keys(kv: &KvStore) {
    for nth in (0..450).step_by(17) {
        let key = format!("key {nth:03}");
        drop((kv.get(&key), kv.contains(&key), kv.conflicts(&key)));
    }
    drop(kv.count());
    let scans = [kv.iter(), kv.prefix("key 1"), kv.scan("key 2".."key 3")];
    scans.into_iter().flatten().for_each(exhaust);
    if let Ok(scan) = kv.iter() {
        exhaust(scan.rev());
    }
    if let Ok(keys) = kv.conflicted_keys() {
        exhaust(keys);
    }
}

fn read_entries(log: &LogStore) {
    drop((log.len(), log.tail(20)));
    for selection in [Selection::all(), Selection::all().newest_first()] {
        if let Ok(entries) = log.read(selection) {
            exhaust(entries);
        }
    }
}

/// Tries to write, and returns whether that succeeded.
fn write(dir: &Path, file: &PathBuf) -> bool {
    let manager = owners_manager(dir);
    let Ok(store) = manager.open_path(file, Access::ReadWrite) else {
        return false;
    };
    let wrote = append(&*store);
    drop(manager.close_all());
    wrote
}

fn append(store: &dyn StoreHandle) -> bool {
    if let Some(kv) = store.downcast_ref::<KvStore>() {
        return kv.put("key 007", "new").is_ok() && kv.delete("key 100").is_ok();
    }
    let log = store.downcast_ref::<LogStore>();
    log.is_some_and(|log| log.append("new").is_ok())
}
