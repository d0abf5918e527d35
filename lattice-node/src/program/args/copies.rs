//! Arguments of commands that copy, remove and observe stores.

use std::ffi::OsString;
use std::str::FromStr;

use clap::{Subcommand, ValueEnum};
use lattice_meta::PubKey;

use super::{Encoding, Store, Trusting};
use crate::Authors;
use crate::program::pipes::FileArg;

#[derive(Debug, clap::Args)]
pub(in super::super) struct Bundle {
    #[command(subcommand)]
    pub(in super::super) command: BundleCommand,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum BundleCommand {
    /// Write a store's history, or the ops that another replica lacks, to a file or a pipe
    #[command(
        after_long_help = "Example: lattice bundle create fruit fruit.bundle\n         \
                      lattice bundle create fruit news.bundle --since bobs.tips\n         \
                      lattice bundle create fruit - | ssh bob lattice bundle apply -\n\n\
                      JSON: store_id, ops, bytes, modules (content ids); on standard error if the bundle \
                      is on standard output"
    )]
    Create {
        #[command(flatten)]
        store: Store,
        /// The bundle to create; an existing file is refused; `-` is standard output
        file: FileArg,
        /// Write only the ops that another replica lacks: TIPS is the output of its `bundle tips`;
        /// `-` is standard input
        #[arg(long, value_name = "TIPS")]
        since: Option<FileArg>,
        /// The permission bits of the file
        #[arg(long, value_name = "OCTAL", default_value = "600")]
        mode: Mode,
        /// Add the module that the store records, its state hash and its frontier; the receiver
        /// compares the hash, and does not trust the module for having come along
        #[cfg(feature = "wasm")]
        #[arg(long)]
        with_code: bool,
        #[command(flatten)]
        trusting: Trusting,
    },
    /// Print which ops a store has, for `bundle create --since` on another replica
    #[command(after_long_help = "Example: lattice bundle tips fruit > bobs.tips\n\n\
                      JSON: store_id, tips, earlier (each: author, seq, id)")]
    Tips(Store),
    /// Check a bundle: digest, every op and every signature; list the code that it carries; no
    /// store is needed
    #[command(after_long_help = "Example: lattice bundle verify fruit.bundle\n\n\
                      JSON: store_id, store_type, ops, bytes, authors (author to number of ops), \
                      other_ops (ops of authors after the first 65,536), follows (the file that a \
                      file of `backup --since` was made after, or null), claims (logic, state_hash, \
                      frontier: number of its ops; null without code), modules (each: cid, store_type, \
                      bytes, trusted, error: why this program cannot use it)")]
    Verify {
        /// The bundle; `-` is standard input
        file: FileArg,
    },
    /// Apply the ops of a bundle to their store, or to a new replica of it
    #[command(
        after_long_help = "Applies the ops of the store's owner, of this node, and of authors that \
                      the store knows. --author accepts another author, --any-author all of them.\n\n\
                      The whole bundle is read and checked before anything changes. A bundle that is \
                      not a regular file is first copied to an unnamed file in the data directory.\n\n\
                      A module in the bundle is kept in the data directory, and runs only if it is \
                      trusted: `code add` trusts it. A new replica uses the module that the sender's \
                      store records. If the sender has applied the same ops, the state hashes are \
                      compared.\n\n\
                      Ops that are dated more than 10 minutes ahead of this machine's clock, and \
                      ops that follow them, are deferred: they are not in the store until the \
                      bundle is applied again when they are due. --until-due does that. Others can write \
                      to the store while it waits.\n\n\
                      Example: lattice bundle apply fruit.bundle --any-author\n         \
                      lattice bundle apply news.bundle --author 1f3a...\n         \
                      ssh bob lattice bundle create fruit - | lattice bundle apply -\n\n\
                      JSON: store_id, alias, new_replica, applied, known, pending, deferred, \
                      deferred_until_ms (null if none is), rejected (each: reason, ops), \
                      claims (matched, differs, not_compared; null without code), forked (ops of this \
                      author that fork what was written here), copy (confirmed, ahead, unconfirmed; \
                      null unless the store is an unconfirmed copy)"
    )]
    Apply {
        /// The bundle; `-` is standard input
        file: FileArg,
        #[command(flatten)]
        whose: Whose,
        /// Wait for ops dated ahead of this machine's clock, and apply them when they are due
        #[arg(long)]
        until_due: bool,
        /// A name for the store; a bundle brings no name along
        #[arg(long, value_name = "NAME")]
        alias: Option<crate::Alias>,
        #[command(flatten)]
        trusting: Trusting,
    },
}

