//! Power fails at every sync of a task, and between syncs, with any part of the unsynced writes on
//! the disk.
//!
//! `LATTICE_POWER_CUTS=n` tries n random states of the disk between any two syncs, and
//! `LATTICE_POWER_SEED` sets the seed.

use std::cell::RefCell;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{
    Access, BackendError, FileError, Integrity, OpenOptions, PeekError, Sharing, StateBackend,
};
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::Rng;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::verify::{Depth, rebuild_store};
use lattice_backend::journal::JournaledBackend;
use lattice_backend::op::{Op, OpRef};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{
    Disk, DiskCall, DiskFault, Failure, FailurePoint, Lasting, MemoryDisk, RecordingDisk, Unsynced,
};

use lattice_meta::SchemaVersion;

use crate::conformance::eager;
use crate::registers::{Command, Registers, payload};
use crate::support::*;

const STORE: &str = "state.db";
const BACKUP: &str = "backup.db";
const REBUILT: &str = "rebuilt.db";

/// A guarantee that holds from a step of the disk on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// The store exists.
    Created,
    /// The store has this many ops.
    Ops(usize),
    /// A copy exists with this many ops.
    Copied(&'static str, usize),
}

/// A completed task.
struct Work {
    disk: RecordingDisk,
    used: Use,
    promises: Vec<(usize, Promise)>,
    /// All ops, in the order in which they were applied.
    ops: Vec<OpRef>,
    /// Hashes of the files that have been checked, with the guarantees that applied.
    checked: RefCell<HashSet<u64>>,
}

/// How a store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    sharing: Sharing,
    /// Every commit goes through a journal, whose generations have a few records.
    has_journal: bool,
}

const SHARED: Use = Use {
    sharing: Sharing::SingleWriter,
    has_journal: false,
};
const EXCLUSIVE: Use = Use {
    sharing: Sharing::Exclusive,
    has_journal: false,
};
const JOURNALED: Use = Use {
    sharing: Sharing::SingleWriter,
    has_journal: true,
};

/// A backend on a disk.
fn backend(has_journal: bool, disk: impl Disk + Clone) -> Arc<dyn StateBackend> {
    let redb = RedbBackend::on_disk(disk.clone());
    match has_journal {
        false => Arc::new(redb),
        true => Arc::new(JournaledBackend::over(redb, disk).tuned(eager())),
    }
}

fn site(backend: Arc<dyn StateBackend>, machine: Registers) -> Site {
    Site {
        backend,
        path: PathBuf::from(STORE),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        machine,
    }
}

fn open(site: &Site, access: Access, sharing: Sharing) -> Result<Store, OpenError> {
    let mut request = site.request().identity(owner());
    request.options = OpenOptions {
        access,
        sharing,
        ..OpenOptions::read_write()
    };
    site.try_open(request)
}

/// Foreign ops; two of them are a fork.
fn foreign() -> Vec<Op> {
    let author = secret(2);
    let root = op(&author, None, &[], 0, &payload(b"k", b"root"));
    let left = op(&author, Some(&root), &[], 1, &payload(b"k", b"left"));
    let right = op(&author, Some(&root), &[], 1, &payload(b"k", &[3; 9000]));
    let joined = op(&author, Some(&right), &[&left], 2, &payload(b"k", b"join"));
    vec![root, left, right, joined]
}

impl Work {
    fn done(used: Use) -> Self {
        let sharing = used.sharing;
        let disk = RecordingDisk::new();
        let mut work = Self {
            disk: disk.clone(),
            used,
            promises: Vec::new(),
            ops: Vec::new(),
            checked: RefCell::default(),
        };
        let old = site(
            backend(used.has_journal, disk.clone()),
            Registers::old_layout(),
        );
        let site = site(backend(used.has_journal, disk), Registers::default());
        Store::create(&*old.backend, &old.path, &genesis(), &old.machine).unwrap();
        work.promise(Promise::Created);
        let store = open(&old, Access::ReadWrite, sharing).unwrap();
        for nth in 0..3 {
            work.append(&store, "old", 10 + nth);
        }
        store.close().unwrap();
        // Opening migrates the layout.
        let store = open(&site, Access::ReadWrite, sharing).unwrap();
        work.write(&store);
        store.close().unwrap();
        site.backend
            .backup(
                &site.path,
                Path::new(BACKUP),
                &mut |_| Ok(()),
                &ProgressSink::none(),
            )
            .unwrap();
        work.copied(BACKUP);
        let held = site.backend.open(&site.path, &OpenOptions::read_write());
        let held = held.unwrap();
        rebuild_store(
            &*site.backend,
            &*held,
            &site.path,
            Path::new(REBUILT),
            site.machine.clone(),
            &ProgressSink::none(),
        )
        .unwrap();
        work.copied(REBUILT);
        held.close().unwrap();
        let store = open(&site, Access::ReadWrite, sharing).unwrap();
        work.append(&store, "last", 5);
        work.ops = history(&store).iter().map(Op::reference).collect();
        store.close().unwrap();
        work
    }

