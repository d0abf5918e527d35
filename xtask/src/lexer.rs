//! Rust source as tokens: enough of the language to tell code from comments and strings.
//!
//! Comments, doc comments included, are dropped. The lexer never fails: what it does not know is a
//! punctuation mark, and something unterminated ends with the file (rustc will say so).

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword; `r#type` is `type`.
    Ident,
    /// A string or byte string of any sort; the text is what stands between the quotes.
    Str,
    /// A character or byte literal, a lifetime or a number.
    Other,
    /// One punctuation character.
    Punct,
}

/// A token and the line it starts on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is_ident(&self, name: &str) -> bool {
        self.kind == Kind::Ident && self.text == name
    }

    pub(crate) fn is_punct(&self, mark: &str) -> bool {
        self.kind == Kind::Punct && self.text == mark
    }

    /// True for an opening bracket of any sort but `<`.
    pub(crate) fn opens(&self) -> bool {
        self.kind == Kind::Punct && matches!(self.text.as_str(), "(" | "[" | "{")
    }

    /// True for a closing bracket of any sort but `>`.
    pub(crate) fn closes(&self) -> bool {
        self.kind == Kind::Punct && matches!(self.text.as_str(), ")" | "]" | "}")
    }
}

/// True if the tokens start with these texts, none of them a string's content.
pub(crate) fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len()
        && tokens
            .iter()
            .zip(texts)
            .all(|(token, text)| token.kind != Kind::Str && token.text == *text)
}

/// The tokens of a source text.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Takes one token, comment or space; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment_len(self.rest));
        } else if let Some(string) = string_prefix(self.rest) {
            self.string(string);
        } else if let Some(length) = quoted_char_len(self.rest) {
            self.push(Kind::Other, 0, length, length);
        } else if first == '_' || first.is_alphanumeric() {
            self.word(first);
        } else {
            self.push(Kind::Punct, 0, first.len_utf8(), first.len_utf8());
        }
        true
    }

    fn skip(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
    }

    /// Takes `length` bytes; the token's text is the part from `from` to `to`.
    fn push(&mut self, kind: Kind, from: usize, to: usize, length: usize) {
        let text = self.rest[from..to].to_owned();
        self.tokens.push(Token {
            kind,
            text,
            line: self.line,
        });
        self.skip(length);
    }

    fn word(&mut self, first: char) {
        if self.rest.starts_with("r#") {
            let length = 2 + word_len(&self.rest[2..]);
            self.push(Kind::Ident, 2, length, length);
        } else {
            let kind = if first.is_numeric() {
                Kind::Other
            } else {
                Kind::Ident
            };
            let length = word_len(self.rest);
            self.push(kind, 0, length, length);
        }
    }

    fn string(&mut self, prefix: StringPrefix) {
        let body = &self.rest[prefix.length..];
        let (content, ending) = match prefix.raw_hashes {
            Some(hashes) => {
                let end = format!("\"{}", "#".repeat(hashes));
                (body.find(&end).unwrap_or(body.len()), end.len())
            }
            None => (escaped_len(body, '"'), 1),
        };
        let to = prefix.length + content;
        let length = self.rest.len().min(to + ending);
        self.push(Kind::Str, prefix.length, to, length);
    }
}

/// The length of the letters, digits and underscores that text begins with.
fn word_len(text: &str) -> usize {
    text.find(|c: char| c != '_' && !c.is_alphanumeric())
        .unwrap_or(text.len())
}

/// The length of a block comment, which may hold others.
fn block_comment_len(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

struct StringPrefix {
    /// Bytes up to and including the opening quote.
    length: usize,
    raw_hashes: Option<usize>,
}

/// Recognises `"`, `b"`, `c"`, `r"`, `r#"`, `br##"` and so on.
fn string_prefix(text: &str) -> Option<StringPrefix> {
    let letters = text.find(|c: char| !matches!(c, 'b' | 'c' | 'r'))?;
    let raw = match &text[..letters] {
        "" | "b" | "c" => false,
        "r" | "br" | "cr" => true,
        _ => return None,
    };
    let after = &text[letters..];
    let hashes = if raw { after.find(|c| c != '#')? } else { 0 };
    after[hashes..].starts_with('"').then_some(StringPrefix {
        length: letters + hashes + 1,
        raw_hashes: raw.then_some(hashes),
    })
}

/// The bytes before the closing quote, which a backslash may escape.
fn escaped_len(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at;
        }
    }
    body.len()
}

/// The length of a character literal, a byte literal or a lifetime.
fn quoted_char_len(text: &str) -> Option<usize> {
    let (prefix, body) = match text.strip_prefix("b'") {
        Some(body) => (2, body),
        None => (1, text.strip_prefix('\'')?),
    };
    let first = body.chars().next()?;
    let literal = first == '\\' || body[first.len_utf8()..].starts_with('\'');
    let length = if literal {
        escaped_len(body, '\'') + 1
    } else {
        word_len(body)
    };
    Some(text.len().min(prefix + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        lex(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_vanish_and_lines_are_kept() {
        let tokens = lex("a // x\n/* y /* z */\n */ b\n/// doc\nc");
        let seen: Vec<(&str, usize)> = tokens
            .iter()
            .map(|token| (token.text.as_str(), token.line))
            .collect();
        assert_eq!(seen, [("a", 1), ("b", 3), ("c", 5)]);
    }

    #[test]
    fn strings_are_one_token_whatever_they_hold() {
        let tokens = lex(r####"f("a // \" b", b"c", r#"d "e""#, br"\", c"x") g"####);
        let strings: Vec<&str> = tokens
            .iter()
            .filter(|token| token.kind == Kind::Str)
            .map(|token| token.text.as_str())
            .collect();
        assert_eq!(strings, [r#"a // \" b"#, "c", r#"d "e""#, r"\", "x"]);
        assert!(tokens.last().unwrap().is_ident("g"));
    }

    #[test]
    fn a_string_over_two_lines_counts_them() {
        assert_eq!(lex("\"a\nb\" c").last().unwrap().line, 2);
    }

    #[test]
    fn characters_and_lifetimes_do_not_open_strings() {
        assert_eq!(
            texts(r#"'"' '\'' b'"' 'a x::<'b>('é')"#),
            [
                "'\"'", "'\\''", "b'\"'", "'a", "x", ":", ":", "<", "'b", ">", "(", "'é'", ")"
            ]
        );
    }

    #[test]
    fn words_numbers_and_raw_identifiers() {
        assert_eq!(
            texts("r#type 0xff_u8 1..2 brr"),
            ["type", "0xff_u8", "1", ".", ".", "2", "brr"]
        );
        assert_eq!(lex("r#type")[0].kind, Kind::Ident);
        assert_eq!(lex("0xff")[0].kind, Kind::Other);
    }

    #[test]
    fn what_is_unterminated_ends_with_the_file() {
        for source in [
            "\"abc",
            "r#\"abc\"",
            "/* abc",
            "'",
            "b'",
            "'\\",
            "r#",
            "é\"",
        ] {
            lex(source);
        }
    }

    #[test]
    fn starts_with_does_not_look_into_strings() {
        assert!(starts_with(&lex("a::b"), &["a", ":", ":"]));
        assert!(!starts_with(&lex("\"a\"::b"), &["a", ":", ":"]));
    }
}
