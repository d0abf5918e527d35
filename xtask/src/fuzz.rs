//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, on the stable compiler.
//!
//! `--seconds N` sets the time per target (default: 60). Names of targets select targets. Inputs
//! that reach new code are kept in the target directory for the next run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;
use crate::failure::Failure;
use crate::files::{FileError, at};
use crate::workspace::Workspace;

const DEFAULT_SECONDS: u64 = 60;
const MAX_INPUT_BYTES: u32 = 4096;
/// The time limit of one input.
const TIMEOUT_SECONDS: u32 = 10;

/// The compiler flags that cargo-fuzz uses for coverage, which work on any channel.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Why fuzzing failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FuzzError {
    #[error("no target is called `{name}`; there are {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("{target} does not take an input: see {}; again with `{again}`", .log.display())]
    Found {
        target: String,
        log: PathBuf,
        again: String,
    },
    #[error("the compiler does not say what it builds for")]
    NoHost,
    #[error(transparent)]
    File(#[from] FileError),
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let known = targets(workspace)?;
    let (seconds, chosen) = parse(arguments, &known)?;
    let place = workspace.metadata()?.target_directory.join("fuzz");
    let runner = build(workspace, &place)?;
    let mut total = 0;
    for target in &chosen {
        let executions = fuzz(workspace, &runner, &place, target, seconds)?;
        println!("{target:<12} {executions:>12} executions in {seconds} s");
        total += executions;
    }
    println!(
        "fuzz: {total} executions of {} targets, nothing found",
        chosen.len()
    );
    Ok(())
}

/// The targets: each has a corpus directory.
fn targets(workspace: &Workspace) -> Result<Vec<String>, FuzzError> {
    let corpus = workspace.root().join("fuzz/corpus");
    let mut names = Vec::new();
    for entry in fs::read_dir(&corpus).map_err(at(&corpus))? {
        let entry = entry.map_err(at(&corpus))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn parse(arguments: &[String], known: &[String]) -> Result<(u64, Vec<String>), Failure> {
    let (mut seconds, mut chosen) = (DEFAULT_SECONDS, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let wrong = || Failure::Argument {
            argument: argument.clone(),
        };
        if argument == "--seconds" {
            let number = arguments.next().and_then(|number| number.parse().ok());
            seconds = number.ok_or_else(wrong)?;
        } else if argument.starts_with('-') {
            return Err(wrong());
        } else if known.contains(argument) {
            chosen.push(argument.clone());
        } else {
            let (name, known) = (argument.clone(), known.to_vec());
            return Err(FuzzError::Unknown { name, known }.into());
        }
    }
    if chosen.is_empty() {
        chosen = known.to_vec();
    }
    Ok((seconds, chosen))
}

/// Builds the runner with an explicit host target, so that build scripts are not instrumented.
fn build(workspace: &Workspace, place: &Path) -> Result<PathBuf, Failure> {
    let version = command::output(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or(FuzzError::NoHost)?;
    let manifest = workspace.root().join("fuzz/runner/Cargo.toml");
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--release", "--target", host, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(place)
        .env("RUSTFLAGS", COVERAGE.join(" "));
    command::run(&mut cargo)?;
    Ok(place.join(host).join("release/lattice-fuzz-runner"))
}

/// Runs one target; returns the number of executions.
fn fuzz(
    workspace: &Workspace,
    runner: &Path,
    place: &Path,
    target: &str,
    seconds: u64,
) -> Result<u64, FuzzError> {
    let found = place.join("corpus").join(target);
    let crashes = place.join("found").join(target);
    for dir in [&found, &crashes] {
        fs::create_dir_all(dir).map_err(at(dir))?;
    }
    let log = place.join(format!("{target}.log"));
    let errors = fs::File::create(&log).map_err(at(&log))?;
    let mut command = Command::new(runner);
    command
        .env("LATTICE_FUZZ_TARGET", target)
        .arg(&found)
        .arg(workspace.root().join("fuzz/corpus").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg(format!("-timeout={TIMEOUT_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .arg("-print_final_stats=1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors);
    let status = command.status().map_err(at(runner))?;
    let text = fs::read(&log).map_err(at(&log))?;
    let text = String::from_utf8_lossy(&text);
    if !status.success() {
        let artifact = text.lines().find_map(|line| {
            let (_, path) = line.split_once("Test unit written to ")?;
            Some(path.to_owned())
        });
        let again = format!(
            "LATTICE_FUZZ_TARGET={target} {} {}",
            runner.display(),
            artifact.as_deref().unwrap_or("INPUT")
        );
        let target = target.to_owned();
        return Err(FuzzError::Found { target, log, again });
    }
    Ok(executions(&text))
}

fn executions(log: &str) -> u64 {
    log.lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn targets_are_chosen_by_name() {
        let known = words(&["meta", "op"]);
        assert_eq!(parse(&[], &known).unwrap(), (60, known.clone()));
        let given = words(&["--seconds", "5", "op"]);
        assert_eq!(parse(&given, &known).unwrap(), (5, words(&["op"])));
        for wrong in [
            &["oops"][..],
            &["--seconds"],
            &["--seconds", "x"],
            &["--what"],
        ] {
            assert!(parse(&words(wrong), &known).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn executions_are_read_from_the_log() {
        let log = "#1 INITED\nstat::number_of_executed_units: 12345\nstat::x: 1\n";
        assert_eq!(executions(log), 12_345);
        assert_eq!(executions(""), 0);
    }
}
