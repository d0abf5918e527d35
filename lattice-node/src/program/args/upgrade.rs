//! Arguments of `lattice upgrade`.

use std::ffi::OsString;

use super::Trusting;

#[derive(Debug, clap::Args)]
pub(in super::super) struct Upgrade {
    /// The store
    #[arg(value_name = "STORE", required_unless_present = "all")]
    pub(in super::super) store: Option<OsString>,
    /// The code to use: a content id, a module file, or `native` for the code of this program
    #[cfg(feature = "wasm")]
    #[arg(value_name = "CODE", conflicts_with = "all")]
    pub(in super::super) by: Option<OsString>,
    /// Upgrade every store of the data directory, and continue after a failure
    #[arg(long, conflicts_with = "store")]
    pub(in super::super) all: bool,
    /// Change nothing: replay the history if other code computed the state, and report what an
    /// upgrade would change
    #[arg(long)]
    pub(in super::super) dry_run: bool,
    /// Do not ask
    #[cfg(feature = "wasm")]
    #[arg(long, short)]
    pub(in super::super) yes: bool,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
}
