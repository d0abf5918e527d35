//! Output to a terminal, a pipe, or as JSON.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use data_encoding::BASE64;
use serde_json::{Map, Value};

use super::Failure;
use super::args::{Color, Global};
use super::hints::Hints;
use super::interrupt::Interruption;
use super::progress::Progress;

/// Styles of the program's text on outputs with colours.
pub(super) mod styles {
    use super::{AnsiColor, Style};

    pub(in super::super) const NAME: Style = Style::new().bold();
    pub(in super::super) const FAINT: Style = Style::new().dimmed();
    pub(in super::super) const TYPE: Style = AnsiColor::Cyan.on_default();
    pub(in super::super) const BAD: Style = AnsiColor::Red.on_default().bold();
}

/// The outputs of a command: data to standard output, everything else to standard error.
pub(super) struct Output<'a> {
    data: BufWriter<Box<dyn Write + 'a>>,
    notes: Box<dyn Write + 'a>,
    json: bool,
    quiet: bool,
    data_terminal: bool,
    notes_terminal: bool,
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
            notes_terminal,
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
            notes_terminal: false,
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
            notes_terminal: true,
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

    pub(super) fn is_terminal(&self) -> bool {
        self.data_terminal
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

    /// Prints one line of JSON.
    pub(super) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&json_text(value))
    }

    /// Prints JSON if requested, else a line of text.
    pub(super) fn either(
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

    /// Prints one value: raw to a pipe, escaped and with a line end on a terminal.
    pub(super) fn value(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.data_terminal {
            self.line(&escape(bytes))
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
            let text = self.hints.complete(text);
            let _ = writeln!(self.notes, "{}", escape_text(&text));
        }
    }
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

/// Escapes bytes so that they are safe on a terminal: printable characters unchanged, backslashes
/// doubled, everything else as escapes.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                character => push_safe(&mut text, character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The most bytes of one input that a message repeats.
const MAX_ECHO_BYTES: usize = 100;
/// The most inputs of a list that a message repeats.
const MAX_ECHOES: usize = 20;

/// Escapes the start of an input that a message repeats, and says if there is more.
pub(super) fn echo(bytes: &[u8]) -> String {
    if bytes.len() <= MAX_ECHO_BYTES {
        return escape(bytes);
    }
    // The continuation bytes of a character begin with the bits 10.
    let is_inside = |place: usize| bytes[place] & 0b1100_0000 == 0b1000_0000;
    let cut = (MAX_ECHO_BYTES - 3..=MAX_ECHO_BYTES).rfind(|&place| !is_inside(place));
    let start = escape(&bytes[..cut.unwrap_or(MAX_ECHO_BYTES)]);
    format!("{start}... ({} bytes)", bytes.len())
}

/// The same for the inputs of a list.
pub(super) fn echo_all<'a>(all: impl ExactSizeIterator<Item = &'a [u8]>) -> String {
    let more = all.len().saturating_sub(MAX_ECHOES);
    let shown: Vec<_> = all.take(MAX_ECHOES).map(echo).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Escapes a message so that it is safe on a terminal and on one line. Keeps its backslashes.
pub(super) fn escape_text(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for character in message.chars() {
        push_safe(&mut text, character);
    }
    text
}

fn push_safe(text: &mut String, character: char) {
    if !is_unsafe(character) {
        text.push(character);
    } else if character.is_control() {
        text.extend(character.escape_default());
    } else {
        text.extend(character.escape_unicode());
    }
}

/// Control characters, invisible characters, and characters that change the direction of text.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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

    use super::{echo, echo_all, escape, escape_text, json_text};

    #[test]
    fn control_sequences_are_escaped() {
        assert_eq!(escape(b"plain text"), "plain text");
        assert_eq!(echo(&[b'a'; 100]), "a".repeat(100));
        let long = format!("{}\u{1f980}{}", "a".repeat(98), "b".repeat(98));
        assert_eq!(
            echo(long.as_bytes()),
            format!("{}... (200 bytes)", "a".repeat(98))
        );
        assert_eq!(
            echo(&[0x80; 200]),
            format!("{}... (200 bytes)", "\\x80".repeat(100))
        );
        let many = vec![&b"x"[..]; 25];
        assert!(echo_all(many.into_iter()).ends_with("x, x and 5 more"));
        assert_eq!(escape("grün \u{1f980}".as_bytes()), "grün \u{1f980}");
        assert_eq!(escape(b"\x1b[31mred\x07"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(escape(b"a\nb\tc\\d"), "a\\nb\\tc\\\\d");
        assert_eq!(escape(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(escape("\u{202e}txt".as_bytes()), "\\u{202e}txt");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(escape_text("a\\b\n\u{1b}[0m"), "a\\b\\n\\u{1b}[0m");
    }

    #[test]
    fn json_is_safe_on_a_terminal_and_keeps_its_value() {
        let value = json!({ "\u{9b}": "\u{1b}[0m \u{202e} \u{7f} grün \u{1f980} \" \\" });
        let text = json_text(&value);
        assert!(!text.chars().any(super::is_unsafe), "{text}");
        assert!(text.contains("grün \u{1f980}"));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
