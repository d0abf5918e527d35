//! Splits Rust source into a flat list of tokens, without comments.

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword; `r#type` is `type`.
    Ident,
    /// A string or byte string of any form; the text is its value.
    Str,
    /// A character, a byte or a number.
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

    /// True for an opening bracket, except `<`.
    pub(crate) fn opens(&self) -> bool {
        self.kind == Kind::Punct && matches!(self.text.as_str(), "(" | "[" | "{")
    }

    /// True for a closing bracket, except `>`.
    pub(crate) fn closes(&self) -> bool {
        self.kind == Kind::Punct && matches!(self.text.as_str(), ")" | "]" | "}")
    }
}

/// True if the tokens start with these texts, none of which is the contents of a string.
pub(crate) fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len()
        && tokens
            .iter()
            .zip(texts)
            .all(|(token, text)| token.kind != Kind::Str && token.text == *text)
}

/// Splits a source text into tokens.
///
/// # Errors
///
/// The text is not Rust: an unterminated string or an unmatched bracket.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, LexError> {
    let mut tokens = Vec::new();
    flatten(text.parse()?, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |kind, text: String| tokens.push(Token { kind, text, line });
        match tree {
            TokenTree::Group(group) => {
                if is_doc(group.stream()) {
                    // A doc comment is lexed as an attribute: remove its `#` and `!` too.
                    while tokens
                        .last()
                        .is_some_and(|token| token.is_punct("#") || token.is_punct("!"))
                    {
                        tokens.pop();
                    }
                    continue;
                }
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(Kind::Punct, open.to_owned());
                flatten(group.stream(), tokens);
                tokens.push(Token {
                    kind: Kind::Punct,
                    text: close.to_owned(),
                    line: group.span_close().start().line,
                });
            }
            TokenTree::Ident(ident) => {
                let text = ident.to_string();
                push(
                    Kind::Ident,
                    text.strip_prefix("r#").unwrap_or(&text).to_owned(),
                );
            }
            TokenTree::Punct(punct) => push(Kind::Punct, punct.to_string()),
            TokenTree::Literal(literal) => match syn::Lit::new(literal.clone()) {
                syn::Lit::Str(string) => push(Kind::Str, string.value()),
                syn::Lit::ByteStr(string) => push(
                    Kind::Str,
                    String::from_utf8_lossy(&string.value()).into_owned(),
                ),
                _ => push(Kind::Other, literal.to_string()),
            },
        }
    }
}

/// True for the inside of `#[doc = "..."]`.
fn is_doc(attribute: TokenStream) -> bool {
    let mut trees = attribute.into_iter();
    matches!(trees.next(), Some(TokenTree::Ident(name)) if name == "doc")
        && matches!(trees.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str) -> Vec<(String, usize)> {
        lex(source)
            .unwrap()
            .into_iter()
            .map(|token| (token.text, token.line))
            .collect()
    }

    #[test]
    fn comments_vanish_and_lines_are_kept() {
        let seen = lines("//! Doc.\na // x\n/* y /* z */\n */ b\n/// doc\nc(\n)");
        let expected = [("a", 2), ("b", 4), ("c", 6), ("(", 6), (")", 7)];
        assert_eq!(seen, expected.map(|(text, line)| (text.to_owned(), line)));
    }

    #[test]
    fn strings_are_distinguished_from_names() {
        let tokens = lex(r####"f("a // \" b", b"c", r#"d "e""#, 'x', 7) r#type"####).unwrap();
        let strings: Vec<&str> = tokens
            .iter()
            .filter(|token| token.kind == Kind::Str)
            .map(|token| token.text.as_str())
            .collect();
        assert_eq!(strings, [r#"a // " b"#, "c", r#"d "e""#]);
        assert!(tokens.last().unwrap().is_ident("type"));
        assert!(lex("\"abc").is_err());
    }

    #[test]
    fn starts_with_does_not_look_into_strings() {
        assert!(starts_with(&lex("a::b").unwrap(), &["a", ":", ":"]));
        assert!(!starts_with(&lex("\"a\"::b").unwrap(), &["a", ":", ":"]));
    }
}
