//! Rules for Rust code, seen as tokens: what comments and strings say does not matter.

use crate::finding::Finding;
use crate::lexer::{Kind, Token, starts_with};
use crate::source::{SourceFile, attribute_len};

const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];
const INTEGERS: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

/// All rules of this module.
pub(super) fn check(source: &SourceFile) -> Vec<Finding> {
    let mut findings = unfinished(source);
    findings.extend(ignored_tests(source));
    if source.in_src() {
        findings.extend(casts(source));
        findings.extend(unwraps(source));
        findings.extend(silent_defaults(source));
    }
    findings
}

fn unfinished(source: &SourceFile) -> Vec<Finding> {
    at_matches(source, &source.tokens, |rest| {
        let name = UNFINISHED
            .iter()
            .find(|name| starts_with(rest, &[name, "!"]))?;
        Some(format!("`{name}!` is left over"))
    })
}

fn ignored_tests(source: &SourceFile) -> Vec<Finding> {
    at_matches(source, &source.tokens, |rest| {
        let attribute = starts_with(rest, &["#", "["]).then(|| &rest[..attribute_len(rest)])?;
        let ignores = attribute[2].is_ident("ignore")
            || attribute[2].is_ident("cfg_attr")
                && attribute.iter().any(|token| token.is_ident("ignore"));
        ignores.then(|| "an ignored test proves nothing; make it run or remove it".to_owned())
    })
}

fn casts(source: &SourceFile) -> Vec<Finding> {
    at_matches(source, &source.tokens, |rest| {
        let [keyword, target, ..] = rest else {
            return None;
        };
        let is_cast = keyword.is_ident("as")
            && target.kind == Kind::Ident
            && INTEGERS.contains(&target.text.as_str());
        is_cast.then(|| {
            format!(
                "`as {}` can lose bits; use `from` or `try_from`",
                target.text
            )
        })
    })
}

fn unwraps(source: &SourceFile) -> Vec<Finding> {
    at_matches(source, &source.shipped, |rest| {
        starts_with(rest, &[".", "unwrap", "(", ")"])
            .then(|| "`.unwrap()`; return an error, or `expect` why it cannot fail".to_owned())
    })
}

fn silent_defaults(source: &SourceFile) -> Vec<Finding> {
    at_matches(source, &source.shipped, |rest| {
        rest[0]
            .is_ident("unwrap_or_default")
            .then(|| "`unwrap_or_default` hides what went wrong".to_owned())
    })
}

/// Tries a rule at every token; a rule sees at least one.
fn at_matches(
    source: &SourceFile,
    tokens: &[Token],
    rule: impl Fn(&[Token]) -> Option<String>,
) -> Vec<Finding> {
    (0..tokens.len())
        .filter_map(|at| {
            let message = rule(&tokens[at..])?;
            Some(Finding::new(&source.path, tokens[at].line, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        lines_of(&check(&SourceFile::new(path, text)))
    }

    #[test]
    fn unfinished_code_is_seen_in_tests_too() {
        assert_eq!(
            lines("a/tests/b.rs", "todo!();\nunimplemented!()\n; dbg!(x)"),
            [1, 2, 3]
        );
        assert!(lines("a/src/b.rs", "// todo!()\nlet todo = \"dbg!(x)\";").is_empty());
    }

    #[test]
    fn ignored_tests_are_seen() {
        assert_eq!(
            lines("a/tests/b.rs", "#[ignore]\n#[ignore = \"slow\"]"),
            [1, 2]
        );
        assert_eq!(lines("a/tests/b.rs", "#[cfg_attr(windows, ignore)]"), [1]);
        assert!(lines("a/tests/b.rs", "#[must_use] // #[ignore]\n#[serde(ignore)]").is_empty());
    }

    #[test]
    fn casts_are_seen_in_src() {
        assert_eq!(lines("a/src/b.rs", "x as u8\n; y as\nusize"), [1, 2]);
        assert!(lines("a/src/b.rs", "use a as b; x as Box<dyn Y>; u64::from(x)").is_empty());
        assert!(lines("a/tests/b.rs", "x as u8").is_empty());
    }

    #[test]
    fn unwraps_are_seen_in_what_ships() {
        assert_eq!(lines("a/src/b.rs", "x\n.unwrap ()"), [2]);
        assert!(
            lines(
                "a/src/b.rs",
                "/// x.unwrap()\n#[cfg(test)] mod t { fn f() { x.unwrap() } }"
            )
            .is_empty()
        );
        assert!(lines("a/src/b/tests.rs", "x.unwrap()").is_empty());
        assert!(lines("a/src/b.rs", "x.unwrap_or(y)").is_empty());
    }

    #[test]
    fn silent_defaults_are_seen() {
        assert_eq!(lines("a/src/b.rs", "x.unwrap_or_default()"), [1]);
        assert!(lines("a/src/b.rs", "x.unwrap_or_else(Y::default)").is_empty());
    }
}
