//! What the tour prints, and remembers of its own steps.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WIDTH: usize = 78;

/// Prints the walk: headings, what a user would type (`$`) or call (`>`), and what comes of it.
pub(super) struct Guide {
    dir: PathBuf,
    step: u32,
    /// What was typed and called so far and is not in the log store yet.
    steps: Vec<String>,
}

impl Guide {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            step: 0,
            steps: Vec::new(),
        }
    }

    /// The data directory of one of the tour's nodes.
    pub(super) fn node_dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A path as the tour shows it: below the tour's directory.
    pub(super) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.step += 1;
        writeln!(io::stdout(), "\n{}. {text}\n", self.step)
    }

    /// Plain words, wrapped.
    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        let mut line = String::new();
        let mut out = io::stdout().lock();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                writeln!(out, "{line}")?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        writeln!(out, "{line}")
    }

    /// A command that a user would type.
    pub(super) fn typed(&mut self, command: &str) -> io::Result<()> {
        self.steps.push(format!("$ {command}"));
        writeln!(io::stdout(), "  $ {command}")
    }

    /// A call that a program would make.
    pub(super) fn called(&mut self, call: &str) -> io::Result<()> {
        self.steps.push(format!("> {call}"));
        writeln!(io::stdout(), "  > {call}")
    }

    /// What came of it.
    pub(super) fn result(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for line in text.lines() {
            writeln!(out, "    {line}")?;
        }
        Ok(())
    }

    /// Takes the steps that are not in the log store yet.
    pub(super) fn take_steps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.steps)
    }

    pub(super) fn close(&self, elapsed: Duration, keep: Option<&Path>) -> io::Result<()> {
        let left = match keep {
            Some(dir) => format!(
                "The stores are in {0}; try `lattice --data-dir {0}/alice list`.",
                dir.display()
            ),
            None => "Nothing is left behind; `lattice tour --keep DIR` keeps the stores.".into(),
        };
        writeln!(io::stdout())?;
        self.say(&format!(
            "That was {:.1} seconds. {left}",
            elapsed.as_secs_f64()
        ))
    }
}
