//! Whether a round is over for both sides, so that a session that is not to be live can end.

use crate::event::Event;
use crate::host::Time;
use crate::session::push::Push;
use crate::session::{Effects, Session};
use crate::status::Phase;

/// For how many times `settle_ms` the end of a round waits for the peer's last word.
const PATIENCE: u64 = 3;

/// What is known of the end of a round.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// The end of the round is not reported yet.
    is_open: bool,
    /// The cursor with which this side's direction ended.
    done: Option<u64>,
    /// The last cursor that was offered to the peer in this round, and the bytes sent until then.
    mark: Option<(u64, u64)>,
    /// The last cursor that the peer has written.
    confirmed: Option<u64>,
    /// Bytes that the peer had taken in when it said last what it has.
    heard: Option<u64>,
    /// Whether both sides were compared since their ops were exchanged.
    is_judged: bool,
    /// When it is reported without the peer's word.
    latest: Option<Time>,
}

impl Settling {
    /// A round begins. `is_judged`: both sides have the same, and the round is over.
    pub(super) fn begin(&mut self, is_judged: bool) {
        *self = Self {
            is_open: true,
            is_judged,
            ..Self::default()
        };
    }

    /// A cursor was offered to the peer, or, if the peer refuses authors, a place.
    pub(super) fn offer(&mut self, upto: u64, sent: u64) {
        self.done.get_or_insert(upto);
        self.mark = Some((upto, sent));
    }

    /// The cursor itself was sent in a frame that counts.
    pub(super) const fn reach(&mut self, sent: u64) {
        if let Some((_, before)) = &mut self.mark {
            *before = sent;
        }
    }

    /// The peer has written a cursor.
    pub(super) fn confirm(&mut self, upto: u64) {
        self.confirmed = self.confirmed.max(Some(upto));
    }

    /// The peer, with nothing left to do, has said what it has.
    pub(super) const fn hear(&mut self, bytes: u64) {
        self.heard = Some(bytes);
    }

    /// Both sides were compared.
    pub(super) const fn judge(&mut self) {
        self.is_judged = true;
    }

    /// Whether the peer has confirmed that it has all ops before this place, if there is one.
    fn has_confirmed(&self, upto: Option<u64>) -> bool {
        upto.is_none_or(|upto| self.confirmed.is_some_and(|confirmed| confirmed >= upto))
    }

    /// Whether the peer has written the last cursor.
    fn is_confirmed(&self) -> bool {
        self.has_confirmed(self.mark.map(|(upto, _)| upto))
    }

    /// Whether the peer has taken in all that was offered, and has not confirmed it.
    fn is_denied(&self) -> bool {
        let has_spoken = |sent| self.heard.is_some_and(|heard| heard >= sent);
        !self.is_confirmed() && self.mark.is_some_and(|(_, sent)| has_spoken(sent))
    }

    pub(super) fn next_wake(&self) -> Option<Time> {
        self.latest.filter(|_| self.is_open)
    }
}

impl Session {
    /// Reports the end of a round, once both directions have ended, and all that was sent is taken
    /// in, on both sides. Then it waits a while for what the peer has to say: that it has written a
    /// cursor, what it has, or another round.
    pub(super) fn settle(&mut self, fx: &mut Effects<'_>) {
        let is_idle = self.is_settled() && !self.is_turning && self.pull.is_idle(fx.now);
        let sent = self.settling.mark.map_or(0, |(_, sent)| sent);
        if !self.settling.is_open || !is_idle || self.acked < sent {
            return;
        }
        // A peer that does not confirm all can be about to ask for the rest.
        let has_said = match self.refused.is_empty() {
            true => self.settling.is_confirmed(),
            false => self.settling.is_denied(),
        };
        let is_over = has_said && self.settling.is_judged && !self.pull.is_partial();
        let patience = fx.config.settle_ms.saturating_mul(PATIENCE);
        let latest = self.settling.latest.get_or_insert(fx.now.after(patience));
        if !is_over && *latest > fx.now {
            return;
        }
        self.settling.is_open = false;
        let gives = !matches!(self.push, Push::Off);
        let takes = self.pull.phase() != Phase::Off;
        let has_all = self.settling.has_confirmed(self.settling.done);
        fx.event(Event::Settled {
            session: self.id,
            gave: gives.then_some(has_all),
            took: takes.then_some(self.pull.is_clean()),
        });
    }

    /// Whether, in a session with one direction, another round could bring what this one did not.
    /// Ops of refused authors do not come.
    pub(super) fn is_short(&self) -> bool {
        let lacks = !self.pull.is_clean() && self.refusing.is_empty();
        match self.push {
            Push::Off => self.pull.is_partial() || lacks,
            _ => self.settling.is_denied() && self.refused.is_empty(),
        }
    }
}
