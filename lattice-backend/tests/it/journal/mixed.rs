//! Files of different times and of different copies side by side, and damaged ones: an error, or a
//! state that the store has had.
//!
//! `LATTICE_JOURNAL_DAMAGES=n` tries n damages.

use std::collections::HashSet;

use lattice_backend::backend::{
    BackendError, Integrity, OpenOptions, StateBackend, StateDb, Table,
};
use lattice_backend::conformance::Rng;
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::storage::{Disk, MemoryDisk, RecordingDisk, Unsynced};

use super::life::{States, backend, create};
use super::support::*;
use crate::conformance::eager;

/// The files of a store: its own, and the segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Files(pub(super) [Option<Vec<u8>>; 3]);

impl Files {
    pub(super) fn of(disk: &MemoryDisk) -> Self {
        Self([
            disk.bytes(store()),
            disk.bytes(&segment(0)),
            disk.bytes(&segment(1)),
        ])
    }

    /// The files as a loss of power can leave them: nothing is published.
    pub(super) fn after_a_loss_of_power(&self) -> Self {
        let mut lost = self.clone();
        for file in 1..=2 {
            lost.0[file].as_mut().unwrap()[8192..8192 + 64].fill(0);
        }
        lost
    }

    pub(super) fn disk(&self) -> MemoryDisk {
        let disk = MemoryDisk::new();
        let paths = [store().to_path_buf(), segment(0), segment(1)];
        for (path, bytes) in paths.iter().zip(&self.0) {
            if let Some(bytes) = bytes {
                disk.insert(path, bytes.clone());
            }
        }
        disk
    }

    /// This store's file beside the journal of another time or copy.
    fn with_journal(&self, other: &Self) -> Self {
        let [own, ..] = &self.0;
        let [_, first, second] = &other.0;
        Self([own.clone(), first.clone(), second.clone()])
    }
}

/// Generations of one to three records.
fn tuning() -> Tuning {
    Tuning {
        segment_bytes: 12288 + 600,
        table_bytes: 1 << 20,
        ..eager()
    }
}

fn reopened(disk: impl Disk + Clone) -> JournaledBackend {
    backend(disk, tuning())
}

/// Writes a state: its number, a row of its own, and one of `author` that all overwrite.
fn write(db: &dyn StateDb, states: &mut States, author: u8, through: bool) {
    let number = states.next();
    let mut model = Model::clone(states.last());
    let mut tx = db.begin_write().unwrap();
    let mut put = |table, key: &[u8], value: &[u8]| {
        tx.put(table, key, value).unwrap();
        model.insert((table, key.to_vec()), value.to_vec());
    };
    put(Table::System, b"number", &number.to_le_bytes());
    put(Table::Data, b"last", &[author; 200]);
    put(
        Table::Data,
        &[author, u8::try_from(number).unwrap()],
        b"own",
    );
    if through {
        put(Table::Meta, b"name", &[author]);
    }
    tx.commit().unwrap().wait().unwrap();
    states.begin(model, 0);
    states.make_certain(number, 0);
}

/// Waits until the fold of a generation has ended, so that the files do not depend on the time.
fn settle(disk: &RecordingDisk) {
    let mut steps = disk.step_count();
    for _ in 0..200 {
        std::thread::yield_now();
        let now = disk.step_count();
        if now == steps {
            break;
        }
        steps = now;
    }
}

/// A store that was killed, with all the files that it had on the way, and all its states.
fn worked(commits: usize) -> (Vec<Files>, States) {
    let disk = RecordingDisk::new();
    let backend = reopened(disk.clone());
    create(&backend);
    let mut states = States::new();
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    for nth in 0..commits {
        write(&*db, &mut states, 1, nth % 9 == 5);
        settle(&disk);
    }
    let mut rng = Rng::new(3);
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    // The store exists when its creation has ended.
    for step in 0..=disk.step_count() {
        let image = disk.after_power_loss(step, Unsynced::Kept, &mut rng);
        let held = Files::of(&image);
        let is_store = held.0[0].is_some() && read(&reopened(image)).is_ok();
        if is_store && seen.insert(held.clone()) {
            files.push(held);
        }
    }
    std::mem::forget(db);
    (files, states)
}

/// Whether an error says that the files do not belong together, or are damaged.
fn is_refusal(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::JournalMissing { .. }
            | BackendError::Damaged { .. }
            | BackendError::Row { .. }
    )
}

