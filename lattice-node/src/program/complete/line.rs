//! Command lines as shells write them.

/// A command line up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::program) struct Line {
    /// The words before the one at the cursor, without their quotes.
    pub(in crate::program) words: Vec<String>,
    /// The word at the cursor, up to the cursor, without its quotes.
    pub(in crate::program) current: String,
    /// How many bytes of the current word stand before the part that the shell replaces.
    pub(in crate::program) kept: usize,
    /// Where that part begins in the line.
    pub(in crate::program) start: usize,
    /// The quote that is open at the cursor.
    pub(in crate::program) quote: Option<char>,
}

impl Line {
    /// Splits a line as bash does. Bash replaces what stands after the last of the characters
    /// `breaks`, or after the last quote.
    pub(in crate::program) fn split(line: &str, breaks: &str) -> Self {
        let mut all = Self {
            words: Vec::new(),
            current: String::new(),
            kept: 0,
            start: 0,
            quote: None,
        };
        let mut is_word = false;
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            let after = |rest: &str| line.len() - rest.len();
            match (all.quote, letter) {
                (Some(quote), letter) if letter == quote => {
                    all.quote = None;
                    (all.kept, all.start) = (all.current.len(), after(letters.as_str()));
                }
                (Some('"'), '\\') => match letters.next() {
                    Some(next @ ('"' | '\\' | '$' | '`')) => all.current.push(next),
                    Some(next) => all.current.extend(['\\', next]),
                    None => {}
                },
                (Some(_), letter) => all.current.push(letter),
                (None, '\\') => {
                    is_word = true;
                    all.current.extend(letters.next());
                }
                (None, '\'' | '"') => {
                    is_word = true;
                    all.quote = Some(letter);
                    (all.kept, all.start) = (all.current.len(), after(letters.as_str()));
                }
                (None, letter) if letter.is_whitespace() => {
                    if is_word {
                        all.words.push(std::mem::take(&mut all.current));
                    }
                    (is_word, all.kept) = (false, 0);
                    all.start = after(letters.as_str());
                }
                (None, letter) => {
                    is_word = true;
                    all.current.push(letter);
                    if breaks.contains(letter) {
                        (all.kept, all.start) = (all.current.len(), after(letters.as_str()));
                    }
                }
            }
        }
        all
    }

    /// The part of a candidate that bash inserts, with what quotes it there.
    pub(in crate::program) fn insert(&self, candidate: &str) -> String {
        let part = candidate.get(self.kept..).unwrap_or(candidate);
        let mut text = String::with_capacity(part.len());
        for letter in part.chars() {
            match self.quote {
                Some('\'') if letter == '\'' => text.push_str(r"'\''"),
                Some('"') if "\"\\$`".contains(letter) => text.extend(['\\', letter]),
                None if !is_plain(letter) => text.extend(['\\', letter]),
                _ => text.push(letter),
            }
        }
        text
    }
}

/// Whether a letter stands for itself in a word without quotes.
fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || "_./:=@%+,-".contains(letter) || !letter.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::Line;

    const BREAKS: &str = " \t\n\"'@><=;|&(:";

    #[test]
    fn lines_are_split_and_completed_as_bash_does() {
        // The line, its words before the cursor, the word, a candidate, and what is inserted.
        let cases: [(&str, &[&str], &str, &str, &str); 11] = [
            ("lattice ", &["lattice"], "", "put", "put"),
            ("lattice pu", &["lattice"], "pu", "put", "put"),
            (
                "l get 'a b' x\\ ",
                &["l", "get", "a b"],
                "x ",
                "x y",
                r"x\ y",
            ),
            ("l get 'a ", &["l", "get"], "a ", "a 'b", r"a '\''b"),
            ("l get \"a $", &["l", "get"], "a $", "a $b`", r"a \$b\`"),
            (r#"l "\"\x" "#, &["l", r#""\x"#], "", "a", "a"),
            (
                "l create core:kv",
                &["l", "create"],
                "core:kv",
                "core:kvstore",
                "kvstore",
            ),
            (
                "l call s get key=a",
                &["l", "call", "s", "get"],
                "key=a",
                "key=a*",
                r"a\*",
            ),
            (
                r"l create core\:kv",
                &["l", "create"],
                "core:kv",
                "core:kvstore",
                "core:kvstore",
            ),
            ("l get 'a'b", &["l", "get"], "ab", "abc", "bc"),
            ("l get ''", &["l", "get"], "", "x", "x"),
        ];
        for (line, words, current, candidate, inserted) in cases {
            let split = Line::split(line, BREAKS);
            assert_eq!(split.words, words, "{line}");
            assert_eq!(split.current, current, "{line}");
            assert_eq!(split.insert(candidate), inserted, "{line}");
        }
    }
}
