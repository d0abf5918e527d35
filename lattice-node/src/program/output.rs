//! Bytes on their way to a terminal, a pipe, or JSON.

use std::io::{self, IsTerminal, Write};

use data_encoding::BASE64;
use serde_json::{Map, Value};

/// Bytes as text that is safe on a terminal: printable characters as they are, a backslash doubled,
/// everything else escaped.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                // Controls, and what turns the direction of text or cannot be seen.
                '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}' => text.extend(character.escape_unicode()),
                character if character.is_control() => text.extend(character.escape_default()),
                character => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Puts bytes into a JSON object: under `name` if they are UTF-8, else under `name_b64`.
pub(super) fn json_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_b64"), BASE64.encode(bytes).into()),
    };
}

/// Prints one line.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints one value: raw to a pipe, escaped and with a line end on a terminal.
pub(super) fn value(bytes: &[u8]) -> io::Result<()> {
    if io::stdout().is_terminal() {
        line(&escape(bytes))
    } else {
        io::stdout().write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn no_control_sequence_survives() {
        assert_eq!(escape(b"plain text"), "plain text");
        assert_eq!(escape("grün \u{1f980}".as_bytes()), "grün \u{1f980}");
        assert_eq!(escape(b"\x1b[31mred\x07"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(escape(b"a\nb\tc\\d"), "a\\nb\\tc\\\\d");
        assert_eq!(escape(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(escape("\u{202e}txt".as_bytes()), "\\u{202e}txt");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    }
}
