//! The rows that a view reads: O(new ops), not O(authors).

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::Access;
use lattice_backend::conformance::{CountingBackend, Forge};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::Op;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;

use crate::registers::{Registers, payload};
use crate::support::{Store, bytes_of, given};

fn open(backend: &Arc<CountingBackend>, access: Access) -> Store {
    let request = OpenRequest::new(backend.clone(), "state.db").access(access);
    Engine::open(request, Registers::default()).unwrap()
}

fn take(store: &Store, ops: &[Op]) {
    let report = store.ingest(given(bytes_of(ops)), &Authors::Any).unwrap();
    assert!(report.is_complete(), "{:?}", report.rejected().next());
}

/// The rows that a view reads: at first, without news, after three ops of known authors, and after
/// one of a new author.
fn rows(authors: u64, of_writer: bool) -> [u64; 4] {
    let disk = Arc::new(RedbBackend::on_disk(MemoryDisk::new()));
    let backend = Arc::new(CountingBackend::new(disk));
    let mut forge = Forge::for_store(Registers::store_type());
    let path = Path::new("state.db");
    Engine::create(&*backend, path, forge.genesis(), &Registers::default()).unwrap();
    let writer = open(&backend, Access::ReadWrite);
    let text = payload(b"key", b"value");
    let ops: Vec<Op> = (0..authors)
        .map(|author| forge.next_op(author, &text))
        .collect();
    take(&writer, &ops);
    let reader = open(&backend, Access::ReadOnly);
    let here = if of_writer { &writer } else { &reader };
    let cost = || {
        let before = backend.work();
        let view = here.replica_view().unwrap();
        let rows = backend.work().since(before).rows_read;
        assert_eq!(view.tips[..], here.branch_tips().unwrap().tips);
        rows
    };
    let (first, none) = (cost(), cost());
    let three: Vec<Op> = [7, 8, 7].map(|author| forge.next_op(author, &text)).into();
    take(&writer, &three);
    let some = cost();
    take(&writer, &[forge.next_op(authors, &text)]);
    [first, none, some, cost()]
}

#[test]
fn a_view_reads_the_new_ops_and_a_few_rows() {
    for of_writer in [true, false] {
        let [few, many] = [100, 2000].map(|authors| rows(authors, of_writer));
        println!("100 authors: {few:?}; 2000: {many:?}");
        assert!(many[0] > 2000, "{many:?}");
        assert_eq!(many[1..], few[1..]);
        // The ledger, the last number of a held op, and the ops.
        assert!(many[1] <= 2 && many[2] <= 5 && many[3] <= 3, "{many:?}");
    }
}
