//! `cargo xtask crash`: stores under a writer that is killed at any moment.
//!
//! The work and the checks are the example `crash` of lattice-node; arguments go to it: `--rounds N`,
//! `--seconds N`, `--seed N`.

use crate::command;
use crate::failure::Failure;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["run", "--release", "--quiet", "--package", "lattice-node"])
        .args(["--example", "crash", "--"])
        .args(arguments);
    Ok(command::run(&mut cargo)?)
}
