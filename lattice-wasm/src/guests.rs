//! Modules that come with Lattice. Their sources are in the directory `guests` of the workspace.
//! `cargo xtask guest` builds those in Rust again and compares.

/// `core:kvstore`.
pub const KVSTORE: &[u8] = include_bytes!("../guests/kvstore.wasm");
/// `core:logstore`.
pub const LOGSTORE: &[u8] = include_bytes!("../guests/logstore.wasm");
/// `org.example.chat`: rooms, messages, edits.
pub const CHAT: &[u8] = include_bytes!("../guests/chat.wasm");
/// `org.example.counter`: a count for each author. Its source is in C.
pub const COUNTER: &[u8] = include_bytes!("../guests/counter.wasm");
