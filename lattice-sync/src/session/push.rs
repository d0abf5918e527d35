//! Sending: from what the peer lacks to what is new.

use std::collections::BTreeMap;
use std::ops::Range;

use lattice_backend::op::OpRef;
use lattice_meta::PubKey;

use crate::config::{Config, Fault};
use crate::convert::{to_u64, to_usize};
use crate::host::{Output, Request};
use crate::session::compare::Method;
use crate::session::{Effects, Pending, Session, Violation};
use crate::status::Phase;
use crate::wire::{
    Begin, Cursor, Done, EndReason, Frame, MAX_FRAME_OPS, Mark, News, OpBytes, Ops, Tip, Token,
    Want,
};
use lattice_backend::op::{Has, Lack, Lacking, OpOrder, OpsEnd};

/// The most wishes, and ops named by them, in a round.
pub(super) const MAX_ROUND_WISHES: usize = 128 << 10;
/// Tokens that the peer has not confirmed; older ones are forgotten.
const MAX_TOKENS: usize = 4;

/// The state of the direction to the peer.
#[derive(Debug, Default)]
pub(super) enum Push {
    /// Nothing is sent.
    #[default]
    Off,
    /// The host looks for the authors of ops after the peer's cursor.
    Tips(u64),
    /// A comparison by ranges is going on.
    Ranges,
    /// Tips are sent, and wishes come back.
    News(Box<Offer>),
    /// The host prepares a plan.
    Planning(OpsEnd),
    /// The plan is sent.
    Bulk(OpsEnd),
    /// New ops are sent.
    Live,
}

/// Tips that are offered to the peer.
#[derive(Debug)]
pub(super) struct Offer {
    tips: Vec<Tip>,
    /// The frame that the peer has not answered.
    page: Range<usize>,
    since: Option<u64>,
    place: OpsEnd,
    wishes: usize,
    lacking: BTreeMap<PubKey, Has>,
}

impl Push {
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self, Self::Off | Self::Live)
    }

    pub(super) const fn phase(&self) -> Phase {
        match self {
            Self::Off => Phase::Off,
            Self::Tips(_) | Self::Ranges | Self::News(_) | Self::Planning(_) => Phase::Comparing,
            Self::Bulk(_) => Phase::Bulk,
            Self::Live => Phase::Live,
        }
    }
}

impl Session {
    /// Begins to find what the peer lacks.
    pub(super) fn start_push(&mut self, fx: &mut Effects<'_>, method: Method) {
        let place = self
            .view
            .as_ref()
            .map_or(OpsEnd::default(), |view| view.end);
        match method {
            Method::Off => self.push = Push::Off,
            Method::Since(from) => {
                self.push = Push::Tips(from);
                self.ask(fx, Pending::Tips, Request::TipsSince { from });
            }
            Method::Everything => self.plan(fx, Lacking::All, place),
            Method::Tips => {
                let tips = self.view.iter().flat_map(|view| view.tips.iter());
                let tips = tips.map(|op| Tip { op: *op, after: 0 }).collect();
                self.start_news(fx, tips, None, place);
            }
            Method::Ranges => self.push = Push::Ranges,
        }
    }

    pub(super) fn on_tips(&mut self, fx: &mut Effects<'_>, tips: Vec<Tip>, place: OpsEnd) {
        if let Push::Tips(since) = self.push {
            self.start_news(fx, tips, Some(since), place);
        }
    }

    /// Offers tips, without those of authors whom the peer refuses.
    pub(super) fn start_news(
        &mut self,
        fx: &mut Effects<'_>,
        mut tips: Vec<Tip>,
        since: Option<u64>,
        place: OpsEnd,
    ) {
        let refused = self.not_offered(fx);
        tips.retain(|tip| !refused.contains(&tip.op.author));
        if tips.is_empty() {
            return self.finish_push(fx, place);
        }
        let mut offer = Offer {
            tips,
            page: 0..0,
            since,
            place,
            wishes: 0,
            lacking: BTreeMap::new(),
        };
        self.send_page(fx, &mut offer);
        self.push = Push::News(Box::new(offer));
    }

    fn send_page(&self, fx: &mut Effects<'_>, offer: &mut Offer) {
        let start = offer.page.end;
        let end = offer.tips.len().min(start + fx.config.news_tips);
        offer.page = start..end;
        fx.send(Frame::News(News {
            channel: self.channel,
            since: offer.since,
            tips: offer.tips[start..end].to_vec(),
            more: end < offer.tips.len(),
        }));
    }

