//! Taking: from the peer's tips to ops that are durable here.

use std::collections::BTreeMap;

use lattice_backend::op::OpRef;
use lattice_meta::PubKey;

use crate::config::Fault;
use crate::convert::to_u64;
use crate::event::Event;
use crate::host::{Ingested, Request, Standing, Time};
use crate::session::push::MAX_ROUND_WISHES;
use crate::session::{Effects, Pending, Session, Violation};
use crate::status::Phase;
use crate::wire::{
    Ack, Begin, Cursor, EndReason, Frame, Known, MAX_WANT_KNOWN, Mark, News, Ops, Want, Wish,
};

/// The most tips that a peer may name in a round.
const MAX_ROUND_TIPS: u64 = 1 << 20;
/// Milliseconds between two ingests that only write a cursor, after the first ones of a round.
const NOTE_MS: u64 = 5000;
const FREE_NOTES: u8 = 4;

/// What the direction from the peer does.
#[derive(Debug, Default)]
enum State {
    #[default]
    Off,
    /// The peer finds what is lacking.
    Comparing,
    /// Tips are to be weighed: the session waits until it may pull, or the host weighs.
    Weighing {
        news: Box<News>,
        is_asked: bool,
    },
    /// Ops were asked for.
    Bulk,
    Live,
}

/// The direction from the peer.
#[derive(Debug, Default)]
pub(super) struct Pull {
    state: State,
    /// The last tip of the round, and their number.
    last_tip: Option<OpRef>,
    tips: u64,
    /// Whether the last frame of news said that more follow.
    expects_news: bool,
    wishes: usize,
    has_wishes: bool,
    /// Whether all that the peer has is here, or is coming.
    is_clean: bool,
    /// Whether wishes were left for the next round.
    is_partial: bool,
    inbox: Vec<Vec<u8>>,
    inbox_bytes: u64,
    /// Bytes of frames whose ops are in the inbox.
    credit: u64,
    /// The ingest that is going on: the credit it gives back, and the cursor it writes.
    ingesting: Option<(u64, Option<Cursor>)>,
    ingesting_bytes: u64,
    received: u64,
    taken: u64,
    mark: Option<Cursor>,
    note_at: Option<Time>,
    /// Cursors written in this round.
    notes: u8,
    due: Option<Time>,
    /// A round has ended, and its end is not reported yet.
    is_caught: bool,
    /// When the right to pull was last earned, and the bytes received until then.
    lease: Option<(Time, u64)>,
}

impl Pull {
    /// A round begins.
    pub(super) fn begin(&mut self, takes: bool, is_clean: bool) {
        self.state = match takes {
            true => State::Comparing,
            false => State::Off,
        };
        self.last_tip = None;
        self.tips = 0;
        self.expects_news = true;
        self.wishes = 0;
        self.has_wishes = false;
        self.is_clean = is_clean;
        self.is_partial = false;
        self.is_caught = false;
        self.mark = None;
        self.notes = 0;
    }

    /// Both have the same ops.
    pub(super) fn skip_comparison(&mut self, takes: bool) {
        self.begin(takes, true);
        if takes {
            self.state = State::Live;
        }
    }

    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.state, State::Off | State::Live)
    }

    pub(super) const fn is_ingesting(&self) -> bool {
        self.ingesting.is_some()
    }

    /// Whether all that came is taken in, and the cursor about it is written.
    pub(super) fn is_idle(&self, now: Time) -> bool {
        self.ingesting.is_none() && self.inbox.is_empty() && !self.has_note(now)
    }

    /// Whether a cursor is to be written now.
    fn has_note(&self, now: Time) -> bool {
        let may_note = self.notes < FREE_NOTES || is_due(self.note_at, now);
        self.mark.is_some() && matches!(self.state, State::Live) && may_note
    }

    /// Whether all that the peer has in this round is here.
    pub(super) const fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// Whether the round had more wishes than it may have: another one follows.
    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) const fn buffered(&self) -> u64 {
        self.inbox_bytes.saturating_add(self.ingesting_bytes)
    }

    pub(super) const fn phase(&self) -> Phase {
        match &self.state {
            State::Off => Phase::Off,
            State::Comparing | State::Weighing { is_asked: true, .. } => Phase::Comparing,
            State::Weighing { .. } => Phase::Queued,
            State::Bulk => Phase::Bulk,
            State::Live => Phase::Live,
        }
    }

    pub(super) fn next_wake(&self) -> Option<Time> {
        let note = self.note_at.filter(|_| self.mark.is_some());
        note.into_iter().chain(self.due).min()
    }
}

