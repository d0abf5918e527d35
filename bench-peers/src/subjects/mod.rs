//! The stores under comparison: same keys, values and durability.

mod append;
mod fjall;
mod iroh;
mod lattice;
mod raw;
mod sqlite;

pub use append::Append;
pub use fjall::Fjall;
pub use iroh::Iroh;
pub use lattice::Lattice;
pub use raw::{ROWS, Raw, SameOp, SameRows};
pub use sqlite::Sqlite;

use crate::data::Key;

/// A store of keys and values, on disk.
pub trait Subject {
    /// The name in the table.
    fn name(&self) -> &'static str;

    /// Puts new keys. They are durable when this returns.
    fn commit(&mut self, keys: &[Key]);

    /// Whether it can read.
    fn reads(&self) -> bool {
        true
    }

    /// Gets a key in its own transaction; returns the length of the value.
    fn get(&mut self, key: &Key) -> usize;

    /// Reads all keys and values; returns their number.
    fn scan(&mut self) -> usize;
}
