//! How cost grows with the numbers of keys and ops, of authors, and of stores.

use std::convert::Infallible;

use lattice_backend::backend::Sharing;
use lattice_backend::engine::ingest::Authors;
use lattice_kvstore::KvStore;
use lattice_registry::TypedStore;

use super::open::open_seconds;
use super::peek::{list_seconds, many_stores};
use crate::data::{Key, Random, VALUE, foreign_ops, make_kv, open_kv, put_ops};
use crate::measure::{median, timed};
use crate::plan::Plan;

/// Seconds of one operation at several sizes.
#[derive(Debug, Clone)]
pub struct Growth {
    /// The operation.
    pub what: &'static str,
    /// The quantity that grows.
    pub with: &'static str,
    /// Sizes and median seconds.
    pub points: Vec<(usize, f64)>,
}

impl Growth {
    /// The name of the growth: constant if all points are within a factor, else the curve that fits
    /// best.
    pub fn name(&self) -> &'static str {
        let seconds = || self.points.iter().map(|(_, seconds)| *seconds);
        let (least, most) = (
            seconds().fold(f64::MAX, f64::min),
            seconds().fold(0.0, f64::max),
        );
        if most < CONSTANT_WITHIN * least {
            return "constant";
        }
        match self.misfit(|size| size) < self.misfit(f64::ln) {
            true => "linear",
            false => "logarithmic",
        }
    }

    /// The sum of squared relative residuals of the best fit `a + b * curve(size)`. The weights
    /// make small points count as much as large ones.
    fn misfit(&self, curve: fn(f64) -> f64) -> f64 {
        let rows: Vec<(f64, f64, f64)> = self
            .points
            .iter()
            .map(|(size, seconds)| (curve(*size as f64), *seconds, seconds.powi(-2)))
            .collect();
        let sum = |of: &dyn Fn(&(f64, f64, f64)) -> f64| rows.iter().map(of).sum::<f64>();
        let weight = sum(&|row| row.2);
        let (x, y) = (
            sum(&|row| row.2 * row.0) / weight,
            sum(&|row| row.2 * row.1) / weight,
        );
        let covariance = sum(&|row| row.2 * (row.0 - x) * (row.1 - y));
        let slope = covariance / sum(&|row| row.2 * (row.0 - x).powi(2));
        sum(&|row| row.2 * (row.1 - y - slope * (row.0 - x)).powi(2))
    }
}

/// Points that differ by less than this factor count as equal, on a machine as noisy as this.
const CONSTANT_WITHIN: f64 = 1.6;

const TRIES: usize = 300;

/// All measurements of growth.
pub fn all(plan: &Plan) -> Vec<Growth> {
    let mut all = with_keys(plan);
    all.extend(with_authors(plan));
    all.push(with_stores(plan));
    all
}

/// The costs measured of a store at each size.
fn costs(file: &std::path::Path, keys: &[Key], random: &mut Random) -> [f64; 4] {
    let kv = open_kv(file, Sharing::SingleWriter);
    let gets = (0..TRIES * 10).map(|_| {
        let key = keys[random.below(keys.len())];
        timed(|| kv.get(key).expect("it reads").expect("it is there")).0
    });
    let gets: Vec<f64> = gets.collect();
    let puts: Vec<f64> = (0..TRIES)
        .map(|_| {
            let key = random.key();
            timed(|| kv.put(key, VALUE).expect("it is written")).0
        })
        .collect();
    drop(kv);
    let opens: Vec<f64> = (0..20).map(|_| open_seconds(file)).collect();
    let backend = lattice_backend::file_backend();
    let peeks: Vec<f64> = (0..TRIES)
        .map(|_| timed(|| backend.peek_info(file).expect("a store")).0)
        .collect();
    [puts, gets, opens, peeks].map(|seconds| median(&seconds))
}

const OPERATIONS: [&str; 4] = ["put", "get", "open and close", "peek"];

fn growths(with: &'static str, sizes: &[usize], costs: &[[f64; 4]]) -> Vec<Growth> {
    let of = |nth: usize| {
        sizes
            .iter()
            .zip(costs)
            .map(move |(size, costs)| (*size, costs[nth]))
    };
    OPERATIONS
        .iter()
        .enumerate()
        .map(|(nth, what)| Growth {
            what,
            with,
            points: of(nth).collect(),
        })
        .collect()
}

/// Ops of one author, each a put of a new key.
fn with_keys(plan: &Plan) -> Vec<Growth> {
    let place = plan.place();
    let file = place.path().join("state.db");
    drop(make_kv(&file, Sharing::SingleWriter));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut keys, mut measured): (Vec<Key>, Vec<[f64; 4]>) = (Vec::new(), Vec::new());
    let sizes = [1_000, 10_000, 100_000, 1_000_000].map(|size| plan.size(size).max(10));
    for size in sizes {
        let kv = open_kv(&file, Sharing::SingleWriter);
        while keys.len() < size {
            let some: Vec<Key> = (0..(size - keys.len()).min(50_000))
                .map(|_| random.key())
                .collect();
            put_ops(&kv, some.iter().copied());
            keys.extend(some);
        }
        drop(kv);
        measured.push(costs(&file, &keys, &mut random));
    }
    growths("keys and ops", &sizes, &measured)
}

/// Authors with twenty ops each; a put by this node then joins their branches.
fn with_authors(plan: &Plan) -> Vec<Growth> {
    const EACH: usize = 20;
    let sizes = [1, 10, 100, 1000_u16];
    let mut measured = Vec::new();
    for authors in sizes {
        let place = plan.place();
        let file = place.path().join("state.db");
        let kv = make_kv(&file, Sharing::SingleWriter);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let ops = foreign_ops(authors, EACH, &mut random);
        let ops = ops.into_iter().map(Ok::<_, Infallible>);
        let taken = kv.engine().ingest(ops, &Authors::Any);
        assert_eq!(
            taken.expect("it is written").applied(),
            usize::from(authors) * EACH
        );
        let key = random.key();
        kv.put(key, VALUE).expect("it is written");
        close(kv);
        measured.push(costs(&file, &[key], &mut random));
    }
    let sizes = sizes.map(usize::from);
    growths("authors", &sizes, &measured)
}

fn close(kv: KvStore) {
    kv.engine().close().expect("it closes");
}

fn with_stores(plan: &Plan) -> Growth {
    let place = plan.place();
    let mut points = Vec::new();
    let mut there = 0;
    for size in [1, 10, 100, 1_000, 10_000] {
        let size = plan.size(size).max(1);
        if size <= there {
            continue;
        }
        let manager = many_stores(place.path(), size - there);
        there = size;
        let seconds: Vec<f64> = (0..plan.rounds.min(5))
            .map(|_| list_seconds(&manager))
            .collect();
        points.push((size, median(&seconds)));
    }
    Growth {
        what: "list",
        with: "stores",
        points,
    }
}
