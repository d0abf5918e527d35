//! `cargo xtask golden`: checks the bytes that must never change, and their origin.
//!
//! Without arguments it runs the tests with `golden` in their names. `--check-vectors` also runs
//! the Python programs that computed the golden files, independently of the encoders under test,
//! and compares their output with the committed files.

mod compare;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{self, CommandError};
use crate::failure::{Failure, flag};
use crate::files::at;
use crate::finding;
use crate::workspace::Workspace;

const FILTER: &str = "golden";
const CHECK_VECTORS: &str = "--check-vectors";
const PYTHON: &str = "python3";
const PYTHON_PACKAGES: &[&str] = &["blake3", "cryptography"];
/// The program that writes all golden files of its directory to the directory in its only argument.
const GENERATOR: &str = "generate.py";

/// Why the golden files could not be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GoldenError {
    #[error("no test has `{FILTER}` in its name: nothing was checked")]
    NoTests,
    #[error("no `{GENERATOR}` was found in a `*/tests/golden` directory")]
    NoGenerators,
    #[error(
        "{PYTHON} does not run or lacks a package; \
         `{PYTHON} -m pip install {}` installs what is needed",
        PYTHON_PACKAGES.join(" ")
    )]
    Python { source: CommandError },
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let check_vectors = flag(arguments, CHECK_VECTORS)?;
    let mut cargo = workspace.cargo();
    // Excludes this crate, whose own tests of this workflow also have the word in their names.
    cargo.args(["test", "--workspace", "--exclude", "xtask", "--", FILTER]);
    match run_counting_tests(&mut cargo)? {
        0 => return Err(GoldenError::NoTests.into()),
        count => println!("golden: {count} tests passed"),
    }
    if check_vectors {
        self::check_vectors(workspace)
    } else {
        Ok(())
    }
}

/// Runs a test command, forwards its output, and returns the number of tests.
fn run_counting_tests(command: &mut Command) -> Result<usize, CommandError> {
    let shown = command::shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| CommandError::Start {
            command: shown.clone(),
            source,
        })?;
    let mut count = 0;
    let mut unread = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            match line {
                Ok(line) => {
                    println!("{line}");
                    count += tests_run(&line);
                }
                Err(source) => {
                    unread = Some(source);
                    break;
                }
            }
        }
    }
    let read_error = |source| CommandError::Read {
        command: shown.clone(),
        source,
    };
    let status = child.wait().map_err(read_error)?;
    if let Some(source) = unread {
        return Err(read_error(source));
    }
    if status.success() {
        Ok(count)
    } else {
        Err(CommandError::Status {
            command: shown,
            status,
        })
    }
}

/// The number in a line such as `running 3 tests`, else 0.
fn tests_run(line: &str) -> usize {
    line.strip_prefix("running ")
        .and_then(|rest| {
            rest.strip_suffix(" tests")
                .or_else(|| rest.strip_suffix(" test"))
        })
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

fn check_vectors(workspace: &Workspace) -> Result<(), Failure> {
    let files = workspace.files()?;
    let directories = golden_directories(&files);
    if directories.is_empty() {
        return Err(GoldenError::NoGenerators.into());
    }
    let imports = format!("import {}", PYTHON_PACKAGES.join(", "));
    command::output(Command::new(PYTHON).args(["-c", &imports]))
        .map_err(|source| GoldenError::Python { source })?;
    let mut findings = Vec::new();
    for directory in &directories {
        println!("golden: recomputing {directory}");
        let committed: Vec<&str> = files.iter().map(String::as_str).collect();
        let scratch = tempfile::tempdir().map_err(at(&std::env::temp_dir()))?;
        let written = generate(workspace, directory, &committed, scratch.path())?;
        findings.extend(compare::differences(
            workspace, directory, &committed, &written,
        )?);
    }
    finding::report(findings)?;
    println!("golden: the generators write what is committed");
    Ok(())
}

/// The directories `*/tests/golden` with a generator.
fn golden_directories(files: &[String]) -> Vec<&str> {
    let generator = format!("/tests/golden/{GENERATOR}");
    files
        .iter()
        .filter(|path| path.ends_with(&generator))
        .filter_map(|path| path.rsplit_once('/'))
        .map(|(directory, _)| directory)
        .collect()
}

/// Runs a directory's generator in a copy, so that it cannot change committed files, and returns
/// the output directory.
fn generate(
    workspace: &Workspace,
    directory: &str,
    committed: &[&str],
    scratch: &Path,
) -> Result<PathBuf, Failure> {
    let copy = scratch.join("copy");
    let written = scratch.join("written");
    for path in [&copy, &written] {
        fs::create_dir_all(path).map_err(at(path))?;
    }
    for name in compare::below(directory, committed) {
        let bytes = workspace.read(&format!("{directory}/{name}"))?;
        let path = copy.join(name);
        let parent = path.parent().unwrap_or(&copy);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .map_err(at(&path))?;
    }
    let mut python = Command::new(PYTHON);
    python
        .current_dir(&copy)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(GENERATOR)
        .arg(&written);
    command::run(&mut python)?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted() {
        assert_eq!(tests_run("running 3 tests"), 3);
        assert_eq!(tests_run("running 1 test"), 1);
        assert_eq!(tests_run("running wild"), 0);
        assert_eq!(tests_run("test result: ok. 3 passed"), 0);
    }

    #[test]
    fn directories_with_a_generator_are_found() {
        let files = [
            "a/tests/golden/generate.py",
            "a/tests/golden/x.bin",
            "b/tests/golden/y.bin",
            "tests/generate.py",
        ];
        assert_eq!(
            golden_directories(&files.map(str::to_owned)),
            ["a/tests/golden"]
        );
    }

    #[test]
    fn unknown_arguments_are_refused_before_anything_runs() {
        let workspace = Workspace::locate().unwrap();
        for bad in [&["--check"][..], &["--check-vectors", "x"]] {
            let arguments: Vec<String> =
                bad.iter().map(|argument| (*argument).to_owned()).collect();
            assert!(
                matches!(run(&workspace, &arguments), Err(Failure::Argument { .. })),
                "{bad:?}"
            );
        }
    }
}
