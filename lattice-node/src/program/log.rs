//! Events of the libraries, printed on standard error for operators: `-v`, `LATTICE_LOG`, `log`.
//!
//! Without one of these nothing is installed, and an event costs the load of an atomic.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use lattice_backend::clock::{Clock, SystemClock, Time};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use super::output::escape_text;
use super::progress::Progress;

/// What is printed by default.
pub(super) const OFF: &str = "off";
/// What `-v`, `-vv` and `-vvv` print.
const LEVELS: [&str; 3] = ["info", "debug", "trace"];

/// The line of progress of the command, which is cleared before an event is printed.
static PROGRESS: Mutex<Option<Progress>> = Mutex::new(None);

/// Whether a text says what is printed: a level, or levels of modules.
pub(super) fn fits(text: &str) -> bool {
    let is_known = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or(part).trim();
        let levels = [OFF, "error", "warn"];
        levels
            .iter()
            .chain(&LEVELS)
            .any(|known| level.eq_ignore_ascii_case(known))
    };
    text.split(',').all(is_known) && Targets::from_str(text).is_ok()
}

/// The level of so many `-v`.
pub(super) fn level(count: u8) -> Option<&'static str> {
    let last = LEVELS.len() - 1;
    Some(LEVELS[usize::from(count.checked_sub(1)?).min(last)])
}

/// Prints events from now on.
pub(super) fn install(levels: &str) {
    let Some(levels) = Targets::from_str(levels).ok().filter(|_| levels != OFF) else {
        return;
    };
    let printed = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_timer(Clocked)
        .with_writer(|| Line(Vec::new()))
        .with_filter(levels);
    // Another subscriber is there if a program has installed its own.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(printed));
}

/// Sets the line of progress.
pub(super) fn set_progress(progress: &Progress) {
    let mut known = PROGRESS.lock().unwrap_or_else(PoisonError::into_inner);
    *known = Some(progress.clone());
}

/// Times as everywhere in the program.
struct Clocked;

impl FormatTime for Clocked {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Time::from_ms(SystemClock.now_ms()))
    }
}

/// An event, which is printed at once, without what could act on a terminal.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(progress) = &*PROGRESS.lock().unwrap_or_else(PoisonError::into_inner) {
            progress.clear();
        }
        let text = String::from_utf8_lossy(&self.0);
        // If standard error cannot be written, no reader is left.
        let _ = writeln!(io::stderr(), "{}", escape_text(text.trim_end()));
    }
}

#[cfg(test)]
mod tests {
    use super::{fits, level};

    #[test]
    fn levels_and_levels_of_modules_are_known() {
        let good = [
            "off",
            "info",
            "WARN",
            "lattice_backend=debug",
            "warn,lattice_registry=trace",
        ];
        for text in good {
            assert!(fits(text), "{text}");
        }
        for text in [
            "",
            "loud",
            "lattice_backend",
            "lattice_backend=loud",
            "info,",
            "3",
        ] {
            assert!(!fits(text), "{text}");
        }
        let levels = [0, 1, 2, 3, 9].map(level);
        let expected = [
            None,
            Some("info"),
            Some("debug"),
            Some("trace"),
            Some("trace"),
        ];
        assert_eq!(levels, expected);
    }
}
