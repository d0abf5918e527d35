//! Tests of the node and the program from outside.
#![allow(clippy::unwrap_used)]

mod aliases;
#[cfg(unix)]
mod borders;
mod bulk;
#[cfg(unix)]
mod bundles;
mod chat;
#[cfg(feature = "wasm")]
mod code;
mod copies;
mod crowd;
mod damage;
mod edges;
mod escapes;
#[cfg(unix)]
mod files;
mod garbage;
mod identity;
mod limits;
mod meta_bytes;
mod program;
mod sessions;
mod sharing;
#[cfg(unix)]
mod trust;
mod votes;
mod waiting;
mod whole;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program on a data directory.
pub(crate) fn lattice(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(arguments)
        .output()
        .unwrap()
}

/// The standard output of a successful run.
pub(crate) fn printed(dir: &Path, arguments: &[&str]) -> String {
    let output = lattice(dir, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "lattice {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
