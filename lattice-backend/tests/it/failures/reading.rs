//! Everything that reads, copies or rebuilds a store, over a disk that fails.

use lattice_backend::backend::{Access, Integrity, OpenOptions};
use lattice_backend::engine::verify::{Depth, Verification, rebuild_store};
use lattice_backend::machine::Value;
use lattice_backend::progress::ProgressSink;

use lattice_meta::OpId;

use super::*;

const COPY: &str = "copy.db";

/// A task on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Peek,
    Read,
    Verify,
    Checksums,
    Backup,
    Rebuild,
}

/// How the last writer left the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    Crashed(Sharing),
}

/// The file of a store of two authors, one of whom forked.
fn filled(left: Left) -> Vec<u8> {
    let disk = MemoryDisk::new();
    let site = site(&disk, &FailurePoint::default());
    Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
    let mut request = site.request().identity(owner());
    if let Left::Crashed(sharing) = left {
        request.options.sharing = sharing;
    }
    let store = site.try_open(request).unwrap();
    fill(&store);
    if left == Left::Closed {
        store.close().unwrap();
    }
    disk.bytes(&site.path).unwrap()
}

fn fill(store: &Store) {
    for nth in 0..40 {
        append(store, &format!("key {}", nth % 30), vec![nth; 700]);
    }
    let ops = foreign();
    ingest(store, &ops.iter().collect::<Vec<_>>());
}

/// The tips of the authors of that store.
fn tips() -> (OpId, OpId) {
    let site = Site::memory();
    let store = site.open();
    fill(&store);
    let info = store.info().unwrap();
    (info.tips[&owner().public()], info.tips[&secret(2).public()])
}

fn check_verified(verified: &Verification) {
    // A read error of the disk is not damage.
    assert_eq!(verified.findings, []);
    assert_eq!(verified.ops, 44);
}

fn attempt(task: Task, site: &Site) -> Result<(), Box<dyn Error>> {
    let copy = Path::new(COPY);
    match task {
        Task::Peek => {
            let info = site.backend.peek_info(&site.path)?;
            let [own, foreign] = [owner(), secret(2)].map(|author| info.tips[&author.public()]);
            assert_eq!((own, foreign), tips());
        }
        Task::Read => read(site)?,
        Task::Verify => {
            let store = open(site)?;
            check_verified(&store.verify(Depth::Full, &*site.backend, &ProgressSink::none())?);
            store.close()?;
        }
        Task::Checksums => {
            let checked = site.backend.check_integrity(&site.path)?;
            assert_eq!(checked, Integrity::Intact);
        }
        Task::Backup => {
            site.backend
                .backup(&site.path, copy, &mut |_| Ok(()), &ProgressSink::none())?;
        }
        Task::Rebuild => {
            let held = site.backend.open(&site.path, &OpenOptions::read_write())?;
            let (backend, machine) = (&*site.backend, site.machine.clone());
            let nobody = ProgressSink::none();
            let rebuilt = rebuild_store(backend, &*held, &site.path, copy, machine, &nobody)?;
            assert_eq!((rebuilt.ops, rebuilt.before), (44, rebuilt.after));
            held.close()?;
        }
    }
    Ok(())
}

fn open(site: &Site) -> Result<Store, OpenError> {
    let mut request = site.request();
    request.options.access = Access::ReadOnly;
    site.try_open(request)
}

/// Makes every read that a handle offers.
fn read(site: &Site) -> Result<(), Box<dyn Error>> {
    let store = open(site)?;
    let count = store.op_count()?;
    assert_eq!(count, 44);
    for index in 0..count {
        assert!(store.op_at(at(index))?.is_some());
    }
    for nth in 0..30 {
        let args = [(
            "key".to_owned(),
            Value::Bytes(format!("key {nth}").into_bytes()),
        )];
        let value = store.call("get", Value::Record(args.into()))?;
        assert_ne!(value, Value::Null);
    }
    store.info()?;
    store.state_hash()?;
    store.frontier()?;
    store.branch_tips()?;
    assert_eq!(store.forks()?.len(), 1);
    for op in store.ops_after(&lattice_backend::op::BranchTips::default())? {
        op?;
    }
    store.close()?;
    Ok(())
}

fn every_failure_of(task: Task, left: Left) {
    let bytes = filled(left);
    let calls = match task {
        Task::Peek | Task::Read | Task::Checksums => &[DiskCall::Read][..],
        // A store that verification makes temporarily need not survive anything.
        Task::Verify => &[DiskCall::Read, DiskCall::Write, DiskCall::Resize],
        Task::Backup | Task::Rebuild => &DiskCall::ON_FILES,
    };
    let mut refused = 0;
    let cases = every_failure(calls, |failure| {
        let (disk, point) = (MemoryDisk::new(), FailurePoint::default());
        let site = site(&disk, &point);
        disk.insert(&site.path, bytes.clone());
        point.fail(failure);
        let outcome = attempt(task, &site);
        let has_failed = point.has_failed();
        point.heal();
        if let Err(error) = outcome {
            assert!(has_failed, "{task:?} of {left:?}: {error:?}");
            assert_says(&*error, failure.fault);
            refused += 1;
            match task {
                Task::Rebuild => drop(disk.bytes(Path::new(COPY)).map(|_| remove(&disk))),
                _ => assert!(disk.bytes(Path::new(COPY)).is_none(), "a part of a copy"),
            }
        } else if disk.bytes(Path::new(COPY)).is_some() {
            let mut copy = site.clone();
            copy.path = PathBuf::from(COPY);
            attempt(Task::Verify, &copy).unwrap();
            remove(&disk);
        }
        if task != Task::Rebuild {
            assert!(disk.bytes(&site.path).as_ref() == Some(&bytes), "it wrote");
        }
        attempt(task, &site).unwrap();
        has_failed
    });
    assert!(
        refused > 3 && cases - refused < cases / 4,
        "{refused} of {cases}"
    );
    eprintln!("{task:?} of {left:?}: {cases} failures, {refused} told");
}

fn remove(disk: &MemoryDisk) {
    lattice_backend::storage::Disk::remove(disk, Path::new(COPY)).unwrap();
}

fn of_all(task: Task) {
    every_failure_of(task, Left::Closed);
    every_failure_of(task, Left::Crashed(Sharing::SingleWriter));
    every_failure_of(task, Left::Crashed(Sharing::Exclusive));
}

#[test]
fn while_peeking_are_reported() {
    of_all(Task::Peek);
}

#[test]
fn while_reading_are_reported() {
    of_all(Task::Read);
}

#[test]
fn while_verifying_are_reported_as_errors_and_not_as_findings() {
    of_all(Task::Verify);
    of_all(Task::Checksums);
}

#[test]
fn while_copying_are_reported_and_leave_no_copy() {
    of_all(Task::Backup);
}

#[test]
fn while_rebuilding_are_reported() {
    of_all(Task::Rebuild);
}
