//! Counts committed rows, and reports them when the user interrupts the command.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::StoreHandle;
use crate::program::context::{Context, Host};
use crate::program::failure::Failure;

/// How long an interrupted command may take to end by itself. While it waits for input, it cannot.
const GRACE: Duration = Duration::from_millis(300);

/// A command that writes many rows, in one commit or in several. Ctrl-C and termination end it
/// between two commits, and it reports how many rows are committed.
pub(in crate::program) struct Bulk {
    shared: Arc<Shared>,
    bar: ProgressBar,
}

struct Shared {
    counts: Mutex<Counts>,
    interrupted: AtomicBool,
    /// All rows form one transaction, which is open until the last row.
    is_atomic: AtomicBool,
    /// Set by the thread that reports to the user; only one thread reports.
    told: AtomicBool,
    nouns: (&'static str, &'static str),
    json: bool,
}

/// What is committed. The lock is held during a commit.
#[derive(Debug, Default)]
pub(in crate::program) struct Counts {
    rows: u64,
    ops: u64,
}

impl Counts {
    pub(in crate::program) fn add(&mut self, rows: usize, ops: u64) {
        self.rows += u64::try_from(rows).unwrap_or(u64::MAX);
        self.ops += ops;
    }

    fn text(&self, nouns: (&str, &str)) -> String {
        match self.rows {
            0 => "nothing was written".into(),
            1 => format!("1 {} was written", nouns.0),
            rows => format!(
                "{} in {} were written",
                plural(rows, nouns),
                plural(self.ops, ("op", "ops"))
            ),
        }
    }
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bulk {
    /// Starts the count and installs the signal handler.
    pub(in crate::program) fn start(
        context: &Context<'_>,
        store: Arc<dyn StoreHandle>,
        nouns: (&'static str, &'static str),
    ) -> Self {
        let shared = Arc::new(Shared {
            counts: Mutex::default(),
            interrupted: AtomicBool::new(false),
            is_atomic: AtomicBool::new(false),
            told: AtomicBool::new(false),
            nouns,
            json: context.out.is_json(),
        });
        if context.host == Host::Process {
            let theirs = Arc::clone(&shared);
            // Without a handler an interruption ends the process at once. The store stays intact,
            // but the number of committed rows is not reported.
            let _ = ctrlc::set_handler(move || interrupted(&theirs, &*store));
        }
        Self {
            shared,
            bar: ProgressBar::hidden(),
        }
    }

    /// Shows progress on a bar.
    pub(in crate::program) fn with_bar(self, bar: ProgressBar) -> Self {
        Self { bar, ..self }
    }

    /// Declares that all rows form one transaction.
    pub(in crate::program) fn promise_all(&mut self) {
        self.shared.is_atomic.store(true, Ordering::Release);
    }

    /// Commits `rows` rows as one op. The signal handler does not end the process during the
    /// commit.
    pub(in crate::program) fn commit<T, E>(
        &self,
        rows: usize,
        commit: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut counts = self.shared.counts();
        let done = commit()?;
        counts.add(rows, 1);
        self.bar.set_message(plural(counts.rows, self.shared.nouns));
        Ok(done)
    }

    /// Keeps the signal handler from ending the process until the guard is dropped.
    pub(in crate::program) fn hold(&self) -> MutexGuard<'_, Counts> {
        self.shared.counts()
    }

    pub(in crate::program) fn is_interrupted(&self) -> bool {
        self.shared.interrupted.load(Ordering::Acquire)
    }

    /// Ends the command if the user interrupted it.
    ///
    /// # Errors
    /// The failure of an interrupted command.
    pub(in crate::program) fn check(&self) -> Result<(), Failure> {
        if self.is_interrupted() {
            return Err(self.failure(Failure::interrupted()));
        }
        Ok(())
    }

    /// Adds the number of committed rows to a failure.
    pub(in crate::program) fn failure(&self, failure: Failure) -> Failure {
        self.shared.told.store(true, Ordering::Release);
        self.bar.finish_and_clear();
        failure.and(&self.shared.counts().text(self.shared.nouns))
    }

    /// Returns how many rows and ops are committed.
    pub(in crate::program) fn finish(&self) -> (u64, u64) {
        self.bar.finish_and_clear();
        let counts = self.shared.counts();
        (counts.rows, counts.ops)
    }
}

/// Runs on a thread of its own after a signal.
fn interrupted(shared: &Shared, store: &dyn StoreHandle) {
    shared.interrupted.store(true, Ordering::Release);
    thread::sleep(GRACE);
    // The command is waiting for input or for a commit. The lock waits for the commit, and keeps
    // the next one from starting.
    let counts = shared.counts();
    if shared.told.swap(true, Ordering::AcqRel) {
        // The command is about to end by itself.
        return;
    }
    if !shared.is_atomic.load(Ordering::Acquire) {
        // The rows are committed. If the file is not marked as closed, the next open takes longer,
        // but no data is lost.
        let _ = store.close();
    }
    let failure = Failure::interrupted().and(&counts.text(shared.nouns));
    failure.print(shared.json);
    process::exit(i32::from(failure.code()));
}

/// A progress bar over the bytes read, if standard error is a terminal.
pub(super) fn bar(context: &Context<'_>, len_bytes: Option<u64>) -> ProgressBar {
    if !context.out.shows_progress() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match len_bytes {
        Some(len) => (
            ProgressBar::new(len),
            "{bar:30} {percent:>3} %  {msg}  {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.expect("the template is well formed"))
}

/// A number with its noun: `1 row`, `4,213 rows`.
pub(in crate::program) fn plural(count: u64, (one, many): (&str, &str)) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let rows = |count| plural(count, ("row", "rows"));
        assert_eq!(rows(0), "0 rows");
        assert_eq!(rows(1), "1 row");
        assert_eq!(rows(999), "999 rows");
        assert_eq!(rows(4213), "4,213 rows");
        assert_eq!(rows(1_000_000), "1,000,000 rows");
    }
}
