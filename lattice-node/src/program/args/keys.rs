//! Arguments of the commands for key-value stores.

use std::ffi::OsString;

use super::{Encoding, Store};

#[derive(Debug, clap::Args)]
pub(in super::super) struct Put {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The key, 1 to 4,096 bytes; one that begins with a dash follows `--`
    pub(in super::super) key: OsString,
    /// The value; read from standard input, exactly, if it is missing
    pub(in super::super) value: Option<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
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
    /// The keys; if one of them has no value, none is removed
    #[arg(required = true, value_name = "KEY")]
    pub(in super::super) keys: Vec<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Scan {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Only keys that begin with these bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) prefix: Option<OsString>,
    /// Only this key and those behind it
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(in super::super) from: Option<OsString>,
    /// Only keys before this one
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(in super::super) to: Option<OsString>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub(in super::super) limit: Option<usize>,
    /// From the greatest key to the least
    #[arg(long)]
    pub(in super::super) reverse: bool,
    /// The keys alone
    #[arg(long)]
    pub(in super::super) keys_only: bool,
    /// Raw bytes, with a NUL behind each key and each value
    #[arg(short = '0', long = "null", conflicts_with = "b64")]
    pub(in super::super) null: bool,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Conflicts {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// This key only, also if it has just one value; else all keys that have several
    pub(in super::super) key: Option<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}
