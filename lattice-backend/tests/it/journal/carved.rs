//! Ops of stores whose files cannot be opened.

use lattice_backend::backend::StateBackend;
use lattice_backend::engine::carve::CarvedOps;
use lattice_backend::journal::Tuning;
use lattice_backend::op::Op;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;

use super::life::backend;
use super::mixed::Files;
use super::support::*;
use crate::conformance::eager;
use crate::support::{Site, append, history};

const OPS: usize = 20;

fn tuning() -> Tuning {
    Tuning {
        segment_bytes: 1 << 20,
        table_bytes: 1 << 20,
        ..eager()
    }
}

/// A killed store whose ops are all in the journal, and these ops.
fn killed() -> (Files, Vec<Op>) {
    let disk = MemoryDisk::new();
    let site = Site::new(backend(disk.clone(), tuning()), store());
    let open = site.open();
    for nth in 0..OPS {
        append(&open, &format!("key {nth}"), vec![7; nth * 300]);
    }
    let ops = history(&open);
    let mut files = Files::of(&disk);
    std::mem::forget(open);
    // Without its header, the store's file cannot be opened.
    files.0[0].as_mut().unwrap()[..4096].fill(0);
    (files, ops)
}

fn carved(backend: &dyn StateBackend) -> Vec<Op> {
    let rows = backend.raw_rows(store()).unwrap().unwrap();
    CarvedOps::find(rows, None).unwrap().unwrap().collect()
}

#[test]
fn ops_that_only_the_journal_has_are_found() {
    let (files, ops) = killed();
    let disk = files.disk();
    // The first one began the session.
    assert_eq!(carved(&RedbBackend::on_disk(disk.clone())), ops[..1]);
    assert_eq!(carved(&backend(disk.clone(), tuning())), ops);
    assert_eq!(Files::of(&disk), files, "it only reads");
}

/// Damage costs the ops of the row that it is in, and those of the rows from there to the end of
/// the record.
#[test]
fn damage_of_the_journal_costs_the_ops_of_one_record() {
    let (files, ops) = killed();
    let file = (1..3).max_by_key(|file| {
        let bytes = files.0[*file].as_ref().unwrap();
        bytes.iter().filter(|byte| **byte == 7).count()
    });
    let file = file.unwrap();
    let used = files.0[file].as_ref().unwrap();
    let end = used.iter().rposition(|byte| *byte != 0).unwrap();
    let mut lost = 0;
    for at in (0..end).step_by(997) {
        let mut damaged = files.clone();
        let bytes = damaged.0[file].as_mut().unwrap();
        let to = bytes.len().min(at + 32);
        for byte in &mut bytes[at..to] {
            *byte ^= 0x5a;
        }
        let found = carved(&backend(damaged.disk(), tuning()));
        assert!(found.iter().all(|op| ops.contains(op)), "{at}");
        assert!(found.len() + 1 >= OPS, "{at}: {} ops", found.len());
        lost += OPS - found.len();
    }
    assert!(lost > 0);
}
