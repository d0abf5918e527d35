//! The work of a key-value store for histories that one or many authors could send to make other
//! replicas work.
//!
//! `cargo test -p lattice-kvstore --test it cost -- --nocapture` shows the counts.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::clock::ManualClock;
use lattice_backend::conformance::{CostSuite, CountingBackend, Delivery, Forge, Shape};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::{Op, OpRef};
use lattice_backend::redb::RedbBackend;
use lattice_backend::storage::MemoryDisk;
use lattice_kvstore::KvMachine;

use crate::support::bytes::{TestWrite, payload};

fn run(shapes: impl IntoIterator<Item = Shape<'static>>) {
    let mut suite = CostSuite::new(KvMachine::new)
        .backend(|| Arc::new(RedbBackend::on_disk(MemoryDisk::new())));
    for shape in shapes {
        suite = suite.shape(shape);
    }
    for found in suite.run() {
        println!("{found}");
    }
}

fn key(nth: usize) -> Vec<u8> {
    format!("key {nth:08}").into_bytes()
}

fn write(key: Vec<u8>, supersedes: &[OpRef], value: Option<Vec<u8>>) -> TestWrite {
    TestWrite {
        key,
        supersedes: supersedes.iter().copied().collect(),
        value,
    }
}

fn number(nth: usize) -> u64 {
    u64::try_from(nth).unwrap()
}

/// A first op of an author with no other ops.
fn alone(forge: &mut Forge, author: usize, writes: &[TestWrite]) -> Op {
    forge.op(1_000_000 + number(author), None, &[], &payload(writes))
}

fn small_put(forge: &mut Forge, author: usize, key: Vec<u8>, supersedes: &[OpRef]) -> Op {
    alone(
        forge,
        author,
        &[write(key, supersedes, Some(b"v".to_vec()))],
    )
}

fn delivery(before: Vec<Op>, counted: Vec<Op>) -> Delivery {
    Delivery {
        before,
        counted,
        batch: 16,
    }
}

/// Ops that each supersede the values that `late` puts at 64 keys.
fn marking(forge: &mut Forge, late: &Op, marks: usize) -> Vec<Op> {
    let op = |nth| {
        let keys = (nth * 64..(nth + 1) * 64).map(key);
        let delete = |key| write(key, &[late.reference()], None);
        let writes: Vec<TestWrite> = keys.map(delete).collect();
        alone(forge, nth, &writes)
    };
    (0..marks / 64).map(op).collect()
}

#[test]
fn marks() {
    run([
        Shape::new("the op that all marks name", |forge, size| {
            let late = small_put(forge, 9_999, key(0), &[]);
            let before = marking(forge, &late, size);
            delivery(before, vec![late])
        })
        .base(512)
        .limits(24, 100),
        Shape::new("ops that leave 64 marks each", |forge, size| {
            let late = small_put(forge, 9_999, key(0), &[]);
            let counted = marking(forge, &late, 64 * size);
            delivery(Vec::new(), counted)
        })
        .base(16)
        .limits(220, 12),
        Shape::new("ops that name 64 ops that never come", |forge, size| {
            let op = |nth| {
                let ghost = |at: usize| crate::support::op_ref(7, number(64 * nth + at), 7);
                let ghosts: Vec<OpRef> = (0..64).map(ghost).collect();
                small_put(forge, nth, key(0), &ghosts)
            };
            let counted = (0..size).map(op).collect();
            delivery(Vec::new(), counted)
        })
        .base(16)
        .limits(320, 12),
    ]);
}

#[test]
fn siblings_of_one_key() {
    let siblings = |forge: &mut Forge, size: usize| -> Vec<Op> {
        (0..size)
            .map(|nth| small_put(forge, nth, key(0), &[]))
            .collect()
    };
    let remove = |forge: &mut Forge, nth: usize, op: &Op| {
        alone(
            forge,
            50_000 + nth,
            &[write(key(0), &[op.reference()], None)],
        )
    };
    run([
        Shape::new("siblings that come", move |forge, size| {
            delivery(Vec::new(), siblings(forge, size))
        })
        .base(512)
        .limits(30, 20),
        Shape::new("siblings that go, the oldest first", move |forge, size| {
            let before = siblings(forge, size);
            let ops = before.iter().enumerate();
            let counted = ops.map(|(nth, op)| remove(forge, nth, op)).collect();
            delivery(before, counted)
        })
        .base(512)
        .limits(36, 30),
        Shape::new("siblings that go, the current first", move |forge, size| {
            let before = siblings(forge, size);
            let ops = before.iter().enumerate().rev();
            let counted = ops.map(|(nth, op)| remove(forge, nth, op)).collect();
            delivery(before, counted)
        })
        .base(512)
        .limits(36, 30),
        Shape::new("puts over what all have seen", move |forge, size| {
            let first = small_put(forge, 99_999, key(0), &[]);
            let name = [first.reference()];
            let put = |nth| small_put(forge, nth, key(0), &name);
            let counted = (0..size).map(put).collect();
            delivery(vec![first], counted)
        })
        .base(512)
        .limits(32, 20),
    ]);
}