impl Session {
    pub(super) fn on_news(&mut self, _: &mut Effects<'_>, news: News) -> Result<(), Violation> {
        if !matches!(self.pull.state, State::Comparing) || !self.pull.expects_news {
            return Err("news came at the wrong time");
        }
        for tip in &news.tips {
            if self.pull.last_tip.is_some_and(|last| last >= tip.op) {
                return Err("the tips of news are not in ascending order");
            }
            self.pull.last_tip = Some(tip.op);
        }
        self.pull.tips = self.pull.tips.saturating_add(to_u64(news.tips.len()));
        if self.pull.tips > MAX_ROUND_TIPS {
            return Err("a round has more tips than are allowed");
        }
        if news.tips.is_empty() {
            return Err("a frame of news has no tips");
        }
        self.pull.expects_news = news.more;
        let news = Box::new(news);
        self.pull.state = State::Weighing {
            news,
            is_asked: false,
        };
        Ok(())
    }

    /// Whether the session waits for the right to pull.
    pub(crate) fn wants_pull(&self) -> bool {
        // What came before the news is taken in first: it would be asked for again.
        matches!(
            self.pull.state,
            State::Weighing {
                is_asked: false,
                ..
            }
        ) && !self.pull.is_ingesting()
            && self.pull.inbox.is_empty()
    }

    /// Whether the session uses the right to pull.
    pub(crate) fn is_pulling(&self) -> bool {
        let is_weighing = matches!(self.pull.state, State::Weighing { is_asked: true, .. });
        let is_between = matches!(self.pull.state, State::Comparing) && self.pull.has_wishes;
        is_weighing || is_between || matches!(self.pull.state, State::Bulk)
    }

    /// Whether the peer has sent enough lately to keep others waiting.
    pub(crate) fn keeps_lease(&mut self, now: Time, lease_ms: u64) -> bool {
        let received = self.pull.received;
        match self.pull.lease {
            Some((since, _)) if now.since(since) < lease_ms => true,
            Some((_, before)) if received.saturating_sub(before) < 64 << 10 => false,
            _ => {
                self.pull.lease = Some((now, received));
                true
            }
        }
    }

    /// Begins to weigh the tips.
    pub(crate) fn start_pull(&mut self, fx: &mut Effects<'_>) {
        self.pull.lease = Some((fx.now, self.pull.received));
        let State::Weighing { news, is_asked } = &mut self.pull.state else {
            return;
        };
        *is_asked = true;
        let tips = news.tips.iter().map(|tip| tip.op).collect();
        self.ask(fx, Pending::Weigh, Request::Weigh { tips });
    }

    pub(super) fn on_weighed(
        &mut self,
        fx: &mut Effects<'_>,
        standing: &[Standing],
        known: Vec<OpRef>,
    ) {
        let State::Weighing { news, .. } = std::mem::take(&mut self.pull.state) else {
            return;
        };
        let mut of_author = BTreeMap::<PubKey, Vec<OpRef>>::new();
        for op in known {
            of_author.entry(op.author).or_default().push(op);
        }
        let mut refused = Vec::new();
        let mut wishes = Vec::new();
        let mut named = 0;
        for (place, (tip, standing)) in (0_u16..).zip(news.tips.iter().zip(standing)) {
            match standing {
                Standing::Here => continue,
                Standing::Refused => {
                    refused.push(tip.op.author);
                    self.pull.is_clean = false;
                    continue;
                }
                Standing::Lacking => {}
            }
            let ours = of_author.get(&tip.op.author).map_or(&[][..], Vec::as_slice);
            let before_after = news.since.is_some() && has_exactly_before(ours, tip.after);
            let known: Vec<Known> = match before_after {
                true => Vec::new(),
                false => ours.iter().map(known_of).collect(),
            };
            let cost = 1 + known.len();
            let is_too_much = named + cost > MAX_WANT_KNOWN;
            if is_too_much || self.pull.wishes + named + cost > MAX_ROUND_WISHES {
                // The next round asks for it.
                self.pull.is_clean = false;
                self.pull.is_partial = true;
                continue;
            }
            named += cost;
            wishes.push(Wish {
                tip: place,
                before_after,
                known,
            });
        }
        self.pull.wishes += named;
        self.pull.has_wishes |= !wishes.is_empty();
        self.pull.state = match news.more || !self.pull.has_wishes {
            true => State::Comparing,
            false => State::Bulk,
        };
        self.refuse(fx, refused);
        let channel = self.channel;
        fx.send(Frame::Want(Want { channel, wishes }));
    }

