//! Pending ops: what they cost while they wait, and when they are applied or rejected. The cost is
//! the number of rows read, not time.

use lattice_backend::backend::{MemoryBackend, StateBackend};
use lattice_backend::op::{MAX_DEPS, OpRef, SecretKey};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use lattice_meta::StateHash;

use super::*;
use crate::registers::Command;
use lattice_backend::conformance::CountingBackend;

/// Reads that a delivered op may cost, however many parents it names and however many ops wait.
const READS_OF_AN_OP: u64 = 10;

/// How many ops wait, and how many deps each has: more than the store keeps in memory. With
/// `LATTICE_PENDING_FULL`, as many as fit.
fn size() -> (usize, usize) {
    match std::env::var_os("LATTICE_PENDING_FULL") {
        Some(_) => (880, MAX_DEPS),
        None => (40, 300),
    }
}

/// Rows that a store reads: look-ups and rows of scans.
struct Reads(CountingBackend);

impl Reads {
    fn total(&self) -> u64 {
        self.0.work().rows_read
    }

    /// Counts what `work` reads.
    fn during<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let before = self.total();
        let result = work();
        (result, self.total() - before)
    }
}

/// A store, and the count of its reads.
fn counted(backend: impl StateBackend + 'static) -> (Store, Reads) {
    let backend = CountingBackend::new(std::sync::Arc::new(backend));
    let reads = Reads(backend.clone());
    (Site::new(backend, "state.db").open_as(secret(1)), reads)
}

fn author(kind: u8, nth: usize) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&nth.to_le_bytes());
    SecretKey::from_bytes(&seed)
}

/// First ops of this many authors.
fn firsts(kind: u8, count: usize) -> Vec<Op> {
    let first = |nth: usize| {
        op(
            &author(kind, nth),
            None,
            &[],
            0,
            &set(&format!("{kind} {nth}")),
        )
    };
    (0..count).map(first).collect()
}

/// An op of an author of its own that names these as deps.
fn after(nth: usize, deps: &[&Op]) -> Op {
    op(
        &author(200, nth),
        None,
        deps,
        1,
        &set(&format!("after {nth}")),
    )
}

/// A pseudorandom order that is the same in every run.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bound = u64::try_from(last + 1).unwrap();
        items.swap(last, usize::try_from(state % bound).unwrap());
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// The state hash after a delivery in which parents precede their children.
fn causal(deps: &[Op], ops: &[Op]) -> StateHash {
    let (site, _disk) = Site::redb();
    let store = site.open_as(secret(1));
    let all = deps.iter().chain(ops).map(|op| op.bytes().to_vec());
    let report = store.ingest(given(all), &Authors::Any).unwrap();
    assert_eq!(report.applied(), deps.len() + ops.len());
    store.state_hash().unwrap()
}

/// Delivers ops one by one, and then the ops that they wait for, in a random order.
fn deliver(store: &Store, reads: &Reads, ops: &[Op], mut deps: Vec<Op>) {
    let started = std::time::Instant::now();
    let names: u64 = ops.iter().map(|op| count(op.deps().len())).sum();
    for op in ops {
        let ((), read) = reads.during(|| {
            let [Outcome::Waiting { missing }] = &outcomes(&ingest(store, &[op]))[..] else {
                panic!("the op waits");
            };
            assert_eq!(*missing, op.deps()[0]);
        });
        assert!(
            read <= count(op.deps().len()) + READS_OF_AN_OP,
            "{read} reads"
        );
    }
    assert_eq!(store.pending_ops(), ops.len());
    let waited = (reads.total(), started.elapsed());
    shuffle(&mut deps);
    for dep in &deps {
        let (report, read) = reads.during(|| ingest(store, &[dep]));
        assert!(matches!(
            report.outcomes[..],
            [(_, Outcome::Applied { .. })]
        ));
        assert!(
            read <= READS_OF_AN_OP * count(report.applied()),
            "{read} reads"
        );
    }
    println!(
        "{} ops that name {names} parents: {} reads in {:?} until all waited, {} in {:?} in all",
        ops.len(),
        waited.0,
        waited.1,
        reads.total(),
        started.elapsed()
    );
    assert_eq!(store.pending_ops(), 0);
    assert_eq!(store.op_count().unwrap(), count(ops.len() + deps.len()));
    // One look-up for each parent, and none when it arrives.
    let others = READS_OF_AN_OP * count(ops.len() + deps.len());
    assert!(reads.total() <= names + others, "{} reads", reads.total());
    assert_eq!(store.state_hash().unwrap(), causal(&deps, ops));
}

