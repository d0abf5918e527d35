//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use lattice_meta::StoreType;

/// Stores that describe themselves: create them, look into them, open them without being told what
/// they are.
#[derive(Debug, Parser)]
#[command(name = "lattice", version, arg_required_else_help = true)]
pub(super) struct Args {
    /// Where stores and the identity are kept [default: $LATTICE_DATA_DIR, else lattice/ in the
    /// user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Print JSON: one object, or one on each line of a list
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Walk through what Lattice does, on real data; leaves nothing behind
    Tour(Tour),
    /// Make an empty store and print its id
    #[command(after_help = "Example: lattice create core:kvstore")]
    Create(Create),
    /// List the stores of the data directory
    List,
    /// Say what a store is, from its meta table alone
    #[command(after_help = "Example: lattice peek 3f2a\n         lattice peek ./copy/state.db")]
    Peek(Store),
    /// Say what a store is and how far its history goes
    Info(Store),
    /// Set a key of a key-value store
    #[command(after_help = "Example: lattice put 3f2a greeting hello\n         \
                      lattice put 3f2a photo < photo.jpg")]
    Put(Put),
    /// Print the value of a key
    #[command(after_help = "Example: lattice get 3f2a greeting")]
    Get(Get),
    /// Append entries to a log store: each TEXT, or each line of standard input
    #[command(after_help = "Example: lattice append 77c1 'disk replaced'\n         \
                      journalctl | lattice append 77c1")]
    Append(Append),
    /// Print the newest entries of a log store, oldest first
    #[command(after_help = "Example: lattice tail 77c1 -n 20")]
    Tail(Tail),
}

#[derive(Debug, clap::Args)]
pub(super) struct Tour {
    /// Keep what the tour makes, in this new directory
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The store's type, e.g. core:kvstore or core:logstore
    #[arg(value_name = "TYPE")]
    pub(super) store_type: StoreType,
}

#[derive(Debug, clap::Args)]
pub(super) struct Store {
    /// A store: its id, a unique prefix of at least 4 digits, or a path with a / in it
    #[arg(value_name = "STORE")]
    pub(super) store: OsString,
}

#[derive(Debug, clap::Args)]
pub(super) struct Put {
    #[command(flatten)]
    pub(super) store: Store,
    /// The key
    pub(super) key: OsString,
    /// The value; read from standard input, exactly, if it is missing
    pub(super) value: Option<OsString>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Get {
    #[command(flatten)]
    pub(super) store: Store,
    /// The key
    pub(super) key: OsString,
}

#[derive(Debug, clap::Args)]
pub(super) struct Append {
    #[command(flatten)]
    pub(super) store: Store,
    /// The entries; a line of standard input each, if there are none
    pub(super) text: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    #[command(flatten)]
    pub(super) store: Store,
    /// How many entries
    #[arg(short = 'n', default_value_t = 10, value_name = "N")]
    pub(super) count: u64,
}
