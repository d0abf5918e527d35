//! Writers of one store take turns.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, spawn};
use std::time::{Duration, Instant};

use lattice_backend::backend::{BackendError, OpenOptions, StateBackend};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::{FileDisk, RedbBackend};
use lattice_backend::storage::{Disk, Storage};
use lattice_kvstore::KvMachine;
use lattice_node::{Access, KvStore, Node};
use lattice_registry::TypedStore;
use serde_json::Value;

use crate::{lattice, printed, state_db};

/// On a machine that does nothing else, the longest wait is a fraction of a second.
const LONGEST: Duration = Duration::from_secs(6);

fn create(dir: &Path, store_type: &str) -> String {
    printed(dir, &["create", store_type]).trim().to_owned()
}

/// Starts a command that reads standard input until the pipe is closed.
fn start(dir: &Path, arguments: &[&str]) -> (Child, ChildStdin) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

fn assert_succeeds(child: Child) {
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// Feeds lines to a command until `is_over`.
fn feed(mut input: ChildStdin, is_over: &AtomicBool, line: impl Fn(u64) -> String) -> u64 {
    let mut lines = 0;
    while !is_over.load(Ordering::Relaxed) {
        input.write_all(line(lines).as_bytes()).unwrap();
        lines += 1;
    }
    lines
}

/// Runs a command so often in each of eight threads, and returns the longest time of a run.
fn many(dir: &Path, runs: u32, command: impl Fn(u32, u32) -> Vec<String> + Sync) -> Duration {
    scope(|scope| {
        let command = &command;
        let threads: Vec<_> = (0..8)
            .map(|process| {
                scope.spawn(move || {
                    let one = |run| {
                        let began = Instant::now();
                        let arguments = command(process, run);
                        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
                        printed(dir, &words);
                        began.elapsed()
                    };
                    (0..runs).map(one).max().unwrap()
                })
            })
            .collect();
        let longest = threads.into_iter().map(|thread| thread.join().unwrap());
        longest.max().unwrap()
    })
}

#[test]
fn two_hundred_puts_succeed_beside_a_large_import() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let import = ["-q", "import", &store, "-", "--format", "jsonl"];
    let (import, input) = start(dir.path(), &import);
    let is_over = AtomicBool::new(false);
    let (lines, longest) = scope(|scope| {
        let value = "x".repeat(200);
        let line = move |nth| format!("{{\"key\":\"row/{nth}\",\"value\":\"{value}\"}}\n");
        let feeding = scope.spawn(|| feed(input, &is_over, line));
        let put = |process, run| {
            let key = format!("put/{process}/{run}");
            vec!["put".into(), store.clone(), key, "value".into()]
        };
        let longest = many(dir.path(), 25, put);
        is_over.store(true, Ordering::Relaxed);
        (feeding.join().unwrap(), longest)
    });
    assert_succeeds(import);
    eprintln!("the longest of 200 puts beside an import of {lines} rows: {longest:?}");
    assert!(longest < LONGEST, "{longest:?}");
    assert!(lines > 1000, "an import of {lines} rows is not large");
    let kv = reader(dir.path(), &store);
    assert_eq!(kv.prefix("put/").unwrap().count(), 200);
    let rows = kv.prefix("row/").unwrap().count();
    assert_eq!(u64::try_from(rows).unwrap(), lines);
    assert!(printed(dir.path(), &["verify", &store]).starts_with("ok: "));
}

fn reader(dir: &Path, store: &str) -> KvStore {
    let node = Node::builder(dir).open_reader().unwrap();
    node.open_as(store.parse().unwrap(), Access::ReadOnly)
        .unwrap()
}

/// A slow pipe, as from `journalctl -f`, does not keep the turn between two lines.
#[test]
fn appends_succeed_beside_one_that_reads_a_slow_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:logstore");
    let (piped, mut input) = start(dir.path(), &["append", &store]);
    input.write_all(b"first\n").unwrap();
    // Each run begins while the pipe is open and silent.
    let append = |process, run| {
        let text = format!("{process}/{run}");
        vec!["append".into(), store.clone(), text]
    };
    let longest = many(dir.path(), 5, append);
    input.write_all(b"last\n").unwrap();
    drop(input);
    assert_succeeds(piped);
    eprintln!("the longest of 40 appends beside one from a pipe: {longest:?}");
    assert!(longest < LONGEST, "{longest:?}");
    let entries = printed(dir.path(), &["tail", &store, "-n", "100"]);
    assert_eq!(entries.lines().count(), 42, "{entries}");
    assert_eq!(
        entries
            .lines()
            .filter(|line| line.ends_with("last"))
            .count(),
        1
    );
}