#[test]
fn ops_that_miss_the_same_parents_look_up_each_once() {
    let (ops, deps) = size();
    let deps = firsts(100, deps);
    let named: Vec<&Op> = deps.iter().collect();
    let ops: Vec<Op> = (0..ops).map(|nth| after(nth, &named)).collect();
    let (store, reads) = counted(MemoryBackend::new());
    deliver(&store, &reads, &ops, deps);
}

#[test]
fn ops_that_miss_parents_of_their_own_look_up_each_once() {
    let (ops, deps) = size();
    let common = firsts(100, deps / 2);
    let own = firsts(101, ops * (deps / 2));
    let after_own = |(nth, own): (usize, &[Op])| {
        let named: Vec<&Op> = common.iter().chain(own).collect();
        after(nth, &named)
    };
    let ops: Vec<Op> = own.chunks(deps / 2).enumerate().map(after_own).collect();
    let backend = RedbBackend::on_disk(MemoryDisk::new());
    let (store, reads) = counted(backend);
    deliver(&store, &reads, &ops, [common, own].concat());
}

/// Reads of each op that is delivered while others wait for it.
fn reads_beside(pending: usize) -> Vec<u64> {
    // In this order, each dep is the first missing parent when it arrives.
    let mut deps = firsts(100, 24);
    deps.sort_by_key(Op::reference);
    let named: Vec<&Op> = deps.iter().collect();
    let (store, reads) = counted(MemoryBackend::new());
    for nth in 0..pending {
        ingest(&store, &[&after(nth, &named)]);
    }
    assert_eq!(store.pending_ops(), pending);
    let other = chain(&secret(3), 8);
    // The last dep would release all pending ops.
    let delivered = deps[..23].iter().chain(&other);
    let each = delivered.map(|op| reads.during(|| ingest(&store, &[op])).1);
    let each = each.collect();
    assert_eq!(store.pending_ops(), pending);
    each
}

#[test]
fn the_reads_of_an_op_do_not_grow_with_the_pending_ops() {
    let few = reads_beside(110);
    assert!(few.iter().all(|&reads| reads <= READS_OF_AN_OP), "{few:?}");
    assert_eq!(few, reads_beside(880));
}

#[test]
fn an_op_received_again_looks_up_no_parent() {
    let (store, reads) = counted(MemoryBackend::new());
    let mut deps = firsts(100, 64);
    deps.sort_by_key(Op::reference);
    let named: Vec<&Op> = deps.iter().collect();
    let pending = after(0, &named);
    ingest(&store, &[&pending]);
    for (nth, dep) in deps.iter().enumerate() {
        let (report, read) = reads.during(|| ingest(&store, &[&pending]));
        assert_eq!(outcomes(&report), [waiting(dep)]);
        assert!(read <= READS_OF_AN_OP, "{read} reads");
        assert_eq!(store.pending_ops(), 1);
        let report = ingest(&store, &[dep]);
        // The report names the parent that is missing now.
        let now = deps.get(nth + 1).map_or(applied(64), waiting);
        assert_eq!(report.released, [(pending.reference().id, now)]);
    }
    assert_eq!(store.pending_ops(), 0);
    assert_whole(&store);
}

#[test]
fn the_parent_that_a_report_names_is_missing_after_the_call() {
    let store = replica(1);
    let mut deps = firsts(100, 4);
    deps.sort_by_key(Op::reference);
    let named: Vec<&Op> = deps.iter().collect();
    let pending = after(0, &named);
    let report = ingest(&store, &[&pending, &deps[1], &deps[0], &deps[3]]);
    let expected = [waiting(&deps[2]), applied(0), applied(1), applied(2)];
    assert_eq!(outcomes(&report), expected);
    assert_eq!(ingest(&store, &[&deps[2]]).applied(), 2);
    assert_whole(&store);
}

