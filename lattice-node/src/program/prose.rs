//! Prose on a terminal: broken between words, so that the terminal breaks none.

use std::borrow::Cow;

use console::measure_text_width;

/// The columns of a text that is not for a terminal.
pub(super) const COLUMNS: usize = 80;
/// A line is continued below its text if that begins within this part of the columns.
const MOST_INDENT: usize = 3;
/// How far a line is indented else that continues a row of several columns.
const GAP: usize = 4;

/// Breaks a text between words, into lines of at most so many columns. A word that is longer has a
/// line of its own. So has a command in backticks: it can be copied as one line.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    broken(text, columns, columns)
}

/// The same, with another width of the first line.
fn broken(text: &str, first: usize, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces(text) {
        let width = measure_text_width(piece);
        let columns = if lines.len() == 1 { first } else { columns };
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + width <= columns => {
                line.push(' ');
                line.push_str(piece);
            }
            _ => lines.push(piece.to_owned()),
        }
    }
    lines
}

/// Breaks the lines of a text that are longer than so many columns; keeps the others as they are.
/// A line is continued below its text: below what follows a gap of two spaces, if it has one.
pub(super) fn fitted(text: &str, columns: usize) -> Cow<'_, str> {
    if text.lines().all(|line| measure_text_width(line) <= columns) {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|line| fitted_line(line, columns));
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

fn fitted_line(line: &str, columns: usize) -> Cow<'_, str> {
    if measure_text_width(line) <= columns {
        return Cow::Borrowed(line);
    }
    let text = line.trim_start();
    let (indent, _) = line.split_at(line.len() - text.len());
    let (head, text) = text.split_at(text.rfind("  ").map_or(0, |gap| gap + 2));
    let before = measure_text_width(indent) + measure_text_width(head);
    let next = match head {
        "" => before,
        _ if before * MOST_INDENT < columns => before,
        _ => measure_text_width(indent) + GAP,
    };
    let width = |before| columns.saturating_sub(before);
    let word = pieces(text).next().map_or(0, measure_text_width);
    let mut lines = broken(text, width(before), width(next));
    let next = format!("\n{}", " ".repeat(next));
    if !head.is_empty() && word > width(before) {
        // Its first word does not fit beside the head, and begins the next line.
        lines.insert(0, String::new());
        let head = format!("{indent}{}", head.trim_end());
        return Cow::Owned(format!("{head}{}", lines.join(&next)));
    }
    Cow::Owned(format!("{indent}{head}{}", lines.join(&next)))
}

/// The parts of a text that are not broken: words, and commands in backticks.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start_matches(' ');
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut is_code = false;
        let is_end = |(place, letter): (usize, char)| {
            if letter == '`' {
                // An opening backtick without a closing one is a letter.
                is_code = !is_code && rest[place + 1..].contains('`');
            }
            (letter == ' ' && !is_code).then_some(place)
        };
        let end = rest.char_indices().find_map(is_end).unwrap_or(rest.len());
        let (piece, more) = rest.split_at(end);
        rest = more.trim_start_matches(' ');
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_between_words() {
        assert_eq!(wrapped("ab cd  efghij k", 5), ["ab cd", "efghij", "k"]);
        assert_eq!(wrapped("", 5), [""; 0]);
        assert_eq!(wrapped("grün grün", 9), ["grün grün"]);
    }

    #[test]
    fn commands_are_not_broken() {
        let text = "a (`program put x`), or b";
        assert_eq!(wrapped(text, 18), ["a", "(`program put x`),", "or b"]);
        assert_eq!(wrapped("it`s a b", 6), ["it`s a", "b"]);
        assert_eq!(wrapped("`a b` c `d e", 3), ["`a b`", "c", "`d", "e"]);
    }

    #[test]
    fn only_long_lines_are_broken() {
        let text = "short  and   spaced\nlong enough to break\n";
        let broken = "short  and   spaced\nlong enough to\nbreak\n";
        assert_eq!(fitted(text, 19), broken);
        assert_eq!(fitted("  put  sets a key", 22), "  put  sets a key");
        assert_eq!(
            fitted("  put  sets a key to a value", 24),
            "  put  sets a key to a\n       value"
        );
        assert_eq!(
            fitted("an id  a time  what it is", 22),
            "an id  a time  what it\n    is"
        );
        assert_eq!(fitted("    indented text", 12), "    indented\n    text");
        assert_eq!(
            fitted("\u{1b}[1mbold\u{1b}[0m text", 9),
            "\u{1b}[1mbold\u{1b}[0m text"
        );
    }
}
