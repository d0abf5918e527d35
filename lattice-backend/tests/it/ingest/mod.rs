//! Ingesting foreign ops: every outcome, every rejection, and the cost of pending ops.

mod bounds;
mod flood;
mod forks;
mod pending;

use std::collections::BTreeSet;

use lattice_backend::engine::ingest::{
    Authors, MAX_PENDING_BYTES, MAX_PENDING_OPS, Outcome, Rejection,
};
use lattice_backend::op::{Op, OpDraft, OpError, OpHasher, OpKind, SignatureError};
use lattice_meta::{Genesis, Hlc, Nonce, OpId};

use crate::registers::payload;
use crate::support::*;

const HOUR_MS: u64 = 60 * MINUTE_MS;

fn waiting(missing: &Op) -> Outcome {
    Outcome::Waiting {
        missing: missing.reference(),
    }
}

fn set(key: &str) -> Vec<u8> {
    payload(key.as_bytes(), b"value")
}

#[test]
fn ops_in_order_are_applied_and_are_known_the_second_time() {
    let store = replica(1);
    let ops = chain(&secret(2), 3);
    let all: Vec<&Op> = ops.iter().collect();
    let report = ingest(&store, &all);
    assert_eq!(outcomes(&report), [applied(0), applied(1), applied(2)]);
    assert_eq!(report.applied(), 3);
    assert!(report.is_complete());
    let hash = store.state_hash().unwrap();
    let again = ingest(&store, &all);
    assert_eq!(outcomes(&again), vec![Outcome::Known; 3]);
    assert!(again.is_complete());
    assert_eq!(again.applied(), 0);
    assert_eq!(store.state_hash().unwrap(), hash);
    // The same op twice in one call is applied once.
    let more = op(&secret(3), None, &[], 0, &set("k"));
    let report = ingest(&store, &[&more, &ops[1], &more]);
    assert_eq!(
        outcomes(&report),
        [applied(3), Outcome::Known, Outcome::Known]
    );
    assert_whole(&store);
}

#[test]
fn ops_in_reverse_order_are_applied_in_one_call() {
    let store = replica(1);
    let ops = chain(&secret(2), 5);
    let report = ingest(&store, &ops.iter().rev().collect::<Vec<_>>());
    let expected: Vec<Outcome> = (0..5).rev().map(applied).collect();
    assert_eq!(outcomes(&report), expected);
    assert_eq!(store.pending_ops(), 0);
    assert_whole(&store);
}

#[test]
fn a_gap_waits_and_is_released_by_a_later_call() {
    let store = replica(1);
    let ops = chain(&secret(2), 4);
    let other = op(&secret(3), None, &[&ops[2]], 50, &set("other"));
    let report = ingest(&store, &[&ops[0], &ops[2], &ops[3], &other]);
    assert_eq!(
        outcomes(&report),
        [
            applied(0),
            waiting(&ops[1]),
            waiting(&ops[2]),
            waiting(&ops[2])
        ]
    );
    assert!(!report.is_complete());
    assert_eq!(store.pending_ops(), 3);
    assert_whole(&store);
    let report = ingest(&store, &[&ops[1]]);
    assert_eq!(outcomes(&report), [applied(1)]);
    let released: BTreeSet<OpId> = report.released.iter().map(|(id, _)| *id).collect();
    let expected = [&ops[2], &ops[3], &other].map(|op| op.reference().id);
    assert_eq!(released, BTreeSet::from(expected));
    assert_eq!(report.applied(), 4);
    assert_eq!(store.pending_ops(), 0);
    assert_whole(&store);
}

