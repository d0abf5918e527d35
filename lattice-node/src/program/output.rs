//! Output to a terminal, a pipe, or as JSON.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use console::Term;
use data_encoding::BASE64;
use serde_json::{Map, Value};

use super::Failure;
use super::args::{Color, Global};
use super::hints::Hints;
use super::interrupt::Interruption;
use super::progress::Progress;
use super::prose::fitted;

pub(super) use super::escapes::{echo, echo_all, escape, escape_text};
use super::escapes::{escape_value, is_unsafe};

/// Styles of the program's text on outputs with colours.
pub(super) mod styles {
    use super::{AnsiColor, Style};

    pub(in super::super) const NAME: Style = Style::new().bold();
    pub(in super::super) const FAINT: Style = Style::new().dimmed();
    pub(in super::super) const TYPE: Style = AnsiColor::Cyan.on_default();
    pub(in super::super) const BAD: Style = AnsiColor::Red.on_default().bold();
}

/// Text is not broken for a terminal that is narrower.
const MIN_COLUMNS: usize = 20;

/// The outputs of a command: data to standard output, everything else to standard error.
pub(super) struct Output<'a> {
    data: BufWriter<Box<dyn Write + 'a>>,
    notes: Box<dyn Write + 'a>,
    json: bool,
    quiet: bool,
    data_terminal: bool,
    /// The columns of the terminal that data goes to.
    width: Option<usize>,
    notes_terminal: bool,
    /// The columns of the terminal that notes go to.
    notes_width: Option<usize>,
    data_colors: bool,
    /// The line of progress. On a terminal it is where output continues.
    progress: Progress,
    /// Nothing more is printed after a signal.
    interruption: Option<Arc<Interruption>>,
    hints: Rc<Hints>,
}

impl Output<'static> {
    /// The outputs of this process.
    pub(super) fn of_process(global: &Global) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (data_terminal, notes_terminal) = (stdout.is_terminal(), stderr.is_terminal());
        Self {
            data: BufWriter::new(Box::new(stdout)),
            notes: Box::new(stderr),
            json: global.json,
            quiet: global.quiet,
            data_terminal,
            width: columns_of(&Term::stdout()),
            notes_terminal,
            notes_width: columns_of(&Term::stderr()),
            data_colors: colors(global.color.unwrap_or(Color::Auto), data_terminal),
            progress: Progress::default(),
            interruption: None,
            hints: Rc::new(Hints::of(global)),
        }
    }
}

impl<'a> Output<'a> {
    /// Outputs that are captured, not a terminal.
    pub(super) fn kept(data: impl Write + 'a, notes: impl Write + 'a, global: &Global) -> Self {
        Self {
            data: BufWriter::new(Box::new(data)),
            notes: Box::new(notes),
            json: global.json,
            quiet: global.quiet,
            data_terminal: false,
            width: None,
            notes_terminal: false,
            notes_width: None,
            data_colors: global.color == Some(Color::Always),
            progress: Progress::default(),
            interruption: None,
            hints: Rc::default(),
        }
    }

    /// Outputs that are captured and behave like a terminal.
    #[cfg(test)]
    pub(super) fn on_terminal(
        data: impl Write + 'a,
        notes: impl Write + 'a,
        global: &Global,
    ) -> Self {
        Self {
            data_terminal: true,
            width: Some(80),
            notes_terminal: true,
            notes_width: Some(80),
            ..Self::kept(data, notes, global)
        }
    }

    /// Completes the commands in messages.
    pub(super) fn hints(&self) -> &Rc<Hints> {
        &self.hints
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// True if no notes are printed.
    #[cfg(any(feature = "shell", feature = "sync"))]
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.data_terminal
    }

    /// The columns of the terminal that data goes to; `None` for a pipe.
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    /// True if data is printed in colours.
    pub(super) fn has_colors(&self) -> bool {
        self.data_colors
    }

    /// True if a progress bar can be shown.
    pub(super) fn shows_progress(&self) -> bool {
        self.notes_terminal && !self.quiet && !self.json
    }

