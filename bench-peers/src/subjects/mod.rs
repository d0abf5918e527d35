//! What is compared: the same keys, values and durability.

mod fjall;
mod iroh;
mod lattice;
mod raw;
mod sqlite;

pub use fjall::Fjall;
pub use iroh::Iroh;
pub use lattice::Lattice;
pub use raw::{ROWS, Raw, SameOp, SameRows};
pub use sqlite::Sqlite;

use crate::data::Key;

/// A store of keys and values, on disk.
pub trait Subject {
    /// What it is called in the table.
    fn name(&self) -> &'static str;

    /// Puts new keys, durably when this returns.
    fn commit(&mut self, keys: &[Key]);

    /// Gets a key in a transaction of its own; gives the length of its value.
    fn get(&mut self, key: &Key) -> usize;

    /// Reads all keys and values; gives how many there are.
    fn scan(&mut self) -> usize;
}
