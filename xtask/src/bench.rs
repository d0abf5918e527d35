//! `cargo xtask bench`: compares Lattice with redb and other stores.
//!
//! The program is `bench-peers`, a separate workspace. A full run writes BENCHMARKS.md, also with
//! `--long`, which adds what takes minutes; `--quick`, `--rounds N` and names of groups reduce the
//! run, which then writes nothing. `--criterion` runs the benches of the crates instead, lowest
//! layer first, and passes further arguments to them.

use std::path::Path;

use crate::command;
use crate::failure::Failure;
use crate::workspace::{LAYERS, Package, Workspace};

const LONG: &str = "--long";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    match arguments.split_first() {
        Some((first, rest)) if first == "--criterion" => criterion(workspace, rest),
        _ => beside_others(workspace, arguments),
    }
}

fn beside_others(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let built = workspace.metadata()?.target_directory;
    let mut cargo = workspace.cargo();
    command::run(cargo.args(["build", "--release", "--package", "lattice-node"]))?;
    let mut cargo = workspace.cargo();
    cargo
        .args(["run", "--release", "--quiet", "--manifest-path"])
        .arg(workspace.root().join("bench-peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(built.join("bench"))
        .arg("--")
        .arg("--program")
        .arg(program(&built))
        .args(arguments);
    if is_full(arguments) {
        cargo.arg("--report").arg(workspace.root());
    }
    Ok(command::run(&mut cargo)?)
}

/// Whether nothing is left out of a run.
fn is_full(arguments: &[String]) -> bool {
    arguments.iter().all(|argument| argument == LONG)
}

fn program(built: &Path) -> std::path::PathBuf {
    built
        .join("release/lattice")
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// Passes the arguments to every benchmark program: a part of a benchmark's name, or criterion's
/// options.
fn criterion(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let metadata = workspace.metadata()?;
    let order = in_order(&metadata.packages);
    for (package, bench) in &order {
        println!("==> {package}: {bench}");
        // By name: `cargo bench` would also run unit tests, whose harness rejects these options.
        let mut cargo = workspace.cargo();
        cargo
            .args(["bench", "--package", package, "--bench", bench, "--"])
            .args(arguments);
        command::run(&mut cargo)?;
    }
    let results = metadata.target_directory.join("criterion");
    println!(
        "bench: {} programs; results are in {}",
        order.len(),
        results.display()
    );
    Ok(())
}

/// The benchmark programs and their packages, in the order of layers.
fn in_order(packages: &[Package]) -> Vec<(&str, &str)> {
    let mut order = Vec::new();
    for layer in LAYERS {
        for package in packages.iter().filter(|package| package.name == *layer) {
            for target in &package.targets {
                if target.kind.iter().any(|kind| kind == "bench") {
                    order.push((package.name.as_str(), target.name.as_str()));
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduced_run_writes_no_report() {
        let given =
            |words: &[&str]| is_full(&words.iter().map(|&word| word.into()).collect::<Vec<_>>());
        assert!(given(&[]) && given(&["--long"]));
        for reduced in [&["--quick"][..], &["--long", "peek"], &["--rounds", "3"]] {
            assert!(!given(reduced), "{reduced:?}");
        }
    }

    #[test]
    fn benchmarks_run_from_the_lowest_layer_up() {
        let json = r#"[
            {"name":"lattice-node","dependencies":[],"features":{},
             "targets":[{"name":"lattice","kind":["bin"]},{"name":"open","kind":["bench"]}]},
            {"name":"lattice-meta","dependencies":[],"features":{},
             "targets":[{"name":"codec","kind":["bench"]},{"name":"lattice_meta","kind":["lib"]}]}
        ]"#;
        let packages: Vec<Package> = serde_json::from_str(json).unwrap();
        assert_eq!(
            in_order(&packages),
            [("lattice-meta", "codec"), ("lattice-node", "open")]
        );
    }
}
