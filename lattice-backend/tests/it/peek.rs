//! Peeking and reading, whatever another process does with a store or did before it was killed.
//!
//! The other process is this test binary, in a role that an environment variable names.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_backend::backend::{Access, FileError, OpenOptions, PeekError, Sharing, Table};
use lattice_backend::engine::open::OpenError;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use tempfile::TempDir;

use crate::support::*;

const ROLE: &str = "LATTICE_TEST_ROLE";
const STORE: &str = "LATTICE_TEST_STORE";

fn options(sharing: Sharing) -> OpenOptions {
    OpenOptions {
        sharing,
        ..OpenOptions::read_write()
    }
}

/// The other process's work; as a test of its own it does nothing.
#[test]
fn child() {
    let (Ok(role), Ok(path)) = (std::env::var(ROLE), std::env::var(STORE)) else {
        return;
    };
    let mut site = Site::memory();
    site.backend = Arc::new(RedbBackend::on_files());
    site.path = path.into();
    let (task, sharing) = role.split_once('-').unwrap();
    let sharing = match sharing {
        "single" => Sharing::SingleWriter,
        "exclusive" => Sharing::Exclusive,
        other => panic!("no sharing mode {other}"),
    };
    match task {
        "write" => write_on(&site, sharing),
        "fill" => fill(&site, sharing),
        other => panic!("no task {other}"),
    }
}

/// Writes ops without end, and reports each one when it is durable.
fn write_on(site: &Site, sharing: Sharing) {
    let mut request = site.request().identity(owner());
    request.options = options(sharing);
    let store = site.try_open(request).unwrap();
    for nth in store.op_count().unwrap().. {
        append(&store, &format!("{}", nth % 50), vec![b'v'; 3000]);
        println!("durable {nth}");
    }
}

/// Grows the file to a hundred megabytes, and waits for the kill.
fn fill(site: &Site, sharing: Sharing) {
    let db = site.backend.open(&site.path, &options(sharing)).unwrap();
    for part in 0..5_u8 {
        let mut tx = db.begin_write().unwrap();
        for row in 0..20 {
            tx.put(Table::Data, &[part, row], &vec![row; 1 << 20])
                .unwrap();
        }
        tx.commit().unwrap().wait().unwrap();
    }
    println!("durable 0");
    // An idle handle does not have the file open for writing.
    loop {
        let mut tx = db.begin_write().unwrap();
        tx.put(Table::Data, b"more", b"row").unwrap();
        tx.commit().unwrap().wait().unwrap();
    }
}

