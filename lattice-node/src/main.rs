//! The `lattice` program.

mod program;
mod tour;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main()
}
