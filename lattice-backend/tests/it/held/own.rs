//! Local ops beside held ones, and local ops that fault.

use lattice_backend::backend::BackendError;
use lattice_backend::engine::read::MethodError;
use lattice_backend::engine::write::{AppendAllError, AppendError};
use lattice_backend::machine::Value;

use super::*;
use crate::support::at;

fn told() -> LogicFault {
    let message = MESSAGE.to_owned();
    LogicFault::Panic { message }
}

#[test]
fn no_local_op_names_a_held_one() {
    let story = Story::new(APPLY);
    let store = with(&Faulty::v1(), &story.all());
    let mut last = None;
    for _ in 0..3 {
        let receipt = store.append(b".own".to_vec()).unwrap();
        let own = store.op_at(receipt.index).unwrap().unwrap();
        let stuck = story.stuck_names();
        assert!(own.parents().all(|parent| !stuck.contains(&parent)));
        assert_eq!(own.prev(), last);
        last = Some(own.reference());
        assert_eq!(store.frontier().unwrap(), [own.reference()]);
    }
    assert_eq!(held_names(&store), story.stuck_names());
}

/// Another copy of the author has made an op that this code cannot apply. The next op would have to
/// follow it; an op that does not would fork the author.
#[test]
fn an_author_with_a_held_op_cannot_write() {
    let story = Story::new(APPLY);
    for first in [0, 1] {
        // With an applied op before the held one, and without.
        let place = Place::redb();
        let store = place.open_as(&Faulty::v1(), 2);
        let own = match first {
            0 => op(&secret(2), None, &[], 1, &[APPLY]),
            _ => story.a[1].clone(),
        };
        let ops: &[&Op] = if first == 0 {
            &[&own]
        } else {
            &[&story.a[0], &own]
        };
        take(&store, ops);
        let applied = store.op_count().unwrap();
        for _ in 0..2 {
            match store.append(b".next".to_vec()) {
                Err(AppendError::OwnOpHeld { held }) => assert_eq!(held, own.reference()),
                other => panic!("{other:?}"),
            }
        }
        let many = store.append_all([Ok::<_, ()>(b".next".to_vec())]);
        assert!(
            matches!(
                many,
                Err(AppendAllError::Command {
                    index: 0,
                    source: AppendError::OwnOpHeld { .. }
                })
            ),
            "{many:?}"
        );
        assert!(store.is_usable());
        assert_eq!(store.op_count().unwrap(), applied);
        assert_eq!(store.forks().unwrap(), []);
        // Foreign ops are ingested, and code that applies the held op lets its author continue.
        take(&store, &[&story.c[0]]);
        assert_eq!(store.op_count().unwrap(), applied + 1);
        store.close().unwrap();
        let store = place.open_as(&Faulty::v2(), 2);
        let receipt = store.append(b".next".to_vec()).unwrap();
        let next = store.op_at(receipt.index).unwrap().unwrap();
        assert_eq!(next.prev(), Some(own.reference()));
        assert_eq!(store.forks().unwrap(), []);
    }
}

#[test]
fn a_fault_of_a_local_op_is_typed_and_writes_nothing() {
    for place in [Place::memory(), Place::redb()] {
        let store = place.open(&Faulty::v1());
        store.append(b".first".to_vec()).unwrap();
        let hash = store.state_hash().unwrap();
        for kind in PANICS.into_iter().chain([PREPARE]) {
            match store.append(vec![kind]) {
                Err(AppendError::Fault(fault)) => assert_eq!(fault, told()),
                other => panic!("{}: {other:?}", kind.escape_ascii()),
            }
            // In the middle of many ops, after more ops than an index step has.
            let many = (0..300)
                .map(|_| vec![PLAIN])
                .chain([vec![kind], vec![PLAIN]]);
            match store.append_all(many.map(Ok::<_, ()>)) {
                Err(AppendAllError::Command {
                    index: 300,
                    source: AppendError::Fault(fault),
                }) => assert_eq!(fault, told()),
                other => panic!("{}: {other:?}", kind.escape_ascii()),
            }
            assert!(store.is_usable());
            assert_eq!(store.op_count().unwrap(), 1);
            assert_eq!(store.state_hash().unwrap(), hash);
        }
        assert_eq!(
            held(&store),
            [],
            "a local op is made or not, and never held"
        );
        let next = store.append(b".next".to_vec()).unwrap();
        assert_eq!((next.op.seq, next.index), (1, at(1)));
        store.close().unwrap();
        assert_eq!(place.open(&Faulty::v1()).op_count().unwrap(), 2);
    }
}

#[test]
fn a_fault_of_a_call_by_name_is_typed() {
    let store = Place::memory().open(&Faulty::v1());
    for method in ["panic_query", "panic_early"] {
        match store.call(method, Value::Null) {
            Err(MethodError::Backend(BackendError::Fault(fault))) => assert_eq!(fault, told()),
            other => panic!("{method}: {other:?}"),
        }
    }
    match store.call("panic_late", Value::Null) {
        Err(MethodError::Append(cause)) => {
            let cause = cause.downcast_ref::<AppendError<Refused>>();
            assert!(matches!(cause, Some(AppendError::Fault(fault)) if *fault == told()));
        }
        other => panic!("{other:?}"),
    }
    assert!(store.is_usable());
    store.append(b".next".to_vec()).unwrap();
}
