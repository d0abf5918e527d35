//! The worker process.

use std::path::{Path, PathBuf};

use lattice_backend::backend::Sharing;
use lattice_backend::engine::ingest::{Authors, Outcome as IngestOutcome};
use lattice_backend::journal::Tuning;
use lattice_meta::StoreId;
use lattice_node::{Access, KvStore, LogStore, StoreHandle, StoreManager};

use crate::notes::Notes;
use crate::script::{BURST, Kind, Side, Step, Work};
use crate::site::{Stores, backup_path, manager};
use crate::{Outcome, aim};

/// How this worker shares its stores: one worker in four opens them exclusively.
fn sharing(seed: u64) -> Sharing {
    match seed % 4 {
        0 => Sharing::Exclusive,
        _ => Sharing::SingleWriter,
    }
}

/// Runs steps until the process is killed.
pub(crate) fn work(dir: &Path, seed: u64, first: u64) -> Outcome<()> {
    let tuning = match aim::is_at_folds(seed) {
        true => aim::tuning(),
        false => Tuning::default(),
    };
    let mut worker = Worker {
        dir: dir.to_path_buf(),
        stores: Stores::read(dir)?,
        a: manager(dir, Side::A, sharing(seed), tuning)?,
        b: manager(dir, Side::B, sharing(seed), tuning)?,
        made: Vec::new(),
    };
    let mut notes = Notes::begin(dir)?;
    for number in first.. {
        let step = Step::new(seed, number);
        let store = match step.work {
            Work::Destroy => match worker.made.pop() {
                Some((side, store)) if side == step.side => Some(store),
                _ => continue,
            },
            _ => None,
        };
        notes.begins(number, store)?;
        let made = worker
            .carry_out(step, store)
            .map_err(|error| format!("step {number}, {:?}: {error}", step.work))?;
        notes.done(number, made)?;
    }
    Ok(())
}

struct Worker {
    dir: PathBuf,
    stores: Stores,
    a: StoreManager,
    b: StoreManager,
    made: Vec<(Side, StoreId)>,
}

impl Worker {
    fn manager(&self, side: Side) -> &StoreManager {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn open<T: StoreHandle + Clone>(&self, side: Side, kind: Kind) -> Outcome<T> {
        let handle = self
            .manager(side)
            .open(self.stores.of(kind), Access::ReadWrite)?;
        Ok(handle.downcast_ref::<T>().ok_or("another type")?.clone())
    }

    fn carry_out(&mut self, step: Step, store: Option<StoreId>) -> Outcome<Option<StoreId>> {
        let Step { number, side, work } = step;
        match work {
            Work::Put => self.put(side, number, 1)?,
            Work::Batch(keys) => self.put(side, number, keys)?,
            Work::Delete(of) => {
                let kv: KvStore = self.open(side, Kind::Kv)?;
                kv.delete(Step::key(side, of, 0))?;
            }
            Work::Burst => self.burst(side, number)?,
            Work::Append(entries) => {
                let log: LogStore = self.open(side, Kind::Log)?;
                log.append_many((0..entries).map(|index| Step::value(side, number, index)))?;
            }
            Work::Ingest(kind) => self.ingest(side, kind)?,
            Work::Migrate(kind) => {
                let path = self.path(side, kind);
                let to = match kind {
                    Kind::Kv => "core:kvstore",
                    Kind::Log => "core:logstore",
                };
                return Ok(Some(
                    self.manager(side).migrate(path, &to.parse()?)?.store_id,
                ));
            }
            Work::Rebuild(kind) => {
                self.manager(side).rebuild(self.path(side, kind))?;
            }
            Work::Compact(kind) => {
                self.manager(side).compact(self.path(side, kind))?;
            }
            Work::Backup(kind) => self.backup(side, kind, number)?,
            Work::Reopen => self.manager(side).close_all()?,
            Work::Create => {
                let made = self.manager(side).create(&"core:kvstore".parse()?)?;
                self.made.push((side, made));
                return Ok(Some(made));
            }
            Work::Destroy => {
                self.manager(side)
                    .destroy(store.ok_or("a store to destroy")?)?;
                return Ok(store);
            }
        }
        Ok(None)
    }

    fn path(&self, side: Side, kind: Kind) -> PathBuf {
        self.manager(side).store_path(self.stores.of(kind))
    }

    fn put(&self, side: Side, number: u64, keys: u64) -> Outcome<()> {
        let kv: KvStore = self.open(side, Kind::Kv)?;
        let batch = (0..keys).fold(kv.batch(), |batch, index| {
            batch.put(
                Step::key(side, number, index),
                Step::value(side, number, index),
            )
        });
        batch.commit()?;
        Ok(())
    }

    fn burst(&self, side: Side, number: u64) -> Outcome<()> {
        let kv: KvStore = self.open(side, Kind::Kv)?;
        let put = |index| {
            kv.put(
                Step::key(side, number, index),
                Step::value(side, number, index),
            )
        };
        let written = std::thread::scope(|threads| {
            let threads: Vec<_> = (0..BURST)
                .map(|index| threads.spawn(move || put(index).map(drop)))
                .collect();
            let ends = threads.into_iter().map(|thread| thread.join());
            ends.collect::<Result<Vec<_>, _>>()
        });
        let written = written.map_err(|_| "a thread panicked")?;
        Ok(written.into_iter().collect::<Result<(), _>>()?)
    }

    fn ingest(&self, side: Side, kind: Kind) -> Outcome<()> {
        let id = self.stores.of(kind);
        let to = self.manager(side).open(id, Access::ReadWrite)?;
        let from = self.manager(side.other()).open(id, Access::ReadWrite)?;
        let ops: Result<Vec<_>, _> = from.ops_after(&to.branch_tips()?)?.collect();
        let ops = ops?;
        let wanted = ops.len();
        let report = to.ingest(&mut ops.into_iter().map(Ok), &Authors::Any);
        let report = report.map_err(|error| error.to_string())?;
        let left = report.outcomes.iter().find(|(_, outcome)| {
            !matches!(
                outcome,
                IngestOutcome::Applied { .. } | IngestOutcome::Known
            )
        });
        match left {
            None => Ok(()),
            Some((_, outcome)) => {
                Err(format!("of {wanted} ops, one was left out: {outcome:?}").into())
            }
        }
    }

    /// Closes the store first: a store that is open exclusively cannot be copied.
    fn backup(&self, side: Side, kind: Kind, number: u64) -> Outcome<()> {
        let manager = self.manager(side);
        manager.close(self.stores.of(kind))?;
        manager.backup(self.path(side, kind), &backup_path(&self.dir, number))?;
        Ok(())
    }
}