/// Values of a length at many keys; then, alternating, one op that puts small concurrent values at
/// all of them, and one that deletes just those.
fn in_turns(forge: &mut Forge, keys: usize, value_len: usize) -> Delivery {
    let value = vec![0x5a; value_len];
    let put = |nth| {
        let write = write(key(nth), &[], Some(value.clone()));
        alone(forge, nth, &[write])
    };
    let before = (0..keys).map(put).collect();
    let mut counted = Vec::new();
    for round in 0..8 {
        let writes: Vec<TestWrite> = (0..keys)
            .map(|nth| write(key(nth), &[], Some(b"small".to_vec())))
            .collect();
        let puts = alone(forge, 60_000 + round, &writes);
        let seen = [puts.reference()];
        let writes: Vec<TestWrite> = (0..keys).map(|nth| write(key(nth), &seen, None)).collect();
        let deletes = alone(forge, 70_000 + round, &writes);
        counted.extend([puts, deletes]);
    }
    Delivery {
        before,
        counted,
        batch: 1,
    }
}

#[test]
fn small_ops_over_large_values() {
    run([
        Shape::new("small ops over values of n KiB", |forge, size| {
            in_turns(forge, 64, size << 10)
        })
        .base(16)
        .limits(600, 20),
        Shape::new("small ops over values of n bytes", |forge, size| {
            in_turns(forge, 64, size)
        })
        .base(16)
        .limits(600, 20),
    ]);
}

/// Two values of a length at each key; then, alternating, one op that puts small concurrent values
/// at all keys, and one that deletes just those. The small values are current while they exist, or
/// older than the others.
fn beside_two(forge: &mut Forge, value_len: usize, is_current: bool) -> Delivery {
    const KEYS: usize = 16;
    let small = |forge: &mut Forge| -> Vec<Op> {
        let put = |nth| write(key(nth), &[], Some(b"small".to_vec()));
        let writes: Vec<TestWrite> = (0..KEYS).map(put).collect();
        let op = |round| alone(forge, round, &writes);
        (60_000..60_008).map(op).collect()
    };
    let older = if is_current { Vec::new() } else { small(forge) };
    let value = vec![0x5a; value_len];
    let put = |nth| {
        let write = write(key(nth % KEYS), &[], Some(value.clone()));
        alone(forge, nth, &[write])
    };
    let before = (0..2 * KEYS).map(put).collect();
    let puts = if is_current { small(forge) } else { older };
    let mut counted = Vec::new();
    for (round, put) in puts.into_iter().enumerate() {
        let seen = [put.reference()];
        let delete = |nth| write(key(nth), &seen, None);
        let writes: Vec<TestWrite> = (0..KEYS).map(delete).collect();
        counted.extend([put, alone(forge, 70_000 + round, &writes)]);
    }
    Delivery {
        before,
        counted,
        batch: 1,
    }
}

/// While a key keeps several values, adding or removing another one costs those nothing: neither
/// the current one, nor the one that becomes current again.
#[test]
fn small_values_beside_two_large_ones() {
    run([
        Shape::new("current values beside two of n KiB", |forge, size| {
            beside_two(forge, size << 10, true)
        })
        .base(16)
        .limits(140, 20),
        Shape::new("older values beside two of n KiB", |forge, size| {
            beside_two(forge, size << 10, false)
        })
        .base(16)
        .limits(140, 20),
    ]);
}

#[test]
fn typical_workloads_cost_little() {
    run([
        Shape::new("puts over one's own value", |forge, size| {
            let mut last: Option<Op> = None;
            let mut put = |nth: usize| {
                let seen: Vec<OpRef> = last.iter().map(Op::reference).collect();
                let write = write(key(0), &seen, Some(key(nth)));
                let op = forge.next_op(1, &payload(&[write]));
                last = Some(op.clone());
                op
            };
            let counted = (0..size).map(&mut put).collect();
            delivery(Vec::new(), counted)
        })
        .base(256)
        .limits(16, 14),
        Shape::new("batches of 100 new keys", |forge, size| {
            let op = |nth| {
                let keys = (100 * nth..100 * (nth + 1)).map(key);
                let put = |key| write(key, &[], Some(vec![7; 100]));
                let writes: Vec<TestWrite> = keys.map(put).collect();
                forge.next_op(1, &payload(&writes))
            };
            let counted = (0..size).map(op).collect();
            delivery(Vec::new(), counted)
        })
        .base(8)
        .limits(330, 8),
    ]);
}

