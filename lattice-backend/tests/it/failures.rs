//! A disk that fails at the n-th call, for every n of a piece of work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::{
    AppendError, Authors, BackendError, CreateError, FailingDisk, FailurePoint, FileError,
    ManualClock, MemoryDisk, Op, OpRef, OpenError, Outcome, RedbBackend, Sharing,
};

use crate::registers::{Command, Registers, payload};
use crate::support::*;

const PATH: &str = "state.db";

/// What was promised to be on disk, and whether the work ended early.
#[derive(Debug, Default)]
struct Promises {
    created: bool,
    ops: Vec<OpRef>,
    /// Ops that were under way when the disk failed.
    attempted: usize,
}

/// Ops of others: a fork, and one that comes before what it follows.
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

/// A site whose disk may fail. It is not created yet.
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

fn check_backend_error(error: &BackendError) {
    assert!(
        matches!(
            error,
            BackendError::Storage { .. } | BackendError::Unusable | BackendError::Damaged { .. }
        ),
        "{error:?}"
    );
}

/// Creates, opens, writes, ingests and closes, and gives what it was promised on the way.
fn work(site: &Site, sharing: Sharing) -> Promises {
    let mut promises = Promises::default();
    match Store::create(&*site.backend, &site.path, &genesis(), &site.machine) {
        Ok(()) => promises.created = true,
        Err(CreateError::File(FileError::Io { .. } | FileError::Damaged { .. })) => {
            return promises;
        }
        Err(error) => panic!("{error:?}"),
    }
    let mut request = site.request().identity(owner());
    request.options.sharing = sharing;
    let store = match site.try_open(request) {
        Ok(store) => store,
        Err(
            OpenError::File(FileError::Io { .. } | FileError::Damaged { .. })
            | OpenError::Peek(_)
            | OpenError::Backend { .. },
        ) => return promises,
        Err(error) => panic!("{error:?}"),
    };
    let values = [10, 5000, 0, 2000];
    for (key, length) in ["a", "b", "a", "c"].into_iter().zip(values) {
        match store.append(Command::set(key, vec![7; length])) {
            Ok(receipt) => promises.ops.push(receipt.op),
            Err(AppendError::Backend(error)) => {
                check_backend_error(&error);
                promises.attempted = 1;
                after_the_failure(&store);
                return promises;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let ops = foreign();
    match store.ingest(&mut ops.iter().map(|op| op.bytes().to_vec()), &Authors::Any) {
        Ok(report) => {
            let applied = |outcome: &Outcome| matches!(outcome, Outcome::Applied { .. });
            assert!(report.outcomes.iter().all(|(_, outcome)| applied(outcome)));
            promises.ops.extend(ops.iter().map(Op::reference));
        }
        Err(error) => {
            check_backend_error(&error);
            promises.attempted = ops.len();
            after_the_failure(&store);
            return promises;
        }
    }
    if let Err(error) = store.close() {
        check_backend_error(&error);
    }
    promises
}

/// The handle promises nothing any more.
fn after_the_failure(store: &Store) {
    for _ in 0..2 {
        match store.append(Command::set("later", "value")) {
            Err(AppendError::Backend(error)) => check_backend_error(&error),
            other => panic!("a write after a failure gave {other:?}"),
        }
        match store.ingest(&mut std::iter::empty(), &Authors::Any) {
            Err(error) => check_backend_error(&error),
            // Nothing was held, so there was nothing to write.
            Ok(report) => assert_eq!(report.applied(), 0),
        }
    }
}

/// The store is whole, has everything that was promised, and at the most what was under way.
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

fn every_failure(sharing: Sharing) {
    let mut calls = 0;
    loop {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        let site = site(&disk, &point);
        point.fail_after(calls);
        let promises = work(&site, sharing);
        let bytes = disk.bytes(Path::new(PATH));
        let failed = point.has_failed();
        point.heal();
        if promises.created {
            // What a killed process leaves, and what one leaves that goes on.
            let left = MemoryDisk::new();
            left.insert(Path::new(PATH), bytes.unwrap());
            check(&self::site(&left, &FailurePoint::default()), &promises);
            check(&site, &promises);
        } else {
            assert!(bytes.is_none(), "a store that was not made left a file");
        }
        if !failed {
            assert_eq!(promises.ops.len(), 8, "the whole work is done");
            assert!(calls > 50, "{calls} calls are no work");
            return;
        }
        calls += 1;
    }
}

#[test]
fn leave_an_op_boundary_with_everything_acknowledged() {
    every_failure(Sharing::SingleWriter);
}

#[test]
fn leave_an_op_boundary_in_exclusive_use_too() {
    every_failure(Sharing::Exclusive);
}

/// A commit that fails may be on disk or not: the handle writes nothing more, lest it sign a fork
/// of its own, even if the disk has recovered.
#[test]
fn of_a_commit_make_the_handle_unusable() {
    let mut unusable = 0;
    for calls in 0..60 {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        let site = site(&disk, &point);
        Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
        let store = site.open();
        append(&store, "key", "1");
        point.fail_after(calls);
        let failed = store.append(Command::set("key", "2"));
        point.heal();
        if failed.is_ok() {
            assert!(unusable > 3, "commits were made to fail");
            return;
        }
        if !store.is_usable() {
            unusable += 1;
            let refused = store.append(Command::set("key", "3")).unwrap_err();
            assert!(
                matches!(refused, AppendError::Backend(BackendError::Unusable)),
                "{refused:?}"
            );
            assert!(matches!(store.snapshot(), Err(BackendError::Unusable)));
        }
        drop(store);
        let store = site.open();
        append(&store, "key", "4");
        assert!(store.forks().unwrap().is_empty());
        assert_whole(&store);
    }
    panic!("a commit takes fewer calls");
}