    pub(super) fn on_want(&mut self, fx: &mut Effects<'_>, want: &Want) -> Result<(), Violation> {
        let Push::News(mut offer) = std::mem::take(&mut self.push) else {
            return Err("wishes came without news");
        };
        if !want.wishes.is_sorted_by(|a, b| a.tip < b.tip) {
            return Err("wishes are not in ascending order");
        }
        for wish in &want.wishes {
            let page = &offer.tips[offer.page.clone()];
            let Some(tip) = page.get(usize::from(wish.tip)) else {
                return Err("a wish names no tip of the news");
            };
            offer.wishes += 1 + wish.known.len();
            if offer.wishes > MAX_ROUND_WISHES {
                return Err("a round has more wishes than are allowed");
            }
            let author = tip.op.author;
            let known = wish.known.iter().map(|known| OpRef {
                author,
                seq: known.seq,
                id: known.id,
            });
            let has = match (wish.before_after, offer.since) {
                (true, Some(since)) => Has::Before(since),
                (true, None) => return Err("a wish refers to a cursor that was not used"),
                (false, _) => Has::Ops(known.collect()),
            };
            let merged = match (offer.lacking.remove(&author), has) {
                (Some(Has::Ops(mut before)), Has::Ops(ops)) => {
                    before.extend(ops);
                    Has::Ops(before)
                }
                (_, has) => has,
            };
            offer.lacking.insert(author, merged);
        }
        if offer.page.end < offer.tips.len() {
            self.send_page(fx, &mut offer);
            self.push = Push::News(offer);
            return Ok(());
        }
        let Offer { place, lacking, .. } = *offer;
        if lacking.is_empty() {
            self.finish_push(fx, place);
            return Ok(());
        }
        let lacking = lacking.into_iter();
        let lacking = lacking.map(|(author, has)| Lack { author, has });
        self.plan(fx, Lacking::Of(lacking.collect()), place);
        Ok(())
    }

    fn plan(&mut self, fx: &mut Effects<'_>, lacking: Lacking, until: OpsEnd) {
        self.push = Push::Planning(until);
        self.ask(fx, Pending::Plan, Request::Plan { lacking, until });
    }

    pub(super) fn on_planned(&mut self, fx: &mut Effects<'_>, ops: u64, bytes: u64) {
        if let Push::Planning(place) = self.push {
            self.counts.to_send = ops;
            let channel = self.channel;
            fx.send(Frame::Begin(Begin {
                channel,
                ops,
                bytes,
            }));
            self.push = Push::Bulk(place);
        }
    }

    /// Everything that the round found has been sent.
    fn finish_push(&mut self, fx: &mut Effects<'_>, place: OpsEnd) {
        self.applied.reach(place.applied);
        self.held.reach(place.held);
        self.safe = self.safe.max(place);
        self.push = Push::Live;
        let mark = self.mark(fx, place.applied);
        fx.send(Frame::Done(Done {
            channel: self.channel,
            mark,
        }));
        self.beats.settle_now();
    }

    /// A place as a cursor for the peer, unless ops before it were left out.
    fn mark(&mut self, fx: &mut Effects<'_>, upto: u64) -> Mark {
        let token = self.refused.is_empty().then(|| Self::token(fx));
        if let Some(token) = token {
            if self.tokens.len() >= MAX_TOKENS {
                self.tokens.pop_front();
            }
            self.tokens.push_back(Cursor { upto, token });
        }
        self.marked = upto;
        self.settling.offer(upto, self.sent);
        Mark { upto, token }
    }

    /// Gives the peer of a live session a newer cursor, if there is something new.
    pub(super) fn mark_live(&mut self, fx: &mut Effects<'_>) {
        let upto = self.applied.next();
        if matches!(self.push, Push::Live) && upto > self.marked && self.refused.is_empty() {
            let mark = Some(self.mark(fx, upto));
            self.send_ops_frame(fx, Vec::new(), mark);
        }
    }

    /// The next thing to read, if the session may read. Called when the connection has room.
    pub(crate) fn read(&mut self, fx: &mut Effects<'_>) -> bool {
        if !self.wants_read(fx.config) {
            return false;
        }
        let in_flight = self.sent.saturating_sub(self.acked);
        let room = to_usize(fx.config.window_bytes.saturating_sub(in_flight));
        let max_bytes = fx.config.slice_bytes.min(room.max(1));
        if let Push::Bulk(_) = self.push {
            self.is_reading = true;
            self.ask(fx, Pending::ReadPlan, Request::ReadPlan { max_bytes });
            return true;
        }
        let applied = self.applied.run(self.safe.applied);
        let (held, (from, until)) = match (applied, self.held.run(self.safe.held)) {
            (Some(run), _) => (false, run),
            (None, Some(run)) => (true, run),
            (None, None) => return false,
        };
        let order = match held {
            true => OpOrder::Held,
            false => OpOrder::Applied,
        };
        let request = Request::Read {
            order,
            from,
            until,
            max_bytes,
        };
        self.is_reading = true;
        self.ask(fx, Pending::Read { held, from, until }, request);
        true
    }

