//! Checks the stores after a worker was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use lattice_backend::backend::{Integrity, Sharing};
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::verify::Depth;
use lattice_backend::journal::Tuning;
use lattice_backend::op::BranchTips;
use lattice_meta::{PubKey, StateHash, StoreId};
use lattice_node::{Access, KvStore, LogStore, StoreManager};

use crate::Outcome;
use crate::model::{Content, Done, History, ops};
use crate::notes;
use crate::script::{Kind, Side, Step, Work};
use crate::site::{Stores, backup_path, manager};

/// Counts over all rounds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    acknowledged: u64,
    /// Steps in progress when the worker was killed.
    interrupted: BTreeMap<&'static str, u64>,
    /// How many of the interrupted steps that make ops were committed anyway.
    completed: u64,
    /// How many workers were killed at a fold.
    at_folds: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.completed += other.completed;
        self.at_folds += other.at_folds;
        for (name, count) in &other.interrupted {
            *self.interrupted.entry(name).or_insert(0) += count;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pieces of work acknowledged; killed during",
            self.acknowledged
        )?;
        for (name, count) in &self.interrupted {
            write!(f, " {name} {count}")?;
        }
        write!(f, "; {} of these were whole", self.completed)?;
        write!(f, "; {} kills at a fold", self.at_folds)
    }
}

/// A store or a copy besides the two, and how many ops of A and of B it must have.
#[derive(Debug, Clone, Copy)]
struct Beside {
    side: Side,
    kind: Kind,
    counts: [usize; 2],
}

/// The contents of one worker's notes.
#[derive(Debug, Default)]
struct Said {
    created: BTreeMap<StoreId, Side>,
    migrated: BTreeMap<StoreId, Beside>,
    backups: BTreeMap<u64, Beside>,
    /// The step in progress when the worker was killed.
    last: Option<(Step, Option<StoreId>)>,
}

/// What a store has: the numbers of ops of A and of B, and the resulting content.
struct Found {
    counts: Vec<usize>,
    content: Content,
    state_hash: StateHash,
}

pub(crate) struct Checker {
    dir: PathBuf,
    stores: Stores,
    authors: [PubKey; 2],
    kv: History,
    log: History,
    next: u64,
    totals: Totals,
}

impl Checker {
    /// Creates the two replicas.
    pub(crate) fn begin(dir: &Path) -> Outcome<Self> {
        let [a, b] =
            Side::BOTH.map(|side| manager(dir, side, Sharing::SingleWriter, Tuning::default()));
        let (a, b) = (a?, b?);
        let stores = Stores {
            kv: a.create(&"core:kvstore".parse()?)?,
            log: a.create(&"core:logstore".parse()?)?,
        };
        stores.write(dir)?;
        for kind in Kind::BOTH {
            let from = a.open(stores.of(kind), Access::ReadOnly)?;
            b.create_replica(from.genesis())?;
            let mut ops = from.ops_after(&BranchTips::default())?.map(|op| Ok(op?));
            let to = b.open(stores.of(kind), Access::ReadWrite)?;
            let taken = to.ingest(&mut ops, &Authors::Any);
            taken.map_err(|error| error.to_string())?;
        }
        let author = |manager: &StoreManager| manager.author().ok_or("a writer");
        Ok(Self {
            dir: dir.to_path_buf(),
            stores,
            authors: [author(&a)?, author(&b)?],
            kv: History::default(),
            log: History::default(),
            next: 0,
            totals: Totals::default(),
        })
    }

    pub(crate) const fn next_step(&self) -> u64 {
        self.next
    }

    pub(crate) const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn note_fold(&mut self) {
        self.totals.at_folds += 1;
    }

    fn history(&mut self, kind: Kind) -> &mut History {
        match kind {
            Kind::Kv => &mut self.kv,
            Kind::Log => &mut self.log,
        }
    }

