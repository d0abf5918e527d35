//! Pending ops are bounded, and a long call is reported as one.

use super::*;

/// A flood of one author's ops that wait forever does not evict another author's.
#[test]
fn a_flood_by_one_author_evicts_only_that_authors_ops() {
    let store = replica(1);
    let modest = chain(&secret(2), 3);
    ingest(&store, &[&modest[2]]);
    let hostile = secret(3);
    let missing = op(&secret(4), None, &[], 0, &set("nobody has this"));
    let length = MAX_PENDING_BYTES / 8;
    let flood: Vec<Op> = (0..10_u8)
        .map(|nth| op(&hostile, None, &[&missing], 1, &vec![nth; length]))
        .collect();
    let mut evicted = Vec::new();
    for op in &flood {
        let report = ingest(&store, &[op]);
        assert_eq!(outcomes(&report), [waiting(&missing)]);
        evicted.extend(report.evicted);
    }
    let oldest: Vec<OpId> = flood[..3].iter().map(|op| op.reference().id).collect();
    assert_eq!(evicted, oldest, "the flood's own oldest ops go");
    assert_eq!(store.pending_ops(), 8);
    // The modest author's op is still pending, and is released.
    assert_eq!(ingest(&store, &[&modest[0], &modest[1]]).applied(), 3);
    // In one call, the report of an evicted op is among the outcomes of the delivered ops.
    let report = ingest(&store, &flood.iter().collect::<Vec<_>>());
    let mut expected = vec![Outcome::Rejected(Rejection::NoRoom); 3];
    expected.resize(10, waiting(&missing));
    assert_eq!(outcomes(&report), expected);
    assert!(report.evicted.is_empty(), "all that had to go were given");
    assert_eq!(store.pending_ops(), 7);
    assert_eq!(ingest(&store, &[&missing]).applied(), 8);
    assert_eq!(store.pending_ops(), 0);
    assert_whole(&store);
}

/// More ops than one transaction takes in, delivered backwards and twice: the report covers the
/// whole call.
#[test]
fn a_long_history_backwards_is_applied_in_one_call() {
    let store = replica(1);
    let ops = chain(&secret(2), 1500);
    let mut given: Vec<&Op> = ops.iter().rev().collect();
    given.insert(1, &ops[1499]);
    let report = ingest(&store, &given);
    assert_eq!(store.op_count().unwrap(), 1500);
    assert!(report.is_complete(), "every op given is applied or known");
    assert_eq!(report.applied(), 1500);
    assert!(report.released.is_empty(), "none was held before the call");
    assert_whole(&store);
}
