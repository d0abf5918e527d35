//! The same operations on all stores, in turns: the first table of the report.

use lattice_backend::backend::Sharing;

use crate::data::{Key, Random};
use crate::measure::{Line, Wanted, median, number, quantile, time, timed};
use crate::plan::Plan;
use crate::subjects::{Append, Fjall, Iroh, Lattice, Raw, Sqlite, Subject};

/// The results of all stores.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The names of the stores.
    pub stores: Vec<&'static str>,
    /// The results, and what each operation was.
    pub rows: Vec<(String, Vec<String>)>,
    /// Lattice compared with others.
    pub lines: Vec<Line>,
}

/// Batches, how many of them in a round, and the least ratios to reach.
type Batches = (&'static str, usize, usize, &'static [(&'static str, f64)]);

/// The largest come first, so that single puts find files of some size.
const WRITES: [Batches; 4] = [
    ("batches of 10,000", 10_000, 3, &[(RAW, 0.8), (SQLITE, 1.0)]),
    ("batches of 1,000", 1000, 10, &[(RAW, 1.2), (SQLITE, 1.0)]),
    ("batches of 100", 100, 60, &[(RAW, 2.2), (SQLITE, 1.7)]),
    (
        "one durable put at a time",
        1,
        500,
        &[(CONTROL, 0.7), (RAW, 1.8), (SQLITE, 0.75)],
    ),
];
const GET: &[(&str, f64)] = &[(RAW, 2.5), (SQLITE, 1.5)];
const SCAN: &[(&str, f64)] = &[(RAW, 0.8)];

const CONTROL: &str = "append and sync";
const RAW: &str = "raw redb";
const SQLITE: &str = "SQLite";
const LATTICE: &str = "Lattice";

struct Stores {
    subjects: Vec<Box<dyn Subject>>,
    results: Beside,
}

impl Stores {
    fn new(place: &std::path::Path) -> Self {
        let subjects: Vec<Box<dyn Subject>> = vec![
            Box::new(Lattice::new(place, Sharing::SingleWriter)),
            Box::new(Raw::new(place, Sharing::SingleWriter)),
            Box::new(Sqlite::new(place)),
            Box::new(Fjall::new(place)),
            Box::new(Iroh::new(place)),
            Box::new(Append::new(place)),
        ];
        let results = Beside {
            stores: subjects.iter().map(|subject| subject.name()).collect(),
            ..Beside::default()
        };
        Self { subjects, results }
    }

    /// Calls `work` for each store that it is for, once a round, and returns the seconds of each.
    fn rounds(
        &mut self,
        rounds: usize,
        reading: bool,
        mut work: impl FnMut(usize, &mut dyn Subject) -> f64,
    ) -> Vec<Vec<f64>> {
        let count = self.subjects.len();
        let mut seconds = vec![Vec::new(); count];
        for round in 0..rounds {
            // Each store comes first in turn.
            for nth in (0..count).map(|nth| (nth + round) % count) {
                let subject = &mut self.subjects[nth];
                if !reading || subject.reads() {
                    seconds[nth].push(work(round, subject.as_mut()));
                }
            }
        }
        seconds
    }

    /// A row of rates, and a line for each goal.
    fn add(
        &mut self,
        what: &str,
        (work, unit): (f64, &str),
        seconds: &[Vec<f64>],
        goals: &[(&str, f64)],
    ) {
        let rate = |seconds: &Vec<f64>| number(work / median(seconds));
        let rates = seconds.iter().map(|seconds| match seconds.is_empty() {
            true => String::new(),
            false => rate(seconds),
        });
        let row = (format!("{what}, {unit}"), rates.collect());
        self.results.rows.push(row);
        let of = |name: &str| {
            let nth = self.results.stores.iter().position(|store| *store == name);
            &seconds[nth.expect("a store of that name")]
        };
        let lattice = of(LATTICE);
        for (other, least) in goals {
            let line = Line {
                what: what.into(),
                lattice: format!("{} {unit}", rate(lattice)),
                against: format!("{other}: {} {unit}", rate(of(other))),
                figures: of(other)
                    .iter()
                    .zip(lattice)
                    .map(|(other, one)| other / one)
                    .collect(),
                unit: "",
                wanted: Wanted::AtLeast(*least),
            };
            self.results.lines.push(line);
        }
    }
}

/// Puts, batches, gets and scans; every store once per round.
pub fn all(plan: &Plan) -> Beside {
    let place = plan.place();
    let mut stores = Stores::new(place.path());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut written: Vec<Key> = Vec::new();
    for (what, batch, commits, goals) in WRITES {
        let commits = plan.size(commits);
        let rounds: Vec<Vec<Vec<Key>>> = (0..plan.rounds)
            .map(|_| random.batches(commits, batch))
            .collect();
        let mut waits = vec![Vec::new(); stores.subjects.len()];
        let names = stores.results.stores.clone();
        let seconds = stores.rounds(plan.rounds, false, |round, subject| {
            let each = rounds[round]
                .iter()
                .map(|keys| timed(|| subject.commit(keys)).0);
            let each: Vec<f64> = each.collect();
            let nth = names.iter().position(|name| *name == subject.name());
            waits[nth.expect("it has a name")].push(quantile(&each, 99, 100));
            each.iter().sum()
        });
        let keys = (commits * batch) as f64;
        stores.add(what, (keys, "keys/s"), &seconds, goals);
        if batch == 1 {
            let waits = waits.iter().map(|waits| time(median(waits))).collect();
            let row = ("one durable put, 99th of 100".to_owned(), waits);
            stores.results.rows.push(row);
        }
        written.extend(rounds.into_iter().flatten().flatten());
    }
    let gets = plan.size(20_000);
    let rounds: Vec<Vec<Key>> = (0..plan.rounds)
        .map(|_| {
            (0..gets)
                .map(|_| written[random.below(written.len())])
                .collect()
        })
        .collect();
    let seconds = stores.rounds(plan.rounds, true, |round, subject| {
        let read = || {
            let keys = rounds[round].iter();
            keys.for_each(|key| assert_eq!(subject.get(key), 100));
        };
        timed(read).0
    });
    stores.add("get", (gets as f64, "gets/s"), &seconds, GET);
    let seconds = stores.rounds(plan.rounds, true, |_, subject| {
        timed(|| assert_eq!(subject.scan(), written.len())).0
    });
    let keys = written.len() as f64;
    stores.add("scan", (keys, "keys/s"), &seconds, SCAN);
    stores.results
}
