//! A disk whose n-th read, write, resize or sync fails, for every n of a task: once or permanently,
//! with an I/O error or because it is full.

mod reading;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{BackendError, FileError, Sharing};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::ingest::{Authors, IngestError, Outcome};
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::write::AppendError;
use lattice_backend::op::{Op, OpRef};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{
    DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, Lasting, MemoryDisk,
};

use crate::registers::{Command, Registers, payload};
use crate::support::*;

const PATH: &str = "state.db";

/// What the store has acknowledged as durable, and whether the task ended early.
#[derive(Debug, Default)]
struct Promises {
    created: bool,
    ops: Vec<OpRef>,
    /// Ops in progress when the disk failed.
    attempted: usize,
}

/// Foreign ops: a fork, and an op that arrives before its parent.
fn foreign() -> Vec<Op> {
    let author = secret(2);
    let root = op(&author, None, &[], 0, &payload(b"k", b"root"));
    let left = op(&author, Some(&root), &[], 1, &payload(b"k", b"left"));
    let right = op(&author, Some(&root), &[], 1, &payload(b"k", b"right"));
    let joined = op(
        &author,
        Some(&right),
        &[&left],
        2,
        &payload(b"k", b"joined"),
    );
    vec![joined, root, left, right]
}

/// A site whose disk may fail. The store does not exist yet.
fn site(disk: &MemoryDisk, point: &FailurePoint) -> Site {
    Site {
        backend: Arc::new(RedbBackend::on_disk(FailingDisk::new(
            disk.clone(),
            point.clone(),
        ))),
        path: PathBuf::from(PATH),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        machine: Registers::default(),
    }
}

/// The operating system's error is in the chain of causes, so that a reader of the error sees it.
fn assert_says(error: &(dyn Error + 'static), fault: DiskFault) {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let said = causes
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.raw_os_error() == Some(fault.os_code()));
    assert!(said, "{error:?} does not say {fault:?}");
}

/// A failed handle reports the disk's error, or that it is unusable: a snapshot that another thread
/// reads does not know the failure.
fn assert_useless(error: &BackendError, fault: DiskFault) {
    if !matches!(error, BackendError::Unusable { first: None, .. }) {
        assert_says(error, fault);
    }
}

/// Calls `case` for every call of these kinds that a task makes, until it makes no more, with both
/// faults. `case` returns whether the disk has failed.
fn every_failure(calls: &[DiskCall], mut case: impl FnMut(Failure) -> bool) -> usize {
    let mut cases = 0;
    for &call in calls {
        for lasting in [Lasting::Once, Lasting::FromThenOn] {
            for after in 0.. {
                // A full disk can still be read.
                let is_full =
                    call != DiskCall::Read && (after % 2 == 0) == (lasting == Lasting::Once);
                let fault = match is_full {
                    true => DiskFault::Full,
                    false => DiskFault::Io,
                };
                let failure = Failure {
                    call,
                    after,
                    lasting,
                    fault,
                };
                let checked = std::panic::AssertUnwindSafe(|| case(failure));
                let has_failed = std::panic::catch_unwind(checked).unwrap_or_else(|panic| {
                    eprintln!("with {failure:?}");
                    std::panic::resume_unwind(panic)
                });
                if !has_failed {
                    assert!(after > 0, "no {call:?} is made");
                    break;
                }
                cases += 1;
            }
        }
    }
    cases
}

