//! Sixteen threads and four processes on one store: one writes, three read.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lattice_node::{Access, Depth, KvStore, Node};
use lattice_registry::TypedStore;

const WRITERS: u64 = 12;
const READERS: u64 = 4;
/// Keys that one batch writes, so that their values are equal in every view.
const TOGETHER: u64 = 8;
/// The environment variable that names the store for a child process of this test.
const STORE: &str = "LATTICE_CROWD_STORE";

/// The duration of the test, or `LATTICE_CROWD_SECONDS`.
fn time() -> Duration {
    let seconds = std::env::var("LATTICE_CROWD_SECONDS").map_or(3, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

fn together(writer: u64, nth: u64) -> String {
    format!("together/{writer:02}/{nth}")
}

/// The last write of a writer that a view shows. All keys written together have the same value.
fn last_of(kv: &KvStore, writer: u64) -> u64 {
    let rows: Vec<_> = kv
        .prefix(format!("together/{writer:02}/"))
        .unwrap()
        .map(|row| row.unwrap().1)
        .collect();
    let values: BTreeSet<_> = rows.iter().collect();
    assert!(values.len() <= 1, "a torn read: {values:?}");
    let Some(value) = rows.first() else {
        return 0;
    };
    assert_eq!(u64::try_from(rows.len()).unwrap(), TOGETHER, "a torn read");
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// Reads until the time is up. A write that was seen once is never missing later.
fn read(kv: &KvStore, until: Instant) -> u64 {
    let mut seen = [0; 12];
    let mut reads = 0;
    while Instant::now() < until {
        for (writer, seen) in (0..WRITERS).zip(&mut seen) {
            let last = last_of(kv, writer);
            assert!(last >= *seen, "a view went back from {seen} to {last}");
            *seen = last;
            reads += 1;
        }
    }
    reads
}

/// Writes until the time is up. Every acknowledged key can be read immediately.
fn write(kv: &KvStore, writer: u64, until: Instant) -> u64 {
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        let value = round.to_string();
        let batch = (0..TOGETHER).fold(kv.batch(), |batch, nth| {
            batch.put(together(writer, nth), &value)
        });
        batch.commit().unwrap();
        assert_eq!(last_of(kv, writer), round, "a write that was not read back");
        kv.put(format!("own/{writer:02}/{round:06}"), &value)
            .unwrap();
    }
    round
}

/// One of the three reader processes. Does nothing unless the test below starts it.
#[test]
fn reader_process() {
    let Some(store) = std::env::var_os(STORE) else {
        return;
    };
    let dir = Path::new(&store);
    let node = Node::builder(dir).open_reader().unwrap();
    let listed = node.manager().list().unwrap();
    let id = listed[0].meta.as_ref().unwrap().store_id;
    let kv: KvStore = node.open_as(id, Access::ReadOnly).unwrap();
    let reads = read(&kv, Instant::now() + time());
    assert!(reads > 50, "{reads} reads are none");
    // A store can be opened and peeked repeatedly while it is written.
    for _ in 0..20 {
        node.manager().close(id).unwrap();
        let kv: KvStore = node.open_as(id, Access::ReadOnly).unwrap();
        last_of(&kv, 0);
        node.manager().peek(id).unwrap();
    }
}

fn reader(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crowd::reader_process", "--quiet"])
        .env(STORE, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn concurrent_use_tears_loses_and_blocks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path()).unwrap();
    let id = node
        .manager()
        .create(&"core:kvstore".parse().unwrap())
        .unwrap();
    let kv: KvStore = node.open_as(id, Access::ReadWrite).unwrap();
    let mut processes: Vec<_> = (0..3).map(|_| reader(dir.path())).collect();
    let until = Instant::now() + time();
    let (rounds, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let written = std::thread::scope(|threads| {
        for _ in 0..READERS {
            threads.spawn(|| reads.fetch_add(read(&kv, until), Ordering::SeqCst));
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (kv, rounds) = (&kv, &rounds);
                threads.spawn(move || {
                    let written = write(kv, writer, until);
                    rounds.fetch_add(written, Ordering::SeqCst);
                    written
                })
            })
            .collect();
        let ends = writers.into_iter().map(|writer| writer.join().unwrap());
        ends.collect::<Vec<_>>()
    });
    // A process that still runs a minute later is stuck.
    let deadline = Instant::now() + Duration::from_secs(60);
    for process in &mut processes {
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "a reader does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "a reading process: {status}");
    }
    for (writer, written) in (0..WRITERS).zip(&written) {
        assert_eq!(last_of(&kv, writer), *written);
        let own = kv
            .prefix(format!("own/{writer:02}/"))
            .unwrap()
            .keys()
            .count();
        assert_eq!(u64::try_from(own).unwrap(), *written, "a write is lost");
    }
    let ops = rounds.load(Ordering::SeqCst) * 2;
    assert_eq!(kv.engine().op_count().unwrap(), ops);
    assert!(reads.load(Ordering::SeqCst) > 50);
    drop(kv);
    node.manager().close_all().unwrap();
    let verified = node
        .manager()
        .verify_path(node.manager().store_path(id), Depth::Full)
        .unwrap();
    assert_eq!((verified.findings.len(), verified.ops), (0, ops));
    println!("{ops} ops of {WRITERS} threads");
}
