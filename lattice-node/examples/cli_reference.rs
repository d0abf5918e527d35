//! Prints the reference of the `lattice` program, from its own help: `cargo xtask docs` keeps it in
//! `docs/cli.md`.

fn main() {
    print!("{}", lattice_node::program::reference());
}
