//! Progress of long operations on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use lattice_backend::progress::Stage;

use super::output::Output;
use crate::ProgressSink;

/// A bar that appears with the first progress report and is cleared before output.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(out: &mut Output<'_>) -> Self {
        if !out.shows_progress() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        Self::on(ProgressBar::no_length(), out)
    }

    fn on(bar: ProgressBar, out: &mut Output<'_>) -> Self {
        let style = ProgressStyle::with_template("{msg}  {bar:30} {human_pos} of {human_len}");
        bar.set_style(style.expect("the template is well formed"));
        out.set_bar(bar.clone());
        Self { bar }
    }

    /// The sink through which a node reports its progress.
    pub(super) fn sink(&self) -> ProgressSink {
        if self.bar.is_hidden() {
            return ProgressSink::none();
        }
        let bar = self.bar.clone();
        ProgressSink::new(move |progress| {
            if bar.is_finished() {
                // Output has cleared the bar since the last report.
                bar.reset();
            }
            bar.set_message(words(progress.stage));
            match progress.total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_position(progress.done);
        })
    }
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Replay => "replaying ops",
        Stage::Rows => "comparing rows",
        Stage::Migration => "migrating the layout",
        Stage::Transfer => "writing ops",
        stage => stage.name(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use clap::Parser;
    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;
    use crate::program::args::Args;

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

    #[test]
    fn the_bar_is_cleared_before_a_line_is_printed() {
        let screen = Screen::default();
        let words = ["lattice", "list"];
        let global = Args::try_parse_from(words).expect("a command").global;
        let mut out = Output::on_terminal(screen.clone(), screen.clone(), &global);
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let bar = ProgressBar::with_draw_target(None, target);
        let progress = Progress::on(bar.clone(), &mut out);
        let sink = progress.sink();
        let prints: [&dyn Fn(&mut Output<'_>); 2] = [&|out| out.note("a note"), &|out| {
            out.line("a line").expect("a screen takes it");
            out.flush().expect("a screen takes it");
        }];
        for print in prints {
            sink.report(Stage::Replay, 1, Some(2));
            bar.force_draw();
            let before = screen.text();
            let shown = before.rsplit('>').next().unwrap_or(&before);
            assert!(shown.contains("replaying ops"), "{before:?}");
            print(&mut out);
            let after = screen.text().split_off(before.len());
            assert!(after.starts_with("<cleared>"), "{after:?}");
            let printed = after.rsplit('>').next().unwrap_or(&after);
            assert!(printed.starts_with("a "), "{after:?}");
        }
    }
}
