//! Formats foreign bytes for people.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// Formats bytes as one line of text. UTF-8 is kept, except that backslashes are doubled. Control
/// characters and bytes that are not UTF-8 are escaped.
///
/// ```
/// assert_eq!(lattice_meta::readable("café\n".as_bytes()), "café\\n");
/// assert_eq!(lattice_meta::readable(b"a\\b \xff"), "a\\\\b \\xff");
/// ```
pub fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
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

/// The first bytes of a long byte string, formatted with [`readable`], and dots if there are more.
/// Does not cut a character unless it has to.
pub fn readable_start(bytes: &[u8], most_bytes: usize) -> String {
    if bytes.len() <= most_bytes {
        return readable(bytes);
    }
    // The continuation bytes of a character begin with the bits 10.
    let is_inside = |place: usize| bytes[place] & 0b1100_0000 == 0b1000_0000;
    let least = most_bytes.saturating_sub(3);
    let cut = (least..=most_bytes).rfind(|&place| !is_inside(place));
    format!("{}...", readable(&bytes[..cut.unwrap_or(most_bytes)]))
}

/// Quotes a text as one word of a shell's command line, if it needs quotes.
///
/// ```
/// assert_eq!(lattice_meta::shell_word("a/b.wasm"), "a/b.wasm");
/// assert_eq!(lattice_meta::shell_word("it's"), r"'it'\''s'");
/// ```
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{readable, readable_start};

    #[test]
    fn bytes_are_escaped_once_and_text_is_unchanged() {
        assert_eq!(
            readable("ключ \u{1b}[0m\t".as_bytes()),
            "ключ \\u{1b}[0m\\t"
        );
        assert_eq!(readable(b"\xff\\"), "\\xff\\\\");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(readable_start("ключ".as_bytes(), 8), "ключ");
        assert_eq!(readable_start("ключ".as_bytes(), 5), "кл...");
        assert_eq!(
            readable_start(b"\x80\x80\x80\x80\x80\x80", 4),
            "\\x80\\x80\\x80\\x80..."
        );
        assert_eq!(readable_start(b"abc", 2), "ab...");
        assert_eq!(readable_start(b"abc", 0), "...");
    }
}
