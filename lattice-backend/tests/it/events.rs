//! What an operator sees of a store: events, and counters.

use std::fmt::{Debug, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lattice_backend::backend::{OpenOptions, StateBackend, StateDb, Table};
use lattice_backend::engine::Counters;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::journal::JournaledBackend;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::registers::{Command, payload};
use crate::support::*;

/// Collects events of all levels.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

/// The fields of an event as text.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Seen {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The events of some work.
fn events(work: impl FnOnce()) -> Vec<String> {
    let seen = Seen::default();
    tracing::subscriber::with_default(seen.clone(), work);
    std::mem::take(&mut *seen.0.lock().unwrap())
}

fn set(key: u32) -> Command {
    Command::Set(key.to_be_bytes().to_vec(), b"value".to_vec())
}

/// What is not there costs nothing, whether events are printed or not.
#[test]
fn writes_and_reads_have_no_events_and_an_open_has_one() {
    let site = Site::memory();
    let opened = events(|| drop(site.open()));
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(
        opened[0].starts_with("DEBUG message=store opened"),
        "{opened:?}"
    );
    let store = site.open();
    let written = events(|| {
        for key in 0..1000 {
            store.append(set(key)).unwrap();
        }
        store.state_hash().unwrap();
        store.snapshot().unwrap();
    });
    assert_eq!(written, [""; 0]);
}

/// What the worker does is seen by what sees the thread that opened the store. A commit has no
/// event.
#[test]
fn a_journal_reports_its_sessions_folds_and_recoveries() {
    let disk = MemoryDisk::new();
    let backend = || {
        let redb = RedbBackend::on_disk(disk.clone());
        JournaledBackend::over(redb, disk.clone()).tuned(crate::conformance::eager())
    };
    let path = Path::new("state.db");
    let open = |backend: &JournaledBackend| {
        let opened = backend.open(path, &OpenOptions::read_write());
        opened.unwrap()
    };
    let put = |db: &dyn StateDb, nth: u8| {
        let mut tx = db.begin_write().unwrap();
        tx.put(Table::Data, &[nth], &[nth; 1000]).unwrap();
        tx.commit().unwrap().wait().unwrap();
    };
    let first = backend();
    first.create(path, &mut |_| Ok(())).unwrap();
    let mut killed = None;
    let seen = events(|| {
        let db = open(&first);
        put(&*db, 0);
        put(&*db, 1);
        killed = Some(db);
    });
    assert_eq!(seen, ["DEBUG message=journal begun path=state.db"]);
    let db = killed.unwrap();
    let left = MemoryDisk::new();
    for file in disk.paths() {
        left.insert(&file, disk.bytes(&file).unwrap());
    }
    db.close().unwrap();
    let redb = RedbBackend::on_disk(left.clone());
    let next = JournaledBackend::over(redb, left).tuned(crate::conformance::eager());
    let mut seen = events(|| {
        let db = open(&next);
        for nth in 2..8 {
            put(&*db, nth);
        }
        db.close().unwrap();
    });
    // That the backend reads a crashed file is not the journal's event.
    seen.retain(|text| text.contains("message=journal"));
    assert_eq!(
        seen[0], "DEBUG message=journal recovered path=state.db transactions=1",
        "{seen:#?}"
    );
    let [_, folds @ .., ended] = &seen[..] else {
        panic!("{seen:#?}");
    };
    assert_eq!(
        ended,
        "DEBUG message=journal ended path=state.db transactions=7"
    );
    assert!(!folds.is_empty(), "{seen:#?}");
    let is_fold = |text: &String| text.starts_with("DEBUG message=journal folded path=state.db");
    assert!(folds.iter().all(is_fold), "{seen:#?}");
}

#[test]
fn rejected_ops_are_reported_once_a_call_and_each_in_detail() {
    let store = replica(1);
    let stranger = op(&secret(3), None, &[], 0, &payload(b"k", b"v"));
    let bytes = [stranger.bytes().to_vec(), b"no op".to_vec()];
    let seen = events(|| {
        let given = bytes.into_iter().map(Ok::<_, std::convert::Infallible>);
        store.ingest(given, &Authors::Known).unwrap();
    });
    let levels: Vec<_> = seen
        .iter()
        .map(|text| text.split(' ').next().unwrap())
        .collect();
    assert_eq!(levels, ["DEBUG", "DEBUG", "WARN", "DEBUG"], "{seen:#?}");
    assert!(seen[1].contains("was not accepted") || seen[0].contains("was not accepted"));
    assert!(
        seen[2].contains("rejected=2") && seen[2].contains("given=2"),
        "{seen:#?}"
    );
}

#[test]
fn counters_count_what_a_handle_has_done() {
    let store = replica(1);
    assert_eq!(store.counters(), Counters::default());
    store.append(set(1)).unwrap();
    let ops = chain(&secret(2), 3);
    let all: Vec<_> = ops.iter().collect();
    ingest(&store, &all);
    ingest(&store, &all[..2]);
    let bad = [b"no op".to_vec()]
        .into_iter()
        .map(Ok::<_, std::convert::Infallible>);
    store.ingest(bad, &Authors::Any).unwrap();
    let found = store.clone().counters();
    let counted = [
        found.commits,
        found.ops_applied,
        found.ingests,
        found.ops_ingested,
    ];
    assert_eq!(counted, [2, 4, 3, 3]);
    assert_eq!(
        [found.ops_known, found.ops_rejected, found.ops_held],
        [2, 1, 0]
    );
    let twice = found + found;
    for ((name, _, one), (_, _, two)) in found.all().into_iter().zip(twice.all()) {
        assert_eq!(2 * one, two, "{name}");
    }
}
