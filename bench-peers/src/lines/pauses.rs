//! Puts at full speed for a long time: how even they are.

use std::path::Path;
use std::time::{Duration, Instant};

use lattice_backend::backend::Sharing;

use crate::data::{Key, Random};
use crate::lines::peek::fill;
use crate::measure::{Line, Wanted, greatest, median, quantile, time, timed};
use crate::plan::Plan;
use crate::subjects::{Append, Lattice, Subject};

/// What a pause may be longer than the control's longest.
const LONGER_MS: f64 = 20.0;

/// Puts in turns with the control. A long run takes ten minutes of puts on a store of 1 GB.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let (seconds, mib) = match plan.long {
        true => (600, 1000),
        false => (20, 10),
    };
    let turn = Duration::from_secs(plan.size(seconds).try_into().expect("it fits"));
    let turn = turn / u32::try_from(plan.rounds).expect("it fits");
    let mut lattice = lattice_of(place.path(), plan.size(mib));
    let mut control = Append::new(place.path());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut puts, mut appends) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        for nth in [round % 2, (round + 1) % 2] {
            match nth {
                0 => puts.push(waits(&mut lattice, turn, &mut random)),
                _ => appends.push(waits(&mut control, turn, &mut random)),
            }
        }
    }
    let of = |rounds: &[Vec<f64>], figure: fn(&[f64]) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| figure(round)).collect()
    };
    let p99 = |waits: &[f64]| quantile(waits, 99, 100);
    let spread = |waits: &[f64]| quantile(waits, 99, 100) / median(waits);
    let [longest, longest_append] = [&puts, &appends].map(|rounds| greatest(&of(rounds, greatest)));
    vec![
        Line {
            what: "puts at full speed, the 99th of 100".into(),
            lattice: time(median(&of(&puts, p99))),
            against: format!("the median: {}", time(median(&of(&puts, median)))),
            figures: of(&puts, spread),
            unit: "",
            wanted: Wanted::AtMost(4.0),
        },
        Line {
            what: "puts at full speed, the longest of all".into(),
            lattice: time(longest),
            against: format!("the longest append and sync: {}", time(longest_append)),
            figures: vec![(longest - longest_append) * 1e3],
            unit: "ms more",
            wanted: Wanted::AtMost(LONGER_MS),
        },
    ]
}

fn lattice_of(dir: &Path, mib: usize) -> Lattice {
    let file = dir.join("lattice.db");
    fill(&file, mib);
    Lattice(crate::data::open_kv(&file, Sharing::SingleWriter))
}

/// The seconds of each put in a turn.
fn waits(subject: &mut dyn Subject, turn: Duration, random: &mut Random) -> Vec<f64> {
    let began = Instant::now();
    let mut waits = Vec::new();
    while began.elapsed() < turn || waits.is_empty() {
        let key: Key = random.key();
        waits.push(timed(|| subject.commit(&[key])).0);
    }
    waits
}