    /// Single writes, a batch, foreign ops, and large and small values, alternating.
    fn write(&mut self, store: &Store) {
        for (key, length) in [("a", 10), ("b", 70_000), ("a", 0), ("b", 3)] {
            self.append(store, key, length);
        }
        let mut batch = (0..25_usize).map(|nth| {
            let command = Command::set(format!("batch {nth}"), vec![5; nth * 60]);
            Ok::<_, std::convert::Infallible>(command)
        });
        store.append_all(&mut batch).unwrap();
        self.promised_ops(store);
        let ops = foreign();
        let report = store.ingest(given(bytes_of(&ops)), &Authors::Any).unwrap();
        assert_eq!(report.applied(), 4);
        self.promised_ops(store);
        for nth in 0..5 {
            self.append(store, &format!("log {nth}"), 2000);
        }
    }

    fn append(&mut self, store: &Store, key: &str, length: usize) {
        append(store, key, vec![7; length]);
        self.promised_ops(store);
    }

    fn promised_ops(&mut self, store: &Store) {
        let count = store.op_count().unwrap();
        self.promise(Promise::Ops(count.try_into().unwrap()));
    }

    fn copied(&mut self, path: &'static str) {
        self.promise(Promise::Copied(path, self.ops_at(usize::MAX)));
    }

    fn promise(&mut self, promise: Promise) {
        self.promises.push((self.disk.step_count(), promise));
    }

    fn holds(&self, step: usize, promise: impl Fn(Promise) -> bool) -> bool {
        let made = self.promises.iter().filter(|(from, _)| *from <= step);
        made.map(|(_, made)| *made).any(promise)
    }

    /// How many ops were acknowledged up to a step.
    fn ops_at(&self, step: usize) -> usize {
        let made = self.promises.iter().filter(|(from, _)| *from <= step);
        let counts = made.filter_map(|(_, promise)| match promise {
            Promise::Ops(count) => Some(*count),
            _ => None,
        });
        counts.max().unwrap_or(0)
    }

    /// How many ops there may be at a step: the acknowledged ones, with or without those in
    /// progress.
    fn may_have(&self, step: usize) -> Vec<usize> {
        let promised = self.ops_at(step);
        let next = self.promises.iter().find_map(|(_, promise)| match promise {
            Promise::Ops(count) if *count > promised => Some(*count),
            _ => None,
        });
        std::iter::once(promised).chain(next).collect()
    }

    /// Compares the disk after a power loss with what was acknowledged.
    fn check(&self, step: usize, disk: &MemoryDisk) {
        let must_be_there = self.holds(step, |promise| promise == Promise::Created);
        if must_be_there || disk.bytes(Path::new(STORE)).is_some() {
            self.check_store(STORE, disk, must_be_there, &self.may_have(step));
        }
        for path in [BACKUP, REBUILT] {
            let copied = self.promises.iter().find_map(|(from, promise)| {
                let of_path = matches!(promise, Promise::Copied(of, _) if *of == path);
                of_path.then_some((*from, *promise))
            });
            let Some((from, Promise::Copied(_, ops))) = copied else {
                panic!("{path} was made");
            };
            if from <= step || disk.bytes(Path::new(path)).is_some() {
                // Several transactions make a rebuilt store.
                let made: Vec<usize> = match from <= step {
                    true => vec![ops],
                    false => (0..=ops).collect(),
                };
                self.check_store(path, disk, from <= step, &made);
            }
        }
    }

