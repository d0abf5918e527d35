//! What the parts of a durable put cost: the limits of the figures in the same run.

use crate::data::signer;
use crate::measure::{Line, Wanted, median, time, timed};
use crate::plan::Plan;
use crate::subjects::Append;

/// The bytes of an append: about a put's.
const BYTES: usize = 4096;

/// One sync, one sequential write, one signature.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let mut control = Append::new(place.path());
    let mut sign = signer();
    let each = plan.size(300);
    let line = |what: &str, work: &mut dyn FnMut()| {
        let figures: Vec<f64> = (0..plan.rounds)
            .map(|_| timed(|| (0..each).for_each(|_| work())).0 / each as f64 * 1e6)
            .collect();
        Line {
            what: what.into(),
            lattice: time(median(&figures) / 1e6),
            against: String::new(),
            figures,
            unit: "us",
            wanted: Wanted::Shown,
        }
    };
    let mut written = std::fs::File::create(place.path().join("written")).expect("it is new");
    let content = [7; BYTES];
    vec![
        line(
            "append of 4 KiB to a preallocated file, synced",
            &mut || {
                control.append(BYTES);
            },
        ),
        line("append of 4 KiB to a file, not synced", &mut || {
            std::io::Write::write_all(&mut written, &content).expect("it is written");
        }),
        line("one op, encoded and signed", &mut sign),
    ]
}
