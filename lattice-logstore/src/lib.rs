//! Lattice.
