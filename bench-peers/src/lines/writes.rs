//! Commits by one thread.

use lattice_backend::backend::Sharing;

use crate::data::{Key, Random, VALUE, make_log};
use crate::measure::{Line, Wanted, ratio_line, turns};
use crate::plan::Plan;
use crate::subjects::{Lattice, Raw, SameRows, Subject};

/// Entries of a log; puts against the same rows; what exclusive use changes. The puts that all
/// stores can do are in [`beside`](super::beside).
pub fn lines(plan: &Plan) -> Vec<Line> {
    let mut lines = vec![appends(plan)];
    let place = plan.place();
    let (one, other) = (
        Lattice::new(place.path(), Sharing::SingleWriter),
        SameRows::new(place.path(), "same.db"),
    );
    let sizes = (1, plan.size(4000), plan.size(1000));
    let what = "one durable put, against raw transactions of the same rows";
    let same = commits_line(plan, what, one, other, sizes, Wanted::AtLeast(0.9));
    lines.push(same);
    for (what, batch, before, commits) in [
        ("one durable put at a time, exclusive", 1, 4000, 1000),
        ("batches of 100 new keys, exclusive", 100, 300, 80),
        ("batches of 10,000, exclusive", 10_000, 10, 4),
    ] {
        let place = plan.place();
        let (one, other) = (
            Lattice::new(place.path(), Sharing::Exclusive),
            Raw::new(place.path(), Sharing::Exclusive),
        );
        let sizes = (batch, plan.size(before), plan.size(commits));
        lines.push(commits_line(plan, what, one, other, sizes, Wanted::Shown));
    }
    lines
}

fn commits_line(
    plan: &Plan,
    what: &str,
    mut one: impl Subject,
    mut other: impl Subject,
    (batch, before, commits): (usize, usize, usize),
    wanted: Wanted,
) -> Line {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for keys in random.batches(before, batch) {
        one.commit(&keys);
        other.commit(&keys);
    }
    let rounds: Vec<_> = (0..plan.rounds)
        .map(|_| random.batches(commits, batch))
        .collect();
    let name = other.name();
    let times = turns(
        plan.rounds,
        |round| rounds[round].iter().for_each(|keys| one.commit(keys)),
        |round| rounds[round].iter().for_each(|keys| other.commit(keys)),
    );
    let keys = (commits * batch) as f64;
    ratio_line(what, name, keys, "keys/s", &times, wanted)
}

/// Entries per append.
pub const ENTRIES: usize = 100;

/// Batches of 100 entries, compared with rows with ascending keys.
fn appends(plan: &Plan) -> Line {
    let place = plan.place();
    let log = make_log(&place.path().join("log.db"));
    let append = || {
        log.append_many([VALUE; ENTRIES])
            .expect("entries are written");
    };
    let raw = Raw::new(place.path(), Sharing::SingleWriter);
    let what = "log appends in batches of 100";
    appends_line(plan, what, append, raw, "raw redb", Wanted::AtLeast(2.2))
}

/// An append of a batch of entries, compared with as many rows of redb.
pub fn appends_line(
    plan: &Plan,
    what: &str,
    mut append: impl FnMut(),
    mut raw: Raw,
    against: &str,
    wanted: Wanted,
) -> Line {
    let mut nth = 0;
    let mut insert = || raw.commit(&ascending::<ENTRIES>(&mut nth));
    let (before, commits) = (plan.size(300), plan.size(80));
    for _ in 0..before {
        append();
        insert();
    }
    let times = turns(
        plan.rounds,
        |_| (0..commits).for_each(|_| append()),
        |_| (0..commits).for_each(|_| insert()),
    );
    let entries = (commits * ENTRIES) as f64;
    ratio_line(what, against, entries, "entries/s", &times, wanted)
}

/// Keys that ascend from the keys returned before.
fn ascending<const COUNT: usize>(nth: &mut u64) -> [Key; COUNT] {
    std::array::from_fn(|_| {
        *nth += 1;
        let mut key = [0; 16];
        key[8..].copy_from_slice(&nth.to_be_bytes());
        key
    })
}