/// Opens files for reading, and for writing: an error, or one state of one of these histories.
fn check(files: &Files, histories: &[&States]) -> Option<usize> {
    let was = |found: &Model| {
        histories.iter().find_map(|states| {
            let number = found.get(&(Table::System, b"number".to_vec()));
            let number = number.map_or(0, |row| {
                usize::from_le_bytes(row.as_slice().try_into().unwrap())
            });
            let is_there = number < states.next() && **states.rows(number) == *found;
            is_there.then_some(number)
        })
    };
    let backend = reopened(files.disk());
    let shown = match read(&backend) {
        Ok(found) => Some(was(&found).expect("a state that never was")),
        Err(error) if is_refusal(&error) => None,
        Err(error) => panic!("{error:?}"),
    };
    let recovered = match recover(&backend) {
        Ok(found) => Some(was(&found).expect("a state that never was")),
        Err(error) if is_refusal(&error) => None,
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(shown, recovered);
    shown
}

#[test]
fn an_older_file_beside_a_newer_journal_is_no_state_that_never_was() {
    let (files, states) = worked(16);
    assert!(files.len() > 60, "{}", files.len());
    let (mut right, mut refused) = (0, 0);
    // All pairs would take long, and neighbours are alike.
    for (nth, older) in files.iter().enumerate().step_by(3) {
        for newer in files.iter().skip(nth % 5).step_by(5) {
            for mixed in [older.with_journal(newer), newer.with_journal(older)] {
                match check(&mixed, &[&states]) {
                    Some(_) => right += 1,
                    None => refused += 1,
                }
            }
        }
    }
    eprintln!(
        "{} moments: {right} pairs are right, {refused} are refused",
        files.len()
    );
    assert!(right > 50 && refused > 50);
}

#[test]
fn a_journal_without_one_of_its_files_is_missing() {
    let (files, states) = worked(12);
    let mut missing = 0;
    for held in &files {
        let whole = check(held, &[&states]);
        for file in 1..=2 {
            let mut cut = held.clone();
            if cut.0[file].take().is_none() {
                continue;
            }
            // Without a word only where the journal does not count.
            match check(&cut, &[&states]) {
                None => missing += 1,
                found => assert_eq!(found, whole),
            }
        }
    }
    assert!(missing > 40, "{missing}");
}

#[test]
fn two_copies_that_were_written_on_do_not_mix() {
    let (files, states) = worked(12);
    let (mut right, mut refused) = (0, 0);
    for (nth, held) in files.iter().step_by(4).enumerate() {
        // What is written through at first differs in its rows alone.
        let through = [0, 3][nth % 2];
        let Some(number) = check(held, &[&states]) else {
            panic!("a kill leaves a store that can be opened");
        };
        let written = |author: u8| {
            let mut own = States::new();
            for number in 1..=number {
                own.begin(Model::clone(states.rows(number)), 0);
                own.make_certain(number, 0);
            }
            let disk = RecordingDisk::holding(&held.disk());
            let backend = reopened(disk.clone());
            let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
            let mut moments = Vec::new();
            for nth in 0..6 {
                write(&*db, &mut own, author, nth == through);
                settle(&disk);
                let image =
                    disk.after_power_loss(disk.step_count(), Unsynced::Kept, &mut Rng::new(1));
                moments.push(Files::of(&image));
            }
            std::mem::forget(db);
            (moments, own)
        };
        let (ones, one) = written(2);
        let (others, other) = written(3);
        for a in &ones {
            for b in &others {
                for mixed in [a.with_journal(b), b.with_journal(a)] {
                    match check(&mixed, &[&one, &other]) {
                        Some(_) => right += 1,
                        None => refused += 1,
                    }
                }
                // A segment of each copy.
                let mut mixed = a.clone();
                mixed.0[1].clone_from(&b.0[1]);
                match check(&mixed, &[&one, &other]) {
                    Some(_) => right += 1,
                    None => refused += 1,
                }
            }
        }
    }
    eprintln!("{right} pairs of two copies are right, {refused} are refused");
    assert!(refused > 100);
}

/// A damage of one of the files.
#[derive(Debug, Clone, Copy)]
pub(super) enum Damage {
    Flip { file: usize, at: usize, bit: u32 },
    Zeros { file: usize, at: usize, len: usize },
    Cut { file: usize, len: usize },
    Gone { file: usize },
}

impl Damage {
    pub(super) fn random(files: &Files, rng: &mut Rng) -> Self {
        let file = rng.below(3);
        let bytes = files.0[file].as_ref().unwrap();
        let len = bytes.len();
        // Few bytes of a file are in use.
        let written: Vec<usize> = (0..len).filter(|at| bytes[*at] != 0).collect();
        // Most of a segment is zeros.
        let used = match file {
            0 => len,
            _ => len.min(16 << 10),
        };
        match rng.below(20) {
            0 => Self::Gone { file },
            1 | 2 => Self::Cut {
                file,
                len: [0, rng.below(used), rng.below(used) / 4096 * 4096][rng.below(3)],
            },
            3..=6 => {
                let unit = [16, 512, 4096][rng.below(3)];
                Self::Zeros {
                    file,
                    at: rng.below(used) / unit * unit,
                    len: unit,
                }
            }
            _ => Self::Flip {
                file,
                at: *rng.pick(&written).unwrap(),
                bit: u32::try_from(rng.below(8)).unwrap(),
            },
        }
    }

    pub(super) fn file(self) -> usize {
        match self {
            Self::Flip { file, .. }
            | Self::Zeros { file, .. }
            | Self::Cut { file, .. }
            | Self::Gone { file } => file,
        }
    }

    /// Whether more than one record can be lost.
    pub(super) fn takes_many(self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Zeros { .. })
    }

    pub(super) fn apply(self, files: &mut Files) {
        let bytes = &mut files.0[self.file()];
        match self {
            Self::Gone { .. } => *bytes = None,
            Self::Flip { at, bit, .. } => bytes.as_mut().unwrap()[at] ^= 1 << bit,
            Self::Zeros { at, len, .. } => {
                let bytes = bytes.as_mut().unwrap();
                let end = bytes.len().min(at + len);
                bytes[at..end].fill(0);
            }
            Self::Cut { len, .. } => bytes.as_mut().unwrap().truncate(len),
        }
    }
}