#[test]
fn a_killed_writer_delays_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    for round in 0..5 {
        let import = [
            "-q", "import", &store, "-", "--format", "jsonl", "--batch", "1",
        ];
        let (mut import, mut input) = start(dir.path(), &import);
        let feeding = spawn(move || {
            for nth in 0_u64.. {
                let line = format!("{{\"key\":\"{round}/{nth}\",\"value\":\"x\"}}\n");
                if input.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let first = format!("{round}/0");
        while !lattice(dir.path(), &["get", &store, &first])
            .status
            .success()
        {}
        import.kill().unwrap();
        import.wait().unwrap();
        let began = Instant::now();
        printed(dir.path(), &["put", &store, "after", &first]);
        let waited = began.elapsed();
        eprintln!("a put after a killed writer: {waited:?}");
        assert!(waited < LONGEST, "{waited:?}");
        feeding.join().unwrap();
    }
    assert!(printed(dir.path(), &["verify", &store]).starts_with("ok: "));
}

/// Makes a file what a killed writer leaves: it was open for writing.
fn crash(file: &Path) {
    let backend = lattice_backend::file_backend();
    let work = OpenOptions::long_work("test", Duration::from_secs(10));
    let writer = backend.open(file, &work).unwrap();
    let open = std::fs::read(file).unwrap();
    writer.close().unwrap();
    std::fs::write(file, open).unwrap();
}

/// A reader of such a file would hold off writers for as long as it reads.
#[test]
fn a_long_reader_of_a_crashed_file_delays_no_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    printed(dir.path(), &["put", &store, "a", "before"]);
    printed(dir.path(), &["put", &store, "b", "before"]);
    let file = state_db(dir.path(), &store);
    crash(&file);
    let copied = dir.path().join("copied.db");
    std::fs::copy(&file, &copied).unwrap();
    let kv = reader(dir.path(), &store);
    let mut rows = kv.prefix("").unwrap();
    assert_eq!(rows.next().unwrap().unwrap().0, b"a");
    printed(dir.path(), &["--no-wait", "put", &store, "a", "after"]);
    assert_eq!(rows.next().unwrap().unwrap().0, b"b");
    assert_eq!(kv.get("a").unwrap().as_deref(), Some(&b"after"[..]));
    // A copy is not changed by its readers.
    let before = std::fs::read(&copied).unwrap();
    let read = lattice_backend::file_backend().open(&copied, &OpenOptions::read_only());
    read.unwrap().close().unwrap();
    assert!(std::fs::read(&copied).unwrap() == before);
    assert!(!dir.path().join("copied.db.turn").exists());
}

/// A user who may write to the file and not make its lock file takes no place in the queue. The
/// lock of the file excludes other writers.
#[cfg(unix)]
#[test]
fn a_store_is_written_without_the_right_to_make_a_lock_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let file = state_db(dir.path(), &store);
    let lock = file.with_file_name("state.db.turn");
    // Also for root, to whom modes do not matter.
    let refused = Arc::new(RedbBackend::on_disk(NoLocks));
    let request = OpenRequest::new(refused, &file).wait(Duration::from_secs(60));
    let request = request.identity(Arc::new(SecretKey::from_bytes(&[8; 32])));
    let without = KvStore::from_engine(Engine::open(request, KvMachine::new()).unwrap());
    let with = open(&file, Duration::from_secs(60));
    scope(|scope| {
        for (name, kv) in [("a", &without), ("b", &with)] {
            scope.spawn(move || {
                for nth in 0..40 {
                    kv.put(format!("{name}{nth}"), "value").unwrap();
                }
            });
        }
    });
    without.engine().compact(&ProgressSink::none()).unwrap();
    for kv in [&with, &without] {
        assert_eq!(kv.count().unwrap(), 80);
        assert_eq!(kv.engine().op_count().unwrap(), 80);
        assert!(kv.engine().forks().unwrap().is_empty());
    }
    // The lock file has the rights of the store's file, also of one that was killed while it made
    // it, or when those rights have changed.
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    for (path, bits) in [(&lock, 0o600), (&file, 0o666)] {
        std::fs::set_permissions(path, mode(bits)).unwrap();
    }
    printed(dir.path(), &["put", &store, "key", "value"]);
    assert_eq!(
        std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777,
        0o666
    );
    std::fs::set_permissions(&file, mode(0o600)).unwrap();
    printed(dir.path(), &["verify", &store]);
}