    pub(super) fn on_begin(&mut self, begin: &Begin) -> Result<(), Violation> {
        match self.pull.state {
            State::Comparing | State::Bulk => {
                self.pull.state = State::Bulk;
                self.counts.to_receive = begin.ops;
                if begin.ops > 0 {
                    // What was not taken in before comes again, and is counted again.
                    (self.counts.waiting, self.counts.later) = (0, 0);
                }
                Ok(())
            }
            _ => Err("ops were announced at the wrong time"),
        }
    }

    pub(super) fn on_ops(&mut self, fx: &mut Effects<'_>, ops: Ops) -> Result<(), Violation> {
        let bytes = ops.credit();
        if matches!(self.pull.state, State::Off) {
            return Err("ops came to a side that takes none");
        }
        self.pull.received = self.pull.received.saturating_add(bytes);
        let in_flight = self.pull.received.saturating_sub(self.pull.taken);
        let slack = to_u64(fx.config.slice_bytes) * 2;
        // One op of any length may come beyond the window.
        let is_alone = ops.ops.len() <= 1;
        let before = in_flight.saturating_sub(bytes);
        let limit = fx.config.window_bytes.saturating_add(slack);
        if in_flight > limit && !(is_alone && before <= limit) {
            return Err("more ops came than there was credit for");
        }
        self.counts.ops_received += to_u64(ops.ops.len());
        self.counts.bytes_received += bytes;
        if let Some(mark) = ops.mark {
            self.note_mark(mark);
        }
        if ops.ops.is_empty() {
            self.pull.taken += bytes;
            self.send_ack(fx, None);
            return Ok(());
        }
        self.pull.credit += bytes;
        for op in ops.ops {
            self.pull.inbox_bytes += to_u64(op.0.len());
            self.pull.inbox.push(op.0);
        }
        if fx.config.has(Fault::AckBeforeDurable) {
            self.pull.taken += std::mem::take(&mut self.pull.credit);
            self.send_ack(fx, None);
        }
        Ok(())
    }

    fn note_mark(&mut self, mark: Mark) {
        let upto = mark.upto;
        self.pull.mark = mark.token.map(|token| Cursor { upto, token });
    }

    pub(super) fn on_done(&mut self, fx: &mut Effects<'_>, mark: Mark) -> Result<(), Violation> {
        match self.pull.state {
            State::Comparing | State::Bulk => {}
            _ => return Err("ops ended at the wrong time"),
        }
        self.pull.state = State::Live;
        self.pull.is_caught = true;
        self.note_mark(mark);
        self.beats.settle_now();
        self.report_caught(fx);
        Ok(())
    }

    /// Reports the end of a round once all of its ops are taken in.
    fn report_caught(&mut self, fx: &mut Effects<'_>) {
        if self.pull.is_caught && self.pull.is_idle(fx.now) && !self.pull.is_partial {
            self.pull.is_caught = false;
            fx.event(Event::Caught {
                session: self.id,
                is_complete: self.pull.is_clean,
            });
        }
    }

    /// Whether there is something to ingest.
    pub(crate) fn wants_ingest(&self, now: Time) -> bool {
        let pull = &self.pull;
        if pull.ingesting.is_some() {
            return false;
        }
        !pull.inbox.is_empty() || pull.has_note(now) || is_due(pull.due, now)
    }

