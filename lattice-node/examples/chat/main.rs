//! The `lattice` program with a custom store type: rooms, messages, edits.
//!
//! ```console
//! $ cargo run -q --example chat -- create org.example.chat --alias lobby
//! $ cargo run -q --example chat -- call lobby post room=tea text='Anyone here?'
//! $ cargo run -q --example chat -- call lobby read room=tea
//! $ cargo run -q --example chat -- migrate lobby --to org.example.chat.v2
//! ```
//!
//! The whole type is in `chat.rs`; `tests/it/chat.rs` runs the published suites on it.

mod chat;

use std::process::ExitCode;

fn main() -> ExitCode {
    lattice_node::program::main(chat::registry())
}
