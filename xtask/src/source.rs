//! The Rust files of the workspace, split into shipped code and tests.

use std::collections::BTreeSet;

use proc_macro2::LexError;

use crate::lexer::{Token, lex, starts_with};
use crate::workspace::{Workspace, WorkspaceError};

/// Directories whose files only tests, examples and benchmarks build.
const TEST_DIRECTORIES: &[&str] = &["tests", "benches", "examples"];
const TEST_FILE: &str = "tests.rs";

/// Words that begin an item. Fields, variants and match arms, which end at a comma, begin with
/// others.
const ITEM_WORDS: &[&str] = &[
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "union",
    "unsafe",
    "use",
];

/// One Rust file.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The path from the workspace's root, with `/`.
    pub(crate) path: String,
    /// All tokens, without comments.
    pub(crate) tokens: Vec<Token>,
    /// The shipped tokens: without items under `#[cfg(test)]`, and empty for a test file.
    pub(crate) shipped: Vec<Token>,
}

impl SourceFile {
    /// # Errors
    ///
    /// The text is not Rust.
    pub(crate) fn new(path: &str, text: &str) -> Result<Self, LexError> {
        let tokens = lex(text)?;
        let shipped = if is_test_path(path) {
            Vec::new()
        } else {
            without_tests(&tokens)
        };
        Ok(Self {
            path: path.to_owned(),
            tokens,
            shipped,
        })
    }

    /// True for a file in `src` of the member crate.
    pub(crate) fn in_crate(&self, package: &str) -> bool {
        self.path
            .strip_prefix(package)
            .is_some_and(|rest| rest.starts_with("/src/"))
    }
}

/// Reads every Rust file of the repository.
pub(crate) fn load(
    workspace: &Workspace,
    files: &[String],
) -> Result<Vec<SourceFile>, WorkspaceError> {
    let mut sources = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        let bytes = workspace.read(path)?;
        let source = SourceFile::new(path, &String::from_utf8_lossy(&bytes));
        sources.push(source.map_err(|source| WorkspaceError::Rust {
            path: path.clone(),
            source: source.into(),
        })?);
    }
    leave_out_test_modules(&mut sources);
    Ok(sources)
}