/// Another process that has the store open; dropping this kills it.
struct Other {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(role: &str, path: &Path) -> Self {
        let mut process = Process::new(std::env::current_exe().unwrap())
            .args(["peek::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(STORE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    /// Reads until the process reports that an op at or after this one is durable.
    fn wait_for(&mut self, nth: u64) -> u64 {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended");
            // The test harness writes on the same line.
            if let Some(durable) = line.split("durable ").nth(1) {
                let durable = durable.trim().parse().unwrap();
                if durable >= nth {
                    return durable;
                }
            }
        }
    }

    /// Kills the process without warning; returns the last op that it reported as durable.
    fn kill(mut self) -> Option<u64> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        // The last line may be truncated.
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let last = whole.lines().next_back()?;
        last.strip_prefix("durable ")?.parse().ok()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn on_files() -> (TempDir, Site) {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(RedbBackend::on_files(), dir.path().join("state.db"));
    (dir, site)
}

fn reader(site: &Site) -> Result<Store, OpenError> {
    let mut request = site.request();
    request.options.access = Access::ReadOnly;
    site.try_open(request)
}

/// A writer that does not wait.
fn impatient(site: &Site) -> OpenError {
    let mut request = site.request();
    request.options.wait = Duration::ZERO;
    site.try_open(request).unwrap_err()
}

fn assert_in_use(error: OpenError) {
    assert!(
        matches!(error, OpenError::File(FileError::InUse { .. })),
        "{error:?}"
    );
}

#[test]
fn a_clean_store_is_read_without_being_changed() {
    let (_dir, site) = on_files();
    let store = site.open();
    let op = append(&store, "key", "value");
    store.close().unwrap();
    let before = std::fs::read(&site.path).unwrap();
    let info = site.backend.peek_info(&site.path).unwrap();
    assert_eq!(info.store_id, genesis().store_id());
    assert_eq!(info.tips[&owner().public()], op.reference().id);
    let store = reader(&site).unwrap();
    assert_whole(&store);
    store.close().unwrap();
    assert!(std::fs::read(&site.path).unwrap() == before);
}

#[test]
fn a_store_that_is_live_elsewhere_can_be_read_and_written_in_turns() {
    let (_dir, site) = on_files();
    let mut other = Other::start("write-single", &site.path);
    other.wait_for(3);
    for _ in 0..20 {
        let info = site.backend.peek_info(&site.path).unwrap();
        assert_eq!(info.store_id, genesis().store_id());
        assert_eq!(info.tips.len(), 1);
    }
    let store = reader(&site).unwrap();
    let seen = store.op_count().unwrap();
    let durable = other.wait_for(seen + 3);
    assert!(
        store.op_count().unwrap() > durable,
        "a reader follows the writer"
    );
    let more = store.wait_for_ops(durable + 1, Duration::MAX).unwrap();
    assert!(more > durable + 1, "a reader can wait for the writer");
    store.close().unwrap();
    // It can be written too, in turns.
    let second = site.open();
    append(&second, "beside", "the other");
    let more = second.op_count().unwrap();
    other.wait_for(more + 3);
    append(&second, "beside", "the other, again");
    assert!(get(&second, "beside").is_some());
    other.kill();
    assert_whole(&second);
    // A handle can continue after the writer before it was killed.
    append(&second, "after", "the kill");
    assert_whole(&second);
    assert_whole(&site.open());
}

#[test]
fn a_store_in_exclusive_use_elsewhere_is_in_use() {
    let (_dir, site) = on_files();
    let mut other = Other::start("write-exclusive", &site.path);
    other.wait_for(2);
    let peeked = site.backend.peek_info(&site.path);
    assert!(
        matches!(peeked, Err(PeekError::File(FileError::InUse { .. }))),
        "{peeked:?}"
    );
    assert_in_use(reader(&site).unwrap_err());
    assert_in_use(impatient(&site));
    other.wait_for(5);
    other.kill();
    assert_whole(&site.open());
}

/// redb alone does not read such a file; if it did, the test would prove nothing.
fn assert_crashed(path: &Path) {
    let opened = redb::Builder::new()
        .set_concurrency_mode(redb::ConcurrencyMode::SingleWriter)
        .open_read_only(path)
        .map(drop);
    assert!(
        matches!(opened, Err(redb::DatabaseError::RepairAborted)),
        "{opened:?}"
    );
}

fn crashed(role: &str) {
    let (dir, site) = on_files();
    let mut acknowledged = 0;
    // Again over what the previous crash has left.
    for round in 1..=3 {
        let mut other = Other::start(role, &site.path);
        let waited = other.wait_for(acknowledged + 20 * round);
        acknowledged = other.kill().unwrap_or(waited);
        assert_crashed(&site.path);
        // A reader who may not write, or a copy, has no lock file of writers to lock.
        let lock = dir.path().join("state.db.turn");
        if lock.exists() {
            std::fs::remove_file(&lock).unwrap();
        }
        let before = std::fs::read(&site.path).unwrap();
        let info = site.backend.peek_info(&site.path).unwrap();
        // Reading still works while others read.
        let (store, second) = (reader(&site).unwrap(), reader(&site).unwrap());
        assert_eq!(site.backend.peek_info(&site.path).unwrap(), info);
        assert_in_use(impatient(&site));
        assert_eq!(store.info().unwrap(), info);
        assert!(store.op_count().unwrap() > acknowledged);
        assert_whole(&store);
        assert_eq!(store.state_hash().unwrap(), second.state_hash().unwrap());
        let read = history(&store);
        store.close().unwrap();
        second.close().unwrap();
        assert!(
            std::fs::read(&site.path).unwrap() == before,
            "reading wrote"
        );
        // The store, and the lock file of the writer that was refused.
        assert!(lock.exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        // A writer recovers the same state.
        let store = site.open();
        assert!(history(&store) == read);
        append(&store, "after", "the crash");
        assert_whole(&store);
        store.close().unwrap();
    }
}

#[test]
fn a_crashed_store_is_read_without_recovery_and_recovers_on_write() {
    crashed("write-single");
}

/// A reader holds off writers for as long as it reads a crashed file, so it repairs the file first.
#[test]
fn a_reader_of_a_crashed_store_repairs_it_and_excludes_no_writer() {
    let (_dir, site) = on_files();
    let mut other = Other::start("write-single", &site.path);
    let acknowledged = other.wait_for(20);
    let acknowledged = other.kill().unwrap_or(acknowledged);
    assert_crashed(&site.path);
    let readers: Vec<_> = std::thread::scope(|scope| {
        let open = || scope.spawn(|| reader(&site).unwrap());
        let readers: Vec<_> = std::iter::repeat_with(open).take(4).collect();
        let opened = readers.into_iter().map(|reader| reader.join().unwrap());
        opened.collect()
    });
    let states = readers.iter().map(|store| store.snapshot().unwrap());
    let states: Vec<_> = states.collect();
    let mut request = site.request().identity(owner());
    request.options.wait = Duration::ZERO;
    let writer = site.try_open(request).unwrap();
    let written = append(&writer, "after", "the crash");
    for (reader, state) in readers.iter().zip(states) {
        assert!(state.op_count().unwrap() > acknowledged);
        assert_eq!(history(reader).last(), Some(&written));
    }
    assert_whole(&writer);
}

#[test]
fn a_store_that_crashed_in_exclusive_use_is_read_without_recovery_and_recovers_on_write() {
    crashed("write-exclusive");
}

/// With exclusive use, a commit has one phase: power may fail when its header is on disk and its
/// pages are not. Then the commit before it counts, for readers too.
#[test]
fn a_torn_commit_in_exclusive_use_is_not_read() {
    let (site, disk) = Site::redb();
    let mut request = site.request().identity(owner());
    request.options = options(Sharing::Exclusive);
    let store = site.try_open(request).unwrap();
    let first = append(&store, "key", "first");
    let before = disk.bytes(&site.path).unwrap();
    append(&store, "key", "second");
    let mut torn = disk.bytes(&site.path).unwrap();
    torn.truncate(4096);
    torn.extend_from_slice(&before[4096..]);

    let disk = MemoryDisk::new();
    disk.insert(&site.path, torn.clone());
    let site = Site {
        backend: Arc::new(RedbBackend::on_disk(disk.clone())),
        ..site
    };
    let info = site.backend.peek_info(&site.path).unwrap();
    assert_eq!(info.tips[&owner().public()], first.reference().id);
    let store = reader(&site).unwrap();
    assert_eq!(history(&store), [first]);
    assert_whole(&store);
    store.close().unwrap();
    assert!(disk.bytes(&site.path) == Some(torn), "reading wrote");
    let store = site.open();
    assert_eq!(get(&store, "key"), Some(b"first".to_vec()));
    append(&store, "key", "third");
    assert_whole(&store);
}

/// The time to peek at a crashed store does not depend on its size.
#[test]
fn peeking_at_a_crashed_store_of_100_megabytes_is_fast() {
    let (_dir, site) = on_files();
    let mut other = Other::start("fill-single", &site.path);
    other.wait_for(0);
    other.kill();
    assert_crashed(&site.path);
    let file = std::fs::metadata(&site.path).unwrap();
    assert!(file.len() > 100 << 20, "{} bytes", file.len());
    let modified = file.modified().unwrap();
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            site.backend.peek_info(&site.path).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let median = times[10];
    drop(writeln!(
        std::io::stderr(),
        "peek at a crashed file of {} MB: median {median:?}",
        file.len() >> 20
    ));
    assert!(median < Duration::from_millis(50), "{median:?}");
    let file = std::fs::metadata(&site.path).unwrap();
    assert_eq!(file.modified().unwrap(), modified);
}
