//! The same operations on other stores, compared with raw redb.

use lattice_backend::backend::Sharing;

use crate::data::{Key, Random};
use crate::measure::{Line, Wanted, median, number, timed};
use crate::plan::Plan;
use crate::subjects::{Fjall, Iroh, Lattice, Raw, Sqlite, Subject};

/// Puts, batches, gets and scans; every subject once per round.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let mut subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(Raw::new(place.path(), Sharing::SingleWriter)),
        Box::new(Lattice::new(place.path(), Sharing::SingleWriter)),
        Box::new(Sqlite::new(place.path())),
        Box::new(Fjall::new(place.path())),
        Box::new(Iroh::new(place.path())),
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut lines = Vec::new();
    let mut written: Vec<Key> = Vec::new();
    for (what, batch, commits) in [
        ("batches of 10,000", 10_000, 3),
        ("batches of 100", 100, 60),
        ("put", 1, 500),
    ] {
        let commits = plan.size(commits);
        let mut times = vec![Vec::new(); subjects.len()];
        for round in 0..plan.rounds {
            let batches = random.batches(commits, batch);
            for nth in order(round, subjects.len()) {
                let write = || batches.iter().for_each(|keys| subjects[nth].commit(keys));
                times[nth].push(timed(write).0);
            }
            written.extend(batches.into_iter().flatten());
        }
        add(
            &mut lines,
            what,
            (commits * batch) as f64,
            "keys/s",
            &subjects,
            &times,
        );
    }
    let gets = plan.size(20_000);
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..plan.rounds {
        let keys: Vec<Key> = (0..gets)
            .map(|_| written[random.below(written.len())])
            .collect();
        for nth in order(round, subjects.len()) {
            let read = || {
                keys.iter()
                    .for_each(|key| assert_eq!(subjects[nth].get(key), 100))
            };
            times[nth].push(timed(read).0);
        }
    }
    add(&mut lines, "get", gets as f64, "gets/s", &subjects, &times);
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..plan.rounds.min(5) {
        for nth in order(round, subjects.len()) {
            times[nth].push(timed(|| assert_eq!(subjects[nth].scan(), written.len())).0);
        }
    }
    add(
        &mut lines,
        "scan",
        written.len() as f64,
        "keys/s",
        &subjects,
        &times,
    );
    lines
}

/// The order of the subjects in a round, rotated so that each comes first in turn.
fn order(round: usize, subjects: usize) -> impl Iterator<Item = usize> {
    (0..subjects).map(move |nth| (nth + round) % subjects)
}

fn add(
    lines: &mut Vec<Line>,
    what: &str,
    work: f64,
    unit: &str,
    subjects: &[Box<dyn Subject>],
    times: &[Vec<f64>],
) {
    let raw = &times[0];
    for (subject, times) in subjects.iter().zip(times).skip(1) {
        lines.push(Line {
            what: format!("{what}: {}", subject.name()),
            lattice: format!("{} {unit}", number(work / median(times))),
            against: format!("raw redb: {} {unit}", number(work / median(raw))),
            figures: raw
                .iter()
                .zip(times)
                .map(|(raw, time)| raw / time)
                .collect(),
            unit: "",
            wanted: Wanted::Shown,
        });
    }
}
