//! Peeks at stores of several sizes, whether or not their last writer closed them, and a list of
//! ten thousand stores.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use lattice_backend::backend::Sharing;
use lattice_node::{ManagerOptions, SecretKey, StoreManager, core_registry};
use redb::{ConcurrencyMode, ReadOnlyDatabase, ReadableDatabase, TableDefinition};

use crate::data::{Key, Random, fill_overlay, make_kv, open_kv, put};
use crate::measure::{Line, Wanted, median, number, time, timed, turns};
use crate::plan::Plan;

const PEEKS: usize = 200;
/// The state of a store that is open for writing.
const LIVE: &str = "live";
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

/// The writes of a process before it is killed, without and with a full journal.
const FEW_WRITES: usize = 20;
const MANY_WRITES: usize = 2500;

/// Peeks at files of three sizes in three states, the last two also with a full journal.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let mut lines = Vec::new();
    for (size, mib) in [("1 MB", 1), ("100 MB", 100), ("1 GB", 1000)] {
        let place = plan.place();
        let [clean, crashed] = ["clean.db", "crashed.db"].map(|name| place.path().join(name));
        fill(&clean, plan.size(mib));
        std::fs::copy(&clean, &crashed).expect("a copy");
        kill_writer(&crashed, FEW_WRITES);
        let mut add = |state: &str, file: &Path, most| {
            let what = format!("peek at {size}, {state}");
            // An idle writer ends its turn and folds its journal.
            let before = (!state.starts_with(LIVE)).then(|| files_beside(file));
            lines.push(against_raw(plan, &what, file, &clean, most));
            if let Some(before) = before {
                assert_eq!(files_beside(file), before, "a peek has written");
            }
        };
        add("clean", &clean, Most::OfRaw(1.5));
        add("crashed", &crashed, Most::OfRaw(1.5));
        kill_writer(&crashed, plan.size(MANY_WRITES));
        add("crashed with a full journal", &crashed, Most::Ms(1.0));
        // Last, live: a writer changes the store, which is the same file under the same name,
        // since a journal goes by it.
        let writer = open_kv(&crashed, Sharing::SingleWriter);
        writer.put("one", "more").expect("it is written");
        add(LIVE, &crashed, Most::OfRaw(1.5));
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let keys = random.batches(1, plan.size(5000));
        put(&writer, &keys);
        let keys: Vec<Key> = keys.into_iter().flatten().collect();
        fill_overlay(&writer, &keys, &mut random);
        add("live with a full journal", &crashed, Most::Ms(1.0));
    }
    lines
}

/// What a peek may take.
#[derive(Clone, Copy)]
enum Most {
    /// A multiple of raw redb's time.
    OfRaw(f64),
    /// Milliseconds.
    Ms(f64),
}

/// Creates a store of about this many MiB, half of them values.
pub fn fill(file: &Path, mib: usize) {
    let kv = make_kv(file, Sharing::SingleWriter);
    let value = vec![7; 256 << 10];
    for nth in 0..(2 * mib).max(1) {
        kv.put(nth.to_be_bytes(), &value).expect("it is written");
    }
}

/// The names, lengths and times of all files beside a file.
fn files_beside(file: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let listed = std::fs::read_dir(file.parent().expect("a directory")).expect("it lists");
    let mut files: Vec<_> = listed
        .map(|entry| {
            let entry = entry.expect("it lists");
            let metadata = entry.metadata().expect("it is there");
            let changed = metadata.modified().expect("a time");
            (entry.path(), metadata.len(), changed)
        })
        .collect();
    files.sort();
    files
}

fn against_raw(plan: &Plan, what: &str, file: &Path, clean: &Path, most: Most) -> Line {
    let backend = lattice_backend::file_backend();
    let times = turns(
        plan.rounds,
        |_| {
            for _ in 0..PEEKS {
                backend.peek_info(file).expect("it is a store");
            }
        },
        |_| (0..PEEKS).for_each(|_| raw_peek(clean)),
    );
    let each = |seconds: Vec<f64>| time(median(&seconds) / PEEKS as f64);
    Line {
        what: what.into(),
        lattice: each(times.iter().map(|(one, _)| *one).collect()),
        against: format!(
            "raw open and three gets, clean: {}",
            each(times.iter().map(|(_, other)| *other).collect())
        ),
        figures: match most {
            Most::OfRaw(_) => times.iter().map(|(one, other)| one / other).collect(),
            Most::Ms(_) => times
                .iter()
                .map(|(one, _)| one / PEEKS as f64 * 1e3)
                .collect(),
        },
        unit: match most {
            Most::OfRaw(_) => "",
            Most::Ms(_) => "ms",
        },
        wanted: match most {
            Most::OfRaw(most) | Most::Ms(most) => Wanted::AtMost(most),
        },
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

/// Starts a process that writes to a store, and kills it after so many writes or a few more.
pub fn kill_writer(file: &Path, writes: usize) {
    let mut child: Child = Command::new(std::env::current_exe().expect("this program"))
        .arg("--write")
        .arg(file)
        .arg(writes.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // The child prints a byte after these writes.
    let mut said = [0];
    let out = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(out, &mut said).expect("it writes");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

/// The work of the child process: it says when it has written so often, and continues.
pub fn write_for_ever(file: &Path, writes: usize) {
    let kv = open_kv(file, Sharing::SingleWriter);
    for nth in 1.. {
        kv.put(b"for ever", usize::to_be_bytes(nth))
            .expect("it is written");
        if nth == writes {
            println!();
        }
    }
}

/// A manager with this many stores.
pub fn many_stores(dir: &Path, count: usize) -> StoreManager {
    let identity = SecretKey::from_bytes(&[1; 32]);
    let backend = lattice_backend::file_backend();
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
