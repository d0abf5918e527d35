//! The rows about peers.

use std::path::Path;

use lattice_backend::backend::{BackendError, OpenOptions, Table};
use lattice_backend::engine::ingest::{Authors, Outcome};
use lattice_backend::engine::read::{MAX_PEER_ROW_BYTES, PeerRow};
use lattice_backend::engine::verify::{Depth, rebuild_store};
use lattice_backend::op::Op;
use lattice_backend::progress::ProgressSink;
use lattice_meta::PubKey;

use crate::faulty::{APPLY, Faulty, Place};
use crate::support::*;

fn peer() -> PubKey {
    secret(5).public()
}

fn mine(store: &Store) -> Option<Vec<u8>> {
    store.peer_row(&peer(), PeerRow::Mine).unwrap()
}

fn note<'a>(store: &Store, ops: impl IntoIterator<Item = &'a Op>, row: &[u8]) -> bool {
    let ops = ops
        .into_iter()
        .map(|op| Ok::<_, BackendError>(op.bytes().to_vec()));
    let peer = peer();
    let row = Some((&peer, row));
    let (report, noted) = store.ingest_noted(ops, &Authors::Any, row).unwrap();
    assert_eq!(noted, report.is_complete());
    noted
}

#[test]
fn rows_are_kept_and_change_neither_state_nor_other_rows() {
    let site = Site::memory();
    let store = site.open();
    append(&store, "key", "value");
    let state = store.snapshot().unwrap().state().unwrap();
    let (one, two) = (peer(), secret(6).public());
    for peer in [&one, &two] {
        for row in [PeerRow::Mine, PeerRow::Served] {
            assert_eq!(store.peer_row(peer, row).unwrap(), None);
        }
    }
    store.set_peer_row(&one, PeerRow::Mine, b"first").unwrap();
    store.set_peer_row(&one, PeerRow::Served, b"").unwrap();
    let longest = [7; MAX_PEER_ROW_BYTES];
    store.set_peer_row(&two, PeerRow::Mine, &longest).unwrap();
    store.set_peer_row(&one, PeerRow::Mine, b"second").unwrap();
    store.close().unwrap();
    let store = site.open();
    let row = |peer, row| store.peer_row(peer, row).unwrap();
    assert_eq!(row(&one, PeerRow::Mine).as_deref(), Some(&b"second"[..]));
    assert_eq!(row(&one, PeerRow::Served).as_deref(), Some(&b""[..]));
    assert_eq!(row(&two, PeerRow::Mine).as_deref(), Some(&longest[..]));
    assert_eq!(row(&two, PeerRow::Served), None);
    assert_eq!(store.snapshot().unwrap().state().unwrap(), state);
    assert_whole(&store);
    for depth in [Depth::Quick, Depth::Full] {
        let verified = store.verify(depth, &*site.backend, &ProgressSink::none());
        assert_eq!(verified.unwrap().findings, []);
    }
}

#[test]
fn a_row_that_is_too_long_is_refused_and_the_handle_stays_usable() {
    let store = replica(1);
    let long = [7; MAX_PEER_ROW_BYTES + 1];
    let refused = store.set_peer_row(&peer(), PeerRow::Mine, &long);
    assert!(matches!(refused, Err(BackendError::Row { .. })));
    let op = &chain(&secret(2), 1)[0];
    let ops = given([op.bytes().to_vec()]);
    let refused = store.ingest_noted(ops, &Authors::Any, Some((&peer(), &long)));
    assert!(refused.is_err());
    assert_eq!(store.op_count().unwrap(), 0);
    append(&store, "key", "value");
}

#[test]
fn a_row_comes_in_the_transaction_of_the_ops() {
    let store = replica(1);
    let ops = chain(&secret(2), 10);
    let before = store.counters().commits;
    assert!(note(&store, &ops, b"ten"));
    assert_eq!(store.counters().commits, before + 1);
    assert_eq!(mine(&store).as_deref(), Some(&b"ten"[..]));
    assert_eq!(store.peer_row(&peer(), PeerRow::Served).unwrap(), None);
    // Also if all of them were known, and without ops.
    assert!(note(&store, &ops[3..], b"again"));
    assert!(note(&store, [], b"none"));
    assert_eq!(mine(&store).as_deref(), Some(&b"none"[..]));
}

#[test]
fn no_row_is_written_if_an_op_is_missing() {
    let store = replica(1);
    let ops = chain(&secret(2), 10);
    // A gap.
    assert!(!note(&store, ops[..4].iter().chain(&ops[5..]), b"gap"));
    // An op that no store takes.
    let other = chain(&secret(3), 1);
    let mut forged = other[0].bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let peer = peer();
    let row = Some((&peer, &b"bad"[..]));
    let (report, noted) = store
        .ingest_noted(given([forged]), &Authors::Any, row)
        .unwrap();
    assert!(matches!(report.outcomes[..], [(_, Outcome::Rejected(_))]) && !noted);
    assert_eq!(mine(&store), None);
    // The missing op releases the others.
    assert!(note(&store, &ops[4..5], b"all"));
    assert_eq!(store.op_count().unwrap(), 10);
    assert_eq!(mine(&store).as_deref(), Some(&b"all"[..]));
}

