//! Times as arguments: milliseconds since the Unix epoch, or a date and a time in UTC.

const MS_PER_DAY: u64 = 86_400_000;

/// Parses `1767225599000`, `2026-01-31`, `2026-01-31T23:59:59Z`, `2026-01-31 23:59:59.250` or
/// `2026-01-31T23:59:59+02:00`. A time without an offset is in UTC, with and without the `Z`. Returns
/// milliseconds since the Unix epoch.
pub(super) fn parse(text: &str) -> Option<u64> {
    if is_digits(text) {
        return text.parse().ok();
    }
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next()?, 4)?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    );
    if parts.next().is_some() {
        return None;
    }
    let days = days(year, month, day)?;
    let (time, offset) = match time.and_then(|time| Some((time, time.rfind(['+', '-'])?))) {
        Some((time, at)) => (Some(&time[..at]), Some(&time[at..])),
        None => (time, None),
    };
    let ms = time.map_or(Some(0), ms_of_day)?;
    let local = days.checked_mul(MS_PER_DAY)?.checked_add(ms)?;
    let Some(offset) = offset else {
        return Some(local);
    };
    // A `Z` and an offset contradict each other.
    if time.is_some_and(|time| time.ends_with(['Z', 'z'])) {
        return None;
    }
    let (hours, minutes) = match offset[1..].split_once(':') {
        Some(parts) => parts,
        None => offset[1..].split_at_checked(2)?,
    };
    let hours = number(hours, 2).filter(|hours| *hours < 24)?;
    let minutes = number(minutes, 2).filter(|minutes| *minutes < 60)?;
    let ahead = (hours * 60 + minutes) * 60_000;
    match offset.starts_with('+') {
        true => local.checked_sub(ahead),
        false => local.checked_add(ahead),
    }
}

fn ms_of_day(time: &str) -> Option<u64> {
    let time = time.strip_suffix(['Z', 'z']).unwrap_or(time);
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = match parts.next() {
        Some(second) => number(second, 2).filter(|second| *second < 60)?,
        None if fraction.is_none() => 0,
        None => return None,
    };
    if parts.next().is_some() {
        return None;
    }
    let ms = match fraction {
        Some(digits) if is_digits(digits) => {
            let first: String = digits.chars().chain("00".chars()).take(3).collect();
            number(&first, 3)?
        }
        Some(_) => return None,
        None => 0,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = is_digits(text) && text.len() == digits;
    is_number.then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let length = |month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_date = year >= 1970 && (1..=12).contains(&month) && (1..=length(month)).contains(&day);
    if !is_date {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    let months: u64 = (1..month).map(length).sum();
    Some(years + months + day - 1)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_parsed() {
        for (text, ms) in [
            ("0", Some(0)),
            ("1767225599000", Some(1_767_225_599_000)),
            ("1234567890", Some(1_234_567_890)),
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(951_782_400_000)),
            ("2026-01-31T23:59:59Z", Some(1_769_903_999_000)),
            ("2026-01-31 23:59:59.25", Some(1_769_903_999_250)),
            ("2026-01-31T23:59", Some(1_769_903_940_000)),
            ("2100-03-01", Some(4_107_542_400_000)),
            ("9999-12-31T23:59:59.9999z", Some(253_402_300_799_999)),
            ("1970-01-01T02:00+02:00", Some(0)),
            ("1970-01-01T00:00:00.5-0130", Some(5_400_500)),
        ] {
            assert_eq!(parse(text), ms, "{text}");
        }
        for text in [
            "",
            "-1",
            "x",
            "2026",
            "1969-12-31",
            "2026-02-29",
            "2026-13-01",
            "2026-1-01",
            "2026-01-01T24:00",
            "2026-01-01T00:60",
            "2026-01-01T00:00:60",
            "2026-01-01T",
            "1970-01-01T00:00:00+01:00",
            "2026-01-01T00:00:00Z+01:00",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+01:60",
            "2026-01-01T00:00:00+",
            "2026-01-01T00:00:00+\u{e9}",
            "2026-01-01T00:00.5",
            "2026-01-01T00:00:00.",
            "2026-01-01-01",
            "99999999999999999999999",
        ] {
            // A number alone is in milliseconds.
            let expected = (text == "2026").then_some(2026);
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
