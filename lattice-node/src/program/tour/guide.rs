//! Prints the tour and records its steps.

use std::ffi::OsString;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Registry;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::styles;
use crate::program::run_kept;

const WIDTH: usize = 80;
/// Indentation of a step's output.
const INDENT: &str = "    ";

/// What a word begins with that names a file in the tour's directory.
const IN_TOUR: &str = "./";

/// What the user wants at the end of a chapter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Chapter,
    Leave,
}

/// Prints the tour: headings, commands of a user (`alice$`), calls of a program (`>`), and their
/// output.
pub(super) struct Guide<'a, 'b> {
    context: &'a mut Context<'b>,
    registry: Registry,
    dir: PathBuf,
    /// Where the user presses Enter between chapters; without it the guide does not wait.
    answers: Option<Box<dyn BufRead>>,
    started: Instant,
    /// The time spent on waiting for the user.
    waited: Duration,
    /// Commands and calls that are not in the log store yet.
    steps: Vec<String>,
}

impl<'a, 'b> Guide<'a, 'b> {
    pub(super) fn new(
        context: &'a mut Context<'b>,
        dir: &Path,
        answers: Option<Box<dyn BufRead>>,
    ) -> Self {
        Self {
            registry: context.native.clone(),
            context,
            dir: dir.to_path_buf(),
            answers,
            started: Instant::now(),
            waited: Duration::ZERO,
            steps: Vec::new(),
        }
    }

    /// The path of a file or directory of the tour.
    pub(super) fn place(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Prints one item: a line of text, or a JSON object with its kind and its text.
    fn print(&mut self, what: &str, said: &str, line: &str) -> Result<(), Failure> {
        self.context
            .out
            .either(json!({ what: said }), |_| line.to_owned())
    }

    /// Waits for Enter; the first chapter follows the introduction at once.
    pub(super) fn before_chapter(&mut self, shown: usize, all: usize) -> Result<Next, Failure> {
        let Some(answers) = self.answers.as_mut().filter(|_| shown > 0) else {
            return Ok(Next::Chapter);
        };
        let began = Instant::now();
        let question = format!("-- Enter: chapter {} of {all}   q: leave -- ", shown + 1);
        let painted = self.context.out.paint(styles::FAINT, &question);
        self.context.out.raw(format!("\n{painted}").as_bytes())?;
        self.context.out.flush()?;
        let mut answer = String::new();
        let bytes = answers.read_line(&mut answer)?;
        self.waited += began.elapsed();
        Ok(match answer.trim() {
            "q" | "Q" | "quit" | "exit" => Next::Leave,
            // Ctrl-D.
            _ if bytes == 0 => Next::Leave,
            _ => Next::Chapter,
        })
    }

    pub(super) fn heading(&mut self, number: usize, title: &str) -> Result<(), Failure> {
        // Flush, so that the user sees each step when it is done.
        self.context.out.flush()?;
        let heading = format!("{number}. {title}");
        let painted = self.context.out.paint(styles::NAME, &heading);
        self.print("heading", &heading, &format!("\n{painted}\n"))
    }

    /// Prints wrapped prose.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.print("text", text, &wrapped(text, WIDTH).join("\n"))
    }

    /// Runs a command of this program as a user would; prints the command and its output. A word
    /// that starts with `./` names a file of the tour.
    pub(super) fn run(&mut self, user: &str, words: &[&str]) -> Result<String, Failure> {
        self.typed(user, &line(words))?;
        let printed = self.printed(user, words)?;
        self.result(&printed)?;
        Ok(printed)
    }

    /// Runs a command without printing it.
    #[cfg(feature = "wasm")]
    pub(super) fn run_unseen(&self, user: &str, words: &[&str]) -> Result<String, Failure> {
        self.printed(user, words)
    }

    /// Runs a command that fails; prints the command and the error.
    #[cfg(feature = "wasm")]
    pub(super) fn run_refused(&mut self, user: &str, words: &[&str]) -> Result<(), Failure> {
        self.typed(user, &line(words))?;
        let message = match self.printed(user, words) {
            Err(failure) => failure.message().to_owned(),
            Ok(printed) => {
                let unexpected = format!("a command of the tour did not fail: {printed}");
                return Err(Failure::failed(unexpected));
            }
        };
        let message = message.replace(&format!("{}/", self.dir.display()), "");
        let lines = wrapped(&format!("lattice: {message}"), WIDTH - INDENT.len());
        let lines: Vec<_> = lines.iter().map(|line| format!("{INDENT}{line}")).collect();
        self.print("error", &message, &lines.join("\n"))
    }

