//! Visibility between a commit and the end of its wait, and durability after a close.

use crate::backend::{OpenOptions, Table};
use crate::conformance::backend::{Site, begin, commit, committed};

/// Before the commit, a snapshot shows none of it; after the wait, all of it. In between it shows
/// either, but never anything that a later snapshot no longer shows.
pub(super) fn a_snapshot_shows_what_was_waited_for(site: &Site) {
    let db = site.writer();
    commit(&*db, |tx| tx.put(Table::Data, b"key", b"old"));
    let mut tx = begin(&*db);
    tx.put(Table::Data, b"key", b"new").expect("written");
    tx.put(Table::System, b"key", b"new").expect("written");
    let before = db.snapshot().expect("a snapshot");
    let ticket = tx.commit().expect("committed");
    let between = db.snapshot().expect("a snapshot");
    let shown = |snapshot: &dyn crate::backend::ReadTx| {
        let data = snapshot.get(Table::Data, b"key").expect("read");
        let system = snapshot.get(Table::System, b"key").expect("read");
        match (data.as_deref(), system.as_deref()) {
            (Some(b"old"), None) => false,
            (Some(b"new"), Some(b"new")) => true,
            found => panic!("a snapshot shows a part of a commit: {found:?}"),
        }
    };
    let is_early = shown(&*between);
    if is_early {
        let again = db.snapshot().expect("a snapshot");
        assert!(
            shown(&*again),
            "a snapshot took back what another one showed"
        );
    }
    ticket.wait().expect("durable");
    let after = db.snapshot().expect("a snapshot");
    assert!(
        shown(&*after),
        "a snapshot does not show what was waited for"
    );
    assert!(!shown(&*before), "a snapshot shows a later commit");
    assert_eq!(shown(&*between), is_early, "a snapshot changed");
}

/// The next transaction sees a commit whose ticket was dropped. It is durable once a later ticket
/// has been waited for or the store is closed.
pub(super) fn a_commit_does_not_need_its_ticket(site: &Site) {
    let db = site.writer();
    let commit_only = |key: &[u8]| {
        let mut tx = begin(&*db);
        tx.put(Table::Data, key, b"value").expect("written");
        drop(tx.commit().expect("committed"));
    };
    commit_only(b"one");
    commit(&*db, |tx| {
        let seen = tx.get(Table::Data, b"one")?;
        assert!(seen.is_some(), "a commit without its ticket is not seen");
        tx.put(Table::Data, b"two", b"value")
    });
    for key in [b"one", b"two"] {
        assert!(
            committed(&*db, key).is_some(),
            "a later wait does not make an earlier commit durable"
        );
    }
    commit_only(b"three");
    db.close().expect("closing");
    let db = site.open(&OpenOptions::read_only());
    for key in [b"one".as_slice(), b"two", b"three"] {
        assert!(
            committed(&*db, key).is_some(),
            "closing loses a commit whose ticket was dropped"
        );
    }
}

/// The next transaction can begin, read, and be dropped or committed before the first ticket is
/// waited for, and the tickets can be waited for in either order.
pub(super) fn the_next_transaction_needs_no_earlier_ticket(site: &Site) {
    let db = site.writer();
    let count = |expected: u8| {
        let mut tx = begin(&*db);
        let found = tx.get(Table::Data, b"count").expect("read");
        assert_eq!(
            found.unwrap_or(vec![0]),
            [expected],
            "a transaction does not see the commit before it"
        );
        tx.put(Table::Data, b"count", &[expected + 1])
            .expect("written");
        tx
    };
    let first = count(0).commit().expect("committed");
    let open = count(1);
    // The wait does not need the open transaction to end.
    first.wait().expect("durable");
    assert_eq!(
        committed(&*db, b"count"),
        Some(vec![1]),
        "a wait makes exactly what was committed visible"
    );
    drop(open);
    let second = count(1).commit().expect("committed");
    let third = count(2).commit().expect("committed");
    third.wait().expect("durable");
    assert_eq!(committed(&*db, b"count"), Some(vec![3]));
    second.wait().expect("durable");
    assert_eq!(
        committed(&*db, b"count"),
        Some(vec![3]),
        "waiting for an earlier ticket took a commit back"
    );
    // Another thread can wait for a ticket.
    let fourth = count(3).commit().expect("committed");
    let waited = std::thread::spawn(|| fourth.wait()).join();
    waited.expect("it waits").expect("durable");
    assert_eq!(committed(&*db, b"count"), Some(vec![4]));
}
