//! Rules for prose: comments of sources, and Markdown.

use crate::finding::Finding;

/// The list: a phrase, `=`, and what to write instead.
const WORDS: &str = include_str!("../../words.txt");

/// The most columns of a line, code spans, targets of links and addresses excepted.
const MAX_COLUMNS: usize = 100;

/// Pages whose words are output: generated, or recorded.
fn is_output(path: &str) -> bool {
    path.contains("/tests/cli/") || path == "docs/cli.md"
}

/// All rules of this module.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.ends_with(".rs") {
        for (number, line, comment) in comments(text) {
            findings.extend(phrase(path, number, comment));
            findings.extend(columns(path, number, line));
        }
    } else if path.ends_with(".md") && !is_output(path) {
        for (number, line) in outside_of_code(text) {
            findings.extend(phrase(path, number, line));
            let is_table = line.trim_start().starts_with('|');
            findings.extend(columns(path, number, line).filter(|_| !is_table));
        }
    }
    findings
}

/// The lines with comments, and the comments, without the code in them.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut is_code = false;
    let lines = text.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_code = false;
            // An odd number of quotes: the slashes are in a string.
            let (code, comment) = line.rsplit_once(" // ")?;
            let is_string = code.matches('"').count() % 2 == 1;
            return (!is_string).then_some((index + 1, line, comment));
        };
        let is_fence = is_fence(comment.trim_start_matches(['/', '!']));
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line, comment))
    })
}

/// Lines of Markdown outside fenced and indented code.
pub(super) fn outside_of_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    let mut may_indent = true;
    let lines = text.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        let is_fence = is_fence(line);
        is_fenced ^= is_fence;
        // Indented code follows an empty line; the text of a list does not.
        let is_indented = may_indent && line.starts_with("    ");
        may_indent = is_indented || line.trim().is_empty();
        (!is_fenced && !is_fence && !is_indented).then_some((index + 1, line))
    })
}

fn is_fence(line: &str) -> bool {
    let start = line.trim_start();
    start.starts_with("```") || start.starts_with("~~~")
}

/// The phrases of the list, and what to write instead.
fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = WORDS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = "))
}

fn phrase(path: &str, number: usize, line: &str) -> Option<Finding> {
    let line = line.to_ascii_lowercase();
    let (phrase, instead) = words().find(|(phrase, _)| has_phrase(&line, phrase))?;
    Some(Finding::new(path, number, format!("`{phrase}`: {instead}")))
}

/// Whether a line has a phrase whose ends are ends of words.
fn has_phrase(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let behind = &line[at + phrase.len()..];
        is_end(line[..at].chars().next_back()) && is_end(behind.chars().next())
    })
}

fn columns(path: &str, number: usize, line: &str) -> Option<Finding> {
    let columns = line.chars().count();
    let is_long = columns > MAX_COLUMNS && columns_of_prose(line) > MAX_COLUMNS;
    is_long.then(|| {
        let message = format!("{columns} columns, more than {MAX_COLUMNS}: wrap the text");
        Finding::new(path, number, message)
    })
}

fn columns_of_prose(line: &str) -> usize {
    let outside: String = line.split('`').step_by(2).collect();
    let mut parts = outside.split("](");
    let before = parts.next().into_iter();
    let after = parts.map(|part| part.split_once(')').map_or("", |(_, text)| text));
    let prose: String = before.chain(after).collect();
    let is_address = |word: &str| word.contains("://");
    let words = prose.split(' ').filter(|word| !is_address(word));
    words.map(|word| word.chars().count() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    #[test]
    fn each_phrase_is_found_in_comments_and_in_pages() {
        assert!(words().count() >= 15);
        for (phrase, instead) in words() {
            assert!(!instead.is_empty(), "{phrase}");
            let comment = format!("code();\n    // So {phrase}, then.\nlet s = \"{phrase}\";\n");
            assert_eq!(lines_of(&check("a/src/b.rs", &comment)), [2], "{phrase}");
            let page = format!(
                "One\n\n{} does.\n```\n{phrase}\n```\n",
                phrase.to_uppercase()
            );
            assert_eq!(lines_of(&check("a.md", &page)), [3], "{phrase}");
            assert!(check("a/tests/cli/b.md", &page).is_empty());
            assert!(check("docs/cli.md", &page).is_empty());
        }
    }

    #[test]
    fn phrases_match_whole_words_only() {
        let good = "// This isle told me that none is nonetheless, and renewed anewx.\n";
        assert!(check("a/src/b.rs", good).is_empty());
        let (phrase, _) = words().next().unwrap();
        let bracketed = format!("It ({phrase}) is.\n");
        assert_eq!(lines_of(&check("a.md", &bracketed)), [1]);
    }

    #[test]
    fn long_comments_are_reported_unless_a_code_span_makes_them_long() {
        let words = "word ".repeat(20);
        let long = format!("    // {words}\nlet x = \"{words}\";\nf(); // {words}\n");
        assert_eq!(lines_of(&check("a/src/b.rs", &long)), [1, 3]);
        let string = format!("let x = \"f(); // {words}\";\n");
        assert!(check("a/src/b.rs", &string).is_empty());
        let example = format!("/// ```\n/// # {words}\n/// ```\n/// {words}\n");
        assert_eq!(lines_of(&check("a/src/b.rs", &example)), [4]);
        let code = format!("// see `{}`\n", "x".repeat(120));
        assert!(check("a/src/b.rs", &code).is_empty());
        let link = format!("// see https://example.org/{}\n", "x".repeat(120));
        assert!(check("a/src/b.rs", &link).is_empty());
    }

    #[test]
    fn long_lines_of_pages_are_seen_unless_they_cannot_wrap() {
        let (words, long) = ("word ".repeat(20), "x".repeat(120));
        let seen = |page: &str| lines_of(&check("a.md", page));
        for prose in [
            format!("a {words}"),
            format!("- a\n    {words}"),
            format!("[{words}](a) b"),
            format!("# {words}a"),
            format!("{words}`code` a"),
        ] {
            assert_eq!(seen(&prose), [prose.lines().count()], "{prose}");
        }
        for other in [
            format!("| a | {words} |"),
            format!("```\n{words}a\n```"),
            format!("~~~\n{words}a\n~~~"),
            format!("a\n\n    {words}\n\n    {words}"),
            format!("see `{long}`"),
            format!("see [a](a/{long}.md) and [b](c)"),
            format!("see https://example.org/{long}"),
            format!("[a]: https://example.org/{long}"),
            "w".repeat(100),
            "ä".repeat(100),
        ] {
            assert!(seen(&other).is_empty(), "{other}");
        }
        assert_eq!(seen(&"w".repeat(101)), [1]);
    }
}
