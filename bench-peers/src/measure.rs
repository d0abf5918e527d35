//! Rounds, ratios, medians.

use std::time::Instant;

/// A line of the table: target and measurement.
#[derive(Debug, Clone)]
pub struct Line {
    /// The operation.
    pub what: String,
    /// The median of Lattice, as text with a unit.
    pub lattice: String,
    /// The reference and its result.
    pub against: String,
    /// One figure per round, usually a ratio.
    pub figures: Vec<f64>,
    /// The unit of the figures, empty for ratios.
    pub unit: &'static str,
    /// The target.
    pub wanted: Wanted,
}

/// The target of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// What it was before the journal; compare with an older report.
    AsBefore,
    /// No target; the figure is only shown.
    Shown,
}

impl Line {
    /// The median of the figures.
    pub fn median(&self) -> f64 {
        median(&self.figures)
    }

    /// Whether the median reaches the target; `None` without a target.
    pub fn is_reached(&self) -> Option<bool> {
        match self.wanted {
            Wanted::AtLeast(least) => Some(self.median() >= least),
            Wanted::AtMost(most) => Some(self.median() <= most),
            Wanted::AsBefore | Wanted::Shown => None,
        }
    }
}

/// The median of some numbers.
pub fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 1, 2)
}

/// The number below which a part of some numbers is.
pub fn quantile(numbers: &[f64], part: usize, of: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len() * part / of;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The greatest number.
pub fn greatest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NAN, f64::max)
}

/// Runs `work` and returns its duration in seconds.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let done = work();
    (started.elapsed().as_secs_f64(), done)
}

/// The durations in seconds of two operations in each of several rounds. The second operation may
/// pay for writes that the first has left pending, so they alternate in coming first.
pub fn turns(
    rounds: usize,
    mut one: impl FnMut(usize),
    other: impl FnMut(usize),
) -> Vec<(f64, f64)> {
    prepared_turns(rounds, || (), |round, ()| one(round), other)
}

/// As [`turns`]. The first operation gets what `prepare` made directly before it. Its time does not
/// include that, nor the drop of what it returns.
pub fn prepared_turns<T, D>(
    rounds: usize,
    mut prepare: impl FnMut() -> T,
    mut one: impl FnMut(usize, T) -> D,
    mut other: impl FnMut(usize),
) -> Vec<(f64, f64)> {
    let mut first = |round| {
        let prepared = prepare();
        timed(|| one(round, prepared)).0
    };
    (0..rounds)
        .map(|round| match round % 2 {
            0 => {
                let seconds = first(round);
                (seconds, timed(|| other(round)).0)
            }
            _ => {
                let seconds = timed(|| other(round)).0;
                (first(round), seconds)
            }
        })
        .collect()
}

/// A line that compares two times: the speed of the first operation relative to the second.
pub fn ratio_line(
    what: &str,
    against: &str,
    work: f64,
    unit: &str,
    times: &[(f64, f64)],
    wanted: Wanted,
) -> Line {
    let rate = |seconds: Vec<f64>| number(work / median(&seconds));
    let lattice = rate(times.iter().map(|(one, _)| *one).collect());
    let other = rate(times.iter().map(|(_, other)| *other).collect());
    Line {
        what: what.into(),
        lattice: format!("{lattice} {unit}"),
        against: format!("{against}: {other} {unit}"),
        figures: times.iter().map(|(one, other)| other / one).collect(),
        unit: "",
        wanted,
    }
}

/// A number, rounded to its significant digits.
pub fn number(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.2}M", n / 1e6),
        n if n >= 1e4 => format!("{:.1}k", n / 1e3),
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// A time in a suitable unit.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{} s", number(s)),
        s if s >= 1e-3 => format!("{} ms", number(s * 1e3)),
        s => format!("{} us", number(s * 1e6)),
    }
}
