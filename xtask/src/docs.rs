//! `cargo xtask docs`: generates pages from the code.
//!
//! `docs/cli.md` is the command reference of the program: an example of lattice-node prints it from
//! the program's own help. `--check` compares instead of writing.

use std::fs;

use crate::command;
use crate::failure::{Failure, flag};
use crate::files::at;
use crate::workspace::Workspace;

const CHECK: &str = "--check";
const PAGE: &str = "docs/cli.md";
const GENERATOR: &[&str] = &[
    "run",
    "--quiet",
    "--package",
    "lattice-node",
    "--example",
    "cli_reference",
];

/// Why a page could not be generated, or is out of date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocsError {
    #[error("{PAGE} differs from the help of the program: `cargo xtask docs` updates it")]
    Stale,
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    match flag(arguments, CHECK)? {
        true => check(workspace),
        false => write(workspace),
    }
}

fn reference(workspace: &Workspace) -> Result<String, Failure> {
    Ok(command::output(workspace.cargo().args(GENERATOR))?)
}

fn write(workspace: &Workspace) -> Result<(), Failure> {
    let path = workspace.root().join(PAGE);
    fs::write(&path, reference(workspace)?).map_err(at(&path))?;
    println!("docs: {PAGE} is written");
    Ok(())
}

/// Fails if the page in the repository differs from the generated one.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    if workspace.read(PAGE)? != reference(workspace)?.into_bytes() {
        return Err(DocsError::Stale.into());
    }
    println!("docs: {PAGE} is up to date");
    Ok(())
}
