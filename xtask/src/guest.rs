//! `cargo xtask guest`: builds the modules that come with Lattice from their sources, and compares
//! them with those in the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command;
use crate::failure::{Failure, flag};
use crate::files::at;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";
/// The pinned compiler: another version generates other bytes from the same sources.
const TOOLCHAIN: &str = "1.95.0";
/// The directory of the committed modules.
const KEPT: &str = "lattice-wasm/guests";
/// Linker arguments. A stack of 32 KiB before all data makes stack overflows trap and new instances
/// small.
const LINK: [&str; 4] = [
    "-C",
    "link-arg=-zstack-size=32768",
    "-C",
    "link-arg=--stack-first",
];

/// A module: its name, its package, and the features of the package.
struct Guest {
    name: &'static str,
    package: &'static str,
    features: &'static str,
}

const GUESTS: &[Guest] = &[
    guest("kvstore", "guest-kvstore", ""),
    guest("logstore", "guest-logstore", ""),
    guest("chat", "guest-chat", ""),
    guest("chat_hotfix", "guest-chat", "hotfix"),
    guest("chat_broken", "guest-chat", "broken"),
    guest("chat_v2", "guest-chat", "second"),
    guest("tally_v1", "guest-tally", "first"),
    guest("tally", "guest-tally", ""),
];

const fn guest(name: &'static str, package: &'static str, features: &'static str) -> Guest {
    Guest {
        name,
        package,
        features,
    }
}

/// A committed module differs from its sources.
#[derive(Debug, thiserror::Error)]
#[error("modules that differ from a build of their sources: {}; run `cargo xtask guest --write`", .paths.join(", "))]
pub(crate) struct Differ {
    paths: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    build_all(workspace, flag(arguments, "--write")?)
}

fn build_all(workspace: &Workspace, write: bool) -> Result<(), Failure> {
    if let Some(reason) = cannot_build(workspace)? {
        println!("guest: skipped, {reason}");
        return Ok(());
    }
    let target = workspace.metadata()?.target_directory;
    let kept = workspace.root().join(KEPT);
    let mut built = Vec::new();
    for guest in GUESTS {
        let path = kept.join(format!("{}.wasm", guest.name));
        built.push((guest.name, path, build(workspace, guest, &target)?));
    }
    // Writes all modules before it prints: a failed print must not leave only some of them written.
    let mut differ = Vec::new();
    for (_, path, built) in &built {
        match write {
            true => fs::write(path, built).map_err(at(path))?,
            false if fs::read(path).map_err(at(path))? == *built => {}
            false => differ.push(path.display().to_string()),
        }
    }
    for (name, _, built) in &built {
        println!("guest: {name} has {} bytes", built.len());
    }
    match differ.is_empty() {
        true => Ok(()),
        false => Err(Differ { paths: differ }.into()),
    }
}

/// Why this machine cannot reproduce the bytes, if it cannot.
fn cannot_build(workspace: &Workspace) -> Result<Option<String>, Failure> {
    let version = command::output(workspace.rustc().arg("--version"))?;
    if version.split_whitespace().nth(1) != Some(TOOLCHAIN) {
        let version = version.trim();
        return Ok(Some(format!(
            "the modules are made by rustc {TOOLCHAIN}, here is {version}"
        )));
    }
    if !workspace.has_target(TARGET)? {
        let add = format!("`rustup target add {TARGET}` adds it");
        return Ok(Some(format!("the target {TARGET} is not installed; {add}")));
    }
    Ok(None)
}

fn build(workspace: &Workspace, guest: &Guest, target: &Path) -> Result<Vec<u8>, Failure> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "rustc",
        "--quiet",
        "--locked",
        "--lib",
        "--package",
        guest.package,
    ]);
    cargo.args(["--features", guest.features, "--profile", "guest"]);
    cargo.args(["--target", TARGET, "--crate-type", "cdylib"]);
    // Panic messages contain source paths, which must be the same on every machine.
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let remap = |path: &Path, name: &str| format!("--remap-path-prefix={}={name}", path.display());
    let mut flags: Vec<String> = LINK.map(str::to_owned).into();
    flags.push(remap(workspace.root(), "lattice"));
    if let Some(home) = cargo_home {
        flags.push(remap(&home.join("registry/src"), "registry"));
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo.env_remove("RUSTFLAGS");
    command::run(&mut cargo)?;
    let name = guest.package.replace('-', "_");
    let path = target
        .join(TARGET)
        .join("guest")
        .join(format!("{name}.wasm"));
    Ok(fs::read(&path).map_err(at(&path))?)
}
