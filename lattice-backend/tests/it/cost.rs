//! The engine's work for histories that one or many authors could send to make other replicas work.
//!
//! `cargo test -p lattice-backend --test it cost -- --nocapture` shows the counts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::StateBackend;
use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::{CostSuite, CountingBackend, Delivery, Forge, Rng, Shape, Work};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::Depth;
use lattice_backend::op::{BranchTips, Op, OpRef};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;

use crate::registers::{Registers, payload};
use crate::support::{Store, bytes_of, given};

fn in_redb() -> Arc<dyn StateBackend> {
    Arc::new(RedbBackend::on_disk(MemoryDisk::new()))
}

fn value(nth: usize) -> Vec<u8> {
    payload(format!("key {:06}", nth % 4096).as_bytes(), b"value")
}

fn number(nth: usize) -> u64 {
    u64::try_from(nth).unwrap()
}

fn run(shapes: impl IntoIterator<Item = Shape<'static>>) {
    let mut suite = CostSuite::new(Registers::default).backend(in_redb);
    for shape in shapes {
        suite = suite.shape(shape);
    }
    for found in suite.run() {
        println!("{found}");
    }
}

/// Ops of an author that all follow the same op, or no op.
fn siblings(forge: &mut Forge, prev: Option<&Op>, count: usize) -> Vec<Op> {
    let op = |nth| forge.op(1, prev, &[], &value(nth));
    (0..count).map(op).collect()
}

fn delivery(counted: Vec<Op>) -> Delivery {
    Delivery {
        before: Vec::new(),
        counted,
        batch: 64,
    }
}

#[test]
fn chains_and_forks() {
    run([
        Shape::new("one author's chain", |forge, size| {
            delivery((0..size).map(|nth| forge.next_op(1, &value(nth))).collect())
        })
        .base(512)
        .limits(14, 12),
        Shape::new("many authors, an op each", |forge, size| {
            let op = |nth| forge.op(number(nth), None, &[], &value(nth));
            delivery((0..size).map(op).collect())
        })
        .base(512)
        .limits(18, 14),
        Shape::new("forks at sequence number 0", |forge, size| {
            delivery(siblings(forge, None, size))
        })
        .base(512)
        .limits(18, 14),
        Shape::new("forks after a chain", |forge, size| {
            let before: Vec<Op> = (0..size).map(|nth| forge.next_op(1, &value(nth))).collect();
            let counted = siblings(forge, before.last(), size);
            Delivery {
                before,
                ..delivery(counted)
            }
        })
        .base(512)
        .limits(21, 16),
        Shape::new("forks at every place of a chain", |forge, size| {
            let chain: Vec<Op> = (0..size).map(|nth| forge.next_op(1, &value(nth))).collect();
            let forks = chain
                .iter()
                .map(|prev| forge.op(1, Some(prev), &[], &value(0)));
            let counted = forks.collect();
            Delivery {
                before: chain,
                ..delivery(counted)
            }
        })
        .base(512)
        .limits(24, 16),
        Shape::new("long branches side by side", |forge, size| {
            let mut ends = siblings(forge, None, size / 32);
            let mut counted = ends.clone();
            for nth in 1..32 {
                for end in &mut ends {
                    *end = forge.op(1, Some(end), &[], &value(nth));
                    counted.push(end.clone());
                }
            }
            delivery(counted)
        })
        .base(512)
        .limits(24, 16),
    ]);
}

