//! Rules for Rust code that no clippy lint covers.

use crate::finding::Finding;
use crate::lexer::starts_with;
use crate::source::{SourceFile, attribute_len};

/// An ignored test proves nothing.
pub(super) fn ignored_tests(source: &SourceFile) -> Vec<Finding> {
    let tokens = &source.tokens;
    (0..tokens.len())
        .filter(|at| starts_with(&tokens[*at..], &["#", "["]))
        .filter(|at| {
            let attribute = &tokens[*at..*at + attribute_len(&tokens[*at..])];
            attribute[2].is_ident("ignore")
                || attribute[2].is_ident("cfg_attr")
                    && attribute.iter().any(|token| token.is_ident("ignore"))
        })
        .map(|at| {
            let message = "an ignored test proves nothing; make it run or remove it";
            Finding::new(&source.path, tokens[at].line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    #[test]
    fn ignored_tests_are_seen() {
        let lines = |text| {
            let source = SourceFile::new("a/tests/b.rs", text).unwrap();
            lines_of(&ignored_tests(&source))
        };
        assert_eq!(lines("#[ignore]\n#[ignore = \"slow\"]"), [1, 2]);
        assert_eq!(lines("#[cfg_attr(windows, ignore)]"), [1]);
        assert!(lines("#[must_use] // #[ignore]\n#[serde(ignore)]").is_empty());
    }
}
