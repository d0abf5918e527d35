//! The text of a line of progress.

use std::time::{Duration, Instant};

use crate::program::bulk::plural;
use crate::program::human::number;

/// A rate of less time says little.
const RATE_AFTER: Duration = Duration::from_secs(1);

/// The lengths of bars, in columns.
const MIN_BAR: usize = 8;
const MAX_BAR: usize = 30;
/// The columns of the sign of a line of unknown length.
const SPINNER: usize = 2;
const GAP: &str = "  ";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::program) enum Counts {
    Nothing,
    /// Things, by their name for one and for many.
    Things(&'static str, &'static str),
    Bytes,
}

/// Something that is being done.
#[derive(Debug)]
pub(super) struct Task {
    what: &'static str,
    counts: Counts,
    began: Instant,
    /// What was done before it began.
    first: u64,
    done: u64,
    total: Option<u64>,
    also: String,
}

impl Task {
    pub(super) fn new(
        what: &'static str,
        counts: Counts,
        done: u64,
        total: Option<u64>,
        now: Instant,
    ) -> Self {
        Self {
            what,
            counts,
            began: now,
            first: done,
            done,
            total,
            also: String::new(),
        }
    }

    /// Whether a report continues this task. One that has less done begins another one.
    pub(super) fn is(&self, what: &'static str, done: u64) -> bool {
        self.what == what && done >= self.done
    }

    pub(super) fn set(&mut self, done: u64, total: Option<u64>) {
        self.done = done.max(self.done);
        self.total = total;
    }

    pub(super) fn also(&mut self, text: String) {
        self.also = text;
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// What is done of the total, if that is known. What grows while it is read can have more done
    /// than was there.
    pub(super) fn of_total(&self) -> Option<(u64, u64)> {
        let total = self.total.filter(|total| *total > 0)?;
        let is_counted = self.counts != Counts::Nothing;
        is_counted.then_some((self.done.min(total), total))
    }

    /// What is shown in so many columns.
    pub(super) fn line(&self, now: Instant, columns: usize) -> String {
        let (what, text) = (self.what, self.text(now));
        let line = match self.of_total() {
            Some((done, total)) => {
                let used = what.len() + text.chars().count() + 2 * GAP.len();
                let room = columns.saturating_sub(used + SPINNER).min(MAX_BAR);
                match room < MIN_BAR {
                    true => format!("{what}{GAP}{text}"),
                    false => format!("{what}{GAP}{}{GAP}{text}", bar(done, total, room)),
                }
            }
            None => format!("{what}{GAP}{text}"),
        };
        let columns = columns.saturating_sub(SPINNER);
        line.chars().take(columns).collect()
    }

    /// The numbers, for example `41 %  8,212 of 20,000 ops, 3,100/s, 4 s left`.
    pub(super) fn text(&self, now: Instant) -> String {
        let elapsed = now.saturating_duration_since(self.began);
        let rate = self.rate(elapsed);
        let mut parts = Vec::new();
        parts.extend(self.amount());
        if !self.also.is_empty() {
            parts.push(self.also.clone());
        }
        if let Some(rate) = rate {
            parts.push(match self.counts {
                Counts::Bytes => format!("{}/s", bytes(rate, rate)),
                _ => format!("{}/s", number(rate)),
            });
        }
        match (self.of_total(), rate) {
            (Some((done, total)), Some(rate)) if done < total => {
                parts.push(format!("{} left", time((total - done).div_ceil(rate))));
            }
            (None, _) if elapsed >= RATE_AFTER => parts.push(time(elapsed.as_secs())),
            _ => {}
        }
        let text = parts.join(", ");
        match self.of_total() {
            Some((done, total)) => {
                let percent = u128::from(done) * 100 / u128::from(total);
                format!("{percent:>3} %  {text}")
            }
            None => text,
        }
    }

    /// How much is done.
    fn amount(&self) -> Option<String> {
        match (self.counts, self.of_total()) {
            (Counts::Nothing, _) => None,
            (Counts::Things(one, many), Some((done, total))) => Some(format!(
                "{} of {}",
                number(done),
                plural(total, (one, many))
            )),
            (Counts::Things(one, many), None) => Some(plural(self.done, (one, many))),
            (Counts::Bytes, Some((done, total))) => Some(format!(
                "{} of {}",
                in_units(done, total).0,
                bytes(total, total)
            )),
            (Counts::Bytes, None) => Some(bytes(self.done, self.done)),
        }
    }

    /// How much was done a second, if enough was done to say so.
    fn rate(&self, elapsed: Duration) -> Option<u64> {
        if self.counts == Counts::Nothing || elapsed < RATE_AFTER {
            return None;
        }
        let done = u128::from(self.done - self.first) * 1000 / elapsed.as_millis().max(1);
        u64::try_from(done).ok().filter(|rate| *rate > 0)
    }
}

/// A bar that is full once all is done.
fn bar(done: u64, total: u64, columns: usize) -> String {
    let full = u128::from(done) * u128::try_from(columns).unwrap_or(0) / u128::from(total);
    let full = usize::try_from(full).unwrap_or(columns).min(columns);
    format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
}

/// A number of bytes in the unit that suits `scale`.
pub(in crate::program) fn bytes(number: u64, scale: u64) -> String {
    let (number, unit) = in_units(number, scale);
    format!("{number} {unit}")
}

/// The number with one decimal place, and the unit.
fn in_units(number: u64, scale: u64) -> (String, &'static str) {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| scale >= *size) {
        Some((size, unit)) => {
            let tenths = u128::from(number) * 10 / u128::from(size);
            (format!("{}.{}", tenths / 10, tenths % 10), unit)
        }
        None => (number.to_string(), "bytes"),
    }
}

/// A duration in the two units that suit it.
fn time(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {} min", minutes % 60),
    }
}
