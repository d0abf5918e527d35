//! Opening a store for writing.

use lattice_backend::backend::Sharing;

use crate::data::{CACHE_BYTES, Random, make_kv, open_kv, put_ops};
use crate::measure::{Line, Wanted, median, number, time, timed, turns};
use crate::plan::Plan;

const OPENS: usize = 10;

/// A store of a million ops, compared with raw redb's open of the same file.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let file = place.path().join("state.db");
    let ops = plan.size(1_000_000);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let kv = make_kv(&file, Sharing::SingleWriter);
    let mut left = ops;
    while left > 0 {
        let some = left.min(50_000);
        put_ops(&kv, (0..some).map(|_| random.key()));
        left -= some;
    }
    drop(kv);
    let times = turns(
        plan.rounds,
        |_| (0..OPENS).for_each(|_| drop(open_kv(&file, Sharing::SingleWriter))),
        |_| (0..OPENS).for_each(|_| raw_open(&file)),
    );
    let each = |seconds: Vec<f64>| time(median(&seconds) / OPENS as f64);
    vec![Line {
        what: format!("open for writing and close, {} ops", number(ops as f64)),
        lattice: each(times.iter().map(|(one, _)| *one).collect()),
        against: format!(
            "raw redb, the same file: {}",
            each(times.iter().map(|(_, other)| *other).collect())
        ),
        figures: times
            .iter()
            .map(|(one, other)| (one - other) / OPENS as f64 * 1e3)
            .collect(),
        unit: "ms more",
        wanted: Wanted::AtMost(1.0),
    }]
}

fn raw_open(file: &std::path::Path) {
    let database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_concurrency_mode(redb::ConcurrencyMode::SingleWriter)
        .open(file)
        .expect("it opens");
    drop(database);
}

/// Seconds of one open and close.
pub fn open_seconds(file: &std::path::Path) -> f64 {
    timed(|| drop(open_kv(file, Sharing::SingleWriter))).0
}