    pub(crate) fn check(&mut self, seed: u64) -> Outcome<()> {
        let said = self.read_notes(seed)?;
        for side in Side::BOTH {
            let manager = manager(&self.dir, side, Sharing::SingleWriter, Tuning::default())?;
            for kind in Kind::BOTH {
                self.check_store(&manager, side, kind, &said)
                    .map_err(|error| format!("{kind:?} of {}: {error}", side.name()))?;
            }
        }
        // Only now is it known which ops of the interrupted step exist.
        for side in Side::BOTH {
            let manager = manager(&self.dir, side, Sharing::SingleWriter, Tuning::default())?;
            self.check_list(&manager, side, &said)?;
            tidy(&manager, self.stores)?;
        }
        self.check_backups(&said)
    }

    /// Reads what the worker completed, and the step in progress.
    fn read_notes(&mut self, seed: u64) -> Outcome<Said> {
        let mut said = Said::default();
        for noted in notes::read(&self.dir)? {
            let step = Step::new(seed, noted.number);
            self.next = noted.number + 1;
            if !noted.is_done {
                *self.totals.interrupted.entry(step.work.name()).or_insert(0) += 1;
                said.last = Some((step, noted.store));
                continue;
            }
            self.totals.acknowledged += 1;
            self.acknowledge(&step, noted.store, &mut said)?;
        }
        match fs::remove_file(notes::path(&self.dir)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(said),
        }
    }

    fn acknowledge(&mut self, step: &Step, store: Option<StoreId>, said: &mut Said) -> Outcome<()> {
        let side = step.side;
        if let Some((kind, done)) = ops(step) {
            self.history(kind).own(side).extend(done);
            return Ok(());
        }
        match step.work {
            Work::Ingest(kind) => {
                let history = self.history(kind);
                *history.taken(side) = history.own(side.other()).len();
            }
            Work::Migrate(kind) => {
                let beside = self.beside(side, kind);
                said.migrated.insert(store.ok_or("a new store")?, beside);
            }
            Work::Backup(kind) => {
                let beside = self.beside(side, kind);
                said.backups.insert(step.number, beside);
            }
            Work::Create => {
                said.created.insert(store.ok_or("a new store")?, side);
            }
            Work::Destroy => {
                said.created.remove(&store.ok_or("an old store")?);
            }
            _ => {}
        }
        Ok(())
    }

    fn beside(&mut self, side: Side, kind: Kind) -> Beside {
        Beside {
            side,
            kind,
            counts: self.history(kind).counts(side),
        }
    }

    fn check_store(
        &mut self,
        manager: &StoreManager,
        side: Side,
        kind: Kind,
        said: &Said,
    ) -> Outcome<()> {
        let id = self.stores.of(kind);
        let file = manager.store_path(id);
        let before = fs::read(&file)?;
        let meta = manager.peek(id)?;
        if meta.store_id != id || fs::read(&file)? != before {
            return Err("peek changed the file, or found another store".into());
        }
        // A reader sees the last published commit. A writer's repair may find that the commit after
        // it is complete too; then the interrupted step exists after all.
        let read = self.read(manager, &file, kind, Access::ReadOnly)?;
        self.resolve(side, kind, said, &read)?;
        let found = self.read(manager, &file, kind, Access::ReadWrite)?;
        let (before, after) = (&read.counts, &found.counts);
        if after
            .iter()
            .zip(before)
            .any(|(after, before)| after < before)
            || (after == before && found.state_hash != read.state_hash)
        {
            return Err(format!("a reader found {before:?}, the next writer {after:?}").into());
        }
        let history = self.resolve(side, kind, said, &found)?;
        if history.counts(side) != self.history(kind).counts(side) {
            self.totals.completed += 1;
        }
        *self.history(kind) = history;
        whole(manager, &file)
    }

