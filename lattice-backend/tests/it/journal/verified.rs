//! Damage to a store of ops whose journal is open: `verify` finds it, or no row has changed.
//!
//! `LATTICE_JOURNAL_DAMAGES=n` tries n damages.

use std::path::PathBuf;
use std::sync::Arc;

use lattice_backend::backend::{Access, OpenOptions};
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::Rng;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::verify::Depth;
use lattice_backend::journal::Tuning;
use lattice_backend::op::{Op, OpRef};
use lattice_backend::progress::ProgressSink;
use lattice_backend::storage::{Disk, RecordingDisk, Unsynced};

use super::life::backend;
use super::mixed::{Damage, Files};
use super::support::*;
use crate::conformance::eager;
use crate::registers::{Registers, payload};
use crate::support::{
    NOW_MS, Site, Store, append, bytes_of, genesis, given, history, op, owner, secret,
};

/// Generations of some ops each.
fn site(disk: impl Disk + Clone) -> Site {
    let tuning = Tuning {
        segment_bytes: 12288 + 8000,
        table_bytes: 1 << 20,
        ..eager()
    };
    Site {
        backend: Arc::new(backend(disk, tuning)),
        path: PathBuf::from(STORE),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        machine: Registers::default(),
    }
}

/// A store that was killed between two commits, with a journal of several records.
fn killed() -> Files {
    let disk = RecordingDisk::new();
    let site = site(disk.clone());
    Store::create(&*site.backend, &site.path, &genesis(), &site.machine).unwrap();
    let store = site.open();
    for nth in 0..8 {
        append(&store, &format!("key {}", nth % 5), vec![nth; 400]);
    }
    let author = secret(2);
    let root = op(&author, None, &[], 0, &payload(b"k", b"root"));
    let left = op(&author, Some(&root), &[], 1, &payload(b"k", b"left"));
    let right = op(&author, Some(&root), &[], 1, &payload(b"k", &[3; 900]));
    let report = store.ingest(given(bytes_of(&[root, left, right])), &Authors::Any);
    assert_eq!(report.unwrap().applied(), 3);
    // After each of these steps the last record is published.
    let mut steps = Vec::new();
    for nth in 0..24 {
        append(&store, &format!("key {}", nth % 7), vec![nth; 300]);
        steps.push(disk.step_count());
    }
    std::mem::forget(store);
    // The step at which the journal holds most.
    let mut most = (0, None);
    for step in steps {
        let image = disk.after_power_loss(step, Unsynced::Kept, &mut Rng::new(1));
        let files = Files::of(&image);
        let held = transactions(&files);
        if held > most.0 && examine(&files).is_ok() {
            most = (held, Some(files));
        }
    }
    assert!(most.0 > 2, "{} transactions in the journal", most.0);
    most.1.unwrap()
}

/// The transactions that the journal holds.
fn transactions(files: &Files) -> u64 {
    let Ok(db) = open(&*site(files.disk()).backend, &OpenOptions::read_only()) else {
        return 0;
    };
    let held = db.journal().ok().flatten();
    held.map_or(0, |held| held.transactions)
}

/// What a store shows: all rows, and the ops in their order.
type Shown = (Model, Vec<OpRef>);

/// What is shown by a store in which `verify` finds nothing, or the first error or finding.
fn examine(files: &Files) -> Result<Shown, String> {
    let site = site(files.disk());
    let mut request = site.request().identity(owner());
    request.options.access = Access::ReadOnly;
    let store = site
        .try_open(request)
        .map_err(|error| format!("{error:?}"))?;
    let verified = store.verify(Depth::Full, &*site.backend, &ProgressSink::none());
    let verified = verified.map_err(|error| format!("{error:?}"))?;
    if let Some(finding) = verified.findings.first() {
        return Err(format!("{finding:?}"));
    }
    let ops = history(&store).iter().map(Op::reference).collect();
    let found = read(&*site.backend).map_err(|error| format!("{error:?}"))?;
    Ok((found, ops))
}

#[test]
fn verify_misses_no_damage() {
    let killed = killed();
    let whole = examine(&killed).unwrap();
    let lost = killed.after_a_loss_of_power();
    assert!(examine(&lost).unwrap() == whole);
    let mut rng = Rng::new(number("LATTICE_JOURNAL_SEED").unwrap_or(9));
    let (mut found, mut harmless, mut tail, mut in_journal) = (0, 0, 0, 0);
    for nth in 0..number("LATTICE_JOURNAL_DAMAGES").unwrap_or(600) {
        let is_killed = nth % 4 > 0;
        let before = match is_killed {
            true => &killed,
            false => &lost,
        };
        let damage = Damage::random(before, &mut rng);
        let mut after = before.clone();
        damage.apply(&mut after);
        match examine(&after) {
            Err(_) => {
                found += 1;
                in_journal += u64::from(damage.file() > 0);
            }
            Ok(shown) if shown == whole => harmless += 1,
            // After a loss of power, damage to the end of the journal looks like a torn record.
            Ok((_, ops)) => {
                assert!(!is_killed && damage.file() > 0, "{damage:?} is missed");
                let missing = whole.1.len() - ops.len();
                assert_eq!(ops[..], whole.1[..ops.len()], "{damage:?} is missed");
                assert!(missing == 1 || damage.takes_many(), "{damage:?}: {missing}");
                tail += 1;
            }
        }
    }
    eprintln!(
        "{found} damages are found, {in_journal} of them in the journal, {harmless} change \
         nothing, {tail} look like a torn end"
    );
    assert!(in_journal > tail * 2 && found > in_journal);
}