/// What a check and a complete read say.
fn examine(files: &Files) -> Result<Model, String> {
    let backend = reopened(files.disk());
    match backend.check_integrity(store()) {
        Ok(Integrity::Intact) => {}
        found => return Err(format!("{found:?}")),
    }
    read(&backend).map_err(|error| format!("{error:?}"))
}

/// A crashed store with records in both generations.
fn crashed() -> (Files, States) {
    let disk = RecordingDisk::new();
    let backend = reopened(disk.clone());
    create(&backend);
    let mut states = States::new();
    let db = backend.open(store(), &OpenOptions::read_write()).unwrap();
    for _ in 0..19 {
        write(&*db, &mut states, 1, false);
        settle(&disk);
    }
    let steps = disk.step_count();
    std::mem::forget(db);
    // The last step at which two generations have records.
    let mut rng = Rng::new(1);
    for step in (0..=steps).rev() {
        let image = Files::of(&disk.after_power_loss(step, Unsynced::Kept, &mut rng));
        let has_record = |file: &Option<Vec<u8>>| {
            let bytes = file.as_deref()?.get(12288..)?;
            Some(bytes.iter().any(|byte| *byte != 0))
        };
        let both = has_record(&image.0[1]) == Some(true) && has_record(&image.0[2]) == Some(true);
        if both && examine(&image).is_ok() {
            return (image, states);
        }
    }
    panic!("no moment with two generations");
}

#[test]
fn damage_is_found() {
    let (killed, _) = crashed();
    let whole = examine(&killed).unwrap();
    let lost = killed.after_a_loss_of_power();
    assert_eq!(examine(&lost).unwrap(), whole);
    let mut rng = Rng::new(number("LATTICE_JOURNAL_SEED").unwrap_or(5));
    let (mut found, mut harmless, mut tail) = (0, 0, 0);
    for nth in 0..number("LATTICE_JOURNAL_DAMAGES").unwrap_or(600) {
        let is_killed = nth % 2 == 0;
        let before = match is_killed {
            true => &killed,
            false => &lost,
        };
        let damage = Damage::random(before, &mut rng);
        let mut after = before.clone();
        damage.apply(&mut after);
        match examine(&after) {
            Err(_) => found += 1,
            Ok(rows) if rows == whole => harmless += 1,
            // After a loss of power, damage to the end of the journal looks like a torn record.
            Ok(rows) => {
                assert!(!is_killed, "{damage:?} is not found");
                assert!(damage.file() > 0, "{damage:?} is not found");
                check_tail(&rows, &whole, damage);
                tail += 1;
            }
        }
    }
    eprintln!("{found} damages are found, {harmless} change nothing, {tail} look like a torn end");
    assert!(found > tail * 2 && tail > 0);
}

/// Only the last record is gone, or several after a cut.
fn check_tail(rows: &Model, whole: &Model, damage: Damage) {
    let number = |rows: &Model| {
        let row = &rows[&(Table::System, b"number".to_vec())];
        usize::from_le_bytes(row.as_slice().try_into().unwrap())
    };
    let missing = number(whole) - number(rows);
    assert!(
        missing == 1 || damage.takes_many(),
        "{damage:?} hides {missing} commits"
    );
}
