//! Progress of long commands, on a terminal: what is done, how much of it, how fast, and how much
//! time is left.
//!
//! Commands report often; a thread draws ten times a second. Work of less than half a second shows
//! nothing.

mod line;
mod terminal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lattice_backend::progress::{Stage, Unit};

pub(super) use line::{Counts, bytes};

use crate::ProgressSink;
use line::Task;
use terminal::Narrow;

/// Work that takes less time shows nothing.
const DELAY: Duration = Duration::from_millis(500);
/// How often the progress is drawn.
const EACH: Duration = Duration::from_millis(100);

/// The progress of a command. Clones show the same line.
#[derive(Clone, Default)]
pub(super) struct Progress(Option<Arc<Shown>>);

type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// The number of columns to use.
type Width = Box<dyn Fn() -> usize + Send + Sync>;

struct Shown {
    clock: Clock,
    width: Width,
    bar: ProgressBar,
    state: Mutex<State>,
}

struct State {
    task: Option<Task>,
    /// When the work began that is shown once it takes longer than [`DELAY`]. `None` if the line
    /// was cleared and nothing was reported since.
    began: Option<Instant>,
    /// Where to draw; `None` once the bar draws there.
    target: Option<ProgressDrawTarget>,
    /// Whether the style is that of a known total.
    has_total: Option<bool>,
    has_thread: bool,
    /// Nothing more is shown.
    is_closed: bool,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

impl Progress {
    /// Progress on standard error.
    pub(super) fn on_stderr() -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrow::stderr()), 20);
        Self::on(target, Box::new(Instant::now), Box::new(Narrow::columns))
    }

    fn on(target: ProgressDrawTarget, clock: Clock, width: Width) -> Self {
        Self(Some(Arc::new(Shown {
            clock,
            width,
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            state: Mutex::new(State {
                task: None,
                began: None,
                target: Some(target),
                has_total: None,
                has_thread: false,
                is_closed: false,
            }),
        })))
    }

    /// The sink through which a node reports its progress.
    pub(super) fn sink(&self) -> ProgressSink {
        if self.0.is_none() {
            return ProgressSink::none();
        }
        let progress = self.clone();
        ProgressSink::new(move |report| {
            let (what, counts) = words(report.stage);
            progress.report(what, counts, report.done, report.total);
        })
    }

    /// Begins something of which `total` is to be done, if that is known.
    pub(super) fn begin(&self, what: &'static str, counts: Counts, total: Option<u64>) {
        self.report(what, counts, 0, total);
    }

    /// Reports how much is done, and of how much.
    pub(super) fn report(&self, what: &'static str, counts: Counts, done: u64, total: Option<u64>) {
        self.change(|task, now| match task {
            Some(task) if task.is(what, done) => task.set(done, total),
            task => *task = Some(Task::new(what, counts, done, total, now)),
        });
    }

    /// Sets how much is done.
    pub(super) fn set(&self, done: u64) {
        self.change(|task, _| {
            if let Some(task) = task {
                task.set(done, task.total());
            }
        });
    }

    /// Sets what else there is to say.
    pub(super) fn also(&self, text: impl FnOnce() -> String) {
        self.change(|task, _| {
            if let Some(task) = task {
                task.also(text());
            }
        });
    }

    /// A reader that reports how many bytes were read.
    pub(super) fn reading<R>(&self, reader: R) -> Reading<R> {
        Reading {
            reader,
            progress: self.clone(),
            bytes: 0,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Option<Task>, Instant)) {
        let Some(shown) = &self.0 else { return };
        let mut state = shown.state();
        if state.is_closed {
            return;
        }
        let now = (shown.clock)();
        state.began.get_or_insert(now);
        change(&mut state.task, now);
        if !state.has_thread && cfg!(not(test)) {
            state.has_thread = true;
            let shown = Arc::downgrade(shown);
            // Without a thread nothing is shown.
            let _ = thread::Builder::new()
                .name("progress".into())
                .spawn(move || draw_often(&shown));
        }
    }

    /// Clears the line, before something is printed. It comes back with the next report.
    pub(super) fn clear(&self) {
        if let Some(shown) = &self.0 {
            shown.clear(&mut shown.state());
        }
    }

    /// Clears the line for ever.
    pub(super) fn close(&self) {
        if let Some(shown) = &self.0 {
            let mut state = shown.state();
            shown.clear(&mut state);
            state.is_closed = true;
        }
    }
}

impl Shown {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self, state: &mut State) {
        state.began = None;
        if state.target.is_none() && !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }

    /// Draws the line as of a time.
    fn draw(&self, now: Instant) {
        let mut state = self.state();
        let is_due = state
            .began
            .is_some_and(|began| now.saturating_duration_since(began) >= DELAY);
        if !is_due {
            return;
        }
        if let Some(target) = state.target.take() {
            self.bar.set_draw_target(target);
        }
        let Some(task) = &state.task else { return };
        let text = task.line(now, (self.width)());
        let has_total = task.of_total().is_some();
        if state.has_total != Some(has_total) {
            state.has_total = Some(has_total);
            self.bar.set_style(style(has_total));
        }
        if self.bar.is_finished() {
            // The line was cleared since.
            self.bar.reset();
        }
        self.bar.set_message(text);
        self.bar.tick();
        // The other calls draw only so often.
        self.bar.force_draw();
    }
}

/// A line of unknown length has a sign that moves.
fn style(has_total: bool) -> ProgressStyle {
    let template = match has_total {
        true => "{msg}",
        false => "{spinner} {msg}",
    };
    let style = ProgressStyle::with_template(template);
    style.expect("the template is well formed")
}

fn draw_often(shown: &Weak<Shown>) {
    loop {
        thread::sleep(EACH);
        match shown.upgrade() {
            Some(shown) => shown.draw((shown.clock)()),
            None => return,
        }
    }
}

fn words(stage: Stage) -> (&'static str, Counts) {
    let what = match stage {
        Stage::Checksums => "checking checksums",
        Stage::Ops => "checking ops",
        Stage::Replay => "replaying ops",
        Stage::Rows => "checking rows",
        Stage::Copy => "copying rows",
        Stage::Pack => "packing rows",
        Stage::Shrink => "shrinking the file",
        Stage::Migration => "migrating the layout",
        Stage::Count => "counting ops",
        Stage::Transfer => "writing ops",
        stage => stage.name(),
    };
    let counts = match stage.unit() {
        Unit::Ops => Counts::Things("op", "ops"),
        Unit::Rows => Counts::Things("row", "rows"),
        Unit::Steps => Counts::Things("step", "steps"),
        Unit::Bytes => Counts::Bytes,
        _ => Counts::Nothing,
    };
    (what, counts)
}

/// A reader that reports how many bytes were read.
pub(super) struct Reading<R> {
    reader: R,
    progress: Progress,
    bytes: u64,
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes += u64::try_from(count).unwrap_or(u64::MAX);
        self.progress.set(self.bytes);
        Ok(count)
    }
}
