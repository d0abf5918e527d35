//! `cargo xtask api`: the public API of every crate that ships, kept in the tree, so that a review sees
//! what changes of it.
//!
//! The sources are parsed, modules and `pub use` followed, and what callers can name is written to the
//! crate's `api.txt`, one item a line. Without arguments the workflow compares; `--write` writes. Paths
//! in signatures are public paths, types of other crates as the sources write them.

mod describe;
mod expand;
mod list;
mod names;
mod text;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

pub(crate) use list::list;
pub(crate) use tree::Crate;

use crate::failure::Failure;
use crate::workspace::{LAYERS, Workspace};

const WRITE: &str = "--write";
const FILE: &str = "api.txt";

/// Why an API could not be told, or is not what is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{path} is missing or is not text")]
    NoFile { path: String },
    #[error("{path}, line {line}, is not understood")]
    Rust {
        path: String,
        line: usize,
        source: syn::Error,
    },
    #[error(
        "{count} line(s) of public API differ from what is kept; \
         if that is meant, `cargo xtask api {WRITE}` writes them, and the review will show them"
    )]
    Changed { count: usize },
    #[error("{} could not be written", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ApiError {
    fn rust(path: &str, source: syn::Error) -> Self {
        Self::Rust {
            path: path.to_owned(),
            line: source.span().start().line,
            source,
        }
    }
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => Ok(check(workspace)?),
        [only] if only == WRITE => Ok(write(workspace)?),
        [first, ..] => Err(Failure::Argument {
            argument: first.clone(),
        }),
    }
}

/// The crates that ship, in order of layers.
pub(crate) fn crates(workspace: &Workspace) -> Result<Vec<Crate>, ApiError> {
    let read = |path: &str| String::from_utf8(workspace.read(path).ok()?).ok();
    LAYERS.iter().map(|name| Crate::read(name, &read)).collect()
}

/// The contents of each crate's file, beside the name of the crate.
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
        fs::write(&path, text).map_err(|source| ApiError::Write { path, source })?;
        println!("api: {name}/{FILE} is written");
    }
    Ok(())
}

fn check(workspace: &Workspace) -> Result<(), ApiError> {
    let mut count = 0;
    for (name, text) in snapshots(workspace)? {
        let path = format!("{name}/{FILE}");
        // A file that is not there yet differs in every line.
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

/// The lines that one text has and the other has not, those that are gone first.
fn differences(kept: &str, now: &str) -> Vec<String> {
    let [old, new]: [BTreeSet<&str>; 2] = [kept, now].map(|text| text.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}

#[cfg(test)]
mod tests;