/// Ops that arrive before their parents.
#[test]
fn pending_ops() {
    run([
        Shape::new("a chain in reverse", |forge, size| {
            let mut counted: Vec<Op> = (0..size).map(|nth| forge.next_op(1, &value(nth))).collect();
            counted.reverse();
            delivery(counted)
        })
        .base(512)
        .limits(16, 14),
        Shape::new("1,024 deps that are there", |forge, size| {
            let (before, deps) = parents(forge, 1024);
            let op = |nth| forge.op(number(nth), None, &deps, &value(nth));
            let counted = (0..size).map(op).collect();
            Delivery {
                before,
                ..delivery(counted)
            }
        })
        .base(8)
        .limits(2500, 8),
        Shape::new("1,024 deps that are not there", |forge, size| {
            let (_, deps) = parents(forge, 1024);
            let op = |nth| forge.op(number(nth), None, &deps, &value(nth));
            Delivery {
                batch: 1,
                ..delivery((0..size).map(op).collect())
            }
        })
        .base(8)
        .limits(1100, 1),
        Shape::new("some of the deps of a pending flood", |forge, size| {
            let (mut parents, deps) = parents(forge, 128);
            let op = |nth| forge.op(number(nth), None, &deps, &value(nth));
            let before = (0..size).map(op).collect();
            parents.truncate(64);
            Delivery {
                before,
                counted: parents,
                batch: 1,
            }
        })
        .base(64)
        .limits(24, 60),
        Shape::new("a small op beside a pending flood", |forge, size| {
            let (_, deps) = parents(forge, 64);
            let op = |nth| forge.op(number(nth), None, &deps, &value(nth));
            let before = (0..size).map(op).collect();
            let small = (0..64).map(|nth| forge.next_op(9, &value(nth))).collect();
            Delivery {
                before,
                counted: small,
                batch: 1,
            }
        })
        .base(64)
        .limits(24, 60),
    ]);
}

/// First ops of this many authors, and their references in order.
fn parents(forge: &mut Forge, count: usize) -> (Vec<Op>, Vec<OpRef>) {
    let op = |nth| forge.op(1_000_000 + number(nth), None, &[], &value(nth));
    let ops: Vec<Op> = (0..count).map(op).collect();
    let mut names: Vec<OpRef> = ops.iter().map(Op::reference).collect();
    names.sort_unstable();
    (ops, names)
}

/// A store with these ops, and the backend that counts its work.
fn store(forge_genesis: &lattice_meta::Genesis, ops: &[Op]) -> (Store, Arc<CountingBackend>) {
    let backend = Arc::new(CountingBackend::new(in_redb()));
    let path = Path::new("state.db");
    Engine::create(&*backend, path, forge_genesis, &Registers::default()).unwrap();
    let store = open(&backend);
    take(&store, ops);
    (store, backend)
}

fn open(backend: &Arc<CountingBackend>) -> Store {
    let mut request = OpenRequest::new(backend.clone(), "state.db");
    request.clock = Arc::new(ManualClock::new(3_400_000_000_000));
    Engine::open(request, Registers::default()).unwrap()
}

fn take(store: &Store, ops: &[Op]) {
    let report = store.ingest(given(bytes_of(ops)), &Authors::Any).unwrap();
    assert!(report.is_complete(), "{:?}", report.rejected().next());
}

fn work<T>(backend: &CountingBackend, what: impl FnOnce() -> T) -> (Work, T) {
    let before = backend.work();
    let done = what();
    (backend.work().since(before), done)
}

fn rows(work: Work) -> u64 {
    work.rows_read + work.rows_written
}

/// Computing tips, and finding the ops that the other replica lacks: O(branches) look-ups, however
/// long the history and wherever the forks.
#[test]
fn the_cost_of_an_exchange_grows_with_the_branches_only() {
    let mut counts = Vec::new();
    for size in [500, 4000] {
        let mut forge = Forge::for_store(Registers::store_type());
        let mut ops: Vec<Op> = (0..size).map(|nth| forge.next_op(1, &value(nth))).collect();
        // An old fork, and a branch on it that is nearly as long.
        let mut end = forge.op(1, Some(&ops[0]), &[], &value(1));
        for nth in 2..size {
            let next = forge.op(1, Some(&end), &[], &value(nth));
            ops.push(std::mem::replace(&mut end, next));
        }
        ops.push(end);
        let (here, backend) = store(forge.genesis(), &ops);
        let (asked, tips) = work(&backend, || here.branch_tips().unwrap());
        assert_eq!(tips.tips.len(), 2);
        let (found, after) = work(&backend, || here.ops_after(&tips).unwrap());
        assert_eq!(after.len(), 0);
        drop(after);
        // The exchange finds and reads only the new op.
        let last = forge.next_op(1, &value(3));
        take(&here, std::slice::from_ref(&last));
        let (sent, ops) = work(&backend, || {
            let after = here.ops_after(&tips).unwrap();
            after.collect::<Result<Vec<_>, _>>().unwrap()
        });
        assert_eq!(ops, [last.bytes()]);
        // A view reads the tail of the index again, which holds only that op here: an ingest of 256
        // or more ops indexes them at once.
        counts.push([asked, found, sent].map(rows));
        println!("{size} ops: tips {asked:?}, nothing to send {found:?}, one op {sent:?}");
    }
    for (short, long) in counts[0].iter().zip(&counts[1]) {
        assert!(*long <= short + 16, "{counts:?}");
    }
}

