//! Arguments of `lattice code`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Subcommand;

use super::Store;

#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(in super::super) struct Code {
    #[command(subcommand)]
    pub(in super::super) command: CodeCommand,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum CodeCommand {
    /// Check a module, keep it in the data directory, and trust it
    #[command(after_help = "Example: lattice code add chat.wasm

JSON: cid, store_type, schema_version, methods (how many), bytes, added (whether it is new)")]
    Add {
        /// The module; `-` is standard input
        file: PathBuf,
    },
    /// List the trusted modules and the modules in the cache
    #[command(after_help = "Example: lattice code list

JSON, one object per line: cid, store_type, schema_version, bytes, trusted, found, error (why this program \
cannot read it), stores (ids of those that record it)")]
    List,
    /// Show a module's type, schemas and methods, where it was found, and whether it is trusted
    #[command(after_help = "Example: lattice code show chat.wasm
         lattice code show org.example.chat

JSON: cid, store_type, first_schema, schema_version, bytes, trusted, found, converts, methods")]
    Show {
        /// A content id, a file, or a store type
        #[arg(value_name = "CID|FILE|TYPE")]
        what: OsString,
    },
    /// Stop trusting a module, and remove it from the data directory; stores that record it cannot
    /// be opened until it is added again
    #[command(after_help = "Example: lattice code remove chat.wasm

JSON: cid, removed (whether it was trusted), stores (ids of those that record it)")]
    Remove {
        /// A content id, or a file
        #[arg(value_name = "CID|FILE")]
        what: OsString,
    },
    /// List the modules in the data directory that nothing needs; remove them with --yes
    #[command(after_help = "Keeps the modules that are trusted, that a store of the data directory records, or that opened a \
store in the last 90 days. Stores elsewhere do not count. If a store cannot be read, it may need \
any module, and nothing is removed. Damaged modules, and files that an interrupted command left, \
are listed too.

Example: lattice code gc
         lattice code gc --yes

JSON, one object per line: cid (null for an unfinished file), kind (module, damaged or unfinished), \
store_type (null if it cannot be read), bytes, last_used (milliseconds since 1970), file, removed")]
    Gc {
        /// Remove what would be listed
        #[arg(long)]
        yes: bool,
    },
    /// Replay a store's history with other code, and report whether it computes the same state;
    /// changes nothing
    #[command(after_help = "Example: lattice code prove lobby chat-fixed.wasm
         lattice code prove lobby native

JSON: store_id, recorded, logic_version, ops, proven, difference")]
    Prove {
        #[command(flatten)]
        store: Store,
        /// A content id, a file, or `native` for the code of this program
        #[arg(value_name = "CID|FILE|native")]
        by: OsString,
    },
    /// Switch a store to other code, if a replay of its history proves that it computes the same
    /// state
    #[command(after_help = "Example: lattice code upgrade lobby chat-fixed.wasm

JSON: store_id, recorded, logic_version")]
    Upgrade {
        #[command(flatten)]
        store: Store,
        /// A content id, a file, or `native` for the code of this program
        #[arg(value_name = "CID|FILE|native")]
        by: OsString,
    },
}