/// A disk on which no lock file can be made.
#[cfg(unix)]
#[derive(Debug)]
struct NoLocks;

#[cfg(unix)]
impl lattice_backend::storage::DiskOver for NoLocks {
    fn under(&self) -> &dyn Disk {
        &FileDisk
    }

    fn open_lock(&self, _: &Path) -> io::Result<Box<dyn Storage>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Snapshots, iterators, the change feed and group commit of a library handle.
#[test]
fn a_handle_keeps_working_while_other_processes_write() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path()).unwrap();
    let id = node
        .manager()
        .create(&lattice_kvstore::store_type())
        .unwrap();
    let kv: KvStore = node.open_as(id, Access::ReadWrite).unwrap();
    for key in ["a", "b", "c"] {
        kv.put(key, "before").unwrap();
    }
    let snapshot = kv.snapshot().unwrap();
    let hash = snapshot.state_hash().unwrap();
    let mut rows = kv.prefix("").unwrap();
    assert_eq!(rows.next().unwrap().unwrap().0, b"a");
    let from = kv.engine().op_count().unwrap();
    let cursor = kv.engine().cursor_after(from).unwrap();
    let mut changes = kv.changes(cursor).unwrap();
    let store = id.to_string();
    let others = |process, run| {
        let key = format!("other/{process}/{run}");
        vec!["put".into(), store.clone(), key, "value".into()]
    };
    let threads = 4;
    scope(|scope| {
        for thread in 0..threads {
            let kv = &kv;
            scope.spawn(move || {
                for nth in 0..50 {
                    kv.put(format!("ours/{thread}/{nth}"), "value").unwrap();
                }
            });
        }
        scope.spawn(|| many(dir.path(), 5, others));
    });
    let written = 40 + threads * 50;
    assert_eq!(kv.engine().op_count().unwrap(), from + written);
    for _ in 0..written {
        changes.next().unwrap().unwrap();
    }
    assert_eq!(kv.prefix("other/").unwrap().count(), 40);
    assert_eq!(kv.prefix("ours/").unwrap().count(), 200);
    // Views of before.
    assert_eq!(
        rows.map(|row| row.unwrap().0).collect::<Vec<_>>(),
        [b"b", b"c"]
    );
    assert_eq!(snapshot.state_hash().unwrap(), hash);
    drop(snapshot);
    assert!(kv.engine().forks().unwrap().is_empty());
    // An idle handle has given up its turn.
    let began = Instant::now();
    while !lattice(dir.path(), &["--no-wait", "put", &store, "key", "value"])
        .status
        .success()
    {
        assert!(began.elapsed() < LONGEST, "an idle handle keeps its turn");
    }
    node.manager().close_all().unwrap();
    assert!(printed(dir.path(), &["verify", &store]).starts_with("ok: "));
}

#[test]
fn long_work_keeps_its_turn_and_says_who_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let work = OpenOptions::long_work("rebuild", Duration::ZERO);
    let backend = lattice_backend::file_backend();
    let held = backend.open(&state_db(dir.path(), &store), &work).unwrap();
    let refused = |wait: &str| {
        let began = Instant::now();
        let put = lattice(dir.path(), &["--json", wait, "put", &store, "key", "value"]);
        assert_eq!(put.status.code(), Some(5));
        let error: Value = serde_json::from_slice(&put.stderr).unwrap();
        (began.elapsed(), error["error"].clone())
    };
    let (waited, error) = refused("--no-wait");
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert_eq!(error["kind"], "in_use", "{error}");
    let text = error["message"].as_str().unwrap();
    let holder = format!("process {} is busy with `rebuild`", std::process::id());
    assert!(text.contains(&holder), "{text}");
    let (waited, error) = refused("--wait=1");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(&holder), "{text}");
    assert!(text.contains("gave up after 1 s"), "{text}");
    assert!((1..6).contains(&waited.as_secs()), "{waited:?}");
    // Other long work waits in the same way.
    for command in [&["rebuild"][..], &["compact"], &["destroy", "--yes"]] {
        let arguments = [&["--no-wait"], command, &[&*store]].concat();
        let refused = lattice(dir.path(), &arguments);
        assert_eq!(refused.status.code(), Some(5), "{command:?}");
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(text.contains(&holder), "{text}");
    }
    held.close().unwrap();
    printed(dir.path(), &["--no-wait", "put", &store, "key", "value"]);
}

