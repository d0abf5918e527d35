//! Developer workflows of the Lattice workspace: `cargo xtask <workflow>`.
//!
//! Every check that a contributor or a build server runs is an entry of [`WORKFLOWS`]. A workflow
//! has its own file. It takes the [`Workspace`] and its arguments, and returns a typed [`Failure`]
//! if it fails. This crate depends on none of the crates that it checks.

mod api;
mod bench;
mod ci;
mod command;
mod crash;
mod docs;
mod failure;
mod files;
mod finding;
mod fuzz;
mod golden;
mod guest;
mod layers;
mod matrix;
mod source;
mod tidy;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use workspace::Workspace;

/// An entry of the table of workflows.
struct Workflow {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace, &[String]) -> Result<(), Failure>,
}

const WORKFLOWS: &[Workflow] = &[
    Workflow {
        name: "ci",
        about: "everything a change must pass, in order",
        run: ci::run,
    },
    Workflow {
        name: "tidy",
        about: "house rules for the repository's files",
        run: tidy::run,
    },
    Workflow {
        name: "layers",
        about: "what each crate must not know",
        run: layers::run,
    },
    Workflow {
        name: "api",
        about: "the public API against each crate's api.txt; --write writes them",
        run: api::run,
    },
    Workflow {
        name: "docs",
        about: "writes docs/cli.md from the program's help; --check compares only",
        run: docs::run,
    },
    Workflow {
        name: "golden",
        about: "golden-file tests; --check-vectors recomputes the files with python3",
        run: golden::run,
    },
    Workflow {
        name: "guest",
        about: "builds the modules in lattice-wasm/guests and compares; --write keeps them",
        run: guest::run,
    },
    Workflow {
        name: "matrix",
        about: "each crate with each feature alone and with none, the oldest Rust, other systems",
        run: matrix::run,
    },
    Workflow {
        name: "crash",
        about: "kills writers at any moment; --rounds N, --seconds N, --seed N",
        run: crash::run,
    },
    Workflow {
        name: "fuzz",
        about: "fuzz targets under libFuzzer; --seconds N for each, names choose among them",
        run: fuzz::run,
    },
    Workflow {
        name: "bench",
        about: "Lattice beside its engine and others; --quick, groups, or --criterion",
        run: bench::run,
    },
];

const USAGE_EXIT: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        eprint!("{}", usage());
        return ExitCode::from(USAGE_EXIT);
    };
    let Some(workflow) = find(&name) else {
        eprint!("no workflow is called `{name}`\n\n{}", usage());
        return ExitCode::from(USAGE_EXIT);
    };
    let arguments: Vec<String> = arguments.collect();
    let outcome = Workspace::locate()
        .map_err(Failure::from)
        .and_then(|workspace| (workflow.run)(&workspace, &arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure @ Failure::Argument { .. }) => {
            eprint!("{name}: {failure}\n\n{}", usage());
            ExitCode::from(USAGE_EXIT)
        }
        Err(failure) => {
            eprintln!("{name}: {failure}");
            let mut cause = failure.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn find(name: &str) -> Option<&'static Workflow> {
    WORKFLOWS.iter().find(|workflow| workflow.name == name)
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask <workflow> [arguments]\n\nworkflows:\n");
    for workflow in WORKFLOWS {
        text.push_str(&format!("  {:<8} {}\n", workflow.name, workflow.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_names_every_workflow() {
        let usage = usage();
        for workflow in WORKFLOWS {
            assert!(
                usage.contains(workflow.name),
                "{} is missing",
                workflow.name
            );
        }
    }

    #[test]
    fn an_unknown_workflow_is_not_found() {
        assert!(find("tidy").is_some());
        assert!(find("tide").is_none());
    }

    #[test]
    fn the_readme_has_a_row_for_every_workflow() {
        let readme = include_str!("../README.md");
        for workflow in WORKFLOWS {
            let row = format!("| `{}` |", workflow.name);
            assert!(
                readme.contains(&row),
                "README.md lacks a row for {}",
                workflow.name
            );
        }
    }
}
