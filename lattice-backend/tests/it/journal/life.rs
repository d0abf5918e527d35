//! A store that is used at random, and the states that it has had.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use lattice_backend::backend::{
    BackendError, Direction, Journal, OpenOptions, ReadTx, StateBackend, StateDb, Table, Ticket,
    Transaction, WriteTx,
};
use lattice_backend::conformance::Rng;
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::{Disk, RecordingDisk};

use super::support::*;

/// A commit that was begun.
#[derive(Debug)]
struct Commit {
    rows: Arc<Model>,
    /// The number of steps of the disk before it was begun.
    from: usize,
    /// The number of steps from which on it is certain: it was acknowledged, or shown.
    certain: Option<usize>,
}

/// The states of a store, in their order. Each transaction writes its number.
#[derive(Debug, Default)]
pub(super) struct States(Vec<Commit>);

const NUMBER: (Table, &[u8]) = (Table::System, b"number");

impl States {
    /// The states of a new store.
    pub(super) fn new() -> Self {
        let mut states = Self::default();
        states.begin(Model::new(), 0);
        states.make_certain(0, 0);
        states
    }

    pub(super) fn last(&self) -> &Arc<Model> {
        &self.0.last().expect("it has had a state").rows
    }

    /// The number of the next state.
    pub(super) fn next(&self) -> usize {
        self.0.len()
    }

    pub(super) fn rows(&self, number: usize) -> &Arc<Model> {
        &self.0[number].rows
    }

    pub(super) fn begin(&mut self, rows: Model, from: usize) {
        self.0.push(Commit {
            rows: Arc::new(rows),
            from,
            certain: None,
        });
    }

    pub(super) fn make_certain(&mut self, number: usize, step: usize) {
        let certain = &mut self.0[number].certain;
        *certain = Some(certain.map_or(step, |before| before.min(step)));
    }

    /// The first and the last state that may be there after a crash at a step.
    pub(super) fn possible(&self, step: usize) -> (usize, usize) {
        let is_certain = |commit: &Commit| commit.certain.is_some_and(|from| from <= step);
        let first = self.0.iter().rposition(is_certain);
        let last = self.0.iter().rposition(|commit| commit.from <= step);
        (first.expect("the first state"), last.expect("a state"))
    }

    /// The number of a state that was found. It is one that the store has had.
    pub(super) fn find(&self, found: &Model) -> usize {
        let number = found.get(&(NUMBER.0, NUMBER.1.to_vec()));
        let number = number.map_or(0, |bytes| {
            usize::from_le_bytes(bytes.as_slice().try_into().expect("a number"))
        });
        let state = self.0.get(number).expect("a state that was begun");
        assert!(
            *state.rows == *found,
            "state {number} never was:\n{}",
            differences(&state.rows, found)
        );
        number
    }

    /// A state that was found after a crash at a step: later ones never were.
    pub(super) fn crash(&mut self, found: &Model, step: usize) {
        let number = self.find(found);
        let (first, last) = self.possible(step);
        assert!(
            (first..=last).contains(&number),
            "state {number} is there, and not one of {first} to {last}"
        );
        self.0.truncate(number + 1);
        for commit in &mut self.0 {
            (commit.from, commit.certain) = (0, Some(0));
        }
    }
}

/// The rows that differ, briefly.
fn differences(wanted: &Model, found: &Model) -> String {
    let keys = wanted.keys().chain(found.keys());
    let mut text = String::new();
    for key in keys
        .filter(|key| wanted.get(*key) != found.get(*key))
        .take(6)
    {
        let brief = |rows: &Model| rows.get(key).map(|row| row[..row.len().min(8)].to_vec());
        text += &format!("{key:?}: {:?}, not {:?}\n", brief(found), brief(wanted));
    }
    text
}

pub(super) fn random_tuning(rng: &mut Rng) -> Tuning {
    Tuning {
        burst_commits: 1 + rng.below(3),
        segment_bytes: [1, 8 << 10, 64 << 10][rng.below(3)],
        table_bytes: [1, 4 << 10, 64 << 10][rng.below(3)],
        ..crate::conformance::eager()
    }
}

pub(super) fn backend(disk: impl Disk + Clone, tuning: Tuning) -> JournaledBackend {
    JournaledBackend::over(RedbBackend::on_disk(disk.clone()), disk).tuned(tuning)
}

pub(super) fn create(backend: &dyn StateBackend) {
    backend.create(store(), &mut |_| Ok(())).unwrap();
}