    fn read(
        &self,
        manager: &StoreManager,
        file: &Path,
        kind: Kind,
        access: Access,
    ) -> Outcome<Found> {
        let store = manager.open_path(file, access)?;
        let tips = store.branch_tips()?;
        let state_hash = store.state_hash()?;
        let ops_of = |author: PubKey| {
            let mut branches = tips.tips.iter().filter(|tip| tip.author == author);
            let count = branches.next().map_or(0, |tip| tip.seq + 1);
            match branches.next() {
                None => Ok(usize::try_from(count)?),
                Some(_) => Err("an author has forked".into()),
            }
        };
        let counts: Outcome<Vec<_>> = self.authors.into_iter().map(ops_of).collect();
        Ok(Found {
            counts: counts?,
            content: content(manager, file, kind)?,
            state_hash,
        })
    }

    /// Compares a store with its model. Returns the history with those ops of the interrupted step
    /// that exist.
    fn resolve(&self, side: Side, kind: Kind, said: &Said, found: &Found) -> Outcome<History> {
        let (own, foreign) = match side {
            Side::A => (found.counts[0], found.counts[1]),
            Side::B => (found.counts[1], found.counts[0]),
        };
        let found = &found.content;
        // Only the last step may exist in part: of ops by several threads, any subset.
        let under_way = match &said.last {
            Some((step, _)) if step.side == side => ops(step),
            _ => None,
        };
        let under_way = under_way.filter(|(of, _)| *of == kind);
        let is_there = |done: &Done| match done {
            Done::Put(rows) => rows.iter().any(|(key, _)| found.keys.contains_key(key)),
            Done::Append(entries) => entries.iter().any(|entry| found.entries.contains(entry)),
            Done::Delete(_) => false,
        };
        let mut history = match kind {
            Kind::Kv => self.kv.clone(),
            Kind::Log => self.log.clone(),
        };
        let acknowledged = history.own(side).len();
        if let Some((_, done)) = under_way {
            let new: Vec<_> = match done[..] {
                // A delete leaves the content as if the key had never existed, so the op count
                // decides.
                [Done::Delete(_)] if own > acknowledged => done,
                _ => done.into_iter().filter(is_there).collect(),
            };
            history.own(side).extend(new);
        }
        let wanted = history.own(side).len();
        let (least, most) = (*history.taken(side), history.own(side.other()).len());
        if own != wanted {
            return Err(format!("{own} ops of its own, where {wanted} were expected").into());
        }
        let may_take_in = matches!(
            &said.last,
            Some((step, _)) if step.side == side && step.work == Work::Ingest(kind)
        );
        if foreign != least && !(may_take_in && (least..=most).contains(&foreign)) {
            return Err(format!("{foreign} ops of the other, {least} to {most} expected").into());
        }
        *history.taken(side) = foreign;
        let expected = history.content(history.counts(side));
        if *found != expected {
            return Err(found.difference(&expected).into());
        }
        Ok(history)
    }

    /// Every listed store is intact, every acknowledged store is listed, and no other is.
    fn check_list(&mut self, manager: &StoreManager, side: Side, said: &Said) -> Outcome<()> {
        let mut shown = BTreeSet::new();
        for listed in manager.list()? {
            let store_id = listed.meta?.store_id;
            if store_id == self.stores.kv || store_id == self.stores.log {
                continue;
            }
            shown.insert(store_id);
            let (kind, counts) = match (said.migrated.get(&store_id), &said.last) {
                (Some(beside), _) => (beside.kind, beside.counts),
                (None, _) if said.created.contains_key(&store_id) => (Kind::Kv, [0, 0]),
                (None, Some((step, store))) if step.side == side => match step.work {
                    Work::Create => (Kind::Kv, [0, 0]),
                    Work::Destroy if *store == Some(store_id) => (Kind::Kv, [0, 0]),
                    Work::Migrate(kind) => (kind, self.history(kind).counts(side)),
                    _ => return Err(format!("store {store_id} shows unasked").into()),
                },
                _ => return Err(format!("store {store_id} shows unasked").into()),
            };
            let file = manager.store_path(store_id);
            whole(manager, &file)?;
            let found = content(manager, &file, kind)?;
            let expected = self.history(kind).content(counts);
            if found != expected {
                return Err(format!("new {store_id}: {}", found.difference(&expected)).into());
            }
        }
        // A store that was being removed may exist or not.
        let going = match said.last {
            Some((step, store)) if step.work == Work::Destroy => store,
            _ => None,
        };
        let here = said
            .migrated
            .iter()
            .filter(|(_, beside)| beside.side == side);
        let created = said.created.iter().filter(|(_, of)| **of == side);
        let created = created.filter(|(id, _)| Some(**id) != going);
        for wanted in here.map(|(id, _)| id).chain(created.map(|(id, _)| id)) {
            if !shown.contains(wanted) {
                return Err(format!("store {wanted} was acknowledged and is lost").into());
            }
        }
        for store_id in shown {
            manager.destroy(store_id)?;
        }
        Ok(())
    }

