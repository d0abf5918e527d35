//! Command line arguments.

#[cfg(feature = "wasm")]
mod code;
mod copies;
mod help;
mod keys;
mod logs;
mod stores;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

#[cfg(feature = "wasm")]
pub(super) use code::{Code, CodeCommand};
pub(super) use copies::{
    Backup, Bundle, BundleCommand, Destroy, History, HistoryFormat, Restore, Watch,
};
pub(super) use keys::{Conflicts, Delete, Get, Put, Scan};
pub(super) use logs::{Append, Tail};
pub(super) use stores::{
    Alias, AliasCommand, Call, Create, Describe, Export, Identity, Import, ImportFormat, Migrate,
    Verify,
};

/// Stores that describe themselves: create them, look into them, open them without being told what
/// they are.
#[derive(Debug, Parser)]
#[command(
    name = "lattice",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = help::PROGRAM
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Where stores, aliases and the identity are kept [default: $LATTICE_DATA_DIR, else lattice/
    /// in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// A file with a module, which is searched after the cache; it runs only if it was added. The
    /// directories in LATTICE_CODE_PATH come next
    #[cfg(feature = "wasm")]
    #[arg(long = "code", global = true, value_name = "FILE")]
    pub(super) code: Vec<PathBuf>,
    /// Print JSON: one object, or one on each line of a list; errors as one object, too
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print nothing but data and errors: no summaries, no progress
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Whether to use colours; `auto` does on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
}

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Walk through what Lattice does, on real data; leaves nothing behind
    #[command(after_help = help::TOUR)]
    Tour(Tour),
    /// Make an empty store and print its id
    #[command(after_help = help::CREATE)]
    Create(Create),
    /// List the stores of the data directory
    #[command(after_help = help::LIST)]
    List,
    /// Say what a store is, from its meta table alone
    #[command(after_help = help::PEEK)]
    Peek(Store),
    /// Say what a store is, how far its history goes, and what its state hashes to
    #[command(after_help = help::INFO)]
    Info(Store),
    /// List the store types that this program knows
    #[command(after_help = help::TYPES)]
    Types,
    /// Describe the methods that a store, or every store of a type, can be called by
    #[command(after_help = help::DESCRIBE)]
    Describe(Describe),
    /// Call a method of a store by its name
    #[command(after_help = help::CALL)]
    Call(Call),
    /// Set a key of a key-value store
    #[command(after_help = help::PUT)]
    Put(Put),
    /// Print the value of a key
    #[command(after_help = help::GET)]
    Get(Get),
    /// Remove keys of a key-value store, all of them or none
    #[command(after_help = help::DEL)]
    Del(Delete),
    /// Print keys and values, in the order of keys
    #[command(after_help = help::SCAN)]
    Scan(Scan),
    /// Print the concurrent values of keys, the current one of each first
    #[command(after_help = help::CONFLICTS)]
    Conflicts(Conflicts),
    /// Append entries to a log store: each TEXT, or each line of standard input
    #[command(after_help = help::APPEND)]
    Append(Append),
    /// Print the newest entries of a log store, oldest first
    #[command(after_help = help::TAIL)]
    Tail(Tail),
    /// Read many keys or entries from a file or standard input
    #[command(after_help = help::IMPORT)]
    Import(Import),
    /// Print all keys, or all entries, as JSON Lines that `import` takes
    #[command(after_help = help::EXPORT)]
    Export(Export),
    /// Say whether a store's state is what its history says, and its history whole
    #[command(after_help = help::VERIFY)]
    Verify(Verify),
    /// Make a new store of a type out of an old one; the old one stays as it is
    #[command(after_help = help::MIGRATE)]
    Migrate(Migrate),
    /// Recompute a store's state from its history, by this program's logic
    #[command(after_help = help::REBUILD)]
    Rebuild(Store),
    /// Give the space that a store's file no longer uses back
    #[command(after_help = help::COMPACT)]
    Compact(Store),
    /// Exchange history between replicas, in files or pipes
    Bundle(Bundle),
    /// Copy a store, as it is now, to a file that is a store itself; it may be in use
    #[command(after_help = help::BACKUP)]
    Backup(Backup),
    /// Put a copy of a store among the stores of the data directory
    #[command(after_help = help::RESTORE)]
    Restore(Restore),
    /// Remove a store for ever
    #[command(after_help = help::DESTROY)]
    Destroy(Destroy),
    /// Print the ops of a store, the newest first: who did what, when, and after what
    #[command(after_help = help::HISTORY)]
    History(History),
    /// Print every change as it arrives, until interrupted
    #[command(after_help = help::WATCH)]
    Watch(Watch),
    /// Give stores names, or list the names given
    #[command(after_help = help::ALIAS)]
    Alias(Alias),
    /// Code of store types that comes as modules: add, list, show, prove, upgrade
    #[cfg(feature = "wasm")]
    Code(Code),
    /// Print the public key that this data directory writes as
    #[command(after_help = help::IDENTITY)]
    Identity(Identity),
}

#[derive(Debug, clap::Args)]
pub(super) struct Tour {
    /// Keep what the tour makes, in this new directory
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// Do not wait for Enter between chapters; without a terminal the tour never waits
    #[arg(long)]
    pub(super) no_pause: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Store {
    /// A store: an id, an alias, at least 4 digits of an id, or a path with a / in it
    #[arg(value_name = "STORE")]
    pub(super) store: OsString,
}

/// How bytes are given and printed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Encoding {
    /// Keys and values are base64, those given and those printed
    #[arg(long)]
    pub(super) b64: bool,
}
