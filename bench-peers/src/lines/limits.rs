//! The limits of the backend: the rows that Lattice writes, written by redb alone.

use lattice_backend::backend::Sharing;

use super::writes::{ENTRIES, appends_line};
use crate::data::Random;
use crate::measure::{Line, Wanted, ratio_line, turns};
use crate::plan::Plan;
use crate::subjects::{Raw, SameOp, SameRows, Subject};

/// The number of puts in a shared commit.
const SHARED: usize = 16;

/// Sixteen puts per commit compared with one, for bare rows and for Lattice's rows; the rows of
/// appends compared with bare ones.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let dirs = ["many", "one"].map(|name| place.path().join(name));
    for dir in &dirs {
        std::fs::create_dir(dir).expect("it is new");
    }
    let raw = |dir| Raw::new(dir, Sharing::SingleWriter);
    let same = |dir| SameRows::new(dir, "same.db");
    let [many, one] = &dirs;
    vec![
        shared(plan, "sixteen random rows a commit", [raw(many), raw(one)]),
        shared(
            plan,
            "sixteen puts a commit, the same rows",
            [same(many), same(one)],
        ),
        appends(plan),
    ]
}

/// Keys in commits of sixteen, compared with as many keys in commits of one.
fn shared(plan: &Plan, what: &str, [mut many, mut one]: [impl Subject; 2]) -> Line {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for keys in random.batches(plan.size(4000) / SHARED, SHARED) {
        many.commit(&keys);
        one.commit(&keys);
    }
    let commits = plan.size(60);
    let rounds: Vec<_> = (0..plan.rounds)
        .map(|_| random.batches(commits, SHARED))
        .collect();
    let times = turns(
        plan.rounds,
        |round| rounds[round].iter().for_each(|keys| many.commit(keys)),
        |round| {
            let keys = rounds[round].iter().flatten();
            keys.for_each(|key| one.commit(std::slice::from_ref(key)));
        },
    );
    let keys = (commits * SHARED) as f64;
    ratio_line(what, "one a commit", keys, "keys/s", &times, Wanted::Shown)
}

/// The rows of appends of 100 entries, compared with as many bare rows.
fn appends(plan: &Plan) -> Line {
    let place = plan.place();
    let mut same = SameRows::new(place.path(), "same.db");
    let mut nth = 0;
    let append = || {
        nth += 1;
        same.write(&[SameOp::append(nth, ENTRIES)]);
    };
    let raw = Raw::new(place.path(), Sharing::SingleWriter);
    let what = "log appends in batches of 100, the same rows";
    appends_line(plan, what, append, raw, "a row an entry", Wanted::Shown)
}
