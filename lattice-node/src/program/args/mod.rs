//! Command line arguments.

#[cfg(feature = "wasm")]
mod code;
mod copies;
#[cfg(feature = "sync")]
mod exchange;
mod groups;
mod help;
mod keys;
mod logs;
mod salvage;
mod stores;
mod terminal;
mod upgrade;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use lattice_backend::backend::OpenOptions;

use super::config::Settings;

#[cfg(feature = "wasm")]
pub(super) use code::{Code, CodeCommand, Publish, Trust, TrustPolicy};
pub(super) use copies::{
    Backup, Bundle, BundleCommand, Destroy, History, HistoryFormat, Mode, Restore, Watch,
};
#[cfg(feature = "sync")]
pub(super) use exchange::{CloneStore, Peers, Serve, SyncStore};
pub(super) use groups::{first_commands, program, suggest};
pub(super) use keys::{Batch, Conflicts, Delete, Exists, Get, Put, Scan};
pub(super) use logs::{Append, Tail};
pub(super) use salvage::Salvage;
pub(super) use stores::{
    Alias, AliasCommand, Call, Create, Delimiter, Describe, Doctor, Export, ExportFormat, Identity,
    IdentityCommand, Import, ImportFormat, List, Migrate, Retention, SortBy, Stats, Verify,
};
#[cfg(feature = "shell")]
pub(super) use terminal::Prompt;
pub(super) use terminal::{Complete, Completions, Help, Man, Metrics, Shell};
pub(super) use upgrade::Upgrade;

/// Create, read, write, verify and exchange stores. A store is one file that records its type and
/// its signed history.
#[derive(Debug, Parser)]
#[command(
    name = "lattice",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_long_help = help::PROGRAM
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
    /// A module file, searched after the cache; it runs only if it was added with `code add`. The
    /// directories in LATTICE_CODE_PATH are searched next
    #[cfg(feature = "wasm")]
    #[arg(
        long = "code",
        global = true,
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(super) code: Vec<PathBuf>,
    /// Print JSON: one object, or for a list one object per line; an error is one object, too
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print only data and errors: no summaries, no progress
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Print what the libraries do: -v, more with -vv and -vvv
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// How long to wait while other processes write the store [default: 10 seconds]; they take
    /// turns
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        hide_short_help = true,
        default_missing_value = "10",
        conflicts_with = "no_wait"
    )]
    pub(super) wait: Option<u32>,
    /// Do not wait while another process writes the store: fail at once
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) no_wait: bool,
    /// When to use colours; `auto` uses them on a terminal, unless NO_COLOR is set
    /// [default: auto]
    #[arg(long, global = true, value_name = "WHEN", hide_short_help = true)]
    pub(super) color: Option<Color>,
    /// The settings that hold, once they are read
    #[arg(skip)]
    pub(super) settings: Settings,
}

impl Global {
    /// The options of a command line that has only a data directory, if any.
    pub(super) fn in_dir(data_dir: Option<PathBuf>) -> Self {
        Self {
            data_dir,
            #[cfg(feature = "wasm")]
            code: Vec::new(),
            json: false,
            quiet: false,
            verbose: 0,
            wait: None,
            no_wait: false,
            color: None,
            settings: Settings::default(),
        }
    }