/// A reference with the right id and a wrong author or sequence number names no existing op.
#[test]
fn a_reference_that_is_wrong_in_part_never_matches() {
    let store = replica(1);
    let first = op(&secret(2), None, &[], 0, &set("first"));
    let right = first.reference();
    let other_author = OpRef {
        author: secret(3).public(),
        ..right
    };
    let other_seq = OpRef { seq: 1, ..right };
    let after = |dep: OpRef, seed: u8| {
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::from_parts(NOW_MS + 1, 0).unwrap(),
            deps: vec![dep],
            payload: &set("after"),
        };
        draft.sign(&hasher(), &secret(seed)).unwrap()
    };
    let ops = [after(other_author, 4), after(other_seq, 5), after(right, 6)];
    ingest(&store, &ops.each_ref());
    let report = ingest(&store, &[&first]);
    assert_eq!(report.released, [(ops[2].reference().id, applied(1))]);
    assert_eq!(store.pending_ops(), 2);
    let again = outcomes(&ingest(&store, &ops.each_ref()));
    let missing = |missing| Outcome::Waiting { missing };
    let expected = [missing(other_author), missing(other_seq), Outcome::Known];
    assert_eq!(again, expected);
    assert_whole(&store);
}

#[test]
fn a_parent_that_is_not_earlier_rejects_the_pending_op() {
    let early = op(&secret(2), None, &[], 3, &set("early"));
    let late = op(&secret(3), None, &[], 5, &set("late"));
    let same = op(&secret(4), None, &[&early, &late], 5, &set("same"));
    let rejected = Outcome::Rejected(Rejection::ClockDidNotAdvance {
        found: same.hlc(),
        parent: late.hlc(),
        after: late.reference(),
    });
    // The same op as the last parent, as the first of two, and in the call that delivers the op.
    for order in [[&early, &late], [&late, &early]] {
        let store = replica(1);
        ingest(&store, &[&same]);
        let reports = order.map(|parent| ingest(&store, &[parent]));
        let released = reports.into_iter().flat_map(|report| report.released);
        let last: Vec<_> = released
            .filter(|(_, outcome)| matches!(outcome, Outcome::Rejected(_)))
            .collect();
        assert_eq!(last, [(same.reference().id, rejected.clone())]);
        assert_eq!(store.pending_ops(), 0);
        assert_eq!(
            outcomes(&ingest(&store, &[&same])),
            std::slice::from_ref(&rejected)
        );
        assert_whole(&store);
        let store = replica(1);
        let report = ingest(&store, &[&same, order[0], order[1]]);
        assert_eq!(
            outcomes(&report),
            [rejected.clone(), applied(0), applied(1)]
        );
        assert_eq!(store.pending_ops(), 0);
    }
}

/// A copy of a store made an op, and another author followed it. The op is lost here, and its
/// author makes it again: the next ingest applies the op that waits for it.
#[test]
fn a_local_op_releases_ops_that_wait_for_it() {
    let copy = replica(1);
    let own = append(&copy, "key", "value");
    let next = op(&secret(2), None, &[&own], 1, &set("next"));
    let store = replica(1);
    assert_eq!(outcomes(&ingest(&store, &[&next])), [waiting(&own)]);
    // This transaction is rolled back, and the op with it.
    let commands = [Ok(Command::set("key", "value")), Err(())];
    store.append_all(&mut commands.into_iter()).unwrap_err();
    assert!(ingest(&store, &[]).released.is_empty());
    assert_eq!(outcomes(&ingest(&store, &[&next])), [waiting(&own)]);
    assert_eq!(append(&store, "key", "value"), own);
    let report = ingest(&store, &[]);
    assert_eq!(report.released, [(next.reference().id, applied(1))]);
    assert_eq!(store.pending_ops(), 0);
    assert_whole(&store);
}