/// The engine forgets what it cached about an author after a while, and when the store closes. To
/// read it again takes a few look-ups, however long the author's branches and however many.
#[test]
fn reading_an_author_again_costs_a_few_look_ups() {
    let first_op_after_opening = |ops: &[Op], next: &Op, forge: &Forge| {
        let (first, backend) = store(forge.genesis(), ops);
        first.close().unwrap();
        drop(first);
        let again = open(&backend);
        let (work, ()) = work(&backend, || take(&again, std::slice::from_ref(next)));
        rows(work)
    };
    let counts = [500, 4000].map(|size| {
        let mut forge = Forge::for_store(Registers::store_type());
        let chain: Vec<Op> = (0..size).map(|nth| forge.next_op(1, &value(nth))).collect();
        let next = forge.next_op(1, &value(1));
        let of_chain = first_op_after_opening(&chain, &next, &forge);
        let mut forge = Forge::for_store(Registers::store_type());
        let forks = siblings(&mut forge, None, size);
        let next = forge.op(1, Some(&forks[size / 2]), &[], &value(1));
        let of_forks = first_op_after_opening(&forks, &next, &forge);
        [of_chain, of_forks]
    });
    println!("rows for an op after opening, of a chain and of forks: {counts:?}");
    // A few more if the index is due: at most two for each op of the tail.
    for (short, long) in counts[0].iter().zip(&counts[1]) {
        assert!(*short <= 40 && *long <= short + 8, "{counts:?}");
    }
}

/// The other replica has newer ops of an author than we do, and lacks one of another author. It
/// gets that op, and at most as many ops of the first author as it is ahead.
#[test]
fn only_the_missing_ops_of_an_author_are_sent() {
    let mut forge = Forge::for_store(Registers::store_type());
    let theirs: Vec<Op> = (0..3000).map(|nth| forge.next_op(1, &value(nth))).collect();
    let ours = forge.next_op(2, &value(0));
    let (there, _) = store(forge.genesis(), &theirs);
    let tips = there.branch_tips().unwrap();
    for have in [
        0, 1, 2, 3, 1000, 2047, 2048, 2049, 2900, 2990, 2998, 2999, 3000,
    ] {
        let (here, _) = store(forge.genesis(), &theirs[..have]);
        take(&here, std::slice::from_ref(&ours));
        let sent = here.ops_after(&tips).unwrap().len();
        let ahead = theirs.len() - have;
        assert!(
            (1..=1 + ahead.saturating_sub(1)).contains(&sent),
            "{have}: {sent}"
        );
    }
}

/// A tips file stays small: for authors beyond the newest thousand it has only branch tips.
#[test]
fn tips_name_older_ops_of_the_thousand_most_recent_authors() {
    let mut forge = Forge::for_store(Registers::store_type());
    let mut ops = Vec::new();
    for author in 0..1003 {
        ops.extend([
            forge.next_op(author, &value(0)),
            forge.next_op(author, &value(1)),
        ]);
    }
    // The first author writes once more, and so is among the newest.
    ops.push(forge.next_op(0, &value(2)));
    let (store, _) = store(forge.genesis(), &ops);
    let tips = store.branch_tips().unwrap();
    assert_eq!(tips.tips.len(), 1003);
    let located: BTreeSet<_> = tips.earlier.iter().map(|op| op.author).collect();
    assert_eq!(located.len(), 1000);
    assert!(located.contains(&Forge::author(0)));
    for author in 1..4 {
        assert!(!located.contains(&Forge::author(author)), "{author}");
    }
    // The earlier ops are one and two places before the end.
    let of_first: Vec<u64> = (tips.earlier.iter())
        .filter(|op| op.author == Forge::author(0))
        .map(|op| op.seq)
        .collect();
    assert_eq!(of_first, [0, 1]);
}

