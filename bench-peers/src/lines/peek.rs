//! Peeks at stores of several sizes, whether or not their last writer closed them, and a list of
//! ten thousand stores.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lattice_backend::backend::{Sharing, StateBackend};
use lattice_backend::redb::RedbBackend;
use lattice_node::{ManagerOptions, SecretKey, StoreManager, core_registry};
use redb::{ConcurrencyMode, ReadOnlyDatabase, ReadableDatabase, TableDefinition};

use crate::data::{make_kv, open_kv};
use crate::measure::{Line, Wanted, median, number, time, timed, turns};
use crate::plan::Plan;

const PEEKS: usize = 200;
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

/// Peeks at files of three sizes in three states.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let mut lines = Vec::new();
    for (size, mib) in [("1 MB", 1), ("100 MB", 100), ("1 GB", 1000)] {
        let place = plan.place();
        let [clean, crashed] = ["clean.db", "crashed.db"].map(|name| place.path().join(name));
        fill(&clean, plan.size(mib));
        std::fs::copy(&clean, &crashed).expect("a copy");
        kill_writer(&crashed);
        let mut add = |state: &str, file: &Path| {
            let what = format!("peek at {size}, {state}");
            lines.push(against_raw(plan, &what, file, &clean));
        };
        add("clean", &clean);
        add("crashed", &crashed);
        // Last, live: a writer changes the store.
        let live = place.path().join("live.db");
        std::fs::rename(&crashed, &live).expect("a name");
        let writer = open_kv(&live, Sharing::SingleWriter);
        writer.put("one", "more").expect("it is written");
        add("live", &live);
    }
    lines
}

/// Creates a store of about this many MiB, half of them values.
fn fill(file: &Path, mib: usize) {
    let kv = make_kv(file, Sharing::SingleWriter);
    let value = vec![7; 256 << 10];
    for nth in 0..(2 * mib).max(1) {
        kv.put(nth.to_be_bytes(), &value).expect("it is written");
    }
}

fn against_raw(plan: &Plan, what: &str, file: &Path, clean: &Path) -> Line {
    let backend = RedbBackend::on_files();
    let look = || {
        let metadata = std::fs::metadata(file).expect("it is there");
        (metadata.len(), metadata.modified().expect("a time"))
    };
    let before = look();
    let times = turns(
        plan.rounds,
        |_| {
            for _ in 0..PEEKS {
                backend.peek_info(file).expect("it is a store");
            }
        },
        |_| (0..PEEKS).for_each(|_| raw_peek(clean)),
    );
    assert_eq!(look(), before, "a peek has written");
    let each = |seconds: Vec<f64>| time(median(&seconds) / PEEKS as f64);
    Line {
        what: what.into(),
        lattice: each(times.iter().map(|(one, _)| *one).collect()),
        against: format!(
            "raw open and three gets, clean: {}",
            each(times.iter().map(|(_, other)| *other).collect())
        ),
        figures: times.iter().map(|(one, other)| one / other).collect(),
        unit: "",
        wanted: Wanted::AtMost(1.5),
    }
}

/// Opens a file read-only with redb alone, and reads three rows.
pub fn raw_peek(file: &Path) {
    let database: ReadOnlyDatabase = redb::Builder::new()
        .set_cache_size(256 << 10)
        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
        .open_read_only(file)
        .expect("it opens");
    let tx = database.begin_read().expect("it reads");
    let meta = tx.open_table(META).expect("a table");
    for key in [&b"store_id"[..], b"store_type", b"schema_version"] {
        let row = meta.get(key).expect("it reads").expect("it is there");
        std::hint::black_box(row.value().len());
    }
}

/// Starts a process that writes to a store, and kills it.
fn kill_writer(file: &Path) {
    let mut child: Child = Command::new(std::env::current_exe().expect("this program"))
        .arg("--write")
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // The child prints a byte after its first write.
    let mut said = [0];
    let out = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(out, &mut said).expect("it writes");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

/// The work of the child process.
pub fn write_for_ever(file: &Path) {
    let kv = open_kv(file, Sharing::SingleWriter);
    for nth in 0_u64.. {
        kv.put(b"for ever", nth.to_be_bytes())
            .expect("it is written");
        if nth == 20 {
            println!();
        }
    }
}

/// A manager with this many stores.
pub fn many_stores(dir: &Path, count: usize) -> StoreManager {
    let identity = SecretKey::from_bytes(&[1; 32]);
    let backend = std::sync::Arc::new(RedbBackend::on_files());
    let registry = core_registry().expect("they have different names");
    let manager = StoreManager::new(dir, backend, registry, ManagerOptions::new(identity));
    for _ in 0..count {
        manager
            .create(&lattice_kvstore::store_type())
            .expect("a store");
    }
    manager
}

/// The files of a manager's stores.
pub fn files_of(manager: &StoreManager) -> Vec<PathBuf> {
    let listed = manager.list().expect("it lists");
    listed
        .into_iter()
        .map(|listed| listed.path.join("state.db"))
        .collect()
}

/// A list of ten thousand stores, compared with as many sequential raw peeks.
pub fn list(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let count = plan.size(10_000);
    let manager = many_stores(place.path(), count);
    let files = files_of(&manager);
    let times = turns(
        plan.rounds.min(5),
        |_| assert_eq!(manager.list().expect("it lists").len(), count),
        |_| files.iter().for_each(|file| raw_peek(file)),
    );
    let each = |seconds: Vec<f64>| time(median(&seconds));
    vec![Line {
        what: format!("list of {} stores", number(count as f64)),
        lattice: each(times.iter().map(|(one, _)| *one).collect()),
        against: format!(
            "as many raw peeks one after another: {}",
            each(times.iter().map(|(_, other)| *other).collect())
        ),
        figures: times.iter().map(|(one, other)| one / other).collect(),
        unit: "",
        wanted: Wanted::AtMost(0.7),
    }]
}

/// The time of one list, for the measurement of growth.
pub fn list_seconds(manager: &StoreManager) -> f64 {
    timed(|| manager.list().expect("it lists").len()).0
}