    /// How long a write waits for its turn.
    pub(super) fn wait(&self) -> Duration {
        match (self.no_wait, self.wait) {
            (true, _) => Duration::ZERO,
            (false, Some(secs)) => Duration::from_secs(secs.into()),
            (false, None) => OpenOptions::DEFAULT_WAIT,
        }
    }
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
    /// Show what Lattice does, on real data; deletes its stores at the end
    #[command(after_long_help = help::TOUR)]
    Tour(Tour),
    /// Create an empty store and print its id
    #[command(after_long_help = help::CREATE)]
    Create(Create),
    /// List the stores of the data directory
    #[command(after_long_help = help::LIST, alias = "ls")]
    List(List),
    /// Show a store's id, type and tips, read from its `meta` table alone
    #[command(after_long_help = help::PEEK)]
    Peek(Store),
    /// Show a store's id, type, history and state hash
    #[command(after_long_help = help::INFO, alias = "show")]
    Info(Store),
    /// Show what takes how much space in a store
    #[command(after_long_help = help::STATS)]
    Stats(Stats),
    /// List the store types that this program knows
    #[command(after_long_help = help::TYPES)]
    Types,
    /// Describe the methods of a store or of a store type
    #[command(after_long_help = help::DESCRIBE)]
    Describe(Describe),
    /// Call a method of a store by name
    #[command(after_long_help = help::CALL)]
    Call(Call),
    /// Set a key of a key-value store
    #[command(after_long_help = help::PUT, alias = "set")]
    Put(Put),
    /// Print the values of keys
    #[command(after_long_help = help::GET)]
    Get(Get),
    /// Report by the exit code whether keys have values
    #[command(after_long_help = help::EXISTS)]
    Exists(Exists),
    /// Carry out many commands: all as one op, or each as its own
    #[command(after_long_help = help::BATCH)]
    Batch(Batch),
    /// Delete keys of a key-value store, all of them or none
    #[command(after_long_help = help::DEL, visible_alias = "delete", alias = "rm", alias = "remove")]
    Del(Delete),
    /// Print keys and values in key order
    #[command(after_long_help = help::SCAN)]
    Scan(Scan),
    /// Print the concurrent values of keys; of each key the current value comes first
    #[command(after_long_help = help::CONFLICTS)]
    Conflicts(Conflicts),
    /// Append entries to a log store: each TEXT, or each line of standard input
    #[command(after_long_help = help::APPEND)]
    Append(Append),
    /// Print the newest entries of a log store, oldest first
    #[command(after_long_help = help::TAIL)]
    Tail(Tail),
    /// Import rows or entries from a file or standard input
    #[command(after_long_help = help::IMPORT)]
    Import(Import),
    /// Print all keys, or all entries, as JSON Lines that `import` reads
    #[command(after_long_help = help::EXPORT)]
    Export(Export),
    /// Verify that a store's history is intact, and that its state follows from it
    #[command(after_long_help = help::VERIFY)]
    Verify(Verify),
    /// Bring a store of an older program up to date: its layout, and the code that it records
    #[command(after_long_help = help::UPGRADE)]
    Upgrade(Upgrade),
    /// Create a new store of a type from an old store; the old store does not change
    #[command(after_long_help = help::MIGRATE)]
    Migrate(Migrate),
    /// Recompute a store's state from its history, with this program's logic
    #[command(after_long_help = help::REBUILD)]
    Rebuild(Store),
    /// Export what can be read of a damaged store, and mark what is in doubt
    #[command(after_long_help = salvage::SALVAGE)]
    Salvage(Salvage),
    /// Shrink a store's file
    #[command(after_long_help = help::COMPACT)]
    Compact(Store),
    /// Exchange history between replicas, in files or pipes
    Bundle(Bundle),
    /// Exchange ops with a peer until both replicas have the same
    #[cfg(feature = "sync")]
    #[command(after_long_help = exchange::SYNC)]
    Sync(SyncStore),
    /// Create a replica of a peer's store
    #[cfg(feature = "sync")]
    #[command(after_long_help = exchange::CLONE)]
    Clone(CloneStore),
    /// Serve stores to peers, on standard input and output or on a socket
    #[cfg(feature = "sync")]
    #[command(after_long_help = exchange::SERVE)]
    Serve(Serve),
    /// Print the peers that stores were exchanged with, and what each has
    #[cfg(feature = "sync")]
    #[command(after_long_help = exchange::PEERS)]
    Peers(Peers),
    /// Print the processes that exchange stores now: `serve` and `sync`, with their sessions
    #[cfg(feature = "sync")]
    #[command(after_long_help = exchange::STATUS)]
    Status,
    /// Copy a store to a file that is itself a store; works while the store is in use
    #[command(after_long_help = help::BACKUP)]
    Backup(Backup),
    /// Restore a store of the data directory from a copy
    #[command(after_long_help = help::RESTORE)]
    Restore(Restore),
    /// Find what is wrong with the data directory and its stores, and the command that mends it
    #[command(after_long_help = help::DOCTOR)]
    Doctor(Doctor),
    /// Delete a store permanently
    #[command(after_long_help = help::DESTROY)]
    Destroy(Destroy),
    /// Print the ops of a store, newest first: what each did, its author and its time
    #[command(after_long_help = help::HISTORY, alias = "log")]
    History(History),
    /// Print every change as it arrives, until interrupted
    #[command(after_long_help = help::WATCH)]
    Watch(Watch),
    /// Name stores, or list the names
    #[command(after_long_help = help::ALIAS)]
    Alias(Alias),
    /// Code of store types that comes as modules: add, trust, publish, prove, why
    #[cfg(feature = "wasm")]
    Code(Code),
    /// Print the public key that this data directory writes as, or make a new one
    #[command(after_long_help = help::IDENTITY)]
    Identity(Identity),
    /// Type commands and methods of stores, one a line; or run them from standard input
    #[cfg(feature = "shell")]
    #[command(after_help = help::SHELL)]
    Shell(Prompt),
    /// Print the script by which a shell completes commands, stores, methods and keys
    #[command(after_help = help::COMPLETIONS)]
    Completions(Completions),
    /// Print numbers of stores, as Prometheus reads them
    #[command(after_help = help::METRICS)]
    Metrics(Metrics),
    /// Print every setting, with where its value comes from
    #[command(after_help = help::CONFIG)]
    Config,
    /// Print the manual page of the program, or write the pages of all commands
    #[command(after_help = help::MAN)]
    Man(Man),
    /// Explain a command or a topic; without one, list all
    #[command(after_help = help::HELP)]
    Help(Help),
    /// Print what can stand at the cursor, for the scripts of `completions`
    #[command(hide = true)]
    Complete(Complete),
}

impl Command {
    /// Whether it runs further commands in processes of their own.
    pub(super) fn is_shell(&self) -> bool {
        #[cfg(feature = "shell")]
        return matches!(self, Self::Shell(_));
        #[cfg(not(feature = "shell"))]
        false
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Tour {
    /// Keep the tour's stores, in this new directory
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
    /// Do not wait for Enter between chapters; without a terminal the tour never waits
    #[arg(long)]
    pub(super) no_pause: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Store {
    /// A store: its alias, its id, the first 4 or more hex digits of its id, or a path with a /
    #[arg(value_name = "STORE")]
    pub(super) store: OsString,
}

/// What a command that uses a store does if this data directory does not vouch for it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Trusting {
    /// Do not verify a store that this data directory has not created, verified or restored itself
    #[arg(long)]
    pub(super) trust: bool,
}

/// What a command that writes does about copies.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Writing {
    /// Write to a copy of a store: no other copy has later ops of this author. If one has, the
    /// author is forked
    #[arg(long = "continue")]
    pub(super) continue_copy: bool,
    #[command(flatten)]
    pub(super) trusting: Trusting,
}

/// How bytes are given and printed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Encoding {
    /// Read and print bytes as base64
    #[arg(long)]
    pub(super) b64: bool,
}
