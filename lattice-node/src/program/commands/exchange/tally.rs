//! What two replicas have exchanged, and what was left out.

use std::collections::BTreeSet;

use lattice_meta::{PubKey, StateHash, StoreId};
use lattice_sync::host::{ConnId, SessionId};
use lattice_sync::{Counts, Event, SessionStatus};
use serde_json::{Map, Value, json};

use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::human::size;
use crate::sync::StoreError;

/// The most authors that a note names.
const SHOWN_AUTHORS: usize = 5;

/// How far two replicas are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// Ops are compared, or on their way.
    #[default]
    Open,
    /// Both have the same ops.
    Equal { ops: u64 },
    /// One direction is not used, and all of the other has arrived.
    OneWay,
    /// Both have sent everything, and have different ops.
    Different { ours: u64, theirs: u64 },
    /// Both have the same ops and another state.
    Diverged { ours: StateHash, theirs: StateHash },
    /// The stream was lost.
    Cut,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Equal { .. } => "equal",
            Self::OneWay => "one_way",
            Self::Different { .. } => "different",
            Self::Diverged { .. } => "diverged",
            Self::Cut => "cut",
        }
    }
}

/// What was exchanged, over all sessions of a command.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) state: State,
    session: Option<SessionId>,
    peer: Option<PubKey>,
    /// The session of the present counts. It has some before the event that it has begun.
    counted: Option<SessionId>,
    /// The counts of earlier sessions, and of the present one.
    before: Counts,
    now: Counts,
    /// Whether a round of the session is over for both sides.
    is_settled: bool,
    /// Whether it has left ops out, in either direction.
    is_partial: bool,
    /// The authors whose ops are not taken here, and not there.
    refused: BTreeSet<PubKey>,
    refused_there: BTreeSet<PubKey>,
    /// Why the store could not be opened, read or written.
    failed: Option<Failure>,
    /// What a search for the first difference has found.
    searched: Option<Search>,
}

/// What a search for the first difference has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// The position in the canonical order.
    At(u64),
    /// Both replays agree.
    Nowhere,
}

impl Tally {
    /// Reads the numbers of a session.
    pub(super) fn see(&mut self, status: &SessionStatus) {
        if self.counted != Some(status.session) {
            self.counted = Some(status.session);
            self.keep();
        }
        self.now = status.counts;
    }

    /// Adds the numbers of the session that is over to those before.
    fn keep(&mut self) {
        let (before, now) = (&mut self.before, std::mem::take(&mut self.now));
        before.ops_sent += now.ops_sent;
        before.bytes_sent += now.bytes_sent;
        before.ops_received += now.ops_received;
        before.bytes_received += now.bytes_received;
        before.applied += now.applied;
        before.held += now.held;
        before.known += now.known;
        before.waiting += now.waiting;
        before.later += now.later;
        before.invalid += now.invalid;
    }

