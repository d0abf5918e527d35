//! Signs of life, and whether both sides have the same.
//!
//! A side that has sent all it has and taken in all that came says what it has ([`Beat`]). The other
//! side compares when it, too, has nothing left to do, and when the summary was made after all that
//! it had sent was taken in. So a difference is a difference, and not an op on its way.

use crate::config::Fault;
use crate::digest::summary;
use crate::event::Event;
use crate::host::{Request, Time};
use crate::session::push::Push;
use crate::session::{Effects, Pending, Session, Violation};
use crate::wire::{Beat, Frame, Summary};
use lattice_backend::op::ReplicaView;

/// The longest time before two replicas that stay unequal compare again.
const MAX_AGAIN_MS: u64 = 600_000;
/// The most rounds in a row that bring nothing.
const ROUNDS: u8 = 10;
/// Milliseconds after which a further round may bring nothing.
const ROUND_MS: u64 = 10_000;
/// As soon as there is nothing to do.
const NOW: Time = Time::from_ms(0);

/// When to speak, and what was found.
#[derive(Debug, Default)]
pub(super) struct Beats {
    due: Option<Time>,
    /// When to say what is here, as soon as there is nothing to do.
    settle: Option<Time>,
    /// A round is over: the peer gets a cursor that covers what came from it, too.
    marks: bool,
    /// The last summary of the peer that is to be compared, and the bytes it had taken in.
    heard: Option<(Summary, u64)>,
    /// The digests for which all tips were compared, when they may be compared again, and after how
    /// many milliseconds more.
    tried: Option<([u8; 32], [u8; 32])>,
    again: Option<Time>,
    again_ms: u64,
    /// Rounds since ops came.
    idle_rounds: u8,
    last_round: Option<Time>,
    pub(super) is_equal: bool,
    pub(super) is_diverged: bool,
}

impl Beats {
    /// The next beat, at a time that differs from those of other sessions.
    pub(super) fn put_off(&mut self, fx: &mut Effects<'_>) {
        let ms = fx.random.around(fx.config.beat_ms);
        self.due = Some(fx.now.after(ms));
    }

    /// Says what is here as soon as there is nothing to do.
    pub(super) fn settle_now(&mut self) {
        self.marks = true;
        self.settle = Some(NOW);
    }

    /// The same after some quiet.
    pub(super) fn settle_after(&mut self, fx: &Effects<'_>) {
        self.is_equal = false;
        if self.settle != Some(NOW) {
            self.settle = Some(fx.now.after(fx.config.settle_ms));
        }
    }

    /// Ops have come.
    pub(super) fn progress(&mut self) {
        self.idle_rounds = 0;
    }

    /// Whether both may compare again. Replicas that cannot become equal do so ever more rarely.
    pub(super) fn may_round(&mut self, fx: &Effects<'_>, ours: &Summary, theirs: &Summary) -> bool {
        if let Some(last) = self.last_round {
            let regained = fx.now.since(last) / ROUND_MS;
            let regained = u8::try_from(regained).unwrap_or(u8::MAX);
            self.idle_rounds = self.idle_rounds.saturating_sub(regained);
        }
        let is_tried = self.tried == Some((ours.digest, theirs.digest));
        let is_late = self.again.is_some_and(|again| again <= fx.now);
        self.idle_rounds < ROUNDS && (!is_tried || is_late)
    }

    /// All tips are compared.
    pub(super) fn note_full(&mut self, fx: &Effects<'_>, ours: &Summary, theirs: &Summary) {
        let pair = Some((ours.digest, theirs.digest));
        self.again_ms = match self.tried == pair {
            true => self.again_ms.saturating_mul(2).min(MAX_AGAIN_MS),
            false => fx.config.again_ms,
        };
        self.tried = pair;
        self.again = Some(fx.now.after(self.again_ms));
        self.idle_rounds = self.idle_rounds.saturating_add(1);
        self.last_round = Some(fx.now);
    }

    pub(super) fn next_wake(&self) -> Option<Time> {
        self.due.into_iter().chain(self.settle).min()
    }
}

impl Session {
    /// Whether all that can be sent was sent and has arrived, and all that came is taken in.
    fn is_quiet(&self, fx: &Effects<'_>) -> bool {
        self.is_settled()
            && !self.is_turning
            && self.is_sent(fx.config)
            && self.pull.is_idle(fx.now)
    }

