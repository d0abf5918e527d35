//! Arguments of `lattice code`.

use std::ffi::OsString;

use clap::Subcommand;
use lattice_meta::{PubKey, StoreType};

use super::{Store, Writing};
use crate::program::pipes::FileArg;

#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(in super::super) struct Code {
    #[command(subcommand)]
    pub(in super::super) command: CodeCommand,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum CodeCommand {
    /// Check a module, keep it in the data directory, and trust it
    #[command(after_long_help = "Example: lattice code add chat.wasm

JSON: cid, store_type, schema_version, methods (how many), bytes, added (whether it is new)")]
    Add {
        /// The module; `-` is standard input
        file: FileArg,
    },
    /// List the trusted modules and the modules in the cache
    #[command(after_long_help = "Example: lattice code list

JSON, one object per line: cid, store_type, schema_version, bytes, trusted, found, error (why this program \
cannot read it), stores (ids of those that record it)")]
    List,
    /// Show a module's type, schemas and methods, where it was found, and whether it is trusted
    #[command(after_long_help = "Example: lattice code show chat.wasm
         lattice code show org.example.chat

JSON: cid, store_type, first_schema, schema_version, bytes, trusted, found, converts, methods")]
    Show {
        /// A content id, a file, or a store type
        #[arg(value_name = "CID|FILE|TYPE")]
        what: OsString,
    },
    /// Stop trusting a module, and remove it from the data directory; stores that record it cannot
    /// be opened until it is added again
    #[command(after_long_help = "Example: lattice code remove chat.wasm

JSON: cid, removed (whether it was trusted), stores (ids of those that record it)")]
    Remove {
        /// A content id, or a file
        #[arg(value_name = "CID|FILE")]
        what: OsString,
    },
    /// List the modules in the data directory that nothing needs; remove them with --yes
    #[command(
        after_long_help = "Keeps the modules that are trusted, that a store of the data directory records, or that opened a \
store in the last 90 days. Stores elsewhere do not count. If a store cannot be read, it may need \
any module, and nothing is removed. Damaged modules, and files that an interrupted command left, \
are listed too.

Example: lattice code gc
         lattice code gc --yes

JSON, one object per line: cid (null for an unfinished file), kind (module, damaged or unfinished), \
store_type (null if it cannot be read), bytes, last_used (milliseconds since 1970), file, removed"
    )]
    Gc {
        /// Remove what would be listed
        #[arg(long)]
        yes: bool,
    },
    /// Replay a store's history with other code, and report whether it computes the same state;
    /// changes nothing
    #[command(after_long_help = "Example: lattice code prove lobby chat-fixed.wasm
         lattice code prove lobby native

JSON: store_id, recorded, logic_version, ops, proven, difference")]
    Prove {
        #[command(flatten)]
        store: Store,
        /// A content id, a file, or `native` for the code of this program
        #[arg(value_name = "CID|FILE|native")]
        by: OsString,
    },
    /// Show what was decided about the code of a store, and why
    #[command(after_long_help = "Example: lattice code why lobby

JSON, one object per line: time, store_id, store_type, recorded, logic, outcome (used, proven, refused), \
because, ops, op; then one object: logic, because (null if it may not run), newer (release, cid, notes, found), \
warnings (texts)")]
    Why {
        #[command(flatten)]
        store: Store,
    },
    /// Trust the releases of a publisher for a store type
    #[command(
        after_long_help = "KEY is the publisher's complete public key, as `lattice identity` prints it there. A \
type has one trusted publisher. A trusted release runs without being added, in a store that records it and in \
new stores. --policy follow: `upgrade` does not ask.

Example: lattice code trust org.example.chat 8deecb4b160002c0aa3070ee66d1aac20db747f11b742dff054fd52059b702e6

JSON: store_type, publisher, policy, changed"
    )]
    Trust(Trust),
    /// Announce a module as a release of its store type
    #[command(
        after_long_help = "REGISTRY is a store of type core:registry; `lattice create core:registry` makes one. Its \
bundles carry releases to others. The author of this data directory is the publisher. Without --release, the \
number is one more than the greatest of this publisher and type. The module itself travels beside: `lattice \
bundle create STORE --with-code`.

Example: lattice code publish chat.wasm --registry releases --notes 'shows who has read'

JSON: store_type, release, cid, publisher, replaces"
    )]
    Publish(Publish),
    /// Ask users not to choose a release any more; stores that record it still open
    #[command(after_long_help = "Counts only from the publisher of the release.

Example: lattice code withdraw chat.wasm --registry releases --reason 'loses messages'

JSON: cid, store_type, release")]
    Withdraw {
        /// A content id, or a file
        #[arg(value_name = "CID|FILE")]
        what: OsString,
        /// The registry that the release is in
        #[arg(long, value_name = "STORE")]
        registry: OsString,
        /// Why, at most 1,024 bytes
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        writing: Writing,
    },
    /// Stop trusting the publisher of a store type
    #[command(
        after_long_help = "Stores that record one of its releases do not open until the release is added, or the \
publisher is trusted again.

Example: lattice code untrust org.example.chat

JSON: store_type, publisher (that was trusted), changed"
    )]
    Untrust {
        /// The store type
        #[arg(value_name = "TYPE")]
        store_type: StoreType,
    },
    /// Run one module only for a store type
    #[command(
        after_long_help = "`upgrade` refuses all other modules until `code unpin`. The module goes to the cache. A \
`core:` type takes no module but its pin, where this program's own code does not open the store.

Example: lattice code pin org.example.chat chat.wasm

JSON: store_type, cid, changed"
    )]
    Pin {
        /// The store type
        #[arg(value_name = "TYPE")]
        store_type: StoreType,
        /// A content id, or a file
        #[arg(value_name = "CID|FILE")]
        what: OsString,
    },
    /// Remove the pin of a store type
    #[command(after_long_help = "Example: lattice code unpin org.example.chat

JSON: store_type, cid (that was the pin), changed")]
    Unpin {
        /// The store type
        #[arg(value_name = "TYPE")]
        store_type: StoreType,
    },
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Publish {
    /// The module; `-` is standard input
    pub(in super::super) file: FileArg,
    /// The registry to publish in
    #[arg(long, value_name = "STORE")]
    pub(in super::super) registry: OsString,
    /// The number of the release
    #[arg(long, value_name = "N")]
    pub(in super::super) release: Option<u64>,
    /// What has changed, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    pub(in super::super) notes: Option<String>,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Trust {
    /// The store type
    #[arg(value_name = "TYPE")]
    pub(in super::super) store_type: StoreType,
    /// The publisher's public key
    #[arg(value_name = "KEY")]
    pub(in super::super) key: PubKey,
    /// How releases are chosen
    #[arg(long, value_name = "POLICY")]
    pub(in super::super) policy: Option<TrustPolicy>,
}

/// How `upgrade` chooses releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in super::super) enum TrustPolicy {
    /// Ask before a store changes to another release
    Ask,
    /// Do not ask
    Follow,
}