/// Bytes read, hashed and written for each byte of the last ops, after the ops before them.
fn bytes_per_byte(forge: &Forge, before: &[Op], counted: &[Op]) -> u64 {
    let backend = CountingBackend::new(Arc::new(RedbBackend::on_disk(MemoryDisk::new())));
    let path = Path::new("state.db");
    Engine::create(&backend, path, forge.genesis(), &KvMachine::new()).unwrap();
    let mut request = OpenRequest::new(Arc::new(backend.clone()), path);
    request.clock = Arc::new(ManualClock::new(3_400_000_000_000));
    let store = Engine::open(request, KvMachine::new()).unwrap();
    let take = |ops: &[Op]| {
        let ops = ops
            .iter()
            .map(|op| Ok::<_, Infallible>(op.bytes().to_vec()));
        let report = store.ingest(ops, &Authors::Any).unwrap();
        assert!(report.is_complete(), "{:?}", report.rejected().next());
    };
    take(before);
    let (work, hashed) = (backend.work(), store.hashed().1);
    take(counted);
    let work = backend.work().since(work);
    let sent: usize = counted.iter().map(|op| op.bytes().len()).sum();
    (work.bytes_read + work.bytes_written + store.hashed().1 - hashed) / number(sent)
}

/// More ops are named, or are in cells, than the cache of stamps holds: each is looked up once per
/// op, not once for each four-byte place that names it.
#[test]
fn ops_that_are_named_at_many_keys_are_looked_up_once() {
    let named = |count: usize| {
        let mut forge = Forge::for_store(lattice_kvstore::store_type());
        let long = vec![7; 1100];
        let mut before: Vec<Op> = (0..count)
            .map(|nth| alone(&mut forge, nth, &[write(key(99), &[], Some(long.clone()))]))
            .collect();
        let refs: Vec<OpRef> = before.iter().map(Op::reference).collect();
        let keys = || (0..63).map(key);
        for author in 500_000..500_002 {
            let put = |key| write(key, &[], Some(b"v".to_vec()));
            let writes: Vec<TestWrite> = keys().map(put).collect();
            before.push(alone(&mut forge, author, &writes));
        }
        let naming: Vec<TestWrite> = keys().map(|key| write(key, &refs, None)).collect();
        before.push(alone(&mut forge, 600_000, &naming));
        let again = alone(&mut forge, 600_001, &naming);
        bytes_per_byte(&forge, &before, &[again])
    };
    let (few, many) = (named(512), named(4104));
    println!("names of siblings: {few} bytes a byte, {many}");
    assert!(many <= 30, "{few}, {many}");
}

#[test]
fn a_wrong_ref_at_many_keys_reads_none_of_their_ops() {
    let mut forge = Forge::for_store(lattice_kvstore::store_type());
    let before: Vec<Op> = (0..8192)
        .map(|nth| small_put(&mut forge, nth, key(nth), &[]))
        .collect();
    let wrong = [before[0].reference()];
    let deletes: Vec<TestWrite> = (1..8192).map(|nth| write(key(nth), &wrong, None)).collect();
    let nothing: Vec<TestWrite> = (0..8192).map(|nth| write(key(nth), &[], None)).collect();
    let ops = [
        alone(&mut forge, 600_000, &deletes),
        alone(&mut forge, 600_001, &nothing),
    ];
    let [deletes, nothing] = ops.map(|op| bytes_per_byte(&forge, &before, &[op]));
    println!("deletes that name another op: {deletes} bytes a byte; that name none: {nothing}");
    assert!(deletes <= 4 && nothing <= 2, "{deletes}, {nothing}");
}

#[test]
fn puts_beside_siblings_read_no_ops_of_the_siblings() {
    let mut forge = Forge::for_store(lattice_kvstore::store_type());
    let older = |forge: &mut Forge, author| {
        let writes: Vec<TestWrite> = (0..8192)
            .map(|nth| write(key(nth), &[], Some(Vec::new())))
            .collect();
        alone(forge, author, &writes)
    };
    let first = older(&mut forge, 700_000);
    let counted = older(&mut forge, 700_001);
    let current = (0..8192).map(|nth| small_put(&mut forge, nth, key(nth), &[]));
    let before: Vec<Op> = std::iter::once(first).chain(current).collect();
    let bytes = bytes_per_byte(&forge, &before, &[counted]);
    println!("puts beside siblings: {bytes} bytes a byte");
    assert!(bytes <= 20, "{bytes}");
}
