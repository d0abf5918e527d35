//! The lines of the table, grouped by the data that they need.

pub mod disk;
pub mod growth;
pub mod ingest;
pub mod limits;
pub mod memory;
pub mod open;
pub mod peek;
pub mod process;
pub mod reads;
pub mod rivals;
pub mod threads;
pub mod writes;
