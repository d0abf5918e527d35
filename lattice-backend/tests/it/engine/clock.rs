//! Clocks that are wrong.

use lattice_backend::clock::Time;

use super::*;

#[test]
fn a_clock_that_goes_back_does_not_date_ops_earlier() {
    let site = Site::memory();
    let store = site.open();
    let first = append(&store, "key", "1");
    site.clock.set(NOW_MS - 20 * MINUTE_MS);
    let second = append(&store, "key", "2");
    assert_eq!(second.hlc(), first.hlc().successor().unwrap());
    site.clock.set(NOW_MS + 5);
    let third = append(&store, "key", "3");
    assert_eq!(third.hlc().ms(), NOW_MS + 5);
    assert_eq!(get(&store, "key"), Some(b"3".to_vec()));
}

#[test]
fn more_than_twenty_minutes_behind_is_refused() {
    let site = Site::memory();
    let store = site.open();
    append(&store, "key", "1");
    site.clock.set(NOW_MS - 20 * MINUTE_MS - 1);
    let refused = store.append(Command::set("key", "2")).unwrap_err();
    let message = refused.to_string();
    let AppendError::ClockBehind {
        newest,
        ahead_ms,
        allowed_ms,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(newest.ms(), NOW_MS);
    // The message says from when on a write is accepted again.
    let due = Time::from_ms(NOW_MS - 20 * MINUTE_MS);
    assert!(message.contains(&format!("from {due} on")), "{message}");
    assert_eq!((ahead_ms, allowed_ms), (20 * MINUTE_MS + 1, 20 * MINUTE_MS));
    assert_eq!(store.op_count().unwrap(), 1);
    site.clock.set(NOW_MS - 20 * MINUTE_MS);
    append(&store, "key", "2");
    assert_whole(&store);
}

#[test]
fn the_last_timestamp_is_the_end() {
    let site = Site::memory();
    site.clock.set(Hlc::MAX_MS);
    let store = site.open();
    let last = dated(&secret(2), None, &[], Hlc::from_u64(u64::MAX), b"\x01k");
    assert_eq!(outcomes(&ingest(&store, &[&last])), [applied(0)]);
    let refused = store.append(Command::set("key", "value")).unwrap_err();
    assert!(
        matches!(refused, AppendError::ClockExhausted),
        "{refused:?}"
    );
    assert_whole(&store);
}

#[test]
fn a_clock_beyond_the_last_timestamp_is_capped() {
    let site = Site::memory();
    site.clock.set(u64::MAX);
    let store = site.open();
    let op = append(&store, "key", "value");
    assert_eq!(op.hlc().ms(), Hlc::MAX_MS);
}

#[test]
fn the_last_sequence_number_is_the_end() {
    let store = replica(1);
    let draft = lattice_backend::op::OpDraft {
        kind: OpKind::Application,
        seq: u64::MAX,
        prev: lattice_meta::OpId::from_bytes([1; 32]),
        hlc: Hlc::from_u64(1),
        deps: Vec::new(),
        payload: b"\x01k",
    };
    let last = draft.sign(&hasher(), &owner()).unwrap();
    // Its parent cannot exist, so the op waits forever and does no harm.
    let report = ingest(&store, &[&last]);
    assert!(matches!(
        outcomes(&report)[0],
        lattice_backend::engine::ingest::Outcome::Waiting { .. }
    ));
    append(&store, "key", "value");
}
