//! Compares committed golden files with newly computed ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::files::{FileError, at};
use crate::finding::Finding;
use crate::workspace::Workspace;

type Contents = BTreeMap<String, Vec<u8>>;

/// The names of the files below a directory, relative to it.
pub(super) fn below<'a>(directory: &str, files: &[&'a str]) -> Vec<&'a str> {
    files
        .iter()
        .filter_map(|path| {
            path.strip_prefix(directory)
                .and_then(|rest| rest.strip_prefix('/'))
        })
        .collect()
}

/// The differences between the committed files of a golden directory and those in `written`.
pub(super) fn differences(
    workspace: &Workspace,
    directory: &str,
    files: &[&str],
    written: &Path,
) -> Result<Vec<Finding>, Failure> {
    let mut committed = Contents::new();
    for name in below(directory, files)
        .into_iter()
        .filter(|name| is_golden(name))
    {
        committed.insert(
            name.to_owned(),
            workspace.read(&format!("{directory}/{name}"))?,
        );
    }
    let mut computed = Contents::new();
    collect(written, "", &mut computed)?;
    computed.retain(|name, _| is_golden(name));
    Ok(compare(directory, &committed, &computed))
}

/// Programs and their notes are not golden files.
fn is_golden(name: &str) -> bool {
    ![".py", ".md"].iter().any(|ending| name.ends_with(ending))
}

fn collect(directory: &Path, prefix: &str, contents: &mut Contents) -> Result<(), FileError> {
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(at(directory))?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), contents)?;
        } else {
            let path = entry.path();
            let bytes = fs::read(&path).map_err(at(&path))?;
            contents.insert(name, bytes);
        }
    }
    Ok(())
}

fn compare(directory: &str, committed: &Contents, computed: &Contents) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, bytes) in committed {
        let message = match computed.get(name) {
            None => "the generator does not write this file".to_owned(),
            Some(other) if other == bytes => continue,
            Some(other) => format!(
                "differs from byte {} on: {} bytes here, {} computed",
                common_prefix_len(bytes, other),
                bytes.len(),
                other.len()
            ),
        };
        findings.push(Finding::file(&format!("{directory}/{name}"), message));
    }
    for name in computed
        .keys()
        .filter(|name| !committed.contains_key(*name))
    {
        let message = "the generator writes this file, but it is not committed";
        findings.push(Finding::file(&format!("{directory}/{name}"), message));
    }
    findings
}

fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(files: &[(&str, &[u8])]) -> Contents {
        files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
            .collect()
    }

    #[test]
    fn equal_files_pass() {
        let files = contents(&[("a", b"1"), ("b/c", b"2")]);
        assert!(compare("g", &files, &files).is_empty());
    }

    #[test]
    fn every_difference_is_named() {
        let committed = contents(&[("gone", b"1"), ("changed", b"abcd"), ("longer", b"ab")]);
        let computed = contents(&[("new", b"1"), ("changed", b"abXd"), ("longer", b"abc")]);
        let mut seen: Vec<String> = compare("g", &committed, &computed)
            .iter()
            .map(Finding::to_string)
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                "g/changed:1: differs from byte 2 on: 4 bytes here, 4 computed",
                "g/gone:1: the generator does not write this file",
                "g/longer:1: differs from byte 2 on: 2 bytes here, 3 computed",
                "g/new:1: the generator writes this file, but it is not committed",
            ]
        );
    }

    #[test]
    fn written_files_are_collected_with_their_directories() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("d")).unwrap();
        fs::write(scratch.path().join("d/a.bin"), b"1").unwrap();
        fs::write(scratch.path().join("b.bin"), b"2").unwrap();
        let mut seen = Contents::new();
        collect(scratch.path(), "", &mut seen).unwrap();
        assert_eq!(seen, contents(&[("b.bin", b"2"), ("d/a.bin", b"1")]));
    }

    #[test]
    fn programs_are_not_golden_files() {
        assert!(is_golden("a.bin") && !is_golden("generate.py") && !is_golden("README.md"));
        assert_eq!(
            below("a/g", &["a/g/x", "a/g/y/z", "a/gx", "b"]),
            ["x", "y/z"]
        );
    }
}
