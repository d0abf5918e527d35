//! The lines of the table, grouped by the data that they need.

pub mod beside;
pub mod costs;
pub mod disk;
pub mod growth;
pub mod ingest;
pub mod limits;
pub mod memory;
pub mod open;
pub mod pauses;
pub mod peek;
pub mod process;
pub mod reads;
pub mod reopen;
pub mod threads;
pub mod writes;