    /// Runs a command with its output redirected to a file of the tour.
    #[cfg(not(feature = "sync"))]
    pub(super) fn run_into(
        &mut self,
        user: &str,
        words: &[&str],
        file: &str,
    ) -> Result<(), Failure> {
        self.typed(user, &format!("{} > {file}", line(words)))?;
        let printed = self.printed(user, words)?;
        Ok(std::fs::write(self.place(file), printed)?)
    }

    fn printed(&self, user: &str, words: &[&str]) -> Result<String, Failure> {
        let real = words.iter().map(|word| match word.strip_prefix(IN_TOUR) {
            Some(file) => self.dir.join(file).into(),
            None => OsString::from(word),
        });
        let data_dir = ["--data-dir".into(), self.dir.join(user).into()];
        let words: Vec<OsString> = data_dir.into_iter().chain(real).collect();
        let printed = run_kept(&words, self.registry.clone())?;
        Ok(printed.replace(&format!("{}/", self.dir.display()), IN_TOUR))
    }

    /// Prints a command of a user.
    fn typed(&mut self, user: &str, command: &str) -> Result<(), Failure> {
        self.step_taken("command", &format!("{user}$"), command)
    }

    /// Prints a call of a program.
    pub(super) fn called(&mut self, call: &str) -> Result<(), Failure> {
        self.step_taken("call", ">", call)
    }

    fn step_taken(&mut self, what: &str, sign: &str, step: &str) -> Result<(), Failure> {
        let said = format!("{sign} {step}");
        // A shell continues a line after a backslash.
        let lines = wrapped(step, WIDTH - sign.len() - "   \\".len());
        let painted = self
            .context
            .out
            .paint(styles::TYPE, &lines.join(" \\\n      "));
        self.print(what, &said, &format!("  {sign} {painted}"))?;
        self.steps.push(said);
        Ok(())
    }

    /// Prints the output of a step; wraps long lines.
    pub(super) fn result(&mut self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            let shown = line.replace('\t', "  ");
            let lines = folded(&shown, WIDTH - INDENT.len());
            let lines: Vec<_> = lines.iter().map(|line| format!("{INDENT}{line}")).collect();
            self.print("output", line, &lines.join("\n"))?;
        }
        Ok(())
    }

    /// Takes the steps that are not in the log store yet.
    pub(super) fn take_steps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.steps)
    }

    /// Ends the tour, also before its last chapter.
    pub(super) fn close(
        &mut self,
        shown: usize,
        all: usize,
        keep: Option<&Path>,
    ) -> Result<(), Failure> {
        let left = match keep {
            Some(dir) => format!(
                "The stores are in {0}; try `lattice --data-dir {0}/alice list`.",
                dir.display()
            ),
            None => "Nothing is left behind; `lattice tour --keep DIR` keeps the stores.".into(),
        };
        let chapters = match shown == all {
            true => format!("{all} chapters"),
            false => format!("{shown} of {all} chapters"),
        };
        let took = self.started.elapsed().saturating_sub(self.waited);
        if !self.context.out.is_json() {
            self.context.out.line("")?;
        }
        self.say(&format!("{chapters} took {} ms. {left}", took.as_millis()))
    }
}

/// Splits text into lines of at most `width` bytes; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Splits a line of output into lines of at most `width` characters, between words if possible. All
/// lines but the first are indented.
fn folded(line: &str, width: usize) -> Vec<String> {
    let (mut lines, mut rest, mut indent) = (Vec::new(), line, "");
    loop {
        let room = width - indent.len();
        let Some((end, _)) = rest.char_indices().nth(room) else {
            lines.push(format!("{indent}{rest}"));
            return lines;
        };
        let gap = rest[..end].rfind([' ', '\t']);
        let gap = gap.filter(|gap| !rest[..*gap].trim().is_empty());
        let (start, next) = rest.split_at(gap.unwrap_or(end));
        lines.push(format!("{indent}{}", start.trim_end()));
        rest = next.trim_start();
        indent = "  ";
    }
}

/// Formats a command of this program as a user types it.
fn line(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("lattice {}", words.join(" "))
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=@".contains(letter);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words_and_lose_nothing() {
        assert_eq!(folded("short", 8), ["short"]);
        assert_eq!(folded("", 8), [""]);
        assert_eq!(folded("one two three", 8), ["one two", "  three"]);
        assert_eq!(folded("tip   0123456789", 12), ["tip", "  0123456789"]);
        assert_eq!(folded("0123456789", 8), ["01234567", "  89"]);
        assert_eq!(folded("  0123456789", 8), ["  012345", "  6789"]);
        assert_eq!(folded("äöüß äöüß", 6), ["äöüß", "  äöüß"]);
    }
}