/// A waiting op that is delivered again in the call that applies it is reported as applied.
#[test]
fn a_pending_op_that_is_given_again_is_reported_as_applied() {
    let site = Site::memory();
    let store = site.open();
    let ops = chain(&secret(2), 2);
    for _ in 0..2 {
        let report = ingest(&store, &[&ops[1]]);
        assert_eq!(outcomes(&report), [waiting(&ops[0])]);
        assert_eq!(store.pending_ops(), 1);
    }
    let report = ingest(&store, &[&ops[0], &ops[1]]);
    assert_eq!(outcomes(&report), [applied(0), applied(1)]);
    assert_eq!(report.applied(), 2);
    let early = op(&secret(3), None, &[], HOUR_MS, &set("early"));
    ingest(&store, &[&early]);
    site.clock.advance(HOUR_MS);
    assert_eq!(outcomes(&ingest(&store, &[&early])), [applied(2)]);
    assert_whole(&store);
}

#[test]
fn pending_ops_are_dropped_on_close() {
    let site = Site::memory();
    let store = site.open();
    let ops = chain(&secret(2), 2);
    ingest(&store, &[&ops[1]]);
    store.close().unwrap();
    let store = site.open();
    assert_eq!(store.pending_ops(), 0);
    assert_eq!(ingest(&store, &[&ops[0]]).applied(), 1);
}

#[test]
fn more_than_ten_minutes_ahead_is_deferred_until_the_clock_shows_it() {
    let site = Site::memory();
    let store = site.open();
    let just = op(&secret(2), None, &[], 10 * MINUTE_MS, &set("just"));
    let early = op(&secret(3), None, &[], 10 * MINUTE_MS + 1, &set("early"));
    let next = op(&secret(3), Some(&early), &[], 11 * MINUTE_MS, &set("next"));
    let report = ingest(&store, &[&just, &early, &next]);
    let deferred = |until_ms| Outcome::Deferred { until_ms };
    assert_eq!(
        outcomes(&report),
        [
            applied(0),
            deferred(NOW_MS + 1),
            deferred(NOW_MS + MINUTE_MS)
        ]
    );
    assert_eq!(store.pending_ops(), 2);
    assert!(ingest(&store, &[]).released.is_empty());
    site.clock.advance(1);
    let report = ingest(&store, &[]);
    assert_eq!(report.released, [(early.reference().id, applied(1))]);
    site.clock.advance(MINUTE_MS);
    assert_eq!(ingest(&store, &[]).applied(), 1);
    assert_eq!(store.pending_ops(), 0);
    assert_whole(&store);
    // The store's own ops follow ops that are ahead of its clock.
    append(&store, "key", "value");
    assert_whole(&store);
}

#[test]
fn a_deferred_op_can_later_wait_for_a_parent() {
    let site = Site::memory();
    let store = site.open();
    let first = op(&secret(2), None, &[], 0, &set("first"));
    let early = op(&secret(2), Some(&first), &[], HOUR_MS, &set("early"));
    ingest(&store, &[&early]);
    site.clock.advance(HOUR_MS);
    let report = ingest(&store, &[]);
    assert_eq!(report.released, [(early.reference().id, waiting(&first))]);
    assert_eq!(ingest(&store, &[&first]).applied(), 2);
    assert_whole(&store);
}

#[test]
fn more_than_a_day_ahead_is_rejected_and_not_kept_pending() {
    let store = replica(1);
    let day_ms = 24 * HOUR_MS;
    let far = op(&secret(2), None, &[], day_ms + 1, &set("far"));
    let within = op(&secret(3), None, &[], day_ms, &set("within"));
    let report = ingest(&store, &[&far, &within]);
    let ahead_ms = day_ms + 1;
    assert_eq!(
        outcomes(&report),
        [
            Outcome::Rejected(Rejection::FarAhead { ahead_ms }),
            Outcome::Deferred {
                until_ms: NOW_MS + day_ms - 10 * MINUTE_MS
            }
        ]
    );
    assert_eq!(store.pending_ops(), 1);
}

