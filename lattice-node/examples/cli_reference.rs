//! Prints the command reference of the `lattice` program, generated from its help.
//! `cargo xtask docs` writes it to `docs/cli.md`.

fn main() {
    print!("{}", lattice_node::program::reference());
}
