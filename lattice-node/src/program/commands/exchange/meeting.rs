//! One session on one connection, from its proposal to its end.

use std::time::{Duration, Instant};

use lattice_meta::{GenesisHash, StoreId};
use lattice_sync::host::{ConnId, Mode};
use lattice_sync::{Event, Lost, Over};

use super::TURN;
use super::running::Running;
use super::tally::Tally;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::human::size;
use crate::program::interrupt::Signal;
use crate::program::progress::Counts;
use crate::sync::{Happened, Syncer};

/// How long the first op with another effect is looked for: both sides replay their history.
const SEARCH: Duration = Duration::from_secs(60);

/// A connection and the session that this side proposes on it.
pub(super) struct Meeting<'a> {
    pub(super) syncer: &'a Syncer,
    pub(super) conn: ConnId,
    pub(super) store: GenesisHash,
    /// Whether it goes on when both have the same.
    pub(super) stays: bool,
    /// Whether the peer has said who it is.
    pub(super) has_met: bool,
}

/// How a meeting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All was exchanged that can be.
    Done,
    Interrupted(Signal),
    /// The session ended.
    Over(Over),
    /// The connection ended.
    Lost {
        why: Lost,
        rule: Option<&'static str>,
        /// Whether the peer had said who it is.
        has_met: bool,
    },
}

impl Meeting<'_> {
    pub(super) fn propose(&self, mode: Mode) {
        self.syncer.sync(self.conn, self.store, mode);
    }

    /// Follows the session to its end. Notes what happens in the tally.
    pub(super) fn follow(
        &self,
        context: &mut Context<'_>,
        tally: &mut Tally,
        running: &mut Running,
    ) -> Result<End, Failure> {
        let mut has_met = self.has_met;
        let mut diverged_since = None;
        loop {
            if let Some(signal) = context.interruption.signal() {
                self.look(context, tally);
                return Ok(End::Interrupted(signal));
            }
            let happened = self.syncer.next_event(TURN);
            self.look(context, tally);
            running.look(self.syncer);
            let event = match happened {
                Some(Happened::Event(event)) => Some(event),
                Some(Happened::Store { error, .. }) => {
                    tally.fail(error);
                    None
                }
                // The connection's own event follows.
                _ => None,
            };
            if let Some(event) = event {
                has_met |= matches!(&event, Event::Met { conn, .. } if *conn == self.conn);
                if let Some(end) = self.end_of(&event, tally, has_met) {
                    return Ok(end);
                }
                let (before, left_out) = (tally.state, tally.left_out());
                tally.note(context, self.conn, &event);
                if self.stays && tally.left_out() > left_out && !context.out.is_json() {
                    tally.tell_authors(context);
                }
                if self.stays && tally.state != before {
                    tally.show(context, StoreId::certifying(&self.store))?;
                }
            }
            if let Some(session) = tally.diverged() {
                let since = *diverged_since.get_or_insert_with(|| {
                    self.syncer.probe(session);
                    Instant::now()
                });
                match tally.is_searched() || since.elapsed() >= SEARCH {
                    true => return Ok(End::Done),
                    false => continue,
                }
            }
            if tally.is_settled() && !self.stays {
                return Ok(End::Done);
            }
        }
    }

    /// What the event ends, if it does.
    fn end_of(&self, event: &Event, tally: &Tally, has_met: bool) -> Option<End> {
        match event {
            Event::Lost { conn, why, rule } if *conn == self.conn => Some(End::Lost {
                why: *why,
                rule: *rule,
                has_met,
            }),
            // The connection's own event follows.
            Event::Over {
                why: Over::Disconnected | Over::Again,
                ..
            } => None,
            Event::Over { session, why, .. } if tally.is_session(*session) => Some(End::Over(*why)),
            _ => None,
        }
    }

    /// Reads the numbers of the session, and shows them as progress.
    fn look(&self, context: &Context<'_>, tally: &mut Tally) {
        let mut all = self.syncer.status().into_iter();
        let Some(status) = all.find(|status| status.conn == self.conn) else {
            return;
        };
        let counts = &status.counts;
        tally.see(&status);
        let total = counts.to_send.saturating_add(counts.to_receive);
        if total > 0 && !self.stays {
            let done = counts.ops_sent.saturating_add(counts.ops_received);
            let ops = Counts::Things("op", "ops");
            context
                .progress
                .report("exchanging ops", ops, done, Some(total.max(done)));
            context.progress.also(|| {
                let (received, sent) = (size(counts.bytes_received), size(counts.bytes_sent));
                format!("{received} received, {sent} sent")
            });
        }
    }
}
