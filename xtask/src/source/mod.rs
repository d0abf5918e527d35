//! The Rust files of the workspace as syntax trees, and the names in their shipped code.

mod shipped;
mod words;

use std::collections::BTreeSet;

use syn::Item;

pub(crate) use shipped::{listed, shipped};
pub(crate) use words::{Role, Word};

use shipped::is_shipped;

use crate::workspace::{Workspace, WorkspaceError};

/// Directories whose files only tests, examples and benchmarks build.
const TEST_DIRECTORIES: &[&str] = &["tests", "benches", "examples"];
const TEST_FILE: &str = "tests.rs";

/// One Rust file.
pub(crate) struct SourceFile {
    /// The path from the workspace's root, with `/`.
    pub(crate) path: String,
    pub(crate) file: syn::File,
    /// The names and strings in shipped code: none of a test file, none under `#[cfg(test)]`.
    pub(crate) words: Vec<Word>,
}

impl SourceFile {
    /// # Errors
    ///
    /// The text is not Rust.
    pub(crate) fn new(path: &str, text: &str) -> Result<Self, WorkspaceError> {
        let file = syn::parse_file(text).map_err(|source| WorkspaceError::Rust {
            path: path.to_owned(),
            source,
        })?;
        let words = if is_test_path(path) {
            Vec::new()
        } else {
            words::words(&shipped(file.clone()))
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            words,
        })
    }

    /// True for a file in `src` of the member crate.
    pub(crate) fn in_crate(&self, package: &str) -> bool {
        self.path
            .strip_prefix(package)
            .is_some_and(|rest| rest.starts_with("/src/"))
    }

    /// True if shipped code has this name, alone or in a path.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.words.iter().any(|word| word.is_name(name))
    }

    /// True if the file declares a shipped module of this name.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.file.items.iter().any(
            |item| matches!(item, Item::Mod(item) if item.ident == name && is_shipped(&item.attrs)),
        )
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
        sources.push(SourceFile::new(path, &String::from_utf8_lossy(&bytes))?);
    }
    leave_out_test_modules(&mut sources);
    Ok(sources)
}

/// Clears the words of files whose parent declares them under `#[cfg(test)]`, and of the files
/// below those.
fn leave_out_test_modules(sources: &mut [SourceFile]) {
    let mut modules = BTreeSet::new();
    for source in &*sources {
        test_modules(
            &source.file.items,
            module_directory(&source.path),
            &mut modules,
        );
    }
    for source in sources {
        let in_test_module = modules.iter().any(|module| {
            source
                .path
                .strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if in_test_module {
            source.words.clear();
        }
    }
}

/// Collects the paths, without `.rs`, of the modules that are declared under `#[cfg(test)]`.
fn test_modules(items: &[Item], directory: &str, modules: &mut BTreeSet<String>) {
    for item in items {
        let Item::Mod(item) = item else { continue };
        let path = format!("{directory}/{}", item.ident);
        if !is_shipped(&item.attrs) {
            modules.insert(path);
        } else if let Some((_, items)) = &item.content {
            test_modules(items, &path, modules);
        }
    }
}

/// True for test files, by directory or name.
fn is_test_path(path: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::new(path, text).unwrap()
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
            assert!(file(path, "use x;").words.is_empty(), "{path}");
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
        let root = "#[cfg(test)] mod harness; mod harness_of; mod c { #[cfg(test)] mod d; }";
        let mut sources = vec![
            file("a/src/lib.rs", root),
            file("a/src/harness.rs", "use x;"),
            file("a/src/harness/deep.rs", "use x;"),
            file("a/src/harness_of.rs", "use x;"),
            file("a/src/c/d.rs", "use x;"),
            file("b/src/harness.rs", "use x;"),
        ];
        leave_out_test_modules(&mut sources);
        let kept: Vec<bool> = sources
            .iter()
            .map(|source| !source.words.is_empty())
            .collect();
        assert_eq!(kept, [true, false, false, true, false, true]);
    }

    #[test]
    fn crates_are_distinguished_by_their_full_name() {
        let source = file("lattice-meta/src/lib.rs", "");
        assert!(source.in_crate("lattice-meta"));
        assert!(!source.in_crate("lattice"));
    }

    #[test]
    fn what_is_not_rust_is_an_error() {
        for text in ["fn f() {", "\"abc", "x", "fn f() { 1 + }", "\u{0}"] {
            let error = SourceFile::new("a/src/b.rs", text).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), "a/src/b.rs, line 1, is not Rust");
        }
        assert!(SourceFile::new("a/src/b.rs", "").is_ok());
    }
}
