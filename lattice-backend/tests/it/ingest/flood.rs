//! A peer that sends more ops than the store keeps pending.

use std::time::Instant;

use lattice_backend::op::SecretKey;

use super::*;

/// Ops of the flood; `LATTICE_FLOOD_OPS` overrides the number, e.g. with a million.
fn flood_ops() -> usize {
    let few = MAX_PENDING_OPS + 2000;
    std::env::var("LATTICE_FLOOD_OPS").map_or(few, |text| text.parse().unwrap())
}

/// The peak memory of this process, in MiB; `None` where the system does not report it.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// An op that waits for one that no replica has.
fn hopeless(author: &SecretKey, missing: &Op, nth: usize) -> Vec<u8> {
    op(author, None, &[missing], 1, &nth.to_le_bytes())
        .bytes()
        .to_vec()
}

/// Ops of one author, and then one op of each of many authors: neither evicts the pending ops of an
/// author with applied ops, and this node can still write.
#[test]
fn stays_within_its_bound_and_evicts_no_ops_of_known_authors() {
    let (site, _disk) = Site::redb();
    let store = site.open_as(secret(1));
    let modest = chain(&secret(2), 3);
    assert_eq!(ingest(&store, &[&modest[0]]).applied(), 1);
    ingest(&store, &[&modest[2]]);
    let missing = op(&secret(4), None, &[], 0, &set("nobody has this"));
    let hostile = secret(3);

    // As many as can be pending, then one more.
    let room = MAX_PENDING_OPS - 1;
    let flood = (0..room).map(|nth| hopeless(&hostile, &missing, nth));
    let report = store.ingest(given(flood), &Authors::Any).unwrap();
    assert!(report.evicted.is_empty());
    assert_eq!(store.pending_ops(), MAX_PENDING_OPS);
    let one_more = hopeless(&hostile, &missing, room);
    let report = store.ingest(given([one_more]), &Authors::Any);
    assert_eq!(report.unwrap().evicted.len(), 1);
    assert_eq!(store.pending_ops(), MAX_PENDING_OPS);

    let left = flood_ops().saturating_sub(MAX_PENDING_OPS);
    let made = |nth: usize| {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&nth.to_le_bytes());
        // Every other op is of an unknown author.
        match nth % 2 {
            0 => hopeless(&SecretKey::from_bytes(&seed), &missing, nth),
            _ => hopeless(&hostile, &missing, nth),
        }
    };
    let started = Instant::now();
    let (flooded, writes) = std::thread::scope(|threads| {
        let store = &store;
        let flood = threads.spawn(move || {
            for first in (0..left).step_by(4096) {
                let ops = (first..left.min(first + 4096)).map(made);
                store.ingest(given(ops), &Authors::Any).unwrap();
                assert!(store.pending_ops() <= MAX_PENDING_OPS);
            }
        });
        let mut writes = 0_u32;
        while !flood.is_finished() {
            append(store, "while it rains", "cats");
            writes += 1;
        }
        (flood.join(), writes)
    });
    flooded.unwrap();
    println!(
        "{left} ops more than fit in {:.1} s, {writes} writes meanwhile, {:?} MiB at the most",
        started.elapsed().as_secs_f64(),
        peak_memory_mib()
    );
    assert!(writes > 5, "{writes} writes were made beside the flood");
    assert_eq!(store.pending_ops(), MAX_PENDING_OPS);
    // Pending ops take 64 MiB; indexes and this test's own ops come on top.
    if let Some(peak) = peak_memory_mib() {
        assert!(peak < 600, "{peak} MiB");
    }
    // The modest author's op was pending all the time.
    assert_eq!(ingest(&store, &[&modest[1]]).applied(), 2);
}
