//! Arguments of commands that copy, remove and observe stores.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use lattice_meta::PubKey;

use super::{Encoding, Store};

#[derive(Debug, clap::Args)]
pub(in super::super) struct Bundle {
    #[command(subcommand)]
    pub(in super::super) command: BundleCommand,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum BundleCommand {
    /// Write a store's history to a file or a pipe, or what another replica lacks of it
    #[command(
        after_help = "Example: lattice bundle create fruit fruit.bundle\n         \
                      lattice bundle create fruit news.bundle --since bobs.tips\n         \
                      lattice bundle create fruit - | ssh bob lattice bundle apply -\n\n\
                      JSON: store_id, ops, bytes; on standard error if the bundle is on standard output"
    )]
    Create {
        #[command(flatten)]
        store: Store,
        /// The bundle, a file that is not there yet; `-` is standard output
        file: PathBuf,
        /// Only what a replica lacks that wrote this with `bundle tips`; `-` is standard input
        #[arg(long, value_name = "TIPS")]
        since: Option<PathBuf>,
    },
    /// Print what a replica has, for `bundle create --since`
    #[command(after_help = "Example: lattice bundle tips fruit > bobs.tips\n\n\
                      JSON: store_id, tips, earlier (each: author, seq, id)")]
    Tips(Store),
    /// Check a bundle: digest, every op and every signature; no store is needed
    #[command(after_help = "Example: lattice bundle verify fruit.bundle\n\n\
                      JSON: store_id, store_type, ops, bytes, authors (author to number of ops), \
                      other_ops (of authors beyond 65,536)")]
    Verify {
        /// The bundle; `-` is standard input
        file: PathBuf,
    },
    /// Take the ops of a bundle into the store they are of, or into a new replica of it
    #[command(
        after_help = "Ops of the store's owner, of this node and of authors that the store \
                      knows are taken; others are to be named.\n\n\
                      A bundle is read to its end before anything changes. What is no regular file is \
                      copied on the way, to a file without a name in the data directory.\n\n\
                      Example: lattice bundle apply fruit.bundle --any-author\n         \
                      lattice bundle apply news.bundle --author 1f3a...\n         \
                      ssh bob lattice bundle create fruit - | lattice bundle apply -\n\n\
                      JSON: store_id, created, applied, known, waiting, deferred, rejected (each: reason, ops)"
    )]
    Apply {
        /// The bundle; `-` is standard input
        file: PathBuf,
        /// Take ops of this author, too; can be given several times
        #[arg(long = "author", value_name = "KEY")]
        authors: Vec<PubKey>,
        /// Take ops of all authors
        #[arg(long, conflicts_with = "authors")]
        any_author: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Backup {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The copy; it must not be there yet
    pub(in super::super) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Restore {
    /// A copy of a store
    pub(in super::super) file: PathBuf,
    /// Replace the store if it is there, without being asked
    #[arg(long)]
    pub(in super::super) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Destroy {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Remove it without being asked
    #[arg(long)]
    pub(in super::super) yes: bool,
}

/// How a history is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum HistoryFormat {
    /// A line for each op
    Text,
    /// A graph for Graphviz
    Dot,
    /// A graph for Mermaid
    Mermaid,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct History {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Only so many, the newest
    #[arg(long, value_name = "N")]
    pub(in super::super) limit: Option<u64>,
    /// Draw which op follows which
    #[arg(long)]
    pub(in super::super) graph: bool,
    /// How it is printed
    #[arg(long, default_value = "text")]
    pub(in super::super) format: HistoryFormat,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Watch {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Begin behind what was seen last: an op by its number and its id, and a change by its number
    /// in the op; without that, behind all changes of the op
    #[arg(long, value_name = "INDEX[:OP[:CHANGE]]")]
    pub(in super::super) since: Option<String>,
    /// Begin with the first op
    #[arg(long, conflicts_with = "since")]
    pub(in super::super) all: bool,
    /// Only keys that begin with these bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) prefix: Option<OsString>,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub(in super::super) limit: Option<u64>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}
