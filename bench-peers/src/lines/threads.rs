//! Many threads, each with one durable put at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lattice_backend::backend::Sharing;
use lattice_kvstore::KvStore;

use crate::data::{Random, VALUE};
use crate::measure::{Line, Wanted, median, number};
use crate::plan::Plan;
use crate::subjects::Lattice;

const THREADS: u64 = 16;

/// Sixteen threads, compared with one.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let Lattice(kv) = Lattice::new(place.path(), Sharing::SingleWriter);
    let time = Duration::from_millis(u64::try_from(plan.size(700)).expect("it fits"));
    puts(&kv, 1, time);
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        if round % 2 == 0 {
            one.push(puts(&kv, 1, time));
            many.push(puts(&kv, THREADS, time));
        } else {
            many.push(puts(&kv, THREADS, time));
            one.push(puts(&kv, 1, time));
        }
    }
    vec![Line {
        what: "16 threads, one durable put each at a time".into(),
        lattice: format!("{} puts/s", number(median(&many))),
        against: format!("one thread: {} puts/s", number(median(&one))),
        figures: many
            .iter()
            .zip(&one)
            .map(|(many, one)| many / one)
            .collect(),
        unit: "",
        wanted: Wanted::AtLeast(6.0),
    }]
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
