//! The suite for storage backends.

mod durability;
mod lifecycle;
mod ranges;
mod transactions;

use std::path::PathBuf;
use std::sync::Arc;

use lattice_meta::{Genesis, Hlc, MetaInfo, Nonce, PubKey, SchemaVersion, StoreType};

use crate::backend::{
    Direction, Integrity, OpenOptions, ReadTx, Result, Span, StateBackend, StateDb, Table,
    Transaction, WriteTx,
};

/// Tests a storage backend. For every check, `fresh` returns the backend and an unused path at
/// which a store can be created. One check writes 32 MiB.
///
/// # Panics
/// If the backend breaks a rule; the message names the rule.
pub fn backend(fresh: impl Fn() -> (Arc<dyn StateBackend>, PathBuf)) {
    let checks: [fn(&Site); 26] = [
        lifecycle::is_made_once_and_only_if_the_birth_succeeds,
        lifecycle::is_not_found,
        lifecycle::is_peeked_at_closed_open_and_again,
        lifecycle::is_peeked_at_with_its_logic,
        lifecycle::has_one_writer_at_a_time,
        lifecycle::refuses_writes_when_read_only,
        lifecycle::is_released_by_close,
        lifecycle::is_released_under_a_living_snapshot,
        lifecycle::keeps_what_was_committed,
        lifecycle::is_compacted_between_reads,
        lifecycle::is_copied_with_the_changes_of_the_copy,
        lifecycle::scratch_databases_are_empty_and_apart,
        transactions::are_atomic,
        transactions::survive_a_panic,
        transactions::see_their_own_writes,
        transactions::give_previous_values,
        transactions::take_all_rows,
        transactions::append_rows,
        transactions::are_isolated_from_snapshots,
        durability::a_snapshot_shows_what_was_waited_for,
        durability::a_commit_does_not_need_its_ticket,
        durability::the_next_transaction_needs_no_earlier_ticket,
        transactions::take_turns,
        transactions::can_outgrow_memory,
        ranges::have_all_kinds_of_bounds,
        ranges::agree_with_a_model,
    ];
    for check in checks {
        let (backend, path) = fresh();
        check(&Site { backend, path });
    }
}

/// A backend and a path for one store.
struct Site {
    backend: Arc<dyn StateBackend>,
    path: PathBuf,
}

/// Rows in a test.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl Site {
    /// The `meta` table of the store.
    fn meta() -> MetaInfo {
        let genesis = Genesis::new(
            StoreType::new("org.example.conformance").expect("it keeps the grammar"),
            PubKey::from_bytes([7; 32]),
            Nonce::from_bytes([1; 16]),
            Hlc::ZERO,
            None,
        );
        MetaInfo::new(&genesis, SchemaVersion::new(3))
    }

    fn create(&self) {
        self.backend
            .create(&self.path, &mut |tx| {
                for (key, value) in Self::meta().rows() {
                    tx.put(Table::Meta, &key, &value)?;
                }
                Ok(())
            })
            .expect("a store is made where there is none");
    }

    fn open(&self, options: &OpenOptions) -> Arc<dyn StateDb> {
        self.backend
            .open(&self.path, options)
            .expect("a store that is there opens")
    }

    fn assert_intact(&self) {
        let checked = self.backend.check_integrity(&self.path);
        assert!(
            matches!(checked, Ok(Integrity::Intact | Integrity::None)),
            "an intact store was checked to be {checked:?}"
        );
    }

    /// Creates the store and opens it for writing.
    fn writer(&self) -> Arc<dyn StateDb> {
        self.create();
        self.open(&OpenOptions::read_write())
    }
}

/// Commits the writes of `body`, and waits until they are durable.
fn commit(db: &dyn StateDb, body: impl FnOnce(&mut dyn WriteTx) -> Result<()>) {
    let mut tx = begin(db);
    body(&mut *tx).expect("rows are written");
    let ticket = tx.commit().expect("a write is committed");
    ticket.wait().expect("a commit becomes durable");
}

fn begin(db: &dyn StateDb) -> Box<dyn Transaction + '_> {
    db.begin_write()
        .expect("a store that is open for writing begins a transaction")
}

/// The rows of a range.
fn rows(tx: &dyn ReadTx, table: Table, span: Span<'_>, direction: Direction) -> Pairs {
    let mut cursor = tx.range(table, span, direction).expect("a range is read");
    let mut rows = Pairs::new();
    while let Some(row) = cursor.next().expect("a row is read") {
        rows.push((row.key.to_vec(), row.value.to_vec()));
    }
    assert!(
        cursor.next().expect("the end is read again").is_none(),
        "a cursor went on after its end"
    );
    rows
}

/// The committed value of a row of `data`.
fn committed(db: &dyn StateDb, key: &[u8]) -> Option<Vec<u8>> {
    let snapshot = db.snapshot().expect("an open store gives a snapshot");
    snapshot.get(Table::Data, key).expect("a row is read")
}
