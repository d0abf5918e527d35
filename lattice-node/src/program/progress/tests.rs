use std::io;

use clap::Parser;
use indicatif::TermLike;

use super::*;
use crate::program::args::Args;
use crate::program::output::Output;

/// Everything written to a terminal, by any path. Cleared lines are recorded as such.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<String>>);

impl Screen {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0
            .lock()
            .map_err(|_| io::ErrorKind::Other)?
            .push_str(text);
        Ok(())
    }

    fn text(&self) -> String {
        self.0.lock().expect("no test thread panicked").clone()
    }

    /// What stands on the line now.
    fn line(&self) -> String {
        let text = self.text();
        let shown = text.rsplit("<cleared>").next().unwrap_or(&text);
        shown.trim().to_owned()
    }
}

impl io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(&String::from_utf8_lossy(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.add(line)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("<cleared>")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A progress whose time the test decides.
struct Watched {
    progress: Progress,
    screen: Screen,
    now: Instant,
}

impl Watched {
    fn new() -> Self {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let now = Instant::now();
        Self {
            progress: Progress::on(target, Box::new(move || now), Box::new(|| 80)),
            screen,
            now,
        }
    }

    /// Draws once so many milliseconds have passed since the start, and returns the line.
    fn after(&self, ms: u64) -> String {
        let shown = self.progress.0.as_ref().expect("it shows progress");
        shown.draw(self.now + Duration::from_millis(ms));
        shown.bar.force_draw();
        self.screen.line()
    }
}

#[test]
fn a_known_total_has_a_bar_a_percentage_a_rate_and_the_time_left() {
    let watched = Watched::new();
    let sink = watched.progress.sink();
    let mut last = 0;
    for done in [0, 1, 4999, 10_000, 15_000, 19_999, 20_000] {
        sink.report(Stage::Replay, done, Some(20_000));
        let line = watched.after(10_000);
        let percent = done / 200;
        assert!(line.starts_with("replaying ops  "), "{line}");
        assert!(line.contains(&format!(" {percent} %  ")), "{line}");
        assert!(line.contains(" of 20,000 ops"), "{line}");
        assert_eq!(line.contains('█'), percent > 0, "{line}");
        assert!(percent >= last && line.chars().count() <= 80, "{line}");
        last = percent;
        if done == 10_000 {
            assert!(
                line.ends_with(" 50 %  10,000 of 20,000 ops, 1,000/s, 10 s left"),
                "{line}"
            );
        }
    }
}

#[test]
fn an_unknown_total_has_no_bar_and_no_total() {
    let watched = Watched::new();
    let sink = watched.progress.sink();
    sink.report(Stage::Transfer, 995, None);
    sink.report(Stage::Transfer, 995_328, None);
    let line = watched.after(12_500);
    assert!(
        line.ends_with("writing ops  995,328 ops, 79,546/s, 12 s"),
        "{line}"
    );
    assert!(
        !line.contains('░') && !line.contains('█') && !line.contains(" of "),
        "{line}"
    );
    sink.report(Stage::Shrink, 0, None);
    let line = watched.after(14_000);
    assert!(line.ends_with("shrinking the file  14 s"), "{line}");
}

#[test]
fn bytes_are_read_in_units_that_people_read() {
    let watched = Watched::new();
    let file = vec![0; 3 << 20];
    watched
        .progress
        .begin("importing", Counts::Bytes, Some(4 << 20));
    let mut reading = watched.progress.reading(&file[..]);
    io::copy(&mut reading, &mut io::sink()).expect("memory can be read");
    watched.progress.also(|| "1,000 rows".into());
    let line = watched.after(3_100);
    assert!(
        line.contains(" 75 %  3.0 of 4.0 MiB, 1,000 rows, "),
        "{line}"
    );
    assert!(line.ends_with(" KiB/s, 2 s left"), "{line}");
}

#[test]
fn short_work_shows_nothing_and_stages_follow_each_other() {
    let watched = Watched::new();
    let sink = watched.progress.sink();
    sink.report(Stage::Copy, 5, Some(10));
    assert_eq!(watched.after(400), "");
    assert!(watched.after(600).starts_with("copying rows  "));
    sink.report(Stage::Rows, 0, Some(10));
    assert!(watched.after(700).starts_with("checking rows  "));
    watched.progress.close();
    assert_eq!(watched.screen.line(), "");
    sink.report(Stage::Rows, 9, Some(10));
    assert_eq!(watched.after(9000), "");
}

#[test]
fn the_line_is_cleared_before_something_is_printed() {
    let watched = Watched::new();
    let screen = &watched.screen;
    let words = ["lattice", "list"];
    let global = Args::try_parse_from(words).expect("a command").global;
    let mut out = Output::on_terminal(screen.clone(), screen.clone(), &global);
    out.set_progress(watched.progress.clone());
    let sink = watched.progress.sink();
    let prints: [&dyn Fn(&mut Output<'_>); 2] = [&|out| out.note("a note"), &|out| {
        out.line("a line").expect("a screen takes it");
        out.flush().expect("a screen takes it");
    }];
    for (nth, print) in prints.into_iter().enumerate() {
        sink.report(Stage::Replay, 1, Some(2));
        let later = u64::try_from(nth).expect("few") * 2000 + 2000;
        assert!(watched.after(later).contains("replaying ops"), "{screen:?}");
        let before = screen.text();
        print(&mut out);
        let after = screen.text().split_off(before.len());
        assert!(after.starts_with("<cleared>"), "{after:?}");
        let printed = after.rsplit('>').next().unwrap_or(&after);
        assert!(printed.starts_with("a "), "{after:?}");
        assert!(
            !watched.after(later + 100).contains("replaying"),
            "{screen:?}"
        );
    }
}

#[test]
fn times_and_amounts_are_short() {
    let now = Instant::now();
    let mut task = Task::new("x", Counts::Things("row", "rows"), 0, Some(1_000_000), now);
    task.set(1000, Some(1_000_000));
    let text = |task: &Task, secs| task.text(now + Duration::from_secs(secs));
    assert_eq!(
        text(&task, 10),
        "  0 %  1,000 of 1,000,000 rows, 100/s, 2 h 46 min left"
    );
    task.set(990_000, Some(1_000_000));
    assert_eq!(
        text(&task, 10_000),
        " 99 %  990,000 of 1,000,000 rows, 99/s, 1 min 42 s left"
    );
    // What is read can grow.
    task.set(1_000_100, Some(1_000_000));
    assert!(text(&task, 10_000).starts_with("100 %  1,000,000 of 1,000,000 rows"));
}

#[test]
fn the_line_fits_in_any_terminal() {
    let now = Instant::now();
    let counts = Counts::Things("row", "rows");
    let mut task = Task::new("checking rows", counts, 0, Some(2_000_000), now);
    let later = now + Duration::from_secs(4);
    for done in [0, 1, 999_999, 2_000_000] {
        task.set(done, Some(2_000_000));
        for columns in [20, 80, 100, 300] {
            let line = task.line(later, columns);
            assert!(line.chars().count() <= columns, "{columns}: {line}");
            let cells = line.chars().filter(|c| "█░".contains(*c)).count();
            match columns {
                20 => assert_eq!(cells, 0, "{line}"),
                100 => assert!((8..=30).contains(&cells), "{line}"),
                300 => assert_eq!(cells, 30, "{line}"),
                _ => {}
            }
            let full = cells > 0 && !line.contains('░');
            assert_eq!(full, cells > 0 && done == 2_000_000, "{line}");
        }
    }
}
