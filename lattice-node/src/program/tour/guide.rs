//! Prints the tour and records its steps.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::Registry;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::styles;
use crate::program::run_kept;

const WIDTH: usize = 80;
/// Indentation of a step's output.
const INDENT: &str = "    ";

/// A word of a command line.
#[derive(Debug, Clone)]
pub(super) enum Word {
    /// Used as it is.
    Plain(String),
    /// A file or directory of the tour.
    Path(PathBuf),
}

/// A word that is used as it is.
pub(super) fn word(text: impl Into<String>) -> Word {
    Word::Plain(text.into())
}

/// A file or directory below the tour's directory.
pub(super) fn path(path: impl Into<PathBuf>) -> Word {
    Word::Path(path.into())
}

/// Prints the walk: headings, commands of a user (`$`), calls of a program (`>`), and their output.
pub(super) struct Guide<'a, 'b> {
    context: &'a mut Context<'b>,
    registry: Registry,
    dir: PathBuf,
    step: u32,
    /// Commands and calls that are not in the log store yet.
    steps: Vec<String>,
}

impl<'a, 'b> Guide<'a, 'b> {
    pub(super) fn new(context: &'a mut Context<'b>, dir: &Path) -> Self {
        Self {
            registry: context.native.clone(),
            context,
            dir: dir.to_path_buf(),
            step: 0,
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

    pub(super) fn heading(&mut self, text: &str) -> Result<(), Failure> {
        // Flush, so that the user sees each step when it is done.
        self.context.out.flush()?;
        self.step += 1;
        let heading = format!("{}. {text}", self.step);
        let painted = self.context.out.paint(styles::NAME, &heading);
        self.print("heading", &heading, &format!("\n{painted}\n"))
    }

    /// Prints wrapped prose.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.print("text", text, &wrapped(text, WIDTH).join("\n"))
    }

    /// Runs a command of this program as a user would; prints the command and its output.
    pub(super) fn run(&mut self, words: &[Word]) -> Result<String, Failure> {
        self.typed(&line(words))?;
        let printed = self.printed(words)?;
        self.result(&printed)?;
        Ok(printed)
    }

    /// Runs a command that fails; prints the command and the error.
    #[cfg(feature = "wasm")]
    pub(super) fn run_refused(&mut self, words: &[Word]) -> Result<(), Failure> {
        self.typed(&line(words))?;
        let message = match self.printed(words) {
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
    pub(super) fn run_into(&mut self, words: &[Word], file: &str) -> Result<(), Failure> {
        self.typed(&format!("{} > {file}", line(words)))?;
        let printed = self.printed(words)?;
        Ok(std::fs::write(self.place(file), printed)?)
    }

    fn printed(&self, words: &[Word]) -> Result<String, Failure> {
        let real: Vec<OsString> = words
            .iter()
            .map(|word| match word {
                Word::Plain(text) => text.into(),
                Word::Path(path) => self.dir.join(path).into(),
            })
            .collect();
        let printed = run_kept(&real, self.registry.clone())?;
        Ok(printed.replace(&format!("{}/", self.dir.display()), ""))
    }

    /// Prints a command of a user.
    fn typed(&mut self, command: &str) -> Result<(), Failure> {
        self.step_taken("command", "$", command)
    }

    /// Prints a call of a program.
    pub(super) fn called(&mut self, call: &str) -> Result<(), Failure> {
        self.step_taken("call", ">", call)
    }

    fn step_taken(&mut self, what: &str, sign: &str, step: &str) -> Result<(), Failure> {
        self.steps.push(format!("{sign} {step}"));
        let painted = self.context.out.paint(styles::TYPE, step);
        self.print(what, step, &format!("  {sign} {painted}"))
    }

    /// Prints the output of a step; wraps long lines.
    pub(super) fn result(&mut self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            let lines = folded(line, WIDTH - INDENT.len());
            let lines: Vec<_> = lines.iter().map(|line| format!("{INDENT}{line}")).collect();
            self.print("output", line, &lines.join("\n"))?;
        }
        Ok(())
    }

    /// Takes the steps that are not in the log store yet.
    pub(super) fn take_steps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.steps)
    }

    pub(super) fn close(&mut self, elapsed: Duration, keep: Option<&Path>) -> Result<(), Failure> {
        let left = match keep {
            Some(dir) => format!(
                "The stores are in {0}; try `lattice --data-dir {0}/alice list`.",
                dir.display()
            ),
            None => "Nothing is left behind; `lattice tour --keep DIR` keeps the stores.".into(),
        };
        let ended = format!("That took {} ms. {left}", elapsed.as_millis());
        if !self.context.out.is_json() {
            self.context.out.line("")?;
        }
        self.say(&ended)
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
fn line(words: &[Word]) -> String {
    let words: Vec<_> = words.iter().map(shown).collect();
    format!("lattice {}", words.join(" "))
}

/// Quotes a word for a shell.
fn shown(word: &Word) -> String {
    let text = match word {
        Word::Plain(text) => text.clone(),
        Word::Path(path) => path.display().to_string(),
    };
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=@".contains(letter);
    if text.chars().all(is_plain) && !text.is_empty() {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
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