    fn check_store(&self, path: &str, disk: &MemoryDisk, must_open: bool, may_have: &[usize]) {
        let path = Path::new(path);
        let bytes = disk.bytes(path).expect("the file that was acknowledged");
        let journal = ["0", "1"]
            .map(|file| disk.bytes(Path::new(&format!("{}.journal-{file}", path.display()))));
        let case = BuildHasherDefault::<DefaultHasher>::default()
            .hash_one((path, &bytes, journal, must_open, may_have));
        if !self.checked.borrow_mut().insert(case) {
            return;
        }
        let backend = backend(self.used.has_journal, disk.clone());
        let info = match backend.peek_info(path) {
            Ok(info) => info,
            Err(error) => {
                assert!(!must_open, "{error:?}");
                assert_half_made(&error);
                assert_eq!(disk.bytes(path), Some(bytes), "peeking wrote");
                return;
            }
        };
        assert_eq!(info.store_id, genesis().store_id());
        let is_old = info.schema_version == SchemaVersion::new(2);
        let machine = match is_old {
            true => Registers::old_layout(),
            false => Registers::default(),
        };
        let mut site = site(backend, machine);
        site.path = path.to_path_buf();
        let read = open(&site, Access::ReadOnly, self.used.sharing).unwrap();
        let found: Vec<OpRef> = history(&read).iter().map(Op::reference).collect();
        assert!(
            may_have.contains(&found.len()),
            "{} ops are there, and not one of {may_have:?}",
            found.len()
        );
        assert_eq!(found, self.ops[..found.len()]);
        let hash = read.state_hash().unwrap();
        read.close().unwrap();
        let checked = site.backend.check_integrity(path).unwrap();
        assert_eq!(checked, Integrity::Intact);
        assert_eq!(disk.bytes(path), Some(bytes), "reading wrote");
        // Opening for writing migrates the store, unless that has been done.
        site.machine = Registers::default();
        let store = open(&site, Access::ReadWrite, self.used.sharing).unwrap();
        assert_eq!(store.state_hash().unwrap(), hash);
        let verified = store.verify(Depth::Full, &*site.backend, &ProgressSink::none());
        assert_eq!(verified.unwrap().findings, []);
        append(&store, "after", "the loss");
        assert_whole(&store);
        assert!(
            store.forks().unwrap().len() <= 1,
            "it has forked its author"
        );
        store.close().unwrap();
        let checked = site.backend.check_integrity(path).unwrap();
        assert_eq!(checked, Integrity::Intact);
    }
}

