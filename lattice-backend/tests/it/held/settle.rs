//! Other code settles held ops.

use lattice_backend::backend::{OpenOptions, Table};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{LogicPolicy, OpenError};
use lattice_backend::engine::verify::{Depth, Finding, OpFault};
use lattice_backend::progress::ProgressSink;

use super::*;
use crate::support::at;

/// The version that a store records as the one that computed its state.
fn recorded(place: &Place) -> Vec<u8> {
    let db = place.backend.open(&place.path, &OpenOptions::read_only());
    let snapshot = db.unwrap().snapshot().unwrap();
    snapshot.get(Table::System, b"logic").unwrap().unwrap()
}

fn filled(place: &Place, machine: &Faulty, ops: &[&Op]) {
    let store = place.open(machine);
    take(&store, ops);
    store.close().unwrap();
}

#[test]
fn code_that_applies_the_ops_settles_them_in_causal_order() {
    for kind in PANICS {
        let story = Story::new(kind);
        let direct = with(&Faulty::v2(), &story.all());
        for place in [Place::memory(), Place::redb()] {
            filled(&place, &Faulty::v1(), &story.all());
            let v2 = Faulty::v2();
            let store = place.open(&v2);
            // It replays the applied ops, and applies the held ones.
            assert_eq!(v2.applied(), 4 + 4);
            assert_eq!(held(&store), []);
            assert_eq!(store.op_count().unwrap(), 8);
            assert_eq!(store.state_hash().unwrap(), direct.state_hash().unwrap());
            assert_eq!(store.frontier().unwrap(), direct.frontier().unwrap());
            let order = (4..8).map(|nth| store.op_at(at(nth)).unwrap().unwrap().reference());
            assert_eq!(order.collect::<Vec<_>>(), story.stuck_names());
            let tips = |store: &Store| store.branch_tips().unwrap().tips;
            assert_eq!(tips(&store), tips(&direct));
            store.close().unwrap();
            assert_eq!(recorded(&place), b"faulty/2");
            let v2 = Faulty::v2();
            let store = place.open(&v2);
            assert_eq!((v2.applied(), store.op_count().unwrap()), (0, 8));
        }
    }
}

#[test]
fn the_same_code_does_not_retry_held_ops() {
    let story = Story::new(DECODE);
    let place = Place::redb();
    filled(&place, &Faulty::v1(), &story.all());
    let v1 = Faulty::v1();
    let store = place.open(&v1);
    assert_eq!((v1.decoded(), v1.applied()), (0, 0));
    assert_eq!(held(&store), story.held(V1));
}

#[test]
fn code_that_also_faults_holds_them_with_its_own_version_and_reason() {
    let story = Story::new(APPLY);
    let place = Place::redb();
    filled(&place, &Faulty::v1(), &story.all());
    let v3 = Faulty::version("faulty/3", &[DECODE, APPLY]);
    let store = place.open(&v3);
    assert_eq!(held(&store), story.held("faulty/3"));
    assert_eq!(store.op_count().unwrap(), 4);
    store.close().unwrap();
    // It does not try a second time.
    let calls = v3.applied();
    let store = place.open(&v3);
    assert_eq!(v3.applied(), calls);
    assert_eq!(held(&store), story.held("faulty/3"));
    store.close().unwrap();
    let store = place.open(&Faulty::v2());
    assert_eq!((held(&store).len(), store.op_count().unwrap()), (0, 8));
}

/// The code mends one of two faults: it settles the ops that follow only that one.
#[test]
fn code_settles_the_ops_that_it_can_apply() {
    let story = Story::new(APPLY);
    let d0 = op(&secret(5), None, &[], 0, &[ELEMENTS]);
    let d1 = op(&secret(5), Some(&d0), &[&story.a[2]], 8, b".d1");
    let ops = [story.all(), vec![&d0, &d1]].concat();
    let place = Place::memory();
    filled(&place, &Faulty::v1(), &ops);
    let store = place.open(&Faulty::version("faulty/3", &[ELEMENTS]));
    assert_eq!(held_names(&store), names([&d0, &d1]));
    assert_eq!(held(&store)[1].reason, follows(&d0));
    assert_eq!(held(&store)[1].logic, "faulty/3");
    assert_eq!(store.op_count().unwrap(), 8);
    let tips = store.branch_tips().unwrap().tips;
    assert!(tips.contains(&d1.reference()) && !tips.contains(&d0.reference()));
    store.close().unwrap();
    let store = place.open(&Faulty::v2());
    let direct = with(&Faulty::v2(), &ops);
    assert_eq!(store.state_hash().unwrap(), direct.state_hash().unwrap());
}

