//! Gets and scans of a million keys.

use std::ops::ControlFlow;

use lattice_backend::backend::{Direction, Sharing};
use lattice_registry::TypedStore;
use redb::ReadableDatabase;

use crate::data::{Key, Random, fill_overlay, look, make_kv, open_kv, put};
use crate::measure::{Line, Wanted, number, prepared_turns, ratio_line, turns};
use crate::plan::Plan;
use crate::subjects::{Lattice, ROWS, Raw, Subject};

/// Gets through a handle and through a snapshot; scans with and without copies; reads through an
/// overlay.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let mut lattice = Lattice::new(place.path(), Sharing::SingleWriter);
    let mut raw = Raw::new(place.path(), Sharing::SingleWriter);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let batches = random.batches(plan.size(100), 10_000);
    for keys in &batches {
        lattice.commit(keys);
        raw.commit(keys);
    }
    let keys: Vec<Key> = batches.iter().flatten().copied().collect();
    let gets = plan.size(100_000);
    let rounds: Vec<Vec<Key>> = (0..plan.rounds)
        .map(|_| {
            let mut pick = || keys[random.below(keys.len())];
            (0..gets).map(|_| pick()).collect()
        })
        .collect();
    let mut lines = Vec::new();

    let times = turns(
        plan.rounds,
        |round| {
            rounds[round]
                .iter()
                .for_each(|key| assert_eq!(lattice.get(key), 100))
        },
        |round| {
            rounds[round]
                .iter()
                .for_each(|key| assert_eq!(raw.get(key), 100))
        },
    );
    let against = "raw redb, transaction and table opened each time";
    let what = "get through a handle";
    lines.push(ratio_line(
        what,
        against,
        gets as f64,
        "gets/s",
        &times,
        Wanted::AtLeast(2.5),
    ));

    let snapshot = lattice.0.snapshot().expect("it reads");
    let tx = raw.0.begin_read().expect("it reads");
    let table = tx.open_table(ROWS).expect("a table");
    let times = turns(
        plan.rounds,
        |round| {
            for key in &rounds[round] {
                let value = snapshot.get(key).expect("it reads").expect("it is there");
                assert_eq!(look(&value), 100);
            }
        },
        |round| {
            for key in &rounds[round] {
                let value = table.get(&key[..]).expect("it reads").expect("it is there");
                let copy = value.value().to_vec();
                assert_eq!(look(&copy), 100);
            }
        },
    );
    let line = |what: &str, against: &str, times: &[_]| {
        let wanted = Wanted::AtLeast(0.9);
        ratio_line(what, against, gets as f64, "gets/s", times, wanted)
    };
    let against = "raw redb, table open, values copied";
    lines.push(line("get through a snapshot", against, &times));
    let times = turns(
        plan.rounds,
        |round| {
            for key in &rounds[round] {
                let seen = snapshot.show(key, look).expect("it reads");
                assert_eq!(seen, Some(100));
            }
        },
        |round| {
            for key in &rounds[round] {
                let value = table.get(&key[..]).expect("it reads").expect("it is there");
                assert_eq!(look(value.value()), 100);
            }
        },
    );
    let against = "raw redb, table open, values lent";
    let what = "get through a snapshot, shown";
    lines.push(line(what, against, &times));

    let wanted = keys.len();
    let visit = |_| {
        let mut count = 0;
        let each = |key: &[u8], value: &[u8]| {
            std::hint::black_box((key.len(), look(value)));
            count += 1;
            ControlFlow::Continue(())
        };
        snapshot
            .visit::<&[u8]>(.., Direction::Forward, each)
            .expect("it reads");
        assert_eq!(count, wanted);
    };
    let of = format!("of {} keys", number(wanted as f64));
    let times = turns(plan.rounds, visit, |_| assert_eq!(raw.scan(), wanted));
    let what = format!("scan {of}, visiting them");
    let work = wanted as f64;
    lines.push(ratio_line(
        &what,
        "raw redb",
        work,
        "keys/s",
        &times,
        Wanted::AtLeast(0.8),
    ));
    let copy = |_| assert_eq!(lattice.scan(), wanted);
    let times = turns(plan.rounds, copy, |_| assert_eq!(raw.scan_owned(), wanted));
    let what = format!("scan {of}, an iterator of owned ones");
    lines.push(ratio_line(
        &what,
        "raw redb, keys and values copied",
        work,
        "keys/s",
        &times,
        Wanted::AtLeast(0.7),
    ));
    drop(snapshot);
    lines.extend(through_overlay(
        plan,
        &mut lattice,
        &mut raw,
        &batches,
        &rounds,
    ));
    lines
}

/// Reads of a store with the same keys whose overlay is full, compared with one without an overlay.
fn through_overlay(
    plan: &Plan,
    without: &mut Lattice,
    raw: &mut Raw,
    batches: &[Vec<Key>],
    rounds: &[Vec<Key>],
) -> Vec<Line> {
    let place = plan.place();
    let file = place.path().join("overlay.db");
    let made = make_kv(&file, Sharing::SingleWriter);
    put(&made, batches);
    made.engine().close().expect("it closes");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let some = batches.first().expect("there are keys");
    // Opened for each round, so that no fold is due in one.
    let mut full = || {
        let mut opened = Lattice(open_kv(&file, Sharing::SingleWriter));
        // The cache has all rows, as that of the other store.
        opened.scan();
        fill_overlay(&opened.0, some, &mut random);
        opened
    };
    let times = prepared_turns(
        plan.rounds,
        &mut full,
        |round, mut full| {
            let gets = rounds[round].iter();
            gets.for_each(|key| assert_eq!(full.get(key), 100));
            full
        },
        |round| {
            let gets = rounds[round].iter();
            gets.for_each(|key| assert_eq!(without.get(key), 100));
        },
    );
    let gets = rounds.first().map_or(0, Vec::len) as f64;
    let line = |what: &str, against: &str, work, unit, times: &[_], least| {
        ratio_line(what, against, work, unit, times, Wanted::AtLeast(least))
    };
    let what = "get through a handle, overlay full";
    let gets = line(what, "overlay empty", gets, "gets/s", &times, 0.8);
    let wanted: usize = batches.iter().map(Vec::len).sum();
    let times = prepared_turns(
        plan.rounds,
        &mut full,
        |_, mut full| {
            assert_eq!(full.scan(), wanted);
            full
        },
        |_| assert_eq!(raw.scan_owned(), wanted),
    );
    let what = "scan, an iterator of owned ones, overlay full";
    let against = "raw redb, keys and values copied";
    vec![
        gets,
        line(what, against, wanted as f64, "keys/s", &times, 0.5),
    ]
}
