//! Rules for Rust code that no clippy lint covers.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Meta};

use crate::finding::Finding;
use crate::source::{SourceFile, listed};

/// An ignored test proves nothing.
pub(super) fn ignored_tests(source: &SourceFile) -> Vec<Finding> {
    let mut ignored = Ignored(Vec::new());
    ignored.visit_file(&source.file);
    let message = "an ignored test proves nothing; make it run or remove it";
    let lines = ignored.0.into_iter();
    lines
        .map(|line| Finding::new(&source.path, line, message))
        .collect()
}

/// The lines of attributes that ignore tests.
struct Ignored(Vec<usize>);

impl<'ast> Visit<'ast> for Ignored {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if ignores(&attribute.meta) {
            self.0.push(attribute.pound_token.span.start().line);
        }
        visit::visit_attribute(self, attribute);
    }

    /// The tests of `proptest!` are tokens.
    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        let mut after_hash = false;
        for tree in tokens.clone() {
            if let TokenTree::Group(group) = &tree {
                let inside = group.stream();
                if after_hash && syn::parse2(inside.clone()).is_ok_and(|meta| ignores(&meta)) {
                    self.0.push(group.span_open().start().line);
                }
                self.visit_token_stream(&inside);
            }
            after_hash = matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == '#');
        }
    }
}

fn ignores(meta: &Meta) -> bool {
    let path = meta.path();
    path.is_ident("ignore") || path.is_ident("cfg_attr") && listed(meta).iter().skip(1).any(ignores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    #[test]
    fn ignored_tests_are_seen() {
        for (start, end) in [
            ("", "fn f() {}"),
            ("mod m { impl A { ", "fn f() {} } }"),
            ("proptest! { mod m { ", "fn f() {} } }"),
        ] {
            let lines = |attributes: &str| {
                let text = format!("{start}{attributes}{end}");
                lines_of(&ignored_tests(
                    &SourceFile::new("a/tests/b.rs", &text).unwrap(),
                ))
            };
            assert_eq!(lines("#[ignore]\n#[test]\n#[ignore = \"slow\"]"), [1, 3]);
            assert_eq!(lines("\n#[cfg_attr(windows, ignore)]"), [2]);
            for deep in [
                "ignore = \"slow\"",
                "cfg_attr(x, ignore)",
                "unsafe(a), ignore",
            ] {
                assert_eq!(lines(&format!("#[cfg_attr(windows, {deep})]")), [1]);
            }
            assert!(lines("#[must_use] // #[ignore]\n#[serde(ignore)]").is_empty());
            assert!(lines("#[cfg_attr(ignore, serde(ignore))] /* #[ignore] */").is_empty());
        }
    }
}
