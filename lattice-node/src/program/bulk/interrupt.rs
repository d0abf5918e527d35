//! How much of many rows is in, also when the user stops it.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::StoreHandle;
use crate::program::context::{Context, Host};
use crate::program::failure::Failure;

/// How long a command that is told to stop may take to do so by itself. It cannot while it waits
/// for its input.
const GRACE: Duration = Duration::from_millis(300);

/// A command that writes many rows in several commits, or all in one. Ctrl-C and termination end it
/// between two commits, and it says what is in.
pub(in crate::program) struct Bulk {
    shared: Arc<Shared>,
    bar: ProgressBar,
}

struct Shared {
    counts: Mutex<Counts>,
    interrupted: AtomicBool,
    /// All rows are one transaction, which is open until the last.
    is_atomic: AtomicBool,
    /// Somebody tells the user; only one does.
    told: AtomicBool,
    nouns: (&'static str, &'static str),
    json: bool,
}

/// What is in. Held locked while a commit is under way.
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
            0 => "nothing is in".into(),
            1 => format!("1 {} is in", nouns.0),
            rows => format!(
                "{} in {} are in",
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
    /// Begins: from now on an interruption is answered.
    pub(in crate::program) fn start(
        context: &Context<'_>,
        store: impl StoreHandle,
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
            // Without a handler an interruption ends the process at once: the store is whole then,
            // too, only nobody says how much is in.
            let _ = ctrlc::set_handler(move || interrupted(&theirs, &store));
        }
        Self {
            shared,
            bar: ProgressBar::hidden(),
        }
    }

    /// Shows progress.
    pub(in crate::program) fn with_bar(self, bar: ProgressBar) -> Self {
        Self { bar, ..self }
    }

    /// All rows are to be one transaction.
    pub(in crate::program) fn promise_all(&mut self) {
        self.shared.is_atomic.store(true, Ordering::Release);
    }

    /// Runs a commit of so many rows as one op. Nobody stops the process in the middle of it.
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

    /// Keeps the process from being stopped until this is dropped.
    pub(in crate::program) fn hold(&self) -> MutexGuard<'_, Counts> {
        self.shared.counts()
    }

    pub(in crate::program) fn is_interrupted(&self) -> bool {
        self.shared.interrupted.load(Ordering::Acquire)
    }

    /// Ends the command if the user wants that.
    ///
    /// # Errors
    /// The failure that an interruption is.
    pub(in crate::program) fn check(&self) -> Result<(), Failure> {
        if self.is_interrupted() {
            return Err(self.failure(Failure::interrupted()));
        }
        Ok(())
    }

    /// A failure on the way, with how much is in.
    pub(in crate::program) fn failure(&self, failure: Failure) -> Failure {
        self.shared.told.store(true, Ordering::Release);
        self.bar.finish_and_clear();
        failure.and(&self.shared.counts().text(self.shared.nouns))
    }

    /// How many rows and ops are in.
    pub(in crate::program) fn finish(&self) -> (u64, u64) {
        self.bar.finish_and_clear();
        let counts = self.shared.counts();
        (counts.rows, counts.ops)
    }
}

/// Runs on a thread of its own once a signal has come.
fn interrupted(shared: &Shared, store: &impl StoreHandle) {
    shared.interrupted.store(true, Ordering::Release);
    thread::sleep(GRACE);
    // The command waits for its input, or for a commit. After the commit nothing more begins.
    let counts = shared.counts();
    if shared.told.swap(true, Ordering::AcqRel) {
        // It is about to end by itself.
        return;
    }
    if !shared.is_atomic.load(Ordering::Acquire) {
        // What is in was committed; that the file is not marked as closed costs time, not data.
        let _ = store.close();
    }
    let failure = Failure::interrupted().and(&counts.text(shared.nouns));
    failure.print(shared.json);
    process::exit(i32::from(failure.code()));
}

/// A bar on a terminal, which shows how much of so many bytes has been read.
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