/// A key of a table: few of them, so that transactions meet.
fn key(table: Table, rng: &mut Rng) -> Vec<u8> {
    let nth = u8::try_from(rng.below(24)).unwrap();
    match (table, nth) {
        (Table::Meta, _) => [b"tip/", &[nth][..]].concat(),
        (_, 0) => Vec::new(),
        _ => [&b"key "[..usize::from(nth % 5)], &[nth]].concat(),
    }
}

fn span<'a>(from: &'a [u8], to: &'a [u8], rng: &mut Rng) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    let mut bound = |key| match rng.below(4) {
        0 => Bound::Unbounded,
        1 => Bound::Excluded(key),
        _ => Bound::Included(key),
    };
    (bound(from), bound(to))
}

/// Compares a random range, and a random row, with the model.
fn compare(tx: &dyn ReadTx, model: &Model, rng: &mut Rng) {
    let table = *rng.pick(&Table::ALL).unwrap();
    let (from, to) = (key(table, rng), key(table, rng));
    assert_eq!(
        tx.get(table, &from).unwrap().as_ref(),
        model.get(&(table, from.clone())),
    );
    let span = span(&from, &to, rng);
    let inside = |key: &[u8]| {
        let after = match span.0 {
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
            Bound::Unbounded => true,
        };
        let before = match span.1 {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        };
        after && before
    };
    let rows = model.iter().filter(|((of, _), _)| *of == table);
    let mut wanted: Vec<(&[u8], &[u8])> = rows
        .map(|((_, key), value)| (&**key, &**value))
        .filter(|(key, _)| inside(key))
        .collect();
    let direction = match rng.one_in(2) {
        true => Direction::Forward,
        false => Direction::Backward,
    };
    if direction == Direction::Backward {
        wanted.reverse();
    }
    let mut found = Vec::new();
    let mut rows = tx.range(table, span, direction).unwrap();
    // Some rows one by one, some in one go, alternating.
    loop {
        let most = found.len() + 1 + rng.below(3);
        rows.visit(&mut |row| {
            found.push((row.key.to_vec(), row.value.to_vec()));
            match found.len() < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
        .unwrap();
        match rows.next().unwrap() {
            Some(row) => found.push((row.key.to_vec(), row.value.to_vec())),
            None => break,
        }
    }
    let found: Vec<(&[u8], &[u8])> = found
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .collect();
    assert!(found == wanted, "{table:?} {span:?} {direction:?}");
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let len = [0, 3, 40, 300, 3000][rng.below(5)];
    rng.bytes(len)
}

/// Changes random rows.
fn change(tx: &mut dyn WriteTx, model: &mut Model, rng: &mut Rng) {
    for _ in 0..rng.below(12) {
        let table = *rng.pick(&Table::ALL).unwrap();
        let key = key(table, rng);
        let place = (table, key.clone());
        match rng.below(4) {
            0 => assert_eq!(tx.remove(table, &key).unwrap(), model.remove(&place)),
            1 => {
                let value = value(rng);
                let before = tx.replace(table, &key, &value).unwrap();
                assert_eq!(before, model.insert(place, value));
            }
            _ => {
                let value = value(rng);
                tx.put(table, &key, &value).unwrap();
                model.insert(place, value);
            }
        }
        if rng.one_in(4) {
            compare(tx, model, rng);
        }
    }
    if rng.one_in(12) {
        // A row that only the backend may hold.
        let value = value(rng);
        tx.put(Table::Meta, b"name", &value).unwrap();
        model.insert((Table::Meta, b"name".to_vec()), value);
    }
    if rng.one_in(25) {
        // More than a record holds.
        for nth in 0..4 {
            let value = vec![nth; 300 << 10];
            tx.put(Table::Data, &[b'b', nth], &value).unwrap();
            model.insert((Table::Data, vec![b'b', nth]), value);
        }
    } else {
        for nth in 0..4 {
            let removed = tx.remove(Table::Data, &[b'b', nth]).unwrap();
            assert_eq!(removed, model.remove(&(Table::Data, vec![b'b', nth])));
        }
    }
    compare(tx, model, rng);
}

/// One life of a process that has the store open several times.
pub(super) struct Life<'a> {
    pub(super) disk: RecordingDisk,
    pub(super) backend: JournaledBackend,
    pub(super) states: &'a mut States,
    writers: Vec<Arc<dyn StateDb>>,
    readers: Vec<Arc<dyn StateDb>>,
    /// Snapshots, and the state that each shows.
    held: Vec<(Arc<dyn ReadTx + Send + Sync>, usize)>,
    /// Commits that nothing has waited for.
    tickets: Vec<(usize, Ticket)>,
}

impl<'a> Life<'a> {
    pub(super) fn new(disk: RecordingDisk, tuning: Tuning, states: &'a mut States) -> Self {
        let backend = backend(disk.clone(), tuning);
        Self {
            disk,
            backend,
            states,
            writers: Vec::new(),
            readers: Vec::new(),
            held: Vec::new(),
            tickets: Vec::new(),
        }
    }

    fn open_writer(&mut self, rng: &mut Rng) {
        let journal = match rng.one_in(12) {
            true => Journal::Off,
            false => Journal::On,
        };
        // The last of several handles may not fold beside the others.
        self.wait();
        let options = OpenOptions {
            journal,
            ..OpenOptions::read_write()
        };
        self.writers
            .push(self.backend.open(store(), &options).unwrap());
    }

    fn write(&mut self, rng: &mut Rng) {
        if rng.one_in(10) {
            // A thread that has another handle's turn would wait for itself.
            self.wait();
            let nth = rng.below(self.writers.len());
            self.writers.swap(0, nth);
        }
        let db = Arc::clone(&self.writers[0]);
        let mut model = Model::clone(self.states.last());
        let mut tx: Box<dyn Transaction + '_> = db.begin_write().unwrap();
        change(&mut *tx, &mut model, rng);
        if rng.one_in(10) {
            return;
        }
        let number = self.states.next();
        let row = number.to_le_bytes();
        tx.put(NUMBER.0, NUMBER.1, &row).unwrap();
        model.insert((NUMBER.0, NUMBER.1.to_vec()), row.to_vec());
        self.states.begin(model, self.disk.step_count());
        let ticket = tx.commit().unwrap();
        self.tickets.push((number, ticket));
        if rng.below(3) > 0 || self.tickets.len() > 3 {
            self.wait();
        }
    }

    /// Waits for all commits.
    fn wait(&mut self) {
        for (number, ticket) in self.tickets.drain(..) {
            ticket.wait().unwrap();
            self.states.make_certain(number, self.disk.step_count());
        }
    }

    fn snapshot(&mut self, rng: &mut Rng) {
        if self.readers.is_empty() || rng.one_in(20) {
            let reader = self.backend.open(store(), &OpenOptions::read_only());
            self.readers.push(reader.unwrap());
        }
        let nth = rng.below(self.readers.len() + self.writers.len());
        let db = match self.readers.get(nth) {
            Some(reader) => reader,
            None => &self.writers[nth - self.readers.len()],
        };
        let view = db.snapshot().unwrap();
        let number = self.states.find(&rows(&*view).unwrap());
        let (first, _) = self.states.possible(self.disk.step_count());
        assert!(number >= first, "state {number}, and {first} was certain");
        // What it shows stays, whatever happens.
        self.states.make_certain(number, self.disk.step_count());
        compare(&*view, self.states.rows(number), rng);
        if rng.one_in(3) {
            self.held.push((view, number));
        }
        if self.readers.len() > 2 {
            // A snapshot ends with its handle.
            self.held.clear();
            self.readers.swap_remove(0).close().unwrap();
        }
    }

    fn look_again(&mut self, rng: &mut Rng) {
        for (view, number) in &self.held {
            compare(&**view, self.states.rows(*number), rng);
        }
        if let Some((view, number)) = self.held.pop() {
            assert_eq!(self.states.find(&rows(&*view).unwrap()), number);
        }
    }

    fn compact(&mut self) {
        self.wait();
        self.held.clear();
        let compacted = self.writers[0].compact(&ProgressSink::none());
        assert!(
            matches!(compacted, Ok(()) | Err(BackendError::SnapshotsLive)),
            "{compacted:?}"
        );
    }

    fn close_one(&mut self, rng: &mut Rng) {
        self.wait();
        self.held.clear();
        let nth = rng.below(self.writers.len());
        self.writers.swap_remove(nth).close().unwrap();
    }

    /// Does something.
    pub(super) fn step(&mut self, rng: &mut Rng) {
        if self.writers.is_empty() {
            self.open_writer(rng);
        }
        match rng.below(40) {
            0 => self.open_writer(rng),
            1 => self.close_one(rng),
            2 => self.compact(),
            3..=8 => self.snapshot(rng),
            9..=11 => self.look_again(rng),
            _ => self.write(rng),
        }
        if self.writers.len() > 3 {
            self.close_one(rng);
        }
    }

    /// The process is killed: it closes nothing. Its disk is not used by others any more.
    pub(super) fn kill(self) {
        for db in self.writers.into_iter().chain(self.readers) {
            std::mem::forget(db);
        }
        std::mem::forget(self.tickets);
    }

    /// The process closes everything.
    pub(super) fn end(mut self) {
        self.wait();
        self.held.clear();
        for db in self.writers.drain(..).chain(self.readers.drain(..)) {
            db.close().unwrap();
        }
    }
}
