//! Why a peer was lost, and what to check.

use std::fmt::Display;

use lattice_sync::wire::{EndReason, Farewell, RefuseReason};
use lattice_sync::{Lost, Over};

use super::meeting::End;
use super::shown;
use crate::program::failure::{Failure, Kind};
use crate::program::transport::{Ended, Peer};
use crate::sync::{StoreError, SyncError};

/// The exit code of a shell that does not find a command.
const NO_COMMAND: i32 = 127;
/// The exit code of `ssh` for its own failures.
const SSH_FAILED: i32 = 255;

/// The failure of a meeting that has ended early. `ended` is the process behind the stream.
pub(super) fn of(peer: &Peer, store: &dyn Display, end: &End, ended: Option<&Ended>) -> Failure {
    match end {
        End::Over(over) => of_session(peer, store, *over),
        End::Lost {
            why: Lost::Cut,
            has_met,
            ..
        } => cut(peer, *has_met, ended),
        End::Lost { why, rule, .. } => of_connection(peer, *why, *rule),
        // These are no failures of the peer.
        End::Done | End::Interrupted(_) => Failure::failed(format!("{peer}: the session ended")),
    }
}

fn of_session(peer: &Peer, store: &dyn Display, over: Over) -> Failure {
    let failed = |message: &str| Failure::failed(format!("{peer}: {message}"));
    match over {
        Over::Refused(RefuseReason::Busy { .. }) => Failure::new(
            Kind::InUse,
            format!("{peer}: the peer has no room for another session; try again later"),
        ),
        Over::Refused(_) => Failure::no_store(format!(
            "{peer}: the peer has no store {store}, or does not offer it; `clone` there makes a \
             replica"
        )),
        Over::Declined(_) => failed("this side did not open the store for the session"),
        Over::There(EndReason::Closing) => failed("the peer has ended the session"),
        Over::There(EndReason::Busy) => {
            failed("the peer has no room for more ops that wait for others")
        }
        Over::There(EndReason::BadOp) => failed(
            "the peer says that this replica has sent an op that no replica takes; \
             `lattice verify STORE` checks it",
        ),
        Over::There(_) => failed("the peer's store has failed; its own message says why"),
        Over::Here(EndReason::BadOp) => Failure::damaged(format!(
            "{peer}: the peer has sent an op that no replica takes; verify its store there"
        )),
        Over::Here(_) | Over::Again | Over::Disconnected => failed("the session has failed here"),
    }
}

fn of_connection(peer: &Peer, why: Lost, rule: Option<&'static str>) -> Failure {
    let failed = |message: &str| Failure::failed(format!("{peer}: {message}"));
    let rule = rule.map_or_else(String::new, |rule| format!(": {rule}"));
    match why {
        Lost::Here(Farewell::Version) | Lost::There(Farewell::Version) => Failure::new(
            Kind::Newer,
            format!(
                "{peer}: the two programs have no version of the protocol in common; upgrade \
                     the older one"
            ),
        ),
        Lost::Here(Farewell::Protocol) => failed(&format!(
            "what came is not the protocol{rule}; the command must print nothing else, so check \
             what a login script there prints"
        )),
        Lost::There(Farewell::Protocol) => {
            failed("the peer says that this program has broken the protocol; please report it")
        }
        Lost::Here(Farewell::Timeout) => failed("the peer has not answered in time"),
        Lost::There(Farewell::Timeout) => failed("the peer has waited too long for this program"),
        Lost::There(Farewell::Closing) => failed("the peer has stopped"),
        Lost::Here(Farewell::Oneself) | Lost::There(Farewell::Oneself) => {
            Failure::usage(format!("{peer}: the peer is this process itself"))
        }
        Lost::Here(_) | Lost::There(_) | Lost::OtherPeer | Lost::Cut => {
            failed("another connection to the peer has replaced this one")
        }
    }
}

/// The stream has ended without a farewell.
fn cut(peer: &Peer, has_met: bool, ended: Option<&Ended>) -> Failure {
    let what = match has_met {
        true => "the stream has ended too early",
        false => "the stream has ended before the peer said who it is",
    };
    let failure = Failure::failed(format!("{peer}: {what}"));
    let Some(ended) = ended else {
        return failure;
    };
    let code = ended.status.and_then(|status| status.code());
    let check = match (peer, code) {
        (Peer::Ssh(_), Some(NO_COMMAND)) => {
            "install lattice there, on the path of a shell that is not interactive"
        }
        (Peer::Ssh(_), Some(SSH_FAILED)) => "check that ssh reaches the machine",
        (Peer::Dir(_), _) => "check the data directory there",
        _ => "run the command by itself",
    };
    failure
        .and(&shown(ended))
        .and(check)
        .with("exit_status", code.into())
        .with("said", ended.said.clone().into())
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        Self::of(Kind::Failed, &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Open(error) => error.into(),
            StoreError::Backend(error) => error.into(),
            StoreError::Alias(error) => error.into(),
            error @ (StoreError::Thread(_) | StoreError::List { .. }) => {
                Self::of(Kind::Failed, &error)
            }
        }
    }
}
