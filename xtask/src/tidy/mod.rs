//! `cargo xtask tidy`: project rules that neither rustfmt nor clippy checks.
//!
//! A rule is a function from a file's path and contents to findings. All findings are reported, not
//! only the first.

mod code;
mod documents;
mod manifests;
mod prose;
mod text;

use std::collections::BTreeSet;

use crate::failure::{Failure, no_arguments};
use crate::finding::{self, Finding};
use crate::source;
use crate::workspace::{Workspace, WorkspaceError};

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    let files = workspace.files()?;
    finding::report(findings(workspace, &files)?)?;
    println!("tidy: {} files, no findings", files.len());
    Ok(())
}

fn findings(workspace: &Workspace, files: &[String]) -> Result<Vec<Finding>, WorkspaceError> {
    let known: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let mut findings = documents::required(&known);
    for path in files {
        // Binary files (golden files, archives) have no lines to check.
        if let Ok(text) = String::from_utf8(workspace.read(path)?) {
            findings.extend(text::check(path, &text));
            findings.extend(prose::check(path, &text));
            if path.ends_with(".md") {
                findings.extend(documents::links(path, &text, &known));
            }
        }
    }
    for file in source::load(workspace, files)? {
        findings.extend(code::ignored_tests(&file));
    }
    findings.extend(check_manifests(workspace, &known)?);
    Ok(findings)
}

fn check_manifests(
    workspace: &Workspace,
    known: &BTreeSet<&str>,
) -> Result<Vec<Finding>, WorkspaceError> {
    const ROOT: &str = "Cargo.toml";
    let text = String::from_utf8_lossy(&workspace.read(ROOT)?).into_owned();
    let mut findings = manifests::uncommented_dependencies(ROOT, &text);
    for member in manifests::members(&manifests::parse(ROOT, &text)?) {
        let path = format!("{member}/Cargo.toml");
        let text = String::from_utf8_lossy(&workspace.read(&path)?).into_owned();
        let manifest = manifests::parse(&path, &text)?;
        findings.extend(manifests::inherited_settings(&path, &manifest));
        findings.extend(manifests::inherited_dependencies(&path, &manifest));
        findings.extend(documents::crate_readme(&member, known));
    }
    Ok(findings)
}
