//! Rules for prose: comments of sources, and Markdown.

use crate::finding::Finding;

/// The list: a phrase, `=`, and what to write instead.
const WORDS: &str = include_str!("../../words.txt");

/// The most columns of a comment, code spans and links excepted.
const MAX_COLUMNS: usize = 100;

/// Pages whose words are output: generated, or recorded.
fn is_output(path: &str) -> bool {
    path.contains("/tests/cli/") || path == "docs/cli.md"
}

/// All rules of this module.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.ends_with(".rs") {
        for (number, comment) in comments(text) {
            findings.extend(phrase(path, number, comment.trim_start()));
            findings.extend(columns(path, number, comment));
        }
    } else if path.ends_with(".md") && !is_output(path) {
        for (number, line) in outside_of_code(text) {
            findings.extend(phrase(path, number, line));
        }
    }
    findings
}

/// Lines that are comments, with their indentation, without the code in them.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    let lines = text.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_code = false;
            return None;
        };
        let is_fence = comment
            .trim_start_matches(['/', '!', ' '])
            .starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

/// Lines of Markdown that are in no fenced block.
fn outside_of_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    let lines = text.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
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

fn columns(path: &str, number: usize, comment: &str) -> Option<Finding> {
    let columns = comment.chars().count();
    let is_long = columns > MAX_COLUMNS && columns_of_prose(comment) > MAX_COLUMNS;
    is_long.then(|| {
        let message = format!("a comment of {columns} columns, more than {MAX_COLUMNS}");
        Finding::new(path, number, message)
    })
}

/// Columns without those of code spans and of words that are addresses.
fn columns_of_prose(comment: &str) -> usize {
    let outside = comment.split('`').step_by(2).collect::<Vec<_>>().concat();
    let addresses = outside.split(' ').filter(|word| word.contains("://"));
    let addresses: usize = addresses.map(|word| word.chars().count()).sum();
    outside.chars().count() - addresses
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
        let long = format!("    // {words}\nlet x = \"{words}\";\n");
        assert_eq!(lines_of(&check("a/src/b.rs", &long)), [1]);
        let example = format!("/// ```\n/// # {words}\n/// ```\n/// {words}\n");
        assert_eq!(lines_of(&check("a/src/b.rs", &example)), [4]);
        let code = format!("// see `{}`\n", "x".repeat(120));
        assert!(check("a/src/b.rs", &code).is_empty());
        let link = format!("// see https://example.org/{}\n", "x".repeat(120));
        assert!(check("a/src/b.rs", &link).is_empty());
    }
}
