//! Modules that come with Lattice: their sources are in the directory `guests` of the workspace, and
//! `cargo xtask guest` builds them again and compares.

/// `core:kvstore`.
pub const KVSTORE: &[u8] = include_bytes!("../guests/kvstore.wasm");
/// `core:logstore`.
pub const LOGSTORE: &[u8] = include_bytes!("../guests/logstore.wasm");
/// `org.example.chat`: rooms, messages, edits.
pub const CHAT: &[u8] = include_bytes!("../guests/chat.wasm");
