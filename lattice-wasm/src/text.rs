//! Texts of a module, for display.

use lattice_meta::readable_start;

/// The start of a text as one line. Escapes characters that a terminal might interpret, that change
/// the direction of text, or that are invisible.
pub(crate) fn text(bytes: &[u8], most_bytes: usize) -> String {
    let readable = readable_start(bytes, most_bytes);
    let mut text = String::with_capacity(readable.len());
    for character in readable.chars() {
        match is_invisible(character) {
            true => text.extend(character.escape_unicode()),
            false => text.push(character),
        }
    }
    text
}

/// Whether a text is safe to display unchanged.
pub(crate) fn is_plain(text: &str) -> bool {
    !text
        .chars()
        .any(|character| character.is_control() || is_invisible(character))
}

fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{is_plain, text};

    #[test]
    fn one_line_without_controls() {
        let hostile = "a\u{1b}[2J\0\r\n\u{9b}\u{202e}b\u{2028}\u{200d}\u{e0041}\u{1f980} gr\u{fc}n";
        let expected = "a\\u{1b}[2J\\u{0}\\r\\n\\u{9b}\\u{202e}b\\u{2028}\\u{200d}\\u{e0041}\u{1f980} gr\u{fc}n";
        assert_eq!(text(hostile.as_bytes(), 400), expected);
        assert_eq!(text(b"\xff\xe2\x80", 400), "\\xff\\xe2\\x80");
        assert_eq!(text(&[b'x'; 5], 4), "xxxx...");
        assert!(!is_plain(hostile) && is_plain(expected));
    }
}
