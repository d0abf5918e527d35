//! Arguments of the commands for key-value stores.

use std::ffi::OsString;

use super::{Encoding, Store, Writing};

#[derive(Debug, clap::Args)]
pub(in super::super) struct Put {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The key, 1 to 4,096 bytes; put `--` before a key that starts with a dash
    pub(in super::super) key: OsString,
    /// The value; without it, standard input is read to its end, unchanged
    pub(in super::super) value: Option<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Get {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The key
    pub(in super::super) key: OsString,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Delete {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The keys; if one of them has no value, none is deleted
    #[arg(required = true, value_name = "KEY")]
    pub(in super::super) keys: Vec<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Scan {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Print only keys that start with these bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) prefix: Option<OsString>,
    /// Start at this key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(in super::super) from: Option<OsString>,
    /// Stop before this key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(in super::super) to: Option<OsString>,
    /// Print at most N keys
    #[arg(long, value_name = "N")]
    pub(in super::super) limit: Option<usize>,
    /// Print in descending key order
    #[arg(long)]
    pub(in super::super) reverse: bool,
    /// Print keys without values
    #[arg(long)]
    pub(in super::super) keys_only: bool,
    /// Print raw bytes, with a NUL after each key and each value
    #[arg(short = '0', long = "null", conflicts_with = "b64")]
    pub(in super::super) null: bool,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Conflicts {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Print only this key, even if it has one value; without KEY, print all keys with several
    pub(in super::super) key: Option<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}