    /// Sets the line that is cleared before anything is printed.
    pub(super) fn set_progress(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// Ends the output of data after a signal: printing fails from then on.
    pub(super) fn end_at_signal(&mut self, interruption: &Arc<Interruption>) {
        self.interruption = Some(Arc::clone(interruption));
    }

    fn check_signal(&self) -> Result<(), Failure> {
        self.interruption.as_ref().map_or(Ok(()), |all| all.check())
    }

    /// Clears the line of progress before data is printed on the same terminal.
    fn clear_for_data(&self) {
        if self.data_terminal {
            self.progress.clear();
        }
    }

    /// Applies a style, if colours are enabled.
    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        if self.data_colors {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Prints one line of data.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.check_signal()?;
        self.clear_for_data();
        writeln!(self.data, "{text}").map_err(Failure::output)
    }

    /// Prints prose of the program, whose lines are broken between words on a terminal.
    pub(super) fn prose(&mut self, text: &str) -> Result<(), Failure> {
        match self.width {
            Some(columns) => self.line(&fitted(text, columns)),
            None => self.line(text),
        }
    }

    /// Prints one line of JSON.
    pub(super) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&json_text(value))
    }

    /// Prints JSON if requested, else prose.
    pub(super) fn either(
        &mut self,
        value: impl Into<Value>,
        text: impl FnOnce(&Self) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return self.json(&value.into());
        }
        let text = text(self);
        self.prose(&text)
    }

    /// Prints JSON if requested, else a row of the user's data, which is never broken.
    pub(super) fn row(
        &mut self,
        value: impl Into<Value>,
        text: impl FnOnce(&Self) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return self.json(&value.into());
        }
        let text = text(self);
        self.line(&text)
    }

    /// Prints one value: raw to a pipe. On a terminal it ends the line, and only what could act on
    /// the terminal is escaped.
    pub(super) fn value(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.data_terminal {
            self.line(&escape_value(bytes))
        } else {
            self.raw(bytes)
        }
    }

    /// Prints bytes unchanged.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.check_signal()?;
        self.clear_for_data();
        self.data.write_all(bytes).map_err(Failure::output)
    }

    /// The writer for data that is neither lines nor values.
    pub(super) fn data(&mut self) -> &mut impl Write {
        self.clear_for_data();
        &mut self.data
    }

    /// Prints data elsewhere from now on.
    pub(super) fn set_data(&mut self, data: impl Write + 'a) {
        self.data = BufWriter::new(Box::new(data));
    }

    /// Flushes the data printed so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.clear_for_data();
        self.data.flush().map_err(Failure::output)
    }

    /// Prints a message on standard error, unless `--quiet` is set.
    pub(super) fn note(&mut self, text: &str) {
        if !self.quiet {
            self.progress.clear();
            // A failed write is ignored: standard error has no reader.
            let text = escape_text(&self.hints.complete(text));
            let text = match self.notes_width {
                Some(columns) => fitted(&text, columns),
                None => text.into(),
            };
            let _ = writeln!(self.notes, "{text}");
        }
    }
}

/// The columns of a terminal; `None` for a pipe or a file.
pub(super) fn columns_of(term: &Term) -> Option<usize> {
    // A terminal that says nothing of itself, or little, gets lines that can be read.
    term.is_term()
        .then(|| usize::from(term.size().1).max(MIN_COLUMNS))
}

/// Decides whether an output uses colours. `NO_COLOR` follows no-color.org: it counts if it is set
/// and not empty.
pub(super) fn colors(choice: Color, is_terminal: bool) -> bool {
    let no_color = || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = || env::var_os("TERM").is_some_and(|term| term == "dumb");
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && !no_color() && !dumb(),
    }
}

/// Serialises JSON that is safe on a terminal. Characters that a terminal might act on are escaped
/// in strings, whatever the output.
pub(super) fn json_text(value: &Value) -> String {
    let text = value.to_string();
    if !text.chars().any(is_unsafe) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut units = [0; 2];
    for character in text.chars() {
        // Outside strings JSON is ASCII, and inside strings serde_json escapes ASCII controls: any
        // remaining unsafe character is inside a string.
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Adds bytes to a JSON object: as `name` if they are UTF-8, else as `name_b64`.
pub(super) fn json_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => json_base64(object, name, bytes),
    };
}

/// Adds a path to a JSON object, like bytes: on Unix a path need not be UTF-8.
pub(super) fn json_path(object: &mut Map<String, Value>, name: &str, path: &Path) {
    json_bytes(object, name, path.as_os_str().as_encoded_bytes());
}

/// Adds a path or null.
pub(super) fn json_path_or_null(object: &mut Map<String, Value>, name: &str, path: Option<&Path>) {
    match path {
        Some(path) => json_path(object, name, path),
        None => {
            object.insert(name.to_owned(), Value::Null);
        }
    }
}

/// Adds bytes to a JSON object as `name_b64`.
pub(super) fn json_base64(
    object: &mut Map<String, Value>,
    name: &str,
    bytes: &[u8],
) -> Option<Value> {
    object.insert(format!("{name}_b64"), BASE64.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_unsafe, json_text};

    #[test]
    fn json_is_safe_on_a_terminal_and_keeps_its_value() {
        let value = json!({ "\u{9b}": "\u{1b}[0m \u{202e} \u{7f} grün \u{1f980} \" \\" });
        let text = json_text(&value);
        assert!(!text.chars().any(is_unsafe), "{text}");
        assert!(text.contains("grün \u{1f980}"));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
