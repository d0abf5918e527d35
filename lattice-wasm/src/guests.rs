//! Modules that ship with Lattice. Their sources are in the directory `guests` of the workspace.
//! `cargo xtask guest` rebuilds those written in Rust and compares.

/// `core:kvstore`.
pub const KVSTORE: &[u8] = include_bytes!("../guests/kvstore.wasm");
/// `core:logstore`.
pub const LOGSTORE: &[u8] = include_bytes!("../guests/logstore.wasm");
/// `org.example.chat`: rooms, messages, edits.
pub const CHAT: &[u8] = include_bytes!("../guests/chat.wasm");
/// `org.example.chat` with different code that computes the same state.
pub const CHAT_HOTFIX: &[u8] = include_bytes!("../guests/chat_hotfix.wasm");
/// `org.example.chat` with code that computes a different state.
pub const CHAT_BROKEN: &[u8] = include_bytes!("../guests/chat_broken.wasm");
/// `org.example.chat.v2`, the successor of `org.example.chat`.
pub const CHAT_V2: &[u8] = include_bytes!("../guests/chat_v2.wasm");
/// `org.example.counter`: a count for each author. Its source is in C.
pub const COUNTER: &[u8] = include_bytes!("../guests/counter.wasm");
/// `org.example.tally` with the first layout of its rows.
pub const TALLY_V1: &[u8] = include_bytes!("../guests/tally_v1.wasm");
/// `org.example.tally` with a second layout, which migrates rows of the first layout.
pub const TALLY: &[u8] = include_bytes!("../guests/tally.wasm");