/// Whose ops are taken.
#[derive(Debug, Clone, clap::Args)]
pub(in super::super) struct Whose {
    /// Also accept the ops of this author; may be given several times
    #[arg(long = "author", value_name = "KEY")]
    pub(in super::super) authors: Vec<PubKey>,
    /// Accept the ops of all authors
    #[arg(long, conflicts_with = "authors")]
    pub(in super::super) any_author: bool,
}

impl Whose {
    pub(in super::super) fn authors(&self) -> Authors {
        match (self.any_author, self.authors.is_empty()) {
            (true, _) => Authors::Any,
            (false, true) => Authors::Known,
            (false, false) => Authors::Named(self.authors.iter().copied().collect()),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Backup {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The copy to create; an existing file is refused; `-` is standard output
    pub(in super::super) file: FileArg,
    /// Write only the ops that an earlier backup lacks: BASE is the backup, or a file that --since
    /// made before; may be given several times; `-` is standard input
    #[arg(long, value_name = "BASE")]
    pub(in super::super) since: Vec<FileArg>,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
    /// The permission bits of the copy
    #[arg(long, value_name = "OCTAL", default_value = "600")]
    pub(in super::super) mode: Mode,
}

/// Permission bits of a file, which the umask does not limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Mode(pub(in super::super) u32);

impl Mode {
    pub(in super::super) const PRIVATE: Self = Self(0o600);
}

/// A text that is no mode.
#[derive(Debug, thiserror::Error)]
#[error("expected three octal digits that let the owner read the file, such as 600 or 640")]
pub(in super::super) struct ModeError;

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let digits = match text.len() {
            4 => text.strip_prefix('0').ok_or(ModeError)?,
            _ => text,
        };
        let is_octal =
            digits.len() == 3 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let mode = u32::from_str_radix(digits, 8).ok().filter(|_| is_octal);
        match mode {
            Some(mode) if mode & 0o400 != 0 => Ok(Self(mode)),
            _ => Err(ModeError),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Restore {
    /// A copy of a store; `-` is standard input
    pub(in super::super) file: FileArg,
    /// The files that `backup --since` made after that copy, in any order
    #[arg(value_name = "LATER")]
    pub(in super::super) later: Vec<FileArg>,
    /// Replace an existing store without asking
    #[arg(long)]
    pub(in super::super) yes: bool,
    /// A name for the restored store
    #[arg(long, value_name = "NAME")]
    pub(in super::super) alias: Option<crate::Alias>,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Destroy {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Delete the store without asking
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
    /// Print only the newest N ops
    #[arg(short = 'n', long, value_name = "N")]
    pub(in super::super) limit: Option<u64>,
    /// Draw a graph of which op follows which
    #[arg(long)]
    pub(in super::super) graph: bool,
    /// The output format
    #[arg(long, default_value = "text")]
    pub(in super::super) format: HistoryFormat,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Watch {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Start after this change: the index and the id of its op, and its number in the op; without
    /// CHANGE, start after the whole op
    #[arg(long, value_name = "INDEX[:OP[:CHANGE]]")]
    pub(in super::super) since: Option<String>,
    /// Start with the first op
    #[arg(long, conflicts_with = "since")]
    pub(in super::super) all: bool,
    /// Print only keys that start with these bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) prefix: Option<OsString>,
    /// Stop after N changes
    #[arg(short = 'n', long, value_name = "N")]
    pub(in super::super) limit: Option<u64>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}