    fn check_backups(&mut self, said: &Said) -> Outcome<()> {
        let under_way = match said.last {
            Some((step, _)) => match step.work {
                Work::Backup(kind) => Some((step.number, self.beside(step.side, kind))),
                _ => None,
            },
            None => None,
        };
        let wanted = said
            .backups
            .iter()
            .map(|(number, beside)| (*number, *beside));
        for (number, beside) in wanted.chain(under_way) {
            let file = backup_path(&self.dir, number);
            if !said.backups.contains_key(&number) && !file.exists() {
                continue;
            }
            let manager = manager_of(&self.dir, beside.side)?;
            whole(&manager, &file)?;
            if !manager
                .open_path(&file, Access::ReadOnly)?
                .is_unconfirmed_copy()?
            {
                return Err(format!("backup {number} is not marked as a copy").into());
            }
            let found = content(&manager, &file, beside.kind)?;
            let expected = self.history(beside.kind).content(beside.counts);
            if found != expected {
                return Err(format!("backup {number}: {}", found.difference(&expected)).into());
            }
            fs::remove_file(file)?;
        }
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".partial") {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn manager_of(dir: &Path, side: Side) -> Outcome<StoreManager> {
    manager(dir, side, Sharing::SingleWriter, Tuning::default())
}

/// Reads all keys or entries of a store.
fn content(manager: &StoreManager, file: &Path, kind: Kind) -> Outcome<Content> {
    let store = manager.open_path(file, Access::ReadOnly)?;
    let mut content = Content::default();
    match kind {
        Kind::Kv => {
            let kv = store.downcast_ref::<KvStore>().ok_or("another type")?;
            content.keys = kv.iter()?.collect::<Result<_, _>>()?;
        }
        Kind::Log => {
            let log = store.downcast_ref::<LogStore>().ok_or("another type")?;
            let entries = log.tail(u64::MAX)?.into_iter();
            content.entries = entries.map(|entry| entry.content).collect();
            content.entries.sort();
        }
    }
    manager.close_all()?;
    Ok(content)
}

/// Full verification has no findings and covers the whole store.
fn whole(manager: &StoreManager, file: &Path) -> Outcome<()> {
    let verified = manager.verify_path(file, Depth::Full)?;
    match (verified.findings.first(), &verified.checksums) {
        (None, Integrity::Intact) => Ok(()),
        (Some(finding), _) => Err(finding.to_string().into()),
        (None, checksums) => Err(format!("checksums: {checksums:?}").into()),
    }
}

/// Removes a file, or a directory with all that is in it.
fn remove(path: &Path) -> Outcome<()> {
    match path.is_dir() {
        true => fs::remove_dir_all(path)?,
        false => fs::remove_file(path)?,
    }
    Ok(())
}

/// Removes the old files that rebuilds keep, and the private directories of killed processes. They
/// are not checked, and would accumulate.
fn tidy(manager: &StoreManager, stores: Stores) -> Outcome<()> {
    for kind in Kind::BOTH {
        let file = manager.store_path(stores.of(kind));
        let dir = file.parent().ok_or("a directory")?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // The journal of a store that was open belongs to it.
            let is_left =
                |name: &str| name.starts_with("state.db.before-") || name.starts_with(".lattice-");
            if name.is_some_and(is_left) {
                remove(&path)?;
            }
        }
    }
    Ok(())
}
