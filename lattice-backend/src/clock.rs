//! The source of wall-clock time, and its text.

use std::fmt::{self, Debug, Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock, in milliseconds since the Unix epoch. It may jump in either direction.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now_ms(&self) -> u64;
}

/// The operating system's clock. A clock set before 1970 reads as 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|time| time.as_millis());
        since_epoch.map_or(0, |ms| u64::try_from(ms).unwrap_or(u64::MAX))
    }
}

/// Milliseconds since the Unix epoch, shown as RFC 3339 in UTC, such as
/// `2023-11-14T22:13:20.000Z`. A year past 9999, which RFC 3339 cannot express, is shown as ISO 8601
/// has it: with a sign, as in `+10889-08-02T05:31:50.655Z`. Every number has a text.
///
/// ```
/// use lattice_backend::clock::Time;
///
/// assert_eq!(Time::from_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    ms: u64,
}

impl Time {
    /// The time this many milliseconds after the Unix epoch.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// The time now, by the operating system's clock.
    pub fn now() -> Self {
        Self::from_ms(SystemClock.now_ms())
    }
}

/// Days from the first of March of the year 0 to the Unix epoch.
const DAYS_TO_EPOCH: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.ms / 86_400_000, self.ms % 86_400_000);
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years
        // begin in March, so that the day of the leap year is the last one.
        let day = days + DAYS_TO_EPOCH;
        let (era, day) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, years) = match month < 10 {
            true => (month + 3, 0),
            false => (month - 9, 1),
        };
        let year = era * 400 + year + years;
        if year > 9999 {
            f.write_str("+")?;
        }
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1000 % 60, ms % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

/// A clock that returns the same time until it is set or advanced.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Starts at `ms`.
    pub const fn new(ms: u64) -> Self {
        Self(AtomicU64::new(ms))
    }

    /// Sets the time.
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    /// Advances the time.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_text() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+10000-01-01T00:00:00.000Z"),
            ((1 << 48) - 1, "+10889-08-02T05:31:50.655Z"),
            (u64::MAX, "+584556019-04-03T14:25:51.615Z"),
        ] {
            assert_eq!(Time::from_ms(ms).to_string(), text);
        }
    }

    /// Counts days from 1970 to 12000 by the rule of leap years.
    #[test]
    fn days_follow_the_gregorian_calendar() {
        let mut days = 0_u64;
        for year in 1970..12_000_u64 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(months) {
                for day in [1, length] {
                    let time = Time::from_ms((days + day - 1) * 86_400_000).to_string();
                    let date = format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z");
                    assert_eq!(time.trim_start_matches('+'), date);
                }
                days += length;
            }
        }
    }
}