#[test]
fn a_timestamp_not_after_its_parents_is_rejected_permanently() {
    let store = replica(1);
    let first = op(&secret(2), None, &[], 5, &set("first"));
    let dep = op(&secret(3), None, &[], 7, &set("dep"));
    let same = op(&secret(2), Some(&first), &[], 5, &set("same"));
    let late_dep = op(&secret(2), Some(&first), &[&dep], 7, &set("late"));
    let unknown = op(&secret(4), None, &[], 0, &set("unknown"));
    // Already invalid, whatever else is missing.
    let both = op(&secret(5), None, &[&unknown, &dep], 6, &set("both"));
    let report = ingest(&store, &[&first, &dep, &same, &late_dep, &both]);
    let rejected = |found: &Op, after: &Op| {
        Outcome::Rejected(Rejection::ClockDidNotAdvance {
            found: found.hlc(),
            parent: after.hlc(),
            after: after.reference(),
        })
    };
    assert_eq!(
        outcomes(&report),
        [
            applied(0),
            applied(1),
            rejected(&same, &first),
            rejected(&late_dep, &dep),
            rejected(&both, &dep)
        ]
    );
    assert_eq!(store.pending_ops(), 0);
    let good = op(&secret(2), Some(&first), &[&dep], 8, &set("good"));
    assert_eq!(outcomes(&ingest(&store, &[&good])), [applied(2)]);
    assert_whole(&store);
}

mod authors {
    use super::*;

    fn unknown(op: &Op) -> Outcome {
        Outcome::Rejected(Rejection::UnknownAuthor {
            author: op.reference().author,
        })
    }

    #[test]
    fn known_are_the_owner_the_node_itself_and_those_applied() {
        // Opened as author 5; the owner is author 1.
        let store = replica(5);
        let ops: Vec<Op> = [1, 5, 2, 3].map(|seed| chain(&secret(seed), 2)).concat();
        let firsts: Vec<&Op> = ops.iter().step_by(2).collect();
        let report = ingest_from(&store, &firsts, &Authors::Known);
        assert_eq!(
            outcomes(&report),
            [
                applied(0),
                applied(1),
                unknown(firsts[2]),
                unknown(firsts[3])
            ]
        );
        assert_eq!(store.pending_ops(), 0);
        let named = Authors::Named(BTreeSet::from([secret(2).public()]));
        let report = ingest_from(&store, &firsts, &named);
        assert_eq!(
            outcomes(&report),
            [
                Outcome::Known,
                Outcome::Known,
                applied(2),
                unknown(firsts[3])
            ]
        );
        // Author 2 is known from here on.
        let seconds: Vec<&Op> = ops.iter().skip(1).step_by(2).collect();
        let report = ingest_from(&store, &seconds, &Authors::Known);
        assert_eq!(
            outcomes(&report),
            [applied(3), applied(4), applied(5), unknown(seconds[3])]
        );
        let report = ingest_from(&store, &[firsts[3], seconds[3]], &Authors::Any);
        assert_eq!(report.applied(), 2);
        assert_whole(&store);
    }

    #[test]
    fn with_applied_ops_stay_known_after_a_reopen() {
        let site = Site::memory();
        let store = site.open();
        let ops = chain(&secret(2), 2);
        ingest(&store, &[&ops[0]]);
        store.close().unwrap();
        let report = ingest_from(&site.open(), &[&ops[1]], &Authors::Known);
        assert_eq!(report.applied(), 1);
    }

    /// Ops of the same call count: once a waiting op is applied, its author is known.
    #[test]
    fn become_known_within_a_call() {
        let site = Site::memory();
        let store = site.open();
        let early = op(&secret(2), None, &[], HOUR_MS, &set("early"));
        let next = op(&secret(2), Some(&early), &[], HOUR_MS + 1, &set("next"));
        ingest_from(&store, &[&early], &Authors::Any);
        site.clock.advance(HOUR_MS);
        let report = ingest_from(&store, &[&next], &Authors::Known);
        assert_eq!(outcomes(&report), [applied(1)]);
        assert_whole(&store);
    }

