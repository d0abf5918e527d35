//! `use` declarations taken apart.

use crate::lexer::{Kind, Token};

/// One name that a `use` brings into scope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The path as written, without a leading `::`.
    path: Vec<String>,
    /// The name here, which `as` may have changed.
    pub(super) name: String,
    /// True for `path::*`; the name is then the path's last part.
    pub(super) glob: bool,
    pub(super) line: usize,
}

impl Import {
    pub(super) fn root(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// The name where it comes from.
    pub(super) fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    pub(super) fn is_engine(&self) -> bool {
        self.root() == super::ENGINE && self.name != "_"
    }
}

/// All imports of a file, those inside functions and modules too.
pub(super) fn imports(tokens: &[Token]) -> Vec<Import> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        // `use<'a>` in a bound is a list of captures, not an import.
        let captures = tokens.get(at + 1).is_some_and(|token| token.is_punct("<"));
        if tokens[at].is_ident("use") && !captures {
            let mut tree = Tree {
                tokens: &tokens[at + 1..],
                found: &mut found,
            };
            tree.branch(&[]);
        }
    }
    found
}

struct Tree<'a> {
    tokens: &'a [Token],
    found: &'a mut Vec<Import>,
}

impl Tree<'_> {
    /// Reads one branch of a use tree up to the `,`, `}` or `;` that ends it, which it leaves.
    fn branch(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut alias = None;
        let mut glob = false;
        while let Some((token, rest)) = self.tokens.split_first() {
            if [",", "}", ";"].iter().any(|mark| token.is_punct(mark)) {
                break;
            }
            self.tokens = rest;
            if token.is_punct("{") {
                return self.group(&path);
            } else if token.is_punct("*") {
                glob = true;
            } else if token.is_ident("as") {
                alias = rest.first().map(|token| token.text.clone());
                self.tokens = rest.get(1..).unwrap_or(&[]);
            } else if token.kind == Kind::Ident && (path.is_empty() || !token.is_ident("self")) {
                path.push(token.text.clone());
            }
        }
        if let Some(last) = path.last() {
            let name = alias.unwrap_or_else(|| last.clone());
            let line = self.tokens.first().map_or(0, |token| token.line);
            self.found.push(Import {
                path,
                name,
                glob,
                line,
            });
        }
    }

    /// Reads the branches after a `{`, and the `}`.
    fn group(&mut self, prefix: &[String]) {
        while let Some((token, rest)) = self.tokens.split_first() {
            if token.is_punct("}") {
                self.tokens = rest;
                return;
            } else if token.is_punct(",") {
                self.tokens = rest;
            } else if token.is_punct(";") {
                return;
            } else {
                self.branch(prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn seen(text: &str) -> Vec<(String, String, bool)> {
        imports(&lex(text))
            .into_iter()
            .map(|import| (import.path.join("::"), import.name, import.glob))
            .collect()
    }

    fn plain(path: &str, name: &str) -> (String, String, bool) {
        (path.to_owned(), name.to_owned(), false)
    }

    #[test]
    fn trees_are_taken_apart() {
        assert_eq!(
            seen("use ::a::{self, B as C, d::{E, F,}, g::*};"),
            [
                plain("a", "a"),
                plain("a::B", "C"),
                plain("a::d::E", "E"),
                plain("a::d::F", "F"),
                ("a::g".to_owned(), "g".to_owned(), true),
            ]
        );
        assert_eq!(
            seen("use {a::B, c};"),
            [plain("a::B", "B"), plain("c", "c")]
        );
        assert_eq!(
            seen("use super::A; pub(crate) use self::b::C;"),
            [plain("super::A", "A"), plain("self::b::C", "C")]
        );
    }

    #[test]
    fn captures_and_unfinished_trees_are_no_trouble() {
        assert!(seen("fn f() -> impl A + use<'a> {}").is_empty());
        for text in ["use", "use a::{", "use a::{b", "use a as", "use {;"] {
            seen(text);
        }
    }
}
