//! Bytes on disk, after compacting.

use lattice_backend::backend::Sharing;
use lattice_backend::progress::ProgressSink;
use lattice_registry::StoreHandle;

use crate::data::{Random, VALUE, make_kv, put};
use crate::measure::{Line, Wanted, number};
use crate::plan::Plan;

/// Single puts, and batches of 100.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let single = bytes_a_key(plan, plan.size(20_000), 1);
    let batched = bytes_a_key(plan, plan.size(2_000), 100);
    let payload = (16 + VALUE.len()) as f64;
    let line = |what: &str, bytes: f64, figure: f64, unit, most| Line {
        what: what.into(),
        lattice: format!("{} bytes a key", number(bytes)),
        against: format!("{payload} bytes of payload a key"),
        figures: vec![figure],
        unit,
        wanted: Wanted::AtMost(most),
    };
    vec![
        line(
            "bytes on disk, single puts",
            single,
            single,
            "bytes an op",
            1200.0,
        ),
        line(
            "bytes on disk, batches of 100",
            batched,
            batched / payload,
            "times the payload",
            2.5,
        ),
    ]
}

fn bytes_a_key(plan: &Plan, commits: usize, batch: usize) -> f64 {
    let place = plan.place();
    let file = place.path().join("state.db");
    let kv = make_kv(&file, Sharing::SingleWriter);
    let keys = Random(0x9e37_79b9_7f4a_7c15).batches(commits, batch);
    put(&kv, &keys);
    StoreHandle::compact(&kv, &ProgressSink::none()).expect("no snapshot is open");
    StoreHandle::close(&kv).expect("it closes");
    let bytes = std::fs::metadata(&file).expect("it is there").len();
    bytes as f64 / (commits * batch) as f64
}
