//! Waiting for ops.

use std::time::Duration;

use lattice_backend::backend::{Access, BackendError};
use lattice_backend::op::OpsEnd;

use crate::faulty::{APPLY, Faulty, Place, take};
use crate::support::*;

/// A thread that waits on one handle learns what another handle writes, held ops included.
#[test]
fn a_wait_ends_with_a_commit_of_another_handle() {
    let place = Place::redb();
    let store = place.open(&Faulty::v1());
    let reader = super::reader(&place);
    let author = secret(2);
    let first = op(&author, None, &[], 0, b".");
    let second = op(&author, Some(&first), &[], 1, &[APPLY, 1]);
    let mut seen = OpsEnd::default();
    let steps = [(&first, 1, 0), (&second, 1, 1)];
    for (op, applied, held) in steps {
        let end = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| reader.wait_for_change(seen, Duration::MAX));
            take(&store, &[op]);
            waiter.join().unwrap().unwrap()
        });
        assert_eq!(end, OpsEnd { applied, held });
        seen = end;
    }
    assert_eq!(reader.wait_for_change(seen, Duration::ZERO).unwrap(), seen);
}

#[test]
fn closing_ends_a_wait() {
    let site = Site::redb().0;
    let reader = site
        .try_open(site.request().access(Access::ReadOnly))
        .unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| reader.wait_for_change(OpsEnd::default(), Duration::MAX));
        reader.close().unwrap();
        let ended = waiter.join().unwrap();
        assert!(matches!(ended, Err(BackendError::Closed)), "{ended:?}");
    });
}
