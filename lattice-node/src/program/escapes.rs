//! Bytes as text that is safe on a terminal. There is one escape: `\\xNN` is a byte.
//!
//! A text is itself, unless it has characters that a terminal does not print, or `\\xNN` already:
//! then the backslash is `\\x5c`. So every byte string has one form, and [`unescape`] restores it.

/// Escapes bytes on one line: printable characters unchanged, every other byte as `\\xNN`.
pub(super) fn escape(bytes: &[u8]) -> String {
    escaped(bytes, |_| false, true)
}

/// Escapes what a terminal could act on, and keeps everything else as it is, also the lines and
/// tabs of a text.
pub(super) fn escape_value(bytes: &[u8]) -> String {
    escaped(bytes, |character| matches!(character, '\n' | '\t'), false)
}

fn escaped(bytes: &[u8], keeps: fn(char) -> bool, is_exact: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (place, character) in valid.char_indices() {
            let rest = &valid.as_bytes()[place..];
            let is_plain = keeps(character) || !is_unsafe(character);
            match is_plain && !(is_exact && escaped_byte(rest).is_some()) {
                true => text.push(character),
                false => push_bytes(&mut text, &rest[..character.len_utf8()]),
            }
        }
        push_bytes(&mut text, chunk.invalid());
    }
    text
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}

/// The byte that an escape at the start of a text stands for.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = *text else {
        return None;
    };
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// The bytes that [`escape`] would print so; `None` if the text has no escape.
pub(super) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match escaped_byte(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    (bytes.len() < text.len()).then_some(bytes)
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
    let mut bytes = [0; 4];
    for character in message.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            character if is_unsafe(character) => {
                push_bytes(&mut text, character.encode_utf8(&mut bytes).as_bytes());
            }
            character => text.push(character),
        }
    }
    text
}

/// Control characters, invisible characters, and characters that change the direction of text.
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(escape(b"\x1b[31mred\x07"), "\\x1b[31mred\\x07");
        assert_eq!(escape(b"a\nb\tc\\d"), "a\\x0ab\\x09c\\d");
        assert_eq!(escape(b"\xff\xfe\x00"), "\\xff\\xfe\\x00");
        assert_eq!(escape("\u{202e}txt".as_bytes()), "\\xe2\\x80\\xaetxt");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\xc2\\x9b31m");
        assert_eq!(escape_text("a\\b\n\u{1b}[0m"), "a\\b\\n\\x1b[0m");
    }

    #[test]
    fn a_value_keeps_its_lines_and_backslashes() {
        let value = "{\n\t\"a\": \"\\\"\\x41\\\"\"\n}\r\u{1b}";
        let shown = "{\n\t\"a\": \"\\\"\\x41\\\"\"\n}\\x0d\\x1b";
        assert_eq!(escape_value(value.as_bytes()), shown);
        assert_eq!(escape_value(b"\xff\n"), "\\xff\n");
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let parts: [&[u8]; 12] = [
            b"\\",
            b"x",
            b"a",
            b"F",
            b"0",
            b"\n",
            b"\xff",
            b"\xc3",
            "\u{e9}".as_bytes(),
            b"\\x0a",
            b"\\x5c",
            "\u{200b}".as_bytes(),
        ];
        for first in parts {
            for second in parts {
                for third in parts {
                    for fourth in parts {
                        let bytes = [first, second, third, fourth].concat();
                        let text = escape(&bytes);
                        let read = unescape(text.as_bytes());
                        assert_eq!(read.unwrap_or(text.clone().into_bytes()), bytes, "{text}");
                    }
                }
            }
        }
        assert_eq!(unescape(b"C:\\temp\\xyz\\x4"), None);
    }
}