/// The same with forks, compared with the definition: no missing op is left out, and of each branch
/// fewer ops are resent than the other replica is ahead on it.
#[test]
fn forks_resend_no_more_ops_than_chains() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut forge = Forge::for_store(Registers::store_type());
        let mut ops = Vec::<Op>::new();
        for nth in 0..80 {
            let author = number(rng.below(2));
            let own = ops
                .iter()
                .filter(|op| op.reference().author == Forge::author(author));
            let own: Vec<&Op> = own.collect();
            let prev = match rng.below(12) {
                0 => None,
                1 => rng.pick(&own).copied(),
                _ => own.last().copied(),
            };
            let op = forge.op(author, prev, &[], &value(nth));
            ops.push(op);
        }
        let part = |rng: &mut Rng| -> Vec<Op> {
            // A causally closed set: prefixes of some chains.
            let mut has = BTreeSet::new();
            let leave_out = 1 + rng.below(6);
            for op in &ops {
                let after_what_is_there = op.prev().is_none_or(|prev| has.contains(&prev));
                if after_what_is_there && !rng.one_in(20 / leave_out) {
                    has.insert(op.reference());
                }
            }
            ops.iter()
                .filter(|op| has.contains(&op.reference()))
                .cloned()
                .collect()
        };
        let (of_here, of_there) = (part(&mut rng), part(&mut rng));
        let (here, _) = store(forge.genesis(), &of_here);
        let (there, _) = store(forge.genesis(), &of_there);
        let names = |ops: &[Op]| -> BTreeSet<OpRef> { ops.iter().map(Op::reference).collect() };
        let (has_here, has_there) = (names(&of_here), names(&of_there));
        let missing: Vec<_> = has_here.difference(&has_there).collect();
        let ahead = has_there.difference(&has_here).count();
        let sent = here.ops_after(&there.branch_tips().unwrap()).unwrap();
        let sent: Vec<Vec<u8>> = sent.collect::<Result<_, _>>().unwrap();
        assert!(sent.len() <= missing.len() + ahead, "seed {seed}");
        let before = there.op_count().unwrap();
        let report = there.ingest(given(sent), &Authors::Any).unwrap();
        assert!(report.is_complete(), "seed {seed}: {report:?}");
        let gained = there.op_count().unwrap() - before;
        assert_eq!(gained, number(missing.len()), "seed {seed}");
    }
}

/// Verifying forks reads and writes a few rows more for each op than verifying a chain, however
/// many there are.
#[test]
fn verifying_forks_costs_no_more_than_verifying_a_chain() {
    let verify = |ops: &dyn Fn(&mut Forge) -> Vec<Op>| {
        let mut forge = Forge::for_store(Registers::store_type());
        let ops = ops(&mut forge);
        let (store, backend) = store(forge.genesis(), &ops);
        let (work, verified) = work(&backend, || {
            store
                .verify(Depth::Full, &*backend, &ProgressSink::default())
                .unwrap()
        });
        assert!(verified.is_ok(), "{:?}", verified.findings);
        rows(work) / number(ops.len())
    };
    let chain = verify(&|forge| (0..2000).map(|nth| forge.next_op(1, &value(nth))).collect());
    let [few, forks] = [500, 2000].map(|count| verify(&|forge| siblings(forge, None, count)));
    println!("rows an op: {chain} for a chain, {few} for 500 forks, {forks} for 2,000");
    assert!(forks <= few + 1, "{few}, {forks}");
    assert!(forks <= chain + 8, "{chain}, {forks}");
}

/// A slow reader of ops holds no snapshot: it does not make the file grow.
#[test]
fn a_slow_reader_of_ops_holds_no_snapshot() {
    let mut forge = Forge::for_store(Registers::store_type());
    let ops: Vec<Op> = (0..3000).map(|nth| forge.next_op(1, &value(nth))).collect();
    let (store, _) = store(forge.genesis(), &ops);
    let mut after = store.ops_after(&BranchTips::default()).unwrap();
    assert_eq!(after.next().unwrap().unwrap(), ops[0].bytes());
    // Compaction is refused while a snapshot exists.
    store.compact(&ProgressSink::none()).unwrap();
    let more: Vec<Op> = (0..300).map(|nth| forge.next_op(1, &value(nth))).collect();
    take(&store, &more);
    assert_eq!(after.len(), 2999);
    let rest: Vec<Vec<u8>> = after.collect::<Result<_, _>>().unwrap();
    let expected: Vec<&[u8]> = ops[1..].iter().map(Op::bytes).collect();
    assert!(rest.iter().eq(expected.iter()), "those of the beginning");
}
