//! The arguments of `salvage`.

use super::{Mode, Store};
use crate::program::pipes::FileArg;

pub(super) const SALVAGE: &str = "\
For a store that `rebuild` refuses, without a copy for `restore`. Changes nothing. Prints JSON Lines that \
`import` reads, each row with a field `doubt`, which is null if the row is intact.

If the history can be replayed, the rows are those of the history, and `doubt` says where the stored rows \
differ. If not, all rows that can be read are printed, and are in doubt unless they match the recorded state \
hash. What is missing is printed at the end. If anything is in doubt or missing, the exit code is 4. The \
replayed state is kept in TMPDIR until then, about as large as the store.

If the file cannot be opened at all, its bytes and those of its journal are searched for signed ops, and the rows \
are those of a replay of them. All are in doubt, since later ops can be missing. Nothing that no author has signed comes in.

--ops writes these ops instead of rows, for stores of any type, as a bundle that `bundle apply` takes. In a new \
data directory it makes a store with the same id and history; `backup` there and `restore` here put it back. \
The exit code is 4 if the ops that some of them follow were not found.

Example: lattice salvage fruit > fruit.jsonl
         lattice salvage ./damaged.db rows.jsonl
         lattice salvage fruit fruit.bundle --ops

JSON, one object per row: key, value, doubt; or time, author, content, doubt; at the end, on standard error if the \
rows are on standard output: store_id, file, rows, in_doubt, missing (texts), history (why it cannot be replayed, \
or the file not be opened, or null), bytes; with --ops: store_id, file, ops, lacking (those that follow ops that were not \
found), bytes";

#[derive(Debug, clap::Args)]
pub(in super::super) struct Salvage {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The file to create; an existing file is refused; `-`, as without FILE, is standard output
    pub(in super::super) file: Option<FileArg>,
    /// Write a bundle of the signed ops that are found in the bytes of the store's file
    #[arg(long)]
    pub(in super::super) ops: bool,
    /// The permission bits of the file
    #[arg(long, value_name = "OCTAL", default_value = "600")]
    pub(in super::super) mode: Mode,
}
