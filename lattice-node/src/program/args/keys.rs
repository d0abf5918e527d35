//! Arguments of the commands for key-value stores.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Encoding, Store, Writing};

#[derive(Debug, clap::Args)]
pub(in super::super) struct Put {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The key, 1 to 4,096 bytes, as it is, or as `scan` prints it if it is there; put `--` before
    /// a key that starts with a dash
    pub(in super::super) key: OsString,
    /// The value; without it, standard input is read to its end, unchanged
    pub(in super::super) value: Option<OsString>,
    /// Write only if the key has no value
    #[arg(long, conflicts_with = "expect")]
    pub(in super::super) if_absent: bool,
    /// Write only if this is the key's current value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(in super::super) expect: Option<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Get {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The keys, all read from one snapshot. The value of one key is printed alone; of several
    /// keys, each is printed with its value
    #[arg(required = true, value_name = "KEY")]
    pub(in super::super) keys: Vec<OsString>,
    /// Print raw bytes, with a NUL after each key and each value
    #[arg(short = '0', long = "null", conflicts_with = "b64")]
    pub(in super::super) null: bool,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Exists {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The keys, all read from one snapshot
    #[arg(required = true, value_name = "KEY")]
    pub(in super::super) keys: Vec<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Batch {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// A file with one command a line as JSON, {"METHOD": {"PARAM": VALUE}}; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(in super::super) file: PathBuf,
    /// Make one op of each command. Without it, all commands are one op: all or none are written
    #[arg(long)]
    pub(in super::super) each: bool,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Delete {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The keys; if one of them has no value, none is deleted
    #[arg(required = true, value_name = "KEY")]
    pub(in super::super) keys: Vec<OsString>,
    /// Delete only if this is the current value of each key
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(in super::super) expect: Option<OsString>,
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
    #[arg(short = 'n', long, value_name = "N")]
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
