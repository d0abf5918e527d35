//! Numbers as people read them.

use std::time::Duration;

/// A number of bytes in the unit that suits it, with one decimal place.
pub(super) fn size(number: u64) -> String {
    super::progress::bytes(number, number)
}

/// A number with separators.
pub(super) fn number(number: u64) -> String {
    super::bulk::plural(number, ("", "")).trim_end().to_owned()
}

/// An age in its greatest unit, rounded down.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let text = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(text(0), "0 s");
        assert_eq!(text(59), "59 s");
        assert_eq!(text(60), "1 min");
        assert_eq!(text(7_199), "1 h");
        assert_eq!(text(172_799), "47 h");
        assert_eq!(text(172_800), "2 days");
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(142_610_432), "136.0 MiB");
    }
}
