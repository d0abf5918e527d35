//! `cargo xtask crash`: kills a writer at random moments and checks its stores.
//!
//! Runs the example `crash` of lattice-node and passes the arguments to it: `--rounds N`,
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