    /// Speaks, if it is time.
    pub(super) fn beat(&mut self, fx: &mut Effects<'_>) {
        self.judge(fx);
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= fx.now);
        let is_saying = self.is_asking(|pending| *pending == Pending::Say);
        let is_beat_due = is_due(self.beats.due);
        let is_settle_due = is_due(self.beats.settle);
        let is_quiet = self.is_quiet(fx);
        if is_beat_due {
            self.beats.put_off(fx);
        }
        if is_quiet && (is_beat_due || self.beats.marks) {
            self.beats.marks = false;
            self.mark_live(fx);
        }
        match (is_quiet, is_saying) {
            (true, false) if is_beat_due || is_settle_due => {
                self.beats.settle = None;
                self.ask(fx, Pending::Say, Request::View);
            }
            (false, _) if is_beat_due => self.say(fx, None),
            // It stays due: what it waits for is no matter of time.
            _ => {}
        }
    }

    fn say(&self, fx: &mut Effects<'_>, summary: Option<Summary>) {
        fx.send(Frame::Beat(Beat {
            channel: self.channel,
            bytes: self.pull.taken(),
            summary,
        }));
    }

    pub(super) fn on_say(&mut self, fx: &mut Effects<'_>, view: ReplicaView) {
        match self.has_all_of(fx, &view) {
            true => {
                let ours = summary(&view, &self.left_out());
                self.say(fx, Some(ours));
            }
            false => self.beats.settle_after(fx),
        }
    }

    /// Whether the ops of a view are those that were sent to the peer or came from it: no more, and
    /// not fewer because some have been sent since.
    fn has_all_of(&mut self, fx: &Effects<'_>, view: &ReplicaView) -> bool {
        if !self.pull.is_ingesting() {
            self.safe = self.safe.max(view.end);
        }
        let is_same = self.applied.next() == view.end.applied;
        let is_same = is_same && self.held.next() == view.end.held;
        let is_off = matches!(self.push, Push::Off);
        let is_held_kept = fx.config.has(Fault::HeldKept);
        let is_idle = self.is_settled() && !self.is_turning && !self.is_reading;
        (is_off || is_same || is_held_kept) && is_idle && self.pull.is_idle(fx.now)
    }

    pub(super) fn on_beat(&mut self, _: &mut Effects<'_>, beat: &Beat) -> Result<(), Violation> {
        if beat.bytes > self.sent {
            return Err("a beat counts bytes that were not sent");
        }
        if let Some(theirs) = beat.summary {
            self.theirs = Some(theirs);
            self.settling.hear(beat.bytes);
            self.beats.heard = Some((theirs, beat.bytes));
        }
        Ok(())
    }

    /// Compares with what the peer has said, once there is nothing to do.
    fn judge(&mut self, fx: &mut Effects<'_>) {
        let Some((theirs, bytes)) = self.beats.heard else {
            return;
        };
        if !self.pull.is_idle(fx.now)
            || self.is_asking(|pending| matches!(pending, Pending::Judge(..)))
        {
            return;
        }
        self.beats.heard = None;
        if bytes >= self.sent_ops && self.is_settled() && !self.is_turning {
            self.ask(fx, Pending::Judge(theirs, bytes), Request::View);
        }
    }

    pub(super) fn on_judge(
        &mut self,
        fx: &mut Effects<'_>,
        view: &ReplicaView,
        theirs: &Summary,
        bytes: u64,
    ) {
        // What was sent after the view was read, the peer did not have.
        let is_late = bytes < self.sent_ops || self.theirs != Some(*theirs);
        if is_late || !self.has_all_of(fx, view) {
            return;
        }
        self.settling.judge();
        let ours = summary(view, &self.left_out());
        if ours.digest == theirs.digest {
            self.is_equal(fx, &ours, theirs);
            return;
        }
        let is_one_way =
            matches!(self.push, Push::Off) || !self.mode.takes || !self.peer_mode.gives;
        self.beats.is_equal = false;
        if !is_one_way {
            fx.event(Event::Unequal {
                session: self.id,
                ours: ours.ops,
                theirs: theirs.ops,
            });
        } else if !self.is_short() {
            return;
        }
        match self.leads() {
            true => self.want_round(fx, &ours, theirs),
            // The other side compares with this summary.
            false => self.say(fx, Some(ours)),
        }
    }

    /// Both have the same ops, except for those of refused authors.
    pub(super) fn is_equal(&mut self, fx: &mut Effects<'_>, ours: &Summary, theirs: &Summary) {
        let session = self.id;
        if !self.beats.is_equal {
            let ops = ours.ops;
            fx.event(Event::Equal { session, ops });
        }
        self.beats.is_equal = true;
        self.beats.tried = None;
        let has_same = ours.held == 0 && theirs.held == 0 && self.left_out().is_empty();
        let differs = ours.state != theirs.state && !fx.config.has(Fault::StateIgnored);
        let is_diverged = has_same && differs;
        if is_diverged && !self.beats.is_diverged {
            let (ours, theirs) = (ours.state, theirs.state);
            fx.event(Event::Diverged {
                session,
                ours,
                theirs,
            });
        }
        self.beats.is_diverged = is_diverged;
        if is_diverged {
            self.answer_early_probe(fx);
        }
    }
}
