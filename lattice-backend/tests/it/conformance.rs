//! Runs the conformance suites on correct implementations and on incorrect ones.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lattice_backend::backend::MemoryBackend;
use lattice_backend::conformance;
use lattice_backend::conformance::{MachineSuite, MigrationSuite, Rng};
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::redb::{FileDisk, RedbBackend};
use lattice_backend::storage::MemoryDisk;

use crate::late::{Flaw, Late};
use crate::registers::{Command, Lie, Registers};

#[test]
fn the_memory_backend_conforms() {
    conformance::backend(|| (Arc::new(MemoryBackend::new()), PathBuf::from("state.db")));
}

#[test]
fn redb_in_memory_conforms() {
    conformance::backend(|| {
        let backend = RedbBackend::on_disk(MemoryDisk::new());
        (Arc::new(backend), PathBuf::from("state.db"))
    });
}

#[test]
fn redb_on_files_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let stores = AtomicU64::new(0);
    conformance::backend(|| {
        let name = format!("{}.db", stores.fetch_add(1, Ordering::SeqCst));
        (Arc::new(RedbBackend::on_files()), dir.path().join(name))
    });
}

/// Sessions that begin with the first commit, and generations of a few records.
pub(crate) fn eager() -> Tuning {
    Tuning {
        burst_commits: 1,
        burst: Duration::from_secs(3600),
        segment_bytes: 16 << 10,
        table_bytes: 4 << 10,
        idle: Duration::from_secs(3600),
        process_bytes: Tuning::default().process_bytes,
    }
}

#[test]
fn a_journal_conforms() {
    for tuning in [Tuning::default(), eager()] {
        let dir = tempfile::tempdir().unwrap();
        let stores = AtomicU64::new(0);
        conformance::backend(|| {
            let journal = JournaledBackend::over(MemoryBackend::new(), MemoryDisk::new());
            (Arc::new(journal.tuned(tuning)), PathBuf::from("state.db"))
        });
        conformance::backend(|| {
            let disk = MemoryDisk::new();
            let journal = JournaledBackend::over(RedbBackend::on_disk(disk.clone()), disk);
            (Arc::new(journal.tuned(tuning)), PathBuf::from("state.db"))
        });
        conformance::backend(|| {
            let name = format!("{}.db", stores.fetch_add(1, Ordering::SeqCst));
            let journal = JournaledBackend::over(RedbBackend::on_files(), FileDisk);
            (Arc::new(journal.tuned(tuning)), dir.path().join(name))
        });
    }
}

fn message(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the suite catches it");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

fn run_late(flaw: Flaw) {
    conformance::backend(|| (Arc::new(Late::new(flaw)), PathBuf::from("state.db")));
}

#[test]
fn a_backend_that_is_durable_only_after_a_wait_conforms() {
    run_late(Flaw::None);
}

#[test]
fn backends_that_break_a_rule_are_caught() {
    for (flaw, expected) in [
        (Flaw::ShowsUncommitted, "a write shows before its commit"),
        (
            Flaw::KeepsDropped,
            "dropping a transaction does not undo it",
        ),
        (Flaw::ForgetsUnwaited, "closing loses a commit"),
        (
            Flaw::SkipsEarlier,
            "a later wait does not make an earlier commit durable",
        ),
        (Flaw::HidesLogic, "logic: Some(\"rows/1\")"),
    ] {
        let text = message(|| run_late(flaw));
        assert!(text.contains(expected), "{flaw:?}: {text}");
    }
}

fn command(rng: &mut Rng) -> Command {
    let key = vec![b"abc"[rng.below(3)]];
    let length = rng.below(3);
    match rng.below(10) {
        0 => Command::Refuse,
        _ => Command::Set(key, rng.bytes(length)),
    }
}

fn suite(lie: Lie) -> MachineSuite<'static, Registers> {
    let machine = Registers::lying(lie);
    MachineSuite::new(move || machine.clone(), command)
}

#[test]
fn the_registers_conform() {
    suite(Lie::None).run();
    suite(Lie::None)
        .hostile(|rng, ops| match rng.pick(ops) {
            Some(op) => op.payload().to_vec(),
            None => vec![0],
        })
        .seed(1 << 40)
        .histories(4)
        .run();
}

fn caught(lie: Lie, expected: &str) {
    let text = message(|| suite(lie).run());
    assert!(text.contains(expected), "{lie:?}: {text}");
    assert!(text.contains(".seed(0x"), "{text}");
}

#[test]
fn last_arrival_wins_is_caught() {
    caught(
        Lie::LastArrivalWins,
        "the state depends on the order of arrival",
    );
}

#[test]
fn effects_from_state_are_caught() {
    caught(
        Lie::EffectFromState,
        "the state depends on the order of arrival",
    );
}

#[test]
fn validity_from_outside_is_caught() {
    // A command of the machine itself can turn out invalid.
    let text = message(|| suite(Lie::ValidityFromOutside).run());
    assert!(text.contains("valid"), "{text}");
}

#[test]
fn nondeterminism_is_caught() {
    caught(
        Lie::Nondeterminism,
        "the same ops in the same order gave different rows",
    );
}

#[test]
fn colliding_leaves_are_caught() {
    caught(
        Lie::ElementsCollide,
        "two elements of one state have the key \"all\"",
    );
}

#[test]
fn elements_from_outside_are_caught() {
    caught(Lie::ElementsFromOutside, "a scan of the elements gives");
}

#[test]
fn apply_indexes_in_elements_are_caught() {
    caught(
        Lie::NumbersInElements,
        "the state depends on the order of arrival",
    );
}

#[test]
fn an_invalid_payload_of_its_own_is_caught() {
    caught(
        Lie::PreparesInvalid,
        "`prepare` made a payload that `decode` finds invalid",
    );
}

/// The seed in a failure's message reproduces the failing history.
#[test]
fn a_failure_can_be_reproduced_by_its_seed() {
    let first = message(|| suite(Lie::LastArrivalWins).run());
    let digits = first.split(".seed(0x").nth(1).unwrap().split(')').next();
    let seed = u64::from_str_radix(digits.unwrap(), 16).unwrap();
    let again = message(|| suite(Lie::LastArrivalWins).seed(seed).histories(1).run());
    assert_eq!(first, again);
}

#[test]
fn a_migration_that_keeps_the_rules_passes_and_one_that_loses_a_row_is_caught() {
    let suite = |new: fn() -> Registers| {
        MigrationSuite::new(Registers::old_layout, new, command).histories(8)
    };
    suite(Registers::default).run();
    let text = message(|| suite(|| Registers::lying(Lie::MigrationLoses)).run());
    assert!(text.contains("would change its state"), "{text}");
    assert!(text.contains(".seed("), "{text}");
    let text = message(|| suite(Registers::old_layout).run());
    assert!(
        text.contains("schema 2 is not older than schema 2"),
        "{text}"
    );
}