#[cfg(unix)]
#[test]
fn the_lock_file_is_private_and_made_by_writers_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let state = state_db(dir.path(), &store);
    let lock = state.with_file_name("state.db.turn");
    for reading in ["info", "verify", "scan"] {
        printed(dir.path(), &[reading, &store]);
        assert!(!lock.exists(), "{reading}");
    }
    printed(dir.path(), &["put", &store, "key", "value"]);
    let made = std::fs::metadata(&lock).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    assert_eq!(made.len(), 0);
    printed(dir.path(), &["destroy", "--yes", &store]);
    assert!(!state.parent().unwrap().exists());
}

/// A condition is checked under the turn, so of many writers one wins.
#[test]
fn of_eight_processes_that_put_an_absent_key_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let codes: Vec<Option<i32>> = scope(|scope| {
        let (dir, store) = (dir.path(), &*store);
        let threads: Vec<_> = (0..8)
            .map(|process| {
                scope.spawn(move || {
                    let value = process.to_string();
                    let words = ["put", store, "key", &value, "--if-absent"];
                    lattice(dir, &words).status.code()
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    });
    let count = |code| codes.iter().filter(|found| **found == Some(code)).count();
    assert_eq!((count(0), count(1)), (1, 7), "{codes:?}");
    let info: Value =
        serde_json::from_str(&printed(dir.path(), &["--json", "info", &store])).unwrap();
    assert_eq!(info["ops"], 1);
}

fn open(file: &Path, wait: Duration) -> KvStore {
    let request = OpenRequest::new(Arc::new(RedbBackend::on_files()), file);
    let request = request
        .wait(wait)
        .identity(Arc::new(SecretKey::from_bytes(&[7; 32])));
    KvStore::from_engine(Engine::open(request, KvMachine::new()).unwrap())
}

/// The lock file is beside the name of the store's file, so another link of the file has one of its
/// own. The lock of the file itself still excludes a second writer, who must not write over what
/// the first one has committed.
#[test]
fn writers_through_two_links_of_a_file_do_not_write_over_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let file = state_db(dir.path(), &store);
    let link = dir.path().join("link.db");
    std::fs::hard_link(&file, &link).unwrap();
    let handles = [&file, &link].map(|file| open(file, Duration::from_secs(60)));
    scope(|scope| {
        for (name, kv) in ["a", "b"].into_iter().zip(&handles) {
            scope.spawn(move || {
                for nth in 0..60 {
                    kv.put(format!("{name}{nth}"), "value").unwrap();
                }
            });
        }
    });
    for kv in &handles {
        assert_eq!(kv.count().unwrap(), 120);
        assert_eq!(kv.engine().op_count().unwrap(), 120);
        assert!(kv.engine().forks().unwrap().is_empty());
        kv.engine().close().unwrap();
    }
    assert!(printed(dir.path(), &["verify", &store, "--quick"]).starts_with("ok: "));
}

/// Not getting the turn leaves the handle as it was, whatever it was for.
#[test]
fn a_compaction_that_does_not_get_its_turn_leaves_the_handle_usable() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), "core:kvstore");
    let file = state_db(dir.path(), &store);
    let kv = open(&file, Duration::ZERO);
    kv.put("key", "1").unwrap();
    // Longer than the turn of an idle handle.
    let backend = RedbBackend::on_files();
    let held = backend.lock_writer(&file, "test", Duration::from_secs(10));
    let refused = kv.engine().compact(&ProgressSink::none());
    assert!(
        matches!(refused, Err(BackendError::InUse(_))),
        "{refused:?}"
    );
    assert_eq!(kv.get("key").unwrap().as_deref(), Some(&b"1"[..]));
    drop(held);
    kv.put("key", "2").unwrap();
}