    /// An op that was accepted and waits is applied when possible, whichever authors are allowed
    /// then.
    #[test]
    fn are_checked_when_an_op_arrives() {
        let store = replica(1);
        let ops = chain(&secret(2), 2);
        let owners = op(&owner(), None, &[], 0, &set("owner"));
        let after = op(&secret(3), None, &[&owners], 9, &set("after"));
        ingest_from(&store, &[&ops[1], &after], &Authors::Any);
        assert_eq!(store.pending_ops(), 2);
        let report = ingest_from(&store, &[&ops[0], &owners], &Authors::Known);
        assert_eq!(outcomes(&report), [unknown(&ops[0]), applied(0)]);
        assert_eq!(report.released, [(after.reference().id, applied(1))]);
        assert_whole(&store);
    }
}

mod bad_ops {
    use super::*;

    fn report_of(store: &Store, bytes: Vec<Vec<u8>>) -> Vec<Outcome> {
        let report = store.ingest(given(bytes), &Authors::Any).unwrap();
        outcomes(&report)
    }

    #[test]
    fn do_not_block_others() {
        let store = replica(1);
        let good = chain(&secret(2), 3);
        let mut forged = good[1].bytes().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let mut newer_kind = good[2].bytes().to_vec();
        newer_kind[1] = 2;
        let mut newer_format = good[2].bytes().to_vec();
        newer_format[0] = 2;
        let bytes = vec![
            b"rubbish".to_vec(),
            forged,
            newer_kind,
            newer_format,
            Vec::new(),
            good[0].bytes().to_vec(),
            good[2].bytes().to_vec(),
        ];
        let found = report_of(&store, bytes);
        let rejected = |error: OpError| Outcome::Rejected(Rejection::Invalid(error));
        let author = secret(2).public();
        assert!(matches!(
            found[0],
            Outcome::Rejected(Rejection::Invalid(OpError::UnknownFormat { found: b'r' }))
        ));
        assert_eq!(
            found[1],
            rejected(OpError::Signature(SignatureError::Wrong { author }))
        );
        assert_eq!(found[2], rejected(OpError::UnknownKind { found: 2 }));
        assert_eq!(found[3], rejected(OpError::UnknownFormat { found: 2 }));
        assert!(matches!(
            found[4],
            Outcome::Rejected(Rejection::Invalid(OpError::TooShort { found: 0, .. }))
        ));
        assert_eq!(found[5], applied(0));
        assert_eq!(found[6], waiting(&good[1]));
        assert_eq!(store.op_count().unwrap(), 1, "newer ops are not recorded");
        // The true op releases what the forged one did not.
        let found = report_of(&store, vec![good[1].bytes().to_vec()]);
        assert_eq!(found, [applied(1)]);
        assert_eq!(store.op_count().unwrap(), 3);
        assert_whole(&store);
    }

    #[test]
    fn of_another_store_are_rejected() {
        let store = replica(1);
        let other = Genesis::new(
            store.genesis().store_type().clone(),
            owner().public(),
            Nonce::from_bytes([8; 16]),
            Hlc::ZERO,
            None,
        );
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::from_u64(1),
            deps: Vec::new(),
            payload: &set("k"),
        };
        let foreign = draft.sign(&OpHasher::new(&other.hash()), &owner()).unwrap();
        assert_eq!(
            report_of(&store, vec![foreign.into_bytes()]),
            [Outcome::Rejected(Rejection::Invalid(OpError::OtherStore {
                expected: store.store_id(),
                found: other.store_id(),
            }))]
        );
    }

    /// An op with an invalid signature does not count as a second op of its author.
    #[test]
    fn that_are_forged_do_not_affect_a_known_op() {
        let store = replica(1);
        let ops = chain(&secret(2), 1);
        ingest(&store, &[&ops[0]]);
        let mut forged = ops[0].bytes().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        report_of(&store, vec![forged]);
        assert_eq!(store.op_at(at(0)).unwrap().unwrap(), ops[0]);
        assert_eq!(store.op_count().unwrap(), 1);
        assert_whole(&store);
    }
}
