//! `cargo xtask api`: the public API of every published crate, kept in the repository, so that a
//! review shows its changes.
//!
//! Parses the sources, follows modules and `pub use`, and writes everything that callers can name
//! to the crate's `api.txt`, one item per line. Without arguments the workflow compares; `--write`
//! writes. Signatures show public paths, and types of other crates as the sources write them.

mod describe;
mod expand;
mod list;
mod names;
mod text;
mod tree;

use std::collections::BTreeSet;
use std::fs;

pub(crate) use list::list;
pub(crate) use tree::Crate;

use crate::failure::{Failure, flag};
use crate::files::{FileError, at};
use crate::workspace::{LAYERS, Workspace};

const WRITE: &str = "--write";
const FILE: &str = "api.txt";

/// Why an API could not be determined, or differs from the committed one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{path} is missing or is not text")]
    NoFile { path: String },
    #[error("{path}, line {}, is not understood", .source.span().start().line)]
    Rust { path: String, source: syn::Error },
    #[error(
        "{count} line(s) of public API differ from what is kept; \
         if that is meant, `cargo xtask api {WRITE}` writes them, and the review will show them"
    )]
    Changed { count: usize },
    #[error(transparent)]
    File(#[from] FileError),
}

impl ApiError {
    fn rust(path: &str, source: syn::Error) -> Self {
        Self::Rust {
            path: path.to_owned(),
            source,
        }
    }
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    match flag(arguments, WRITE)? {
        true => Ok(write(workspace)?),
        false => Ok(check(workspace)?),
    }
}

/// The published crates, in the order of layers.
pub(crate) fn crates(workspace: &Workspace) -> Result<Vec<Crate>, ApiError> {
    let read = |path: &str| String::from_utf8(workspace.read(path).ok()?).ok();
    LAYERS.iter().map(|name| Crate::read(name, &read)).collect()
}

/// The name of each crate and the contents of its file.
fn snapshots(workspace: &Workspace) -> Result<Vec<(&'static str, String)>, ApiError> {
    let crates = crates(workspace)?;
    let named = LAYERS.iter().zip(&crates);
    Ok(named
        .map(|(name, krate)| (*name, snapshot(krate, &crates)))
        .collect())
}

fn snapshot(krate: &Crate, others: &[Crate]) -> String {
    let mut text = format!(
        "# The public API of {}: written by `cargo xtask api {WRITE}`.\n",
        krate.name
    );
    for line in list(krate, others) {
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

fn write(workspace: &Workspace) -> Result<(), ApiError> {
    for (name, text) in snapshots(workspace)? {
        let path = workspace.root().join(name).join(FILE);
        fs::write(&path, text).map_err(at(&path))?;
        println!("api: {name}/{FILE} is written");
    }
    Ok(())
}

fn check(workspace: &Workspace) -> Result<(), ApiError> {
    let mut count = 0;
    for (name, text) in snapshots(workspace)? {
        let path = format!("{name}/{FILE}");
        // A missing file differs in every line.
        let kept = workspace.read(&path).unwrap_or_else(|_| Vec::new());
        for line in differences(&String::from_utf8_lossy(&kept), &text) {
            println!("{path}: {line}");
            count += 1;
        }
    }
    match count {
        0 => {
            println!("api: the public API of every crate is what is kept");
            Ok(())
        }
        count => Err(ApiError::Changed { count }),
    }
}

/// The lines that only one of the texts has, removed lines first.
fn differences(kept: &str, now: &str) -> Vec<String> {
    let [old, new]: [BTreeSet<&str>; 2] = [kept, now].map(|text| text.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}

#[cfg(test)]
mod tests;
