//! Arguments of the commands between replicas that meet over a stream.

use std::ffi::OsString;
use std::path::PathBuf;

use super::copies::Whose;
use super::{Store, Trusting};

pub(super) const SERVE: &str = "\
Without --store, a peer can exchange every store of the data directory whose name or id it knows. \
--stdio prints nothing else to standard output, and ends when the peer leaves. --unix replaces a \
socket that no process serves, and refuses any other file that is there.

Ops of the store's owner, of this node, and of authors that the store knows are taken; --author \
adds one, --any-author all of them.

For a key of ssh that may only read one store, in ~/.ssh/authorized_keys:
  restrict,command=\"lattice serve --stdio --store fruit --read-only\" ssh-ed25519 AAAA...

Example: lattice serve --unix /run/user/1000/lattice.sock
         lattice serve --stdio --store fruit --read-only

JSON: nothing; an error is one object on standard error";

pub(super) const SYNC: &str = "\
PEER is the path of a data directory, which this program serves itself; ssh://[USER@]HOST[:PORT][/DIR], \
where `lattice` must be installed; or unix:PATH, a socket of `serve --unix`. DIR is a data \
directory; /~/DIR is below the user's home. No character of DIR is decoded. The variable \
LATTICE_SSH names another program than ssh, with the same arguments. --via reaches a peer in any \
other way: the other end runs `lattice serve --stdio`.

Ends when both have the same ops, or when all was sent (--push) or taken (--pull). Ops of authors \
that a side does not know are left out: --author adds one, --any-author all of them. Where this \
command starts the peer itself, by a path or ssh://, the peer takes the ops of this node's author, and \
--any-author holds for it, too.

With --live it stays, and connects again when the stream is lost, after 1 second, later up to 60. \
Other processes can write the store at the same time. Ctrl-C ends it at any moment; what was \
received is durable.

Example: lattice sync fruit ssh://bob@example.org
         lattice sync fruit /mnt/usb/data --any-author
         lattice sync fruit --via 'ssh bob lattice serve --stdio' --live

JSON, with --live at each change: store_id, peer (its public key), sync_state (equal, one_way, \
different, diverged, cut), ops (that both have; null unless equal), sent, sent_bytes, received, \
received_bytes, applied, known, held, pending, deferred, invalid, refused_authors (of which this side takes no ops), \
refused_there (of which the peer takes none)";

pub(super) const CLONE: &str = "\
PEER is as for `sync`. The last / stands between PEER and STORE: ssh://host/notes is the store \
notes of the peer ssh://host, and /mnt/usb/data/notes that of the data directory /mnt/usb/data. \
With --via the argument is the store alone. A replica brings no name along; --alias gives it one.

The replica is created as soon as the peer has said which store it is. If the command is \
interrupted then, `clone` again, or `sync`, continues.

Example: lattice clone ssh://bob@example.org/fruit --alias fruit
         lattice clone /mnt/usb/data/fruit --any-author

JSON: as for `sync`; and alias, new_replica";

pub(super) const PEERS: &str = "\
A store remembers of each peer up to which op both have the same, so that the next exchange does \
not compare. TAKEN counts the peer's ops that are here, of those that it had applied; GIVEN the \
ops of this store that the peer has; OPS those that this store has applied. Ops that came in \
another way, in a bundle or from another peer, do not count.

Example: lattice peers fruit

JSON, per peer: store_id, alias, peer (its public key), taken, given, ops";

pub(super) const STATUS: &str = "\
SENDS and TAKES say what a direction of a session does: comparing, bulk (what is lacking), live \
(new ops, as they come), queued (behind another session of the store), or off. A process writes \
its state once a second while it changes, into the directory `running` of the data directory; one \
that ends within a second is not listed.

JSON, per process: process (its number), command, with (the socket, or the peer), since, at (both \
in milliseconds since 1970), sessions (store_id, peer, sending, taking, equal, delivered, diverged, \
sent, sent_bytes, to_send, received, received_bytes, to_receive, refused, held, invalid)";

#[derive(Debug, clap::Args)]
pub(in super::super) struct Peers {
    /// The store; without it, all stores of the data directory
    #[arg(value_name = "STORE")]
    pub(in super::super) store: Option<OsString>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("stream").required(true).args(["stdio", "unix"]))]
pub(in super::super) struct Serve {
    /// Serve one peer on standard input and output, until it leaves
    #[arg(long)]
    pub(in super::super) stdio: bool,
    /// Make a socket that only this user can use, and serve every peer that connects to it
    #[arg(long, value_name = "FILE")]
    pub(in super::super) unix: Option<PathBuf>,
    /// Serve only this store; may be given several times
    #[arg(long = "store", value_name = "STORE")]
    pub(in super::super) stores: Vec<OsString>,
    /// Give ops, and take none
    #[arg(long)]
    pub(in super::super) read_only: bool,
    #[command(flatten)]
    pub(in super::super) whose: Whose,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct SyncStore {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The peer: the path of a data directory, ssh://[USER@]HOST[:PORT][/DIR], or unix:PATH
    #[arg(
        value_name = "PEER",
        required_unless_present = "via",
        conflicts_with = "via"
    )]
    pub(in super::super) peer: Option<OsString>,
    /// Reach the peer through this command of the shell: its standard input and output are the
    /// stream
    #[arg(long, value_name = "COMMAND")]
    pub(in super::super) via: Option<OsString>,
    /// Stay, and exchange new ops as they are written; connect again when the stream is lost
    #[arg(long)]
    pub(in super::super) live: bool,
    /// Only send
    #[arg(long, conflicts_with = "pull")]
    pub(in super::super) push: bool,
    /// Only take
    #[arg(long)]
    pub(in super::super) pull: bool,
    #[command(flatten)]
    pub(in super::super) whose: Whose,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct CloneStore {
    /// The peer, a slash, and a store there: its alias, its id, or the first 8 or more hex digits
    /// of its id; with --via only the store
    #[arg(value_name = "PEER/STORE")]
    pub(in super::super) place: OsString,
    /// Reach the peer through this command of the shell: its standard input and output are the
    /// stream
    #[arg(long, value_name = "COMMAND")]
    pub(in super::super) via: Option<OsString>,
    /// A name for the store here
    #[arg(long, value_name = "NAME")]
    pub(in super::super) alias: Option<crate::Alias>,
    #[command(flatten)]
    pub(in super::super) whose: Whose,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
}