/// Creates, opens, writes, ingests and closes; returns what it acknowledged.
fn work(site: &Site, sharing: Sharing, fault: DiskFault) -> Promises {
    let mut promises = Promises::default();
    match Store::create(&*site.backend, &site.path, &genesis(), &site.machine) {
        Ok(()) => promises.created = true,
        Err(error @ FileError::Io { .. }) => {
            assert_says(&error, fault);
            return promises;
        }
        Err(error) => panic!("{error:?}"),
    }
    let mut request = site.request().identity(owner());
    request.options.sharing = sharing;
    let store = match site.try_open(request) {
        Ok(store) => store,
        Err(error) => {
            assert_refused(&error, fault);
            return promises;
        }
    };
    let values = [10, 5000, 0, 2000];
    for (key, length) in ["a", "b", "a", "c"].into_iter().zip(values) {
        match store.append(Command::set(key, vec![7; length])) {
            Ok(receipt) => promises.ops.push(receipt.op),
            Err(AppendError::Backend(error)) => {
                assert_says(&error, fault);
                promises.attempted = 1;
                promises.ops.extend(after_the_failure(&store, fault));
                return promises;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let ops = foreign();
    match store.ingest(given(bytes_of(&ops)), &Authors::Any) {
        Ok(report) => {
            let applied = |outcome: &Outcome| matches!(outcome, Outcome::Applied { .. });
            assert!(report.outcomes.iter().all(|(_, outcome)| applied(outcome)));
            promises.ops.extend(ops.iter().map(Op::reference));
        }
        Err(error) => {
            assert_says(&error, fault);
            promises.attempted = ops.len();
            promises.ops.extend(after_the_failure(&store, fault));
            return promises;
        }
    }
    if let Err(error) = store.close() {
        assert_says(&error, fault);
    }
    promises
}

/// The errors of a store that cannot be opened.
fn assert_refused(error: &OpenError, fault: DiskFault) {
    assert!(
        matches!(
            error,
            OpenError::File(FileError::Io { .. }) | OpenError::Peek(_) | OpenError::Backend { .. }
        ),
        "{error:?}"
    );
    assert_says(error, fault);
}

/// A useless handle acknowledges nothing more, even if the disk has recovered: the failed commit
/// may be on disk, and then the next op would fork the author. After a failed read of a snapshot
/// the handle can still write. Returns what it acknowledges.
fn after_the_failure(store: &Store, fault: DiskFault) -> Vec<OpRef> {
    let mut acknowledged = Vec::new();
    let mut is_useless = !store.is_usable();
    for _ in 0..2 {
        match store.append(Command::set("later", "value")) {
            Err(AppendError::Backend(error)) => assert_useless(&error, fault),
            Ok(receipt) if !is_useless => acknowledged.push(receipt.op),
            other => panic!("a write after a failure gave {other:?}"),
        }
        match store.ingest(given([]), &Authors::Any) {
            Err(IngestError::Backend(error)) => assert_useless(&error, fault),
            Err(error) => panic!("{error:?}"),
            // There were no pending ops, so there was nothing to write.
            Ok(report) => assert_eq!(report.applied(), 0),
        }
        match store.snapshot() {
            Err(error) => assert_useless(&error, fault),
            Ok(_) => assert!(!is_useless, "a handle that was useless gives a view"),
        }
        is_useless = !store.is_usable();
    }
    if let Err(error) = store.close() {
        assert_useless(&error, fault);
    }
    let closed = store.append(Command::set("later", "value"));
    assert!(
        matches!(
            closed,
            Err(AppendError::Backend(
                BackendError::Closed | BackendError::Unusable { .. }
            ))
        ),
        "{closed:?}"
    );
    acknowledged
}

/// The store is intact and has everything that was acknowledged, and at most the ops in progress.
fn check(site: &Site, promises: &Promises) {
    let store = site.open();
    assert_whole(&store);
    let found: Vec<OpRef> = history(&store).iter().map(Op::reference).collect();
    for op in &promises.ops {
        assert!(found.contains(op), "{op} was acknowledged and is lost");
    }
    let extra = found.len() - promises.ops.len();
    assert!(
        extra == 0 || extra == promises.attempted,
        "{extra} ops of {} under way are there",
        promises.attempted
    );
    append(&store, "after", "healing");
    assert_whole(&store);
    store.close().unwrap();
}

fn every_failure_of_writing(sharing: Sharing) {
    let cases = every_failure(&DiskCall::ON_FILES, |failure| {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        let site = site(&disk, &point);
        point.fail(failure);
        let promises = work(&site, sharing, failure.fault);
        let bytes = disk.bytes(Path::new(PATH));
        let has_failed = point.has_failed();
        point.heal();
        if promises.created {
            // After a killed process, and after a process that continues.
            let left = MemoryDisk::new();
            left.insert(Path::new(PATH), bytes.unwrap());
            check(&self::site(&left, &FailurePoint::default()), &promises);
            check(&site, &promises);
        } else {
            assert!(bytes.is_none(), "a store that was not made left a file");
        }
        if !has_failed {
            assert_eq!(promises.ops.len(), 8, "the whole work is done");
        }
        has_failed
    });
    assert!(cases > 200, "{cases} failures are no work");
    eprintln!("{sharing:?}: {cases} failures");
}

#[test]
fn leave_an_op_boundary_with_everything_acknowledged() {
    every_failure_of_writing(Sharing::SingleWriter);
}

#[test]
fn leave_an_op_boundary_in_exclusive_use_too() {
    every_failure_of_writing(Sharing::Exclusive);
}

/// A failed commit may be on disk or not: the handle writes nothing more, because it could fork its
/// own author, even if the disk has recovered.
#[test]
fn of_a_commit_make_the_handle_unusable() {
    let mut unusable = 0;
    let calls = [DiskCall::Write, DiskCall::Resize, DiskCall::Sync];
    every_failure(&calls, |failure| {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        let site = site(&disk, &point);
        Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
        let store = site.open();
        append(&store, "key", vec![1; 300_000]);
        point.fail(failure);
        let failed = store.append(Command::set("key", vec![2; 600_000]));
        let has_failed = point.has_failed();
        point.heal();
        if let Err(error) = failed {
            assert_says(&error, failure.fault);
            assert!(!store.is_usable());
            unusable += 1;
            let refused = store.append(Command::set("key", "3")).unwrap_err();
            assert!(
                matches!(refused, AppendError::Backend(BackendError::Unusable { .. })),
                "{refused:?}"
            );
            // Errors that follow from a failure have it as their cause.
            assert_says(&refused, failure.fault);
            let refused = store.snapshot().map(drop).unwrap_err();
            assert!(
                matches!(refused, BackendError::Unusable { .. }),
                "{refused:?}"
            );
            assert_says(&refused, failure.fault);
            if let Err(error) = store.close() {
                assert_says(&error, failure.fault);
            }
        }
        drop(store);
        let store = site.open();
        append(&store, "key", "4");
        assert!(store.forks().unwrap().is_empty());
        assert_whole(&store);
        has_failed
    });
    assert!(unusable > 10, "{unusable} commits were made to fail");
}

/// While a chunk is written, the next one is checked, and reads of a failed handle fail too.
#[test]
fn of_a_chunk_are_what_ingest_reports() {
    let author = secret(2);
    let mut ops: Vec<Op> = Vec::new();
    for nth in 0..3 {
        let value = vec![7; 5 << 20];
        let next = op(&author, ops.last(), &[], nth, &payload(b"k", &value));
        ops.push(next);
    }
    let cases = every_failure(&[DiskCall::Sync], |failure| {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        let site = site(&disk, &point);
        Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
        let store = site.open();
        point.fail(failure);
        let ingested = store.ingest(given(bytes_of(&ops)), &Authors::Any);
        let has_failed = point.has_failed();
        point.heal();
        if let Err(error) = ingested {
            assert_says(&error, failure.fault);
        }
        has_failed
    });
    assert!(cases > 4, "{cases} failures");
}
