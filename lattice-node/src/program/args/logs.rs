//! Arguments of the commands for log stores.

use std::ffi::OsString;

use super::{Encoding, Store, Writing};

#[derive(Debug, clap::Args)]
pub(in super::super) struct Append {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The entries; without any, each line of standard input is an entry
    pub(in super::super) text: Vec<OsString>,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Tail {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// Print the newest N entries
    #[arg(
        short = 'n',
        long = "limit",
        alias = "lines",
        default_value_t = 10,
        value_name = "N"
    )]
    pub(in super::super) count: u64,
    /// Then print each new entry as it arrives, until interrupted
    #[arg(short, long)]
    pub(in super::super) follow: bool,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}