    /// Begins an ingest.
    pub(crate) fn start_ingest(&mut self, fx: &mut Effects<'_>) {
        let pull = &mut self.pull;
        let all = pull.inbox.len() <= fx.config.batch_ops;
        let ops: Vec<_> = match all {
            true => std::mem::take(&mut pull.inbox),
            false => pull.inbox.drain(..fx.config.batch_ops).collect(),
        };
        let bytes = ops.iter().map(|op| to_u64(op.len())).sum();
        pull.inbox_bytes = pull.inbox_bytes.saturating_sub(bytes);
        let is_right = pull.is_clean || fx.config.has(Fault::NoteWithGap);
        let note = match all && matches!(pull.state, State::Live) {
            true => pull.mark.take().filter(|_| is_right),
            false => None,
        };
        if note.is_some() {
            pull.note_at = Some(fx.now.after(NOTE_MS));
            pull.notes = pull.notes.saturating_add(1);
        }
        pull.due = pull.due.filter(|due| *due > fx.now);
        // Credit is given back when the last op of the frames that it stands for is durable.
        let credit = match all {
            true => std::mem::take(&mut pull.credit),
            false => bytes.min(pull.credit),
        };
        if !all {
            pull.credit -= credit;
        }
        pull.ingesting = Some((credit, note));
        pull.ingesting_bytes = bytes;
        self.counts.ingests += 1;
        self.ask(fx, Pending::Ingest, Request::Ingest { ops, note });
    }

    pub(super) fn on_ingested(&mut self, fx: &mut Effects<'_>, report: &Ingested) {
        let Some((credit, note)) = self.pull.ingesting.take() else {
            return;
        };
        self.pull.ingesting_bytes = 0;
        let (applied, held) = (to_u64(report.applied.len()), to_u64(report.held.len()));
        self.counts.applied += applied;
        self.counts.held += held;
        self.counts.known += report.known;
        self.counts.waiting += report.waiting;
        self.counts.later += report.later;
        self.counts.refused += report.refused;
        self.counts.invalid += report.invalid;
        if !fx.config.has(Fault::Echo) {
            report
                .applied
                .iter()
                .for_each(|index| self.applied.skip(*index));
            report
                .held
                .iter()
                .for_each(|number| self.held.skip(*number));
        }
        self.safe = self.safe.max(report.place);
        if report.waiting + report.later + report.refused + report.invalid > 0 {
            self.pull.is_clean = false;
        }
        self.waiting = self.waiting.saturating_add(report.waiting);
        self.waiting = self.waiting.saturating_sub(report.released);
        self.pull.due = report.due_ms.map(|ms| fx.now.after(ms));
        if applied + held > 0 {
            self.beats.progress();
        }
        let is_leak = fx.config.has(Fault::CreditLeak) && report.known > 0;
        if !is_leak {
            self.pull.taken += credit;
        }
        let token = note.filter(|_| report.noted).map(|cursor| cursor.token);
        if token.is_some() {
            self.mine = note;
        }
        if credit > 0 || token.is_some() {
            self.send_ack(fx, token);
        }
        self.beats.settle_after(fx);
        self.refuse(fx, report.refused_authors.clone());
        if report.invalid > 0 {
            self.end(fx, EndReason::BadOp);
        } else if self.waiting > fx.config.waiting_ops {
            self.end(fx, EndReason::Busy);
        } else {
            self.report_caught(fx);
        }
    }

    fn send_ack(&self, fx: &mut Effects<'_>, token: Option<crate::wire::Token>) {
        fx.send(Frame::Ack(Ack {
            channel: self.channel,
            bytes: self.pull.taken,
            token,
        }));
    }
}

fn is_due(at: Option<Time>, now: Time) -> bool {
    at.is_some_and(|at| at <= now)
}

fn known_of(op: &OpRef) -> Known {
    Known {
        seq: op.seq,
        id: op.id,
    }
}

/// Whether what is here of an author is only what the peer's cursor says: everything before
/// `after`, and none of the ops that the peer would send, which have that number or a later one.
fn has_exactly_before(ours: &[OpRef], after: u64) -> bool {
    ours.iter().all(|op| op.seq < after)
}