/// Held ops count as present.
#[test]
fn a_row_is_written_if_ops_are_held() {
    let store = Place::memory().open(&Faulty::v1());
    let author = secret(2);
    let first = op(&author, None, &[], 0, &[APPLY, 1]);
    let second = op(&author, Some(&first), &[], 1, b".");
    let peer = peer();
    let row = (&peer, &b"held"[..]);
    let ops = [&first, &second];
    let ops = given(bytes_of(&ops));
    let (report, noted) = store.ingest_noted(ops, &Authors::Any, Some(row)).unwrap();
    assert!(noted);
    let numbers = [(first.reference().id, 0), (second.reference().id, 1)];
    assert_eq!(report.held_numbers, numbers);
}

/// More ops than a transaction takes, in an order in which the first wait for the last.
#[test]
fn a_row_comes_with_the_last_of_many_transactions() {
    let site = Site::redb().0;
    let store = site.open();
    let ops = chain(&secret(2), 4500);
    let reader = site.try_open(
        site.request()
            .access(lattice_backend::backend::Access::ReadOnly),
    );
    let reader = reader.unwrap();
    let (peer, mut most) = (peer(), 0);
    let order = ops[100..].iter().chain(&ops[..100]);
    let source = order.enumerate().map(|(nth, op)| {
        let seen = reader.op_count().unwrap();
        let row = reader.peer_row(&peer, PeerRow::Mine).unwrap();
        assert_eq!(row, None, "before op {nth}");
        most = most.max(seen);
        Ok::<_, BackendError>(op.bytes().to_vec())
    });
    let row = Some((&peer, &b"all"[..]));
    let (report, noted) = store.ingest_noted(source, &Authors::Any, row).unwrap();
    assert!(noted && report.is_complete());
    assert_eq!(reader.op_count().unwrap(), 4500);
    assert_eq!(mine(&reader).as_deref(), Some(&b"all"[..]));
    assert_eq!(most, 0, "all waited for the last transaction");
    // A source that fails brings no row, although all ops before its error are there.
    let failing = ops[..4200].iter().map(|op| Ok(op.bytes().to_vec()));
    let failing = failing.chain([Err(BackendError::Closed)]);
    let row = Some((&peer, &b"cut"[..]));
    assert!(store.ingest_noted(failing, &Authors::Any, row).is_err());
    assert_eq!(mine(&store).as_deref(), Some(&b"all"[..]));
}

/// A copy keeps the rows, a rebuilt store has none.
#[test]
fn copies_keep_rows_and_a_rebuild_drops_them() {
    let site = Site::redb().0;
    let store = site.open();
    append(&store, "key", "value");
    assert!(note(&store, &chain(&secret(2), 3), b"three"));
    store.close().unwrap();
    let none = ProgressSink::none();
    let at = |path: &str| Site {
        path: path.into(),
        ..site.clone()
    };
    let as_it_is = &mut |_: &mut dyn lattice_backend::backend::WriteTx| Ok(());
    let backend = &site.backend;
    backend
        .backup(&site.path, Path::new("copy.db"), as_it_is, &none)
        .unwrap();
    let copy = at("copy.db").open();
    assert_eq!(mine(&copy).as_deref(), Some(&b"three"[..]));
    copy.close().unwrap();
    let held = backend
        .open(&site.path, &OpenOptions::read_write())
        .unwrap();
    let target = Path::new("rebuilt.db");
    rebuild_store(
        &**backend,
        &*held,
        &site.path,
        target,
        site.machine.clone(),
        &none,
    )
    .unwrap();
    held.close().unwrap();
    let rebuilt = at("rebuilt.db").open();
    assert_eq!(rebuilt.op_count().unwrap(), 4);
    assert_eq!(mine(&rebuilt), None);
}

#[test]
fn malformed_rows_are_findings() {
    let of = |key: &[u8], value: &[u8]| {
        let site = Site::memory();
        let db = site
            .backend
            .open(&site.path, &OpenOptions::read_write())
            .unwrap();
        let mut tx = db.begin_write().unwrap();
        tx.put(Table::System, key, value).unwrap();
        tx.commit().unwrap().wait().unwrap();
        db.close().unwrap();
        let store = site.open();
        let verified = store.verify(Depth::Full, &*site.backend, &ProgressSink::none());
        let findings = verified.unwrap().findings;
        findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let key = |author: &[u8], row: &[u8]| [b"peer/", author, row].concat();
    let author = [7; 32];
    assert!(of(&key(&author, b"/mine"), b"").is_empty());
    assert!(of(&key(&author, b"/served"), &[1; 64]).is_empty());
    for key in [
        key(&author, b""),
        key(&author, b"/mines"),
        key(&author[1..], b"/mine"),
        key(&author, b"/min"),
        key(b"", b""),
    ] {
        assert_eq!(of(&key, b"").len(), 1, "{}", key.escape_ascii());
    }
    let found = of(&key(&author, b"/served"), &[1; 65]);
    assert!(
        found.len() == 1 && found[0].contains("at most 64 bytes about a peer"),
        "{found:?}"
    );
}
