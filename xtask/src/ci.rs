//! `cargo xtask ci`: the single list of checks that a change must pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command;
use crate::failure::{Failure, no_arguments};
use crate::files::{FileError, at};
use crate::workspace::{LAYERS, Workspace};
use crate::{api, docs, guest, layers, tidy};

/// The test command in the README.
const TEST_COMMAND: &str = "cargo test --workspace";
/// The main command in the README.
const MAIN_COMMAND: &str = "cargo run --release -- tour";
const README: &str = "README.md";

/// Why the README's commands do not work as promised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CiError {
    #[error("{README} has no line `{command}`, a command that it must name")]
    NotPromised { command: &'static str },
    #[error("`{command}` left behind: {}", shown(.paths))]
    LeftBehind {
        command: &'static str,
        paths: Vec<PathBuf>,
    },
}

fn shown(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<String>>()
        .join(", ")
}

type Step = fn(&Workspace) -> Result<(), Failure>;

/// The checks that a change must pass, by name.
const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("modules against their sources", |workspace| {
        guest::run(workspace, &[])
    }),
    ("clippy", clippy),
    ("tidy", |workspace| tidy::run(workspace, &[])),
    ("spelling", spelling),
    ("layers", |workspace| layers::run(workspace, &[])),
    ("cargo xtask api", |workspace| api::run(workspace, &[])),
    ("documentation", documentation),
    ("packages", packages),
    ("reference of the program", docs::check),
    ("the README names its commands", readme),
    (TEST_COMMAND, test),
    ("the program without modules", without_modules),
    ("examples", examples),
    (
        "golden, conformance and cost tests in release",
        release_tests,
    ),
    ("30 seconds of crashes", |workspace| {
        example(workspace, "crash", &["--seconds", "30"])
    }),
    (MAIN_COMMAND, main_command),
];

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    let mut times = Vec::with_capacity(STEPS.len());
    for (name, step) in STEPS {
        println!("==> {name}");
        let start = Instant::now();
        let outcome = step(workspace);
        let time = start.elapsed();
        times.push((name, time));
        match &outcome {
            Ok(()) => println!("<== {name}: passed in {}", seconds(time)),
            Err(_) => println!("<== {name}: failed after {}", seconds(time)),
        }
        outcome?;
    }
    println!("ci: all {} steps passed", times.len());
    for (name, time) in times {
        println!("  {:>8}  {name}", seconds(time));
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Runs cargo in the root with the given arguments.
fn cargo(workspace: &Workspace, words: &[&str]) -> Result<(), Failure> {
    Ok(command::run(workspace.cargo().args(words))?)
}

/// Small programs that show the interfaces; each terminates by itself. The test command has built
/// them.
const EXAMPLES: [&str; 9] = [
    "kv",
    "log",
    "replicas",
    "backup",
    "changes",
    "peek",
    "votes",
    "single_file",
    "own_backend",
];

fn examples(workspace: &Workspace) -> Result<(), Failure> {
    for name in EXAMPLES {
        example(workspace, name, &[])?;
    }
    Ok(())
}

/// Runs an example that the test command has built.
fn example(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<(), Failure> {
    let target = workspace.metadata()?.target_directory;
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let mut run = std::process::Command::new(target.join("debug/examples").join(program));
    Ok(command::run(run.args(arguments))?)
}

fn format(workspace: &Workspace) -> Result<(), Failure> {
    cargo(workspace, &["fmt", "--all", "--", "--check"])
}

fn clippy(workspace: &Workspace) -> Result<(), Failure> {
    let scope = ["clippy", "--workspace", "--all-targets", "--all-features"];
    cargo(workspace, &[&scope[..], &["--", "-D", "warnings"]].concat())
}

/// With `typos`, where it is installed.
fn spelling(workspace: &Workspace) -> Result<(), Failure> {
    let typos = || {
        let mut typos = std::process::Command::new("typos");
        typos.current_dir(workspace.root());
        typos
    };
    match command::output(typos().arg("--version")) {
        Ok(_) => Ok(command::run(&mut typos())?),
        Err(command::CommandError::Start { .. }) => {
            println!("spelling: skipped, `cargo install typos-cli` adds `typos`");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn documentation(workspace: &Workspace) -> Result<(), Failure> {
    let mut cargo = workspace.cargo();
    cargo.env("RUSTDOCFLAGS", "-Dwarnings");
    Ok(command::run(cargo.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--all-features",
    ]))?)
}

/// Packages every published crate as crates.io accepts it. The packages are not built: their
/// sources are those of the workspace.
fn packages(workspace: &Workspace) -> Result<(), Failure> {
    let words = [
        "package",
        "--no-verify",
        "--allow-dirty",
        "--offline",
        "--quiet",
    ]
    .into_iter();
    let names = LAYERS.iter().flat_map(|name| ["--package", name]);
    cargo(workspace, &words.chain(names).collect::<Vec<&str>>())
}

fn readme(workspace: &Workspace) -> Result<(), Failure> {
    let bytes = workspace.read(README)?;
    match missing_command(&String::from_utf8_lossy(&bytes)) {
        Some(command) => Err(CiError::NotPromised { command }.into()),
        None => Ok(()),
    }
}

/// The first of the two commands that has no line of its own.
fn missing_command(readme: &str) -> Option<&'static str> {
    [TEST_COMMAND, MAIN_COMMAND]
        .into_iter()
        .find(|command| !readme.lines().any(|line| line.trim() == *command))
}

fn test(workspace: &Workspace) -> Result<(), Failure> {
    cargo(workspace, &after_cargo(TEST_COMMAND))
}

/// Without the feature `wasm` the program has no interpreter, and must still build.
fn without_modules(workspace: &Workspace) -> Result<(), Failure> {
    let words = ["clippy", "--quiet", "--package", "lattice-node"];
    let features = ["--no-default-features", "--features", "program"];
    cargo(
        workspace,
        &[&words[..], &features, &["--", "-D", "warnings"]].concat(),
    )
}

/// Tests frozen bytes, convergence and bounded costs in the published build: optimised, without
/// debug assertions.
fn release_tests(workspace: &Workspace) -> Result<(), Failure> {
    let crates = [
        "lattice-meta",
        "lattice-backend",
        "lattice-kvstore",
        "lattice-logstore",
        "lattice-wasm",
        "lattice-code",
    ];
    let packages = crates.iter().flat_map(|name| ["-p", name]);
    let names = [
        "golden",
        "conformance",
        "convergence",
        "model",
        "cost",
        "state_hash",
        "xof",
        "lthash",
        // Time limits of hostile modules, and loops on a small stack.
        "hostile",
        "bombs",
        "limits",
        // Counts allocations, in a process of its own.
        "small_ops_over_large_values",
    ];
    // One command for all, so that cargo compiles each crate once.
    let words = ["test", "--release", "--lib", "--test", "it"].into_iter();
    let words = words.chain(["--test", "memory"]).chain(packages);
    cargo(
        workspace,
        &words.chain(["--"]).chain(names).collect::<Vec<&str>>(),
    )
}

/// The arguments of a cargo command line.
fn after_cargo(command: &str) -> Vec<&str> {
    command.split_whitespace().skip(1).collect()
}

/// Runs the main command as a first-time user would: in an empty directory, without data of earlier
/// runs. It must succeed and leave neither files nor temporary files.
fn main_command(workspace: &Workspace) -> Result<(), Failure> {
    let manifest = workspace.root().join("Cargo.toml");
    cargo(workspace, &["build", "--release", "--bin", "lattice"])?;

    let scratch = tempfile::tempdir().map_err(at(&std::env::temp_dir()))?;
    let [here, temporary, data] =
        ["here", "temporary", "data"].map(|name| scratch.path().join(name));
    for path in [&here, &temporary, &data] {
        fs::create_dir(path).map_err(at(path))?;
    }
    let words = after_cargo(MAIN_COMMAND);
    let (subcommand, rest) = words.split_at(1);
    let mut run = command::cargo(&here);
    run.args(subcommand)
        .arg("--manifest-path")
        .arg(manifest)
        .args(rest);
    // Keep the target directory, even if the environment names it relative to the root.
    run.env("CARGO_TARGET_DIR", workspace.metadata()?.target_directory);
    run.env("TMPDIR", &temporary)
        .env("XDG_DATA_HOME", &data)
        .env_remove("LATTICE_DATA_DIR");
    command::run(&mut run)?;

    let paths = files_in(&[&here, &temporary, &data])?;
    if paths.is_empty() {
        Ok(())
    } else {
        Err(CiError::LeftBehind {
            command: MAIN_COMMAND,
            paths,
        }
        .into())
    }
}

/// The entries of the directories.
fn files_in(directories: &[&Path]) -> Result<Vec<PathBuf>, FileError> {
    let mut paths = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(directory).map_err(at(directory))? {
            paths.push(entry.map_err(at(directory))?.path());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_must_have_both_commands_on_lines_of_their_own() {
        let good = format!("# X\n\n```sh\n{TEST_COMMAND}\n```\n\n    {MAIN_COMMAND}\n");
        assert_eq!(missing_command(&good), None);
        assert_eq!(
            missing_command(&good.replace(TEST_COMMAND, "cargo test")),
            Some(TEST_COMMAND)
        );
        assert_eq!(
            missing_command(&format!("{TEST_COMMAND}\nrun `{MAIN_COMMAND}`\n")),
            Some(MAIN_COMMAND)
        );
        assert_eq!(missing_command(""), Some(TEST_COMMAND));
    }

    #[test]
    fn commands_are_split_into_words() {
        assert_eq!(
            after_cargo(MAIN_COMMAND),
            ["run", "--release", "--", "tour"]
        );
    }

    #[test]
    fn leftover_files_are_found() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(files_in(&[scratch.path()]).unwrap().is_empty());
        fs::create_dir(scratch.path().join("stores")).unwrap();
        assert_eq!(
            files_in(&[scratch.path()]).unwrap(),
            [scratch.path().join("stores")]
        );
        assert!(files_in(&[&scratch.path().join("none")]).is_err());
    }
}