/// A version equal to the one that held the ops replays nothing, and the store keeps its record of
/// the other version, so that the two can alternate.
#[test]
fn code_with_an_equal_version_settles_without_a_replay() {
    let story = Story::new(APPLY);
    let place = Place::redb();
    filled(&place, &Faulty::v1(), &story.all());
    let v2 = Faulty::v2().equal_to(V1);
    let store = place.open(&v2);
    assert_eq!((v2.applied(), v2.decoded()), (4, 4));
    assert_eq!(held(&store), []);
    let direct = with(&Faulty::v2(), &story.all());
    assert_eq!(store.state_hash().unwrap(), direct.state_hash().unwrap());
    store.close().unwrap();
    assert_eq!(recorded(&place), V1.as_bytes());
    let v1 = Faulty::v1();
    let store = place.open(&v1);
    assert_eq!((v1.applied(), store.op_count().unwrap()), (0, 8));
}

/// More ops than one transaction settles, with records of several rows and of lengths around the
/// row boundary.
#[test]
fn many_and_long_ops_are_held_and_settled() {
    let author = secret(2);
    let mut ops = vec![op(&author, None, &[], 0, &[APPLY])];
    for nth in 0..150_u64 {
        let length = match nth {
            0..60 => 1020 + usize::try_from(nth).unwrap(),
            60 => 100_000,
            _ => 3,
        };
        ops.push(op(&author, ops.last(), &[], nth + 1, &vec![PLAIN; length]));
    }
    let ops: Vec<&Op> = ops.iter().collect();
    for place in [Place::memory(), Place::redb()] {
        filled(&place, &Faulty::v1(), &ops);
        let store = place.open(&Faulty::v1());
        assert!(
            held(&store)
                .iter()
                .map(|held| &held.op)
                .eq(ops.iter().copied())
        );
        store.close().unwrap();
        let store = place.open(&Faulty::v2());
        assert_eq!(held(&store), []);
        let settled = (0..151).map(|nth| store.op_at(at(nth)).unwrap().unwrap());
        assert!(settled.eq(ops.iter().map(|op| (*op).clone())));
        store.close().unwrap();
        let db = place
            .backend
            .open(&place.path, &OpenOptions::read_only())
            .unwrap();
        let snapshot = db.snapshot().unwrap();
        let mut rows = snapshot
            .range(
                Table::Held,
                lattice_backend::backend::EVERYTHING,
                lattice_backend::backend::Direction::Forward,
            )
            .unwrap();
        assert!(rows.next().unwrap().is_none(), "a settled op leaves no row");
    }
}

/// A version that faults on an applied op proves nothing: it is refused, and changes nothing.
#[test]
fn a_hot_fix_that_faults_on_an_applied_op_is_refused() {
    let story = Story::new(APPLY);
    let place = Place::redb();
    let old = Faulty::version("faulty/0", &[]);
    filled(&place, &old, &story.all());
    let bad = Faulty::version("faulty/bad", &[APPLY]);
    let refused = place.try_open(&bad).unwrap_err();
    let OpenError::History { faults, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(faults[..], [format!("op at index 1: {}", panicked())]);
    // A full verification with that code reports the same, as a typed fault.
    let mut request = place.request();
    (request.logic, request.options) = (LogicPolicy::Trust, OpenOptions::read_only());
    let reader = Engine::open(request, bad).unwrap();
    let verified = reader.verify(Depth::Full, &*place.backend, &ProgressSink::none());
    let found = verified.unwrap().findings;
    let [
        Finding::Logic { .. },
        Finding::Op {
            index,
            fault: OpFault::Code { fault },
            ..
        },
    ] = &found[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!((*index, fault.to_string()), (at(1), panicked()));
    reader.close().unwrap();
    let store = place.open(&old);
    assert_eq!((held(&store).len(), store.op_count().unwrap()), (0, 8));
}
