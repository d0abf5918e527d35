//! The `lattice` program as a process.

use std::process::{Command, Stdio};

use crate::measure::{Line, Wanted, median, time, timed};
use crate::plan::Plan;

const RUNS: usize = 60;

/// `lattice peek` and `lattice put`, from process start to exit.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let Some(program) = &plan.program else {
        return Vec::new();
    };
    let place = plan.place();
    let run = |words: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(place.path()).args(words);
        command.stdout(Stdio::null()).status().expect("it starts")
    };
    assert!(run(&["create", "core:kvstore", "--alias", "kv"]).success());
    let line = |words: &[&str], wanted| {
        let figures: Vec<f64> = (0..plan.rounds)
            .map(|_| {
                let seconds: Vec<f64> = (0..plan.size(RUNS))
                    .map(|_| timed(|| assert!(run(words).success())).0)
                    .collect();
                median(&seconds) * 1e3
            })
            .collect();
        Line {
            what: format!("`lattice {}` as a process", words[0]),
            lattice: time(median(&figures) / 1e3),
            against: String::new(),
            figures,
            unit: "ms",
            wanted,
        }
    };
    vec![
        line(&["peek", "kv"], Wanted::AtMost(10.0)),
        line(&["put", "kv", "key", "value"], Wanted::AsBefore),
    ]
}
