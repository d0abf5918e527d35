//! The `lattice` program, with the built-in store types.

use std::process::ExitCode;

fn main() -> ExitCode {
    lattice_node::program::main(lattice_node::core_registry())
}
