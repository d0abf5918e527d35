//! Ops that the code of a store type cannot apply: the store holds them until other code settles
//! them.

mod carry;
mod exchange;
mod histories;
mod own;
mod settle;
mod verify;

use lattice_backend::engine::ingest::Outcome;
use lattice_backend::engine::read::{HeldOp, HeldReason};
use lattice_backend::machine::LogicFault;
use lattice_backend::op::{Op, OpRef};

use crate::faulty::*;
use crate::support::{op, secret};

/// The message of a panic of the test machine.
fn panicked() -> String {
    let message = MESSAGE.to_owned();
    LogicFault::Panic { message }.to_string()
}

fn fault() -> HeldReason {
    let message = panicked();
    HeldReason::Fault { message }
}

fn follows(op: &Op) -> HeldReason {
    let parent = op.reference();
    HeldReason::Follows { parent }
}

fn is_held(reason: HeldReason) -> Outcome {
    Outcome::Held { reason }
}

/// Two chains whose ends a faulting op holds, and one that it does not affect.
struct Story {
    /// The second op faults, the third follows it.
    a: [Op; 3],
    /// The second op names the faulting one, the third follows.
    b: [Op; 3],
    /// Names the first ops of the others.
    c: [Op; 2],
}

impl Story {
    fn new(kind: u8) -> Self {
        let [a, b, c] = [2, 3, 4].map(secret);
        let a0 = op(&a, None, &[], 0, b".a0");
        let a1 = op(&a, Some(&a0), &[], 1, &[kind, b'a', b'1']);
        let a2 = op(&a, Some(&a1), &[], 2, b".a2");
        let b0 = op(&b, None, &[], 0, b".b0");
        let b1 = op(&b, Some(&b0), &[&a1], 3, b".b1");
        let b2 = op(&b, Some(&b1), &[], 4, b".b2");
        let c0 = op(&c, None, &[], 0, b".c0");
        let c1 = op(&c, Some(&c0), &[&a0, &b0], 5, b".c1");
        Self {
            a: [a0, a1, a2],
            b: [b0, b1, b2],
            c: [c0, c1],
        }
    }

    fn all(&self) -> Vec<&Op> {
        self.a.iter().chain(&self.b).chain(&self.c).collect()
    }

    /// The ops that every version applies.
    fn free(&self) -> Vec<&Op> {
        vec![&self.a[0], &self.b[0], &self.c[0], &self.c[1]]
    }

    /// The others, in the order of [`all`](Self::all).
    fn stuck(&self) -> [&Op; 4] {
        [&self.a[1], &self.a[2], &self.b[1], &self.b[2]]
    }

    fn stuck_names(&self) -> Vec<OpRef> {
        names(self.stuck())
    }

    fn held(&self, logic: &str) -> Vec<HeldOp> {
        let reasons = [
            fault(),
            follows(&self.a[1]),
            follows(&self.a[1]),
            follows(&self.b[1]),
        ];
        let held = |(op, reason): (&Op, _)| HeldOp {
            op: op.clone(),
            logic: logic.to_owned(),
            reason,
        };
        self.stuck().into_iter().zip(reasons).map(held).collect()
    }
}

/// Whichever part of the code faults: the op and the ops that follow it are held across a reopen,
/// the rest is applied, and the state is that of a replica that never received them.
#[test]
fn a_fault_holds_the_op_and_what_follows_it() {
    for kind in PANICS {
        let story = Story::new(kind);
        let never = with(&Faulty::v1(), &story.free());
        for place in [Place::memory(), Place::redb()] {
            let store = place.open(&Faulty::v1());
            let report = report_of(&store, &story.all());
            assert_eq!((report.applied(), report.held()), (4, 4));
            assert!(report.is_complete());
            for (nth, reason) in [(1, fault()), (2, follows(&story.a[1]))] {
                assert_eq!(
                    report.outcomes[nth].1,
                    is_held(reason),
                    "{}",
                    kind.escape_ascii()
                );
            }
            assert_eq!(held(&store), story.held(V1));
            store.close().unwrap();
            let store = place.open(&Faulty::v1());
            assert_eq!(held(&store), story.held(V1));
            assert_eq!(store.op_count().unwrap(), 4);
            assert_eq!(store.pending_ops(), 0);
            assert_eq!(store.state_hash().unwrap(), never.state_hash().unwrap());
            assert_eq!(store.frontier().unwrap(), never.frontier().unwrap());
            // An author whose ops do not follow the held one can continue.
            let next = op(&secret(4), Some(&story.c[1]), &[], 6, b".c2");
            assert!(matches!(
                take(&store, &[&next])[..],
                [Outcome::Applied { .. }]
            ));
            // So can the author of the faulting op, on a branch that does not follow it.
            let fork = op(&secret(2), Some(&story.a[0]), &[], 7, b".fork");
            assert!(matches!(
                take(&store, &[&fork])[..],
                [Outcome::Applied { .. }]
            ));
            assert_eq!(held(&store), story.held(V1));
        }
    }
}

#[test]
fn an_invalid_payload_is_applied_without_effect_and_is_settled() {
    let invalid = op(&secret(2), None, &[], 0, &[INVALID]);
    let after = op(&secret(2), Some(&invalid), &[], 1, b".after");
    let machine = Faulty::v1();
    let store = with(&machine, &[&invalid, &after]);
    assert_eq!(store.op_count().unwrap(), 2);
    assert_eq!(machine.applied(), 1, "`apply` is not called for it");
    let snapshot = store.snapshot().unwrap();
    for op in [&invalid, &after] {
        let row = lattice_backend::machine::DataRead::get(&snapshot, &settled(&op.reference()));
        assert_eq!(row.unwrap(), Some(Vec::new()));
    }
    // Two rows of `settle`, one of `apply`.
    assert_eq!(snapshot.element_count().unwrap(), 3);
    assert_eq!(held(&store), []);
}