    /// Notes that the store has failed. The first failure says why.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.failed.get_or_insert_with(|| error.into());
    }

    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failed.take()
    }

    /// Notes what has happened.
    pub(super) fn note(&mut self, context: &mut Context<'_>, conn: ConnId, event: &Event) {
        match event {
            Event::Met {
                conn: met,
                peer,
                is_same_key,
            } if *met == conn => {
                self.peer = Some(*peer);
                if *is_same_key && !context.out.is_json() {
                    context.out.note(
                        "the peer writes as the same author: one of the two data directories is a \
                         copy of the other; `lattice identity new` gives one of them a new identity",
                    );
                }
            }
            Event::Opened {
                session, conn: at, ..
            } if *at == conn => {
                self.begin(*session);
            }
            Event::Settled {
                session,
                gave,
                took,
            } if self.is_own(*session) => {
                self.is_settled = true;
                self.is_partial = [gave, took].contains(&&Some(false));
                if self.state == State::Open && (gave.is_none() || took.is_none()) {
                    self.state = State::OneWay;
                }
            }
            Event::Equal { session, ops } if self.is_own(*session) => {
                self.state = State::Equal { ops: *ops };
            }
            Event::Unequal {
                session,
                ours,
                theirs,
            } if self.is_own(*session) => {
                let (ours, theirs) = (*ours, *theirs);
                self.state = State::Different { ours, theirs };
            }
            Event::Diverged {
                session,
                ours,
                theirs,
            } if self.is_own(*session) => {
                let (ours, theirs) = (*ours, *theirs);
                self.state = State::Diverged { ours, theirs };
            }
            Event::FirstDifference { session, position } if self.is_own(*session) => {
                self.searched = Some(Search::At(*position));
            }
            Event::ReplaysAgree { session } if self.is_own(*session) => {
                self.searched = Some(Search::Nowhere);
            }
            Event::AuthorsRefused { session, authors } if self.is_own(*session) => {
                self.refused.extend(authors);
            }
            Event::AuthorsRefusedThere { session, authors } if self.is_own(*session) => {
                self.refused_there.extend(authors);
            }
            _ => {}
        }
    }

    /// A session has begun.
    fn begin(&mut self, session: SessionId) {
        self.session = Some(session);
        self.state = State::Open;
        (self.is_settled, self.is_partial) = (false, false);
    }

    /// The stream was lost.
    pub(super) fn cut(&mut self) {
        self.state = State::Cut;
        self.session = None;
    }

    fn is_own(&self, session: SessionId) -> bool {
        self.session == Some(session)
    }

    /// Whether the session is the one that was proposed last: one that never opened has no name.
    pub(super) fn is_session(&self, session: SessionId) -> bool {
        self.session.is_none_or(|own| own == session)
    }

    /// The session in which the two states were found to differ.
    pub(super) fn diverged(&self) -> Option<SessionId> {
        let is_diverged = matches!(self.state, State::Diverged { .. });
        self.session.filter(|_| is_diverged)
    }

    /// Whether the search for the first difference has ended.
    pub(super) fn is_searched(&self) -> bool {
        self.searched.is_some()
    }

    /// Whether there is nothing more to exchange.
    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        of(&self.before).saturating_add(of(&self.now))
    }

    /// Whether nothing was exchanged.
    pub(super) fn is_nothing(&self) -> bool {
        self.sum(|counts| counts.ops_sent + counts.ops_received) == 0
    }

    /// One line about it.
    pub(super) fn text(&self) -> String {
        let amount = |ops, bytes| match ops {
            0 => "0 ops".to_owned(),
            _ => format!("{} ({})", plural(ops, ("op", "ops")), size(bytes)),
        };
        let sent = amount(
            self.sum(|counts| counts.ops_sent),
            self.sum(|counts| counts.bytes_sent),
        );
        let received = amount(
            self.sum(|counts| counts.ops_received),
            self.sum(|counts| counts.bytes_received),
        );
        let state = match self.state {
            State::Equal { ops } => {
                let equal = match self.left_out() {
                    0 => "equal",
                    _ => "equal except for what was left out",
                };
                format!("; {equal}, {} here", plural(ops, ("op", "ops")))
            }
            State::Different { ours, theirs } => {
                format!(
                    "; different: {} here, {theirs} there",
                    plural(ours, ("op", "ops"))
                )
            }
            State::Diverged { .. } => "; the same ops, and another state".to_owned(),
            State::Open | State::OneWay | State::Cut => String::new(),
        };
        format!("sent {sent}, received {received}{state}")
    }

    pub(super) fn json(&self, store: StoreId) -> Map<String, Value> {
        let ops = match self.state {
            State::Equal { ops } => Some(ops),
            _ => None,
        };
        let fields = json!({
            "store_id": store,
            "peer": self.peer,
            "sync_state": self.state.name(),
            "ops": ops,
            "sent": self.sum(|counts| counts.ops_sent),
            "sent_bytes": self.sum(|counts| counts.bytes_sent),
            "received": self.sum(|counts| counts.ops_received),
            "received_bytes": self.sum(|counts| counts.bytes_received),
            "applied": self.sum(|counts| counts.applied),
            "known": self.sum(|counts| counts.known),
            "held": self.sum(|counts| counts.held),
            "pending": self.pending(),
            "deferred": self.deferred(),
            "invalid": self.sum(|counts| counts.invalid),
            "refused_authors": self.refused,
            "refused_there": self.refused_there,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// Prints the state, as it is now.
    pub(super) fn show(&self, context: &mut Context<'_>, store: StoreId) -> Result<(), Failure> {
        if context.out.is_json() || self.state != State::Open {
            context.out.either(self.json(store), |_| self.text())?;
        }
        context.out.flush()
    }

    /// Ops that wait for others. Those that waited and came in count no more once both are equal.
    fn pending(&self) -> u64 {
        self.unless_equal(|counts| counts.waiting)
    }

    fn deferred(&self) -> u64 {
        self.unless_equal(|counts| counts.later)
    }

    fn unless_equal(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        match self.state {
            State::Equal { .. } => 0,
            _ => self.sum(of),
        }
    }

    /// The number of authors whose ops are left out.
    pub(super) fn left_out(&self) -> usize {
        self.refused.len() + self.refused_there.len()
    }

    /// Says whose ops are left out.
    pub(super) fn tell_authors(&self, context: &mut Context<'_>) {
        if !self.refused.is_empty() {
            context.out.note(&format!(
                "ops of {} are not taken, because the store does not know them; --author KEY takes \
                 the ops of an author, --any-author those of all",
                shown(&self.refused)
            ));
        }
        if !self.refused_there.is_empty() {
            context.out.note(&format!(
                "the peer takes no ops of {}: there `serve` needs --author KEY or --any-author",
                shown(&self.refused_there)
            ));
        }
    }

    /// Says what was left out, and why.
    pub(super) fn tell(&self, context: &mut Context<'_>) {
        self.tell_authors(context);
        let ops = |count| plural(count, ("op", "ops"));
        for (count, why) in [
            (
                self.pending(),
                "not applied, because parent ops are with neither replica",
            ),
            (
                self.deferred(),
                "deferred, because dated ahead of this machine's clock, or after such an op; sync \
                 again when they are due",
            ),
            (
                self.sum(|counts| counts.held),
                "held, because this program's code could not apply them; `lattice info STORE` lists \
                 them",
            ),
            (
                self.sum(|counts| counts.invalid),
                "rejected: no replica takes them",
            ),
        ] {
            if count > 0 {
                context.out.note(&format!("{} {why}", ops(count)));
            }
        }
    }

    /// Fails unless everything was exchanged.
    pub(super) fn check(&mut self, store: StoreId) -> Result<(), Failure> {
        if let Some(failure) = self.take_failure() {
            return Err(failure);
        }
        match self.state {
            State::Diverged { ours, theirs } => {
                let first = match self.searched {
                    Some(Search::At(position)) => {
                        format!("; the first op with another effect has position {position}")
                    }
                    Some(Search::Nowhere) => {
                        "; the replays of both agree, so one of the states is damaged".to_owned()
                    }
                    None => String::new(),
                };
                Err(Failure::damaged(format!(
                    "store {store} has the state hash {ours} here and {theirs} there for the same \
                     ops{first}; `lattice verify STORE` checks this replica, and the same command \
                     there the other one"
                )))
            }
            State::Different { .. } => Err(Failure::failed(format!(
                "the replicas of store {store} have different ops"
            ))),
            _ if self.left_out() > 0 => Err(Failure::failed(format!(
                "some authors' ops of store {store} were left out"
            ))),
            _ if self.is_partial => Err(Failure::failed(format!(
                "some ops of store {store} wait for others, or are dated ahead of a clock; sync again \
                 later"
            ))),
            _ => Ok(()),
        }
    }
}

/// The keys of authors.
fn shown(authors: &BTreeSet<PubKey>) -> String {
    let count = u64::try_from(authors.len()).unwrap_or(u64::MAX);
    let keys: Vec<_> = authors
        .iter()
        .take(SHOWN_AUTHORS)
        .map(PubKey::to_string)
        .collect();
    let more = match authors.len() > SHOWN_AUTHORS {
        true => ", ...",
        false => "",
    };
    format!(
        "{} ({}{more})",
        plural(count, ("author", "authors")),
        keys.join(", ")
    )
}