/// Clears the shipped tokens of files whose parent declares them under `#[cfg(test)]`, and of the
/// files below those.
fn leave_out_test_modules(sources: &mut [SourceFile]) {
    let modules: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| {
            let directory = module_directory(&source.path);
            test_modules(&source.tokens).map(move |module| format!("{directory}/{module}"))
        })
        .collect();
    for source in sources {
        let in_test_module = modules.iter().any(|module| {
            source
                .path
                .strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if in_test_module {
            source.shipped.clear();
        }
    }
}

/// True for test files, by directory or name.
pub(crate) fn is_test_path(path: &str) -> bool {
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
    name == TEST_FILE
        || directories
            .split('/')
            .any(|part| TEST_DIRECTORIES.contains(&part))
}

/// The directory of a file's child modules.
fn module_directory(path: &str) -> &str {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    match stem.rsplit_once('/') {
        Some((directory, "lib" | "main" | "mod")) => directory,
        _ => stem,
    }
}

/// The names of modules in separate files that are declared under `#[cfg(test)]`.
fn test_modules(tokens: &[Token]) -> impl Iterator<Item = &str> {
    (0..tokens.len()).filter_map(|at| {
        let rest = &tokens[at..];
        if !is_cfg_test(rest) {
            return None;
        }
        let item = &rest[attribute_len(rest)..];
        let at_mod = item
            .iter()
            .take(5)
            .position(|token| token.is_ident("mod"))?;
        let ended = item
            .get(at_mod + 2)
            .is_some_and(|token| token.is_punct(";"));
        ended.then(|| item[at_mod + 1].text.as_str())
    })
}

/// The tokens without the items that only tests build.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if starts_with(rest, &["#", "!", "["]) && is_cfg_test_list(&rest[3..]) {
            return Vec::new();
        }
        if is_cfg_test(rest) {
            at += item_len(rest);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// True at `#[cfg(test)]` and `#[cfg(all(test, ...))]`; code under `any(test, ...)` also ships.
fn is_cfg_test(tokens: &[Token]) -> bool {
    starts_with(tokens, &["#", "["]) && is_cfg_test_list(&tokens[2..])
}

fn is_cfg_test_list(tokens: &[Token]) -> bool {
    starts_with(tokens, &["cfg", "(", "test", ")"])
        || starts_with(tokens, &["cfg", "(", "all", "(", "test", ","])
        || starts_with(tokens, &["cfg", "(", "all", "(", "test", ")"])
}

/// The length of the attribute at the start of the tokens.
pub(crate) fn attribute_len(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The length of the leading attributes and the element that they apply to: an item up to its `;`
/// or the end of its block; a field, a variant or a match arm up to its comma or the end of its
/// parent.
fn item_len(tokens: &[Token]) -> usize {
    let mut at = 0;
    while starts_with(&tokens[at..], &["#", "["]) {
        at += attribute_len(&tokens[at..]);
    }
    let is_item = tokens
        .get(at)
        .is_some_and(|token| ITEM_WORDS.contains(&token.text.as_str()));
    let mut depth = 0usize;
    while let Some(token) = tokens.get(at) {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            if depth == 0 {
                return at;
            }
            depth -= 1;
            if depth == 0 && token.is_punct("}") {
                // `use a::{b, c};` and `const A: B = B { c };` continue after their block.
                let ended_by = tokens.get(at + 1).is_some_and(|token| token.is_punct(";"));
                return at + 1 + usize::from(ended_by);
            }
        } else if depth == 0 && (token.is_punct(";") || (token.is_punct(",") && !is_item)) {
            return at + 1;
        }
        at += 1;
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(text: &str) -> Vec<String> {
        let source = SourceFile::new("lattice-x/src/a.rs", text).unwrap();
        source.shipped.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn test_items_do_not_ship() {
        assert_eq!(
            shipped("a; #[cfg(test)] mod tests { fn f<A, B>() { x } } b;"),
            ["a", ";", "b", ";"]
        );
        assert_eq!(shipped("#[cfg(test)] #[path = \"x\"] mod tests; b"), ["b"]);
        assert_eq!(
            shipped("#[cfg(all(test, unix))] pub fn f<A, B>() -> A { y } b"),
            ["b"]
        );
        assert_eq!(shipped("#[cfg(test)] use a::{b, c}; d"), ["d"]);
        assert!(shipped("#![cfg(test)] fn f() {}").is_empty());
    }

    #[test]
    fn a_test_field_ends_at_its_comma_or_its_parent() {
        assert_eq!(shipped("{ #[cfg(test)] a: (u8, u8), b }"), ["{", "b", "}"]);
        assert_eq!(shipped("{ b, #[cfg(test)] a }"), ["{", "b", ",", "}"]);
    }

    #[test]
    fn code_that_also_ships_is_kept() {
        assert!(
            shipped("#[cfg(any(test, feature = \"suites\"))] fn f() {}").contains(&"f".to_owned())
        );
        assert!(shipped("#[cfg(not(test))] fn f() {}").contains(&"f".to_owned()));
    }

    #[test]
    fn places_and_names_of_tests() {
        for path in [
            "a/tests/it/main.rs",
            "a/src/op/tests.rs",
            "a/benches/b.rs",
            "a/examples/e.rs",
        ] {
            assert!(is_test_path(path), "{path}");
        }
        for path in [
            "a/src/lib.rs",
            "a/src/attests.rs",
            "tests.md",
            "a/src/tests_of.rs",
        ] {
            assert!(!is_test_path(path), "{path}");
        }
    }

    #[test]
    fn files_of_test_modules_do_not_ship() {
        let mut sources = vec![
            SourceFile::new("a/src/lib.rs", "#[cfg(test)] mod harness; mod harness_of;").unwrap(),
            SourceFile::new("a/src/harness.rs", "x").unwrap(),
            SourceFile::new("a/src/harness/deep.rs", "x").unwrap(),
            SourceFile::new("a/src/harness_of.rs", "x").unwrap(),
            SourceFile::new("b/src/harness.rs", "x").unwrap(),
        ];
        leave_out_test_modules(&mut sources);
        let kept: Vec<bool> = sources
            .iter()
            .map(|source| !source.shipped.is_empty())
            .collect();
        assert_eq!(kept, [true, false, false, true, true]);
    }

    #[test]
    fn crates_are_distinguished_by_their_full_name() {
        let source = SourceFile::new("lattice-meta/src/lib.rs", "").unwrap();
        assert!(source.in_crate("lattice-meta"));
        assert!(!source.in_crate("lattice"));
    }
}
