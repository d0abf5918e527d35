//! `cargo xtask matrix`: each crate with no feature and with each feature alone, the workspace
//! under the oldest Rust that it supports, and for other systems. It prints what it skips because
//! it is not installed.

use std::process::Command;

use crate::command;
use crate::failure::{Failure, no_arguments};
use crate::workspace::{LAYERS, Workspace};

/// Systems that a build server can check without their linkers.
const TARGETS: &[&str] = &["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    features(workspace)?;
    oldest_rust(workspace)?;
    TARGETS
        .iter()
        .try_for_each(|target| other_system(workspace, target))
}

fn features(workspace: &Workspace) -> Result<(), Failure> {
    let metadata = workspace.metadata()?;
    for package in &metadata.packages {
        if !LAYERS.contains(&package.name.as_str()) {
            continue;
        }
        let features = package.features.keys().map(String::as_str);
        for feature in features.filter(|name| *name != "default").chain([""]) {
            println!("matrix: {} with {}", package.name, shown(feature));
            let mut cargo = workspace.cargo();
            cargo.args(["check", "--quiet", "--locked", "--package", &package.name]);
            cargo.args(["--no-default-features", "--features", feature]);
            command::run(&mut cargo)?;
        }
    }
    Ok(())
}

fn shown(feature: &str) -> &str {
    match feature {
        "" => "no feature",
        feature => feature,
    }
}

/// Checks the workspace under the version that the manifests name.
fn oldest_rust(workspace: &Workspace) -> Result<(), Failure> {
    let metadata = workspace.metadata()?;
    let mut packages = metadata.packages.iter();
    let Some(version) = packages.find_map(|package| package.rust_version.clone()) else {
        println!("matrix: skipped the oldest Rust, no manifest names it");
        return Ok(());
    };
    let installed = command::output(Command::new("rustup").args(["toolchain", "list"]));
    let installed = installed.unwrap_or_else(|_| String::new());
    let toolchain = installed.lines().find(|line| {
        let name = line.split(['-', ' ']).next();
        name.is_some_and(|name| name == version || name.starts_with(&format!("{version}.")))
    });
    let toolchain = toolchain.and_then(|line| line.split_whitespace().next());
    let Some(toolchain) = toolchain else {
        println!("matrix: skipped Rust {version}, `rustup toolchain install {version}` adds it");
        return Ok(());
    };
    println!("matrix: the workspace under {toolchain}");
    let mut rustup = Command::new("rustup");
    rustup.current_dir(workspace.root());
    // Else the cargo of this program would be taken again.
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        rustup.env_remove(variable);
    }
    rustup.args(["run", toolchain, "cargo", "check", "--quiet", "--locked"]);
    rustup.args(["--workspace", "--all-features", "--target-dir"]);
    rustup.arg(metadata.target_directory.join("oldest"));
    Ok(command::run(&mut rustup)?)
}

fn other_system(workspace: &Workspace, target: &str) -> Result<(), Failure> {
    if !workspace.has_target(target)? {
        println!("matrix: skipped {target}, `rustup target add {target}` adds it");
        return Ok(());
    }
    println!("matrix: the workspace for {target}");
    let mut cargo = workspace.cargo();
    cargo.args([
        "check",
        "--quiet",
        "--locked",
        "--workspace",
        "--target",
        target,
    ]);
    Ok(command::run(&mut cargo)?)
}
