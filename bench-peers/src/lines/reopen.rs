//! Reopening for writing after the writer was killed.

use lattice_backend::backend::Sharing;
use lattice_registry::TypedStore;

use crate::data::open_kv;
use crate::lines::peek::{fill, kill_writer};
use crate::measure::{Line, Wanted, median, time, timed};
use crate::plan::Plan;

/// The writes of the process before it is killed: it has a journal then.
const WRITES: usize = 2000;

/// Stores of several sizes; the largest only in a long run.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let sizes = [("10 MB", 10), ("100 MB", 100), ("1 GB", 1000)];
    let sizes = &sizes[..if plan.long { 3 } else { 2 }];
    let line = |(size, mib): &(&str, usize)| {
        let place = plan.place();
        let file = place.path().join("state.db");
        fill(&file, plan.size(*mib));
        let figures: Vec<f64> = (0..plan.rounds)
            .map(|_| {
                kill_writer(&file, plan.size(WRITES));
                // A handle opens the file for writing with its first write.
                let (seconds, kv) = timed(|| {
                    let kv = open_kv(&file, Sharing::SingleWriter);
                    kv.put("after", "the kill").expect("it is written");
                    kv
                });
                kv.engine().close().expect("it closes");
                seconds * 1e3
            })
            .collect();
        Line {
            what: format!("reopen after a kill and put, {size}"),
            lattice: time(median(&figures) / 1e3),
            against: String::new(),
            figures,
            unit: "ms",
            wanted: Wanted::AtMost(50.0),
        }
    };
    sizes.iter().map(line).collect()
}
