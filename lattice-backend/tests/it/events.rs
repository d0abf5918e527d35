//! What an operator sees of a store: events, and counters.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use lattice_backend::engine::Counters;
use lattice_backend::engine::ingest::Authors;
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
