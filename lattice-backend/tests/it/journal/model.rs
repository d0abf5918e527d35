//! A store with a journal is used at random, and compared with a map: by several handles, with
//! snapshots that are kept, kills and losses of power.
//!
//! `LATTICE_JOURNAL_ROUNDS=n` plays n rounds, and `LATTICE_JOURNAL_SEED` sets the first seed.

use lattice_backend::backend::{Integrity, StateBackend};
use lattice_backend::conformance::Rng;
use lattice_backend::storage::{RecordingDisk, Unsynced};

use super::life::{Life, States, backend, create, random_tuning};
use super::support::*;

/// Plays some lives of one store. Each ends with a kill, a loss of power, or properly.
fn round(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut disk = RecordingDisk::new();
    create(&backend(disk.clone(), random_tuning(&mut rng)));
    let mut states = States::new();
    for _ in 0..3 {
        let mut life = Life::new(disk.clone(), random_tuning(&mut rng), &mut states);
        for _ in 0..40 {
            life.step(&mut rng);
        }
        let fate = rng.below(4);
        if fate == 0 {
            life.end();
            let left = disk.paths_of_journal();
            assert!(left.is_empty(), "{left:?}");
        } else {
            // The crash was before this step, or some steps ago: then others can look at it.
            let steps = disk.step_count();
            let step = steps - rng.below(steps.min(30));
            let unsynced = match fate {
                1 => Unsynced::Kept,
                2 => Unsynced::Lost,
                _ => Unsynced::Torn,
            };
            life.kill();
            check_image(&disk, step, unsynced, &mut states, &mut rng);
            let left = disk.after_power_loss(step, unsynced, &mut rng.clone());
            disk = RecordingDisk::holding(&left);
        }
        let tuning = random_tuning(&mut rng);
        let found = read(&backend(disk.clone(), tuning)).unwrap();
        states.crash(&found, usize::MAX);
    }
}

/// What a crash at a step leaves is right for readers, for writers and for a check.
fn check_image(
    disk: &RecordingDisk,
    step: usize,
    unsynced: Unsynced,
    states: &mut States,
    rng: &mut Rng,
) {
    let tuning = random_tuning(rng);
    let image = || disk.after_power_loss(step, unsynced, &mut rng.clone());
    let left = image();
    let shown = read(&backend(left.clone(), tuning)).unwrap();
    let checked = backend(left.clone(), tuning).check_integrity(store());
    assert_eq!(checked.unwrap(), Integrity::Intact);
    let recovered = recover(&backend(left, tuning)).unwrap();
    assert!(
        shown == recovered,
        "a reader found other rows than a writer"
    );
    // A reader may have written nothing, and a writer alone finds the same.
    let recovered = recover(&backend(image(), tuning)).unwrap();
    assert!(shown == recovered, "a writer alone finds other rows");
    states.crash(&shown, step);
}

/// The names of a disk that belong to a journal.
trait JournalPaths {
    fn paths_of_journal(&self) -> Vec<usize>;
}

impl JournalPaths for RecordingDisk {
    fn paths_of_journal(&self) -> Vec<usize> {
        let is_there = |file: &usize| {
            let found = lattice_backend::storage::Disk::file_id(self, &segment(*file));
            found.is_ok()
        };
        (0..2).filter(is_there).collect()
    }
}

#[test]
fn a_store_with_a_journal_is_a_map_whatever_ends_its_processes() {
    let rounds = number("LATTICE_JOURNAL_ROUNDS").unwrap_or(12);
    let first = number("LATTICE_JOURNAL_SEED").unwrap_or(0);
    for seed in first..first + rounds {
        let played = std::panic::catch_unwind(|| round(seed));
        if let Err(panic) = played {
            eprintln!("LATTICE_JOURNAL_SEED={seed} LATTICE_JOURNAL_ROUNDS=1");
            std::panic::resume_unwind(panic);
        }
    }
}