/// The errors allowed for a store whose creation was not acknowledged. Its header can be on disk
/// while a page that the header names is not.
fn assert_half_made(error: &PeekError) {
    assert!(
        matches!(
            error,
            PeekError::File(FileError::NotAStore { .. } | FileError::Damaged { .. })
                | PeekError::Meta { .. }
                | PeekError::Backend {
                    source: BackendError::Damaged { .. },
                    ..
                }
        ),
        "{error:?}"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

fn cut_everywhere(used: Use) {
    let work = Work::done(used);
    let images = number("LATTICE_POWER_CUTS").unwrap_or(1);
    let mut rng = Rng::new(number("LATTICE_POWER_SEED").unwrap_or(20));
    let steps = work.disk.step_count();
    let syncs: Vec<usize> = (0..steps).filter(|step| work.disk.is_sync(*step)).collect();
    assert!(syncs.len() > 60, "{} syncs are no work", syncs.len());
    let mut cuts = 0;
    let mut cut = |step: usize, unsynced: Unsynced, rng: &mut Rng| {
        let before = rng.clone();
        let disk = work.disk.after_power_loss(step, unsynced, rng);
        let checked = std::panic::AssertUnwindSafe(|| work.check(step, &disk));
        if let Err(panic) = std::panic::catch_unwind(checked) {
            eprintln!("{used:?}, {unsynced:?} after step {step} of {steps}, by {before:?}");
            std::panic::resume_unwind(panic);
        }
        cuts += 1;
    };
    let mut from = 0;
    for sync in syncs {
        // Just before the sync returns, everything that it covers is at risk.
        cut(sync, Unsynced::Lost, &mut rng);
        for _ in 0..images {
            let step = from + rng.below(sync + 1 - from);
            cut(step, Unsynced::Torn, &mut rng);
            cut(sync, Unsynced::Torn, &mut rng);
        }
        from = sync + 1;
    }
    cut(steps, Unsynced::Lost, &mut rng);
    cut(steps, Unsynced::Kept, &mut rng);
    eprintln!("{used:?}: {cuts} losses of power in {steps} steps");
}

#[test]
fn lost_anywhere_leaves_an_op_boundary_with_everything_acknowledged() {
    cut_everywhere(SHARED);
}

#[test]
fn lost_anywhere_with_a_journal_leaves_an_op_boundary_with_everything_acknowledged() {
    cut_everywhere(JOURNALED);
}

#[test]
fn lost_anywhere_in_exclusive_use_leaves_an_op_boundary_with_everything_acknowledged() {
    cut_everywhere(EXCLUSIVE);
}

/// A copy is whole, or no store, whatever part of its unsynced writes is on the disk.
#[test]
fn lost_while_a_copy_is_written_leaves_no_part_of_it_that_opens() {
    let work = Work::done(SHARED);
    let is_copied = |(_, promise): &&(usize, Promise)| matches!(promise, Promise::Copied(..));
    let (end, _) = *work.promises.iter().find(is_copied).unwrap();
    let before = work.promises.iter().rev().find(|(step, _)| *step < end);
    let (start, _) = *before.unwrap();
    let mut rng = Rng::new(number("LATTICE_POWER_SEED").unwrap_or(22));
    for step in (start..end).flat_map(|step| [step; 8]) {
        let disk = work.disk.after_power_loss(step, Unsynced::Torn, &mut rng);
        work.check(step, &disk);
    }
}

/// The sync that fails loses any part of what it covers, for good. The handle acknowledges nothing
/// more.
#[test]
fn lost_after_a_failed_sync_leaves_everything_acknowledged() {
    for has_journal in [false, true] {
        fail_every_sync(has_journal);
    }
}

fn fail_every_sync(has_journal: bool) {
    let mut rng = Rng::new(number("LATTICE_POWER_SEED").unwrap_or(21));
    for after in 0.. {
        let point = FailurePoint::default();
        let disk = RecordingDisk::new().fail_syncs(point.clone());
        let site = site(backend(has_journal, disk.clone()), Registers::default());
        Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
        let store = site.open();
        point.fail(Failure {
            call: DiskCall::Sync,
            after,
            lasting: Lasting::Once,
            fault: DiskFault::Io,
        });
        let puts = (0..6).map(|nth| store.append(Command::set(format!("{nth}"), vec![7; 3000])));
        let acknowledged = puts.filter(Result::is_ok).count();
        drop(store);
        if !point.has_failed() {
            assert!(after >= 6, "{after} syncs are no work");
            break;
        }
        for _ in 0..20 {
            let left = disk.after_power_loss(disk.step_count(), Unsynced::Torn, &mut rng);
            let site = self::site(backend(has_journal, left), Registers::default());
            let read = open(&site, Access::ReadOnly, Sharing::SingleWriter).unwrap();
            let found = history(&read).len();
            read.close().unwrap();
            let is_right = (acknowledged..=acknowledged + 1).contains(&found);
            assert!(
                is_right,
                "{found} of {acknowledged} after {after} syncs, {rng:?}"
            );
            let checked = site.backend.check_integrity(&site.path).unwrap();
            assert_eq!(checked, Integrity::Intact);
        }
    }
}

/// Regression: redb does not sync its note that a commit is on disk. Without the note, readers saw
/// the commit before, although the last one had been acknowledged.
#[test]
fn lost_after_a_commit_leaves_the_commit_visible_to_readers_and_writers() {
    let disk = RecordingDisk::new();
    let site = site(backend(false, disk.clone()), Registers::default());
    Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
    let store = site.open();
    append(&store, "key", "first");
    let last = append(&store, "key", "last");
    for unsynced in [Unsynced::Lost, Unsynced::Kept] {
        let left = disk.after_power_loss(disk.step_count(), unsynced, &mut Rng::new(1));
        let site = self::site(backend(false, left), Registers::default());
        let info = site.backend.peek_info(&site.path).unwrap();
        assert_eq!(info.tips[&owner().public()], last.reference().id);
        let read = open(&site, Access::ReadOnly, Sharing::SingleWriter).unwrap();
        assert_eq!(get(&read, "key"), Some(b"last".to_vec()));
        read.close().unwrap();
        let copy = Path::new(BACKUP);
        site.backend
            .backup(&site.path, copy, &mut |_| Ok(()), &ProgressSink::none())
            .unwrap();
        assert_eq!(site.backend.peek_info(copy).unwrap(), info);
    }
}