    /// Whether there is something to read, and credit for it.
    pub(crate) fn wants_read(&self, config: &Config) -> bool {
        let has_credit = self.sent.saturating_sub(self.acked) < config.window_bytes;
        if self.is_reading || !has_credit {
            return false;
        }
        match self.push {
            Push::Bulk(_) => true,
            Push::Live => !self.is_turning && self.has_new(config),
            _ => false,
        }
    }

    /// Whether a read is going on.
    pub(crate) const fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Whether the session is live: it reads before those in bulk.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.push, Push::Live)
    }

    fn has_new(&self, config: &Config) -> bool {
        let has_held = !config.has(Fault::HeldKept) && self.held.run(self.safe.held).is_some();
        self.applied.run(self.safe.applied).is_some() || has_held
    }

    /// Whether all that may be sent was sent, and the peer has it.
    pub(super) fn is_sent(&self, config: &Config) -> bool {
        let is_off = matches!(self.push, Push::Off);
        is_off || !self.is_reading && !self.has_new(config) && self.sent == self.acked
    }

    /// Whether the peer durably has all that it lacked, as far as it takes it.
    pub(super) fn is_delivered(&self, config: &Config) -> bool {
        matches!(self.push, Push::Live) && self.is_sent(config)
    }

    pub(super) fn on_plan_slice(
        &mut self,
        fx: &mut Effects<'_>,
        ops: Vec<(OpRef, Vec<u8>)>,
        last: bool,
    ) {
        self.is_reading = false;
        let Push::Bulk(place) = self.push else {
            return;
        };
        self.send_ops(fx, ops);
        if last {
            fx.outputs.push(Output::DropPlan { session: self.id });
            self.finish_push(fx, place);
        }
    }

    pub(super) fn on_live_slice(
        &mut self,
        fx: &mut Effects<'_>,
        ops: Vec<(OpRef, Vec<u8>)>,
        held: bool,
        asked: Range<u64>,
        next: u64,
    ) {
        self.is_reading = false;
        let track = match held {
            true => &mut self.held,
            false => &mut self.applied,
        };
        if next <= asked.start || next > asked.end {
            // Without progress the host would be asked for ever; beyond the end, ops would be lost.
            return self.end(fx, EndReason::Failed);
        }
        track.reach(next);
        self.send_ops(fx, ops);
        self.beats.settle_after(fx);
    }

    fn send_ops(&mut self, fx: &mut Effects<'_>, ops: Vec<(OpRef, Vec<u8>)>) {
        let refused = self.not_offered(fx);
        let mut frame = Vec::new();
        let mut bytes = 0;
        for (op, content) in ops {
            if refused.contains(&op.author) {
                continue;
            }
            let is_full = frame.len() >= MAX_FRAME_OPS;
            if is_full || !frame.is_empty() && bytes + content.len() > fx.config.slice_bytes {
                self.send_ops_frame(fx, std::mem::take(&mut frame), None);
                bytes = 0;
            }
            bytes += content.len();
            frame.push(OpBytes(content));
        }
        if !frame.is_empty() {
            self.send_ops_frame(fx, frame, None);
        }
    }

    fn send_ops_frame(&mut self, fx: &mut Effects<'_>, ops: Vec<OpBytes>, mark: Option<Mark>) {
        let count = to_u64(ops.len());
        let frame = Ops {
            channel: self.channel,
            ops,
            mark,
        };
        let bytes = frame.credit();
        self.sent = self.sent.saturating_add(bytes);
        if count > 0 {
            self.sent_ops = self.sent;
        } else {
            self.settling.reach(self.sent);
        }
        self.counts.ops_sent += count;
        self.counts.bytes_sent += bytes;
        fx.send(Frame::Ops(frame));
    }

    pub(super) fn on_ack(
        &mut self,
        fx: &mut Effects<'_>,
        bytes: u64,
        token: Option<Token>,
    ) -> Result<(), Violation> {
        if bytes > self.sent || bytes < self.acked {
            return Err("an acknowledgement counts bytes that were not sent");
        }
        self.acked = bytes;
        if let Some(token) = token {
            let Some(found) = self.tokens.iter().position(|cursor| cursor.token == token) else {
                return Ok(());
            };
            let served = self.tokens[found];
            self.tokens.drain(..=found);
            self.served = Some(served);
            self.settling.confirm(served.upto);
            fx.outputs.push(Output::Note {
                store: self.store,
                peer: self.peer,
                served,
            });
        }
        Ok(())
    }

    /// A store has changed.
    pub(crate) fn on_changed(&mut self, fx: &Effects<'_>, place: OpsEnd) {
        let is_lost = fx.config.has(Fault::DroppedWake) && self.is_reading;
        // While ops of the peer are being applied, their places are not known.
        if !self.pull.is_ingesting() && !is_lost {
            self.safe = self.safe.max(place);
        }
    }
}
