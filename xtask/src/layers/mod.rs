//! `cargo xtask layers`: checks what each crate must not know.
//!
//! It checks the dependencies between crates ([`graph`]), the names in a crate's sources
//! ([`names`]), the names in its public API ([`surface`]), and links the crates that must run
//! without an operating system into a static library ([`no_std`]).

mod graph;
mod names;
mod no_std;
mod surface;

use crate::api;
use crate::failure::{Failure, no_arguments};
use crate::finding;
use crate::source;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    let metadata = workspace.metadata()?;
    let sources = source::load(workspace, &workspace.files()?)?;

    let mut findings = graph::check(&metadata);
    findings.extend(graph::check_resolved(workspace)?);
    findings.extend(names::check(&sources));
    findings.extend(surface::check(&api::crates(workspace)?));

    findings.extend(no_std::prove(workspace, &metadata)?);
    finding::report(findings)?;
    println!("layers: dependencies and names keep to their layers");
    println!("layers: {} link without std", no_std::PROVEN.join(", "));
    Ok(())
}
