//! Many threads, each with one durable put at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lattice_backend::backend::Sharing;
use lattice_kvstore::KvStore;

use crate::data::{Random, VALUE, make_memory_kv};
use crate::measure::{Line, Wanted, median, number};
use crate::plan::Plan;
use crate::subjects::Lattice;

const THREADS: u64 = 16;

/// The share of the rate without a disk, and the multiple of the rate of one thread, of which the
/// lesser is wanted.
const OF_MEMORY: f64 = 0.85;
const OF_ONE: f64 = 14.0;

/// Sixteen threads, compared with one, and with sixteen that write to memory.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let Lattice(kv) = Lattice::new(place.path(), Sharing::SingleWriter);
    let time = Duration::from_millis(u64::try_from(plan.size(700)).expect("it fits"));
    puts(&kv, 1, time);
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..plan.rounds {
        // A new store in memory for each round: it grows by more than the one on disk.
        let memory = make_memory_kv();
        let measured = [(&kv, 1), (&kv, THREADS), (&memory, THREADS)];
        for nth in (0..3).map(|nth| (nth + round) % 3) {
            let (kv, threads) = measured[nth];
            rates[nth].push(puts(kv, threads, time));
        }
    }
    let [one, many, memory] = rates;
    let rate = |rates: &[f64]| format!("{} puts/s", number(median(rates)));
    let limit = |(one, memory): (&f64, &f64)| (one * OF_ONE).min(memory * OF_MEMORY);
    let limits: Vec<f64> = one.iter().zip(&memory).map(limit).collect();
    let line = |what: &str, against: String, limits: &[f64], wanted| Line {
        what: what.into(),
        lattice: rate(&many),
        against,
        figures: many
            .iter()
            .zip(limits)
            .map(|(many, limit)| many / limit)
            .collect(),
        unit: "",
        wanted,
    };
    vec![
        line(
            "16 threads, one durable put each at a time",
            format!("one thread: {}", rate(&one)),
            &one,
            Wanted::Shown,
        ),
        line(
            "16 threads, one durable put each at a time",
            format!("without a disk: {}", rate(&memory)),
            &memory,
            Wanted::Shown,
        ),
        line(
            "16 threads, one durable put each at a time",
            format!(
                "the lesser of {OF_ONE} of one thread and {OF_MEMORY} of without a disk: {}",
                rate(&limits)
            ),
            &limits,
            Wanted::AtLeast(1.0),
        ),
    ]
}

/// Puts per second.
fn puts(kv: &KvStore, threads: u64, time: Duration) -> f64 {
    let (done, started) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (done, seed) = (&done, u64::from(started.elapsed().subsec_nanos()) + 1);
            scope.spawn(move || {
                let mut random = Random((seed << 20) ^ (thread << 50) ^ 0x9e37_79b9);
                while started.elapsed() < time {
                    kv.put(random.key(), VALUE).expect("a key is put");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner() as f64 / started.elapsed().as_secs_f64()
}
