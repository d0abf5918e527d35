//! Rounds: how both sides find what the other lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use lattice_backend::op::OpRef;

use crate::config::Fault;
use crate::convert::to_u32;
use crate::digest::summary;
use crate::event::Event;
use crate::host::Request;
use crate::session::push::Push;
use crate::session::{Effects, Pending, Session, Violation};
use crate::tree::{Step, Tree};
use crate::wire::{Cursor, Frame, Node, Ranges, Round, Summary, Tip};
use lattice_backend::op::{OpsEnd, ReplicaView};

/// BLAKE3 key derivation context of the key of a comparison by ranges.
const CONTEXT: &str = "lattice 2026 sync ranges v1";

/// The most frames of a first flight.
const MAX_EARLY: usize = 8;

/// A comparison by ranges.
#[derive(Debug, Default)]
pub(super) enum Compare {
    /// None is going on.
    #[default]
    None,
    /// The peer may begin one.
    Expected,
    /// It is going on.
    Active(Box<Tree>),
}

/// How this side finds what the peer lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The peer takes nothing, or this side gives nothing.
    Off,
    /// The peer has everything before this apply index.
    Since(u64),
    /// The peer has nothing.
    Everything,
    /// All tips are sent.
    Tips,
    /// By ranges.
    Ranges,
}

impl Method {
    pub(super) const fn is_ranges(self) -> bool {
        matches!(self, Self::Ranges)
    }
}

impl Session {
    /// Chooses a method. A cursor of the peer counts if this side has the same row; only the first
    /// round of a session has one.
    pub(super) fn method(
        &self,
        fx: &Effects<'_>,
        theirs: &Summary,
        cursor: Option<Cursor>,
    ) -> Method {
        let (Some(view), true, true) = (&self.view, self.mode.gives, self.peer_mode.takes) else {
            return Method::Off;
        };
        let believes = fx.config.has(Fault::CursorWithoutToken);
        let is_right = |cursor: &Cursor| {
            let is_here = cursor.upto <= view.end.applied;
            is_here && (believes || self.served == Some(*cursor))
        };
        if let Some(cursor) = cursor.filter(is_right) {
            return Method::Since(cursor.upto);
        }
        if theirs.ops == 0 {
            return Method::Everything;
        }
        let few = to_u32(fx.config.few_tips);
        match to_u32(view.tips.len()) <= few || theirs.tips <= few {
            true => Method::Tips,
            false => Method::Ranges,
        }
    }

    /// The round that begins with the session.
    pub(super) fn first_round(
        &mut self,
        fx: &mut Effects<'_>,
        ours: &Summary,
        theirs: &Summary,
        method: Method,
        ranges: bool,
    ) {
        self.beats.put_off(fx);
        self.theirs = Some(*theirs);
        let place = self
            .view
            .as_ref()
            .map_or(OpsEnd::default(), |view| view.end);
        if theirs.digest == ours.digest {
            self.compare = Compare::None;
            self.applied.reach(place.applied);
            self.held.reach(place.held);
            self.push = match method {
                Method::Off => Push::Off,
                _ => Push::Live,
            };
            self.pull
                .skip_comparison(self.mode.takes && self.peer_mode.gives);
            self.settling.begin(true);
            self.is_equal(fx, ours, theirs);
            return;
        }
        if let Method::Since(upto) = method {
            fx.event(Event::CursorUsed {
                session: self.id,
                upto,
            });
        } else if method != Method::Off {
            self.beats.note_full(fx, ours, theirs);
        }
        self.begin_pull();
        self.begin_push(fx, method, ranges);
    }

    /// The direction of the peer begins.
    fn begin_pull(&mut self) {
        self.rounds += 1;
        self.counts.rounds = self.rounds;
        let takes = self.mode.takes && self.peer_mode.gives;
        self.pull.begin(takes, self.refusing.is_empty());
        self.settling.begin(false);
    }

    /// This side's direction begins. `ranges`: the accepting side begins with ranges.
    fn begin_push(&mut self, fx: &mut Effects<'_>, method: Method, ranges: bool) {
        self.compare = Compare::None;
        let begins = match self.leads() {
            true => ranges,
            false => method.is_ranges() && !ranges,
        };
        if begins {
            self.begin_ranges(fx);
        } else if ranges || self.leads() && self.rounds == 1 {
            self.compare = Compare::Expected;
        }
        self.start_push(fx, method);
    }

    fn tree(&self, fx: &Effects<'_>) -> Tree {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.nonce.to_le_bytes());
        hasher.update(&self.channel.to_le_bytes());
        hasher.update(&self.rounds.to_le_bytes());
        hasher.update(self.store.as_bytes());
        let key = hasher.finalize();
        let none: Arc<[OpRef]> = Arc::from([]);
        let tips = self
            .view
            .as_ref()
            .map_or(none, |view| Arc::clone(&view.tips));
        Tree::new(fx.config, tips, &self.left_out(), key.as_bytes())
    }

    fn begin_ranges(&mut self, fx: &mut Effects<'_>) {
        let tree = self.tree(fx);
        self.send_flight(fx, tree.root(), false);
        self.compare = Compare::Active(Box::new(tree));
    }

    fn send_flight(&self, fx: &mut Effects<'_>, frames: Vec<Vec<Node>>, all: bool) {
        let count = frames.len();
        for (place, nodes) in frames.into_iter().enumerate() {
            fx.send(Frame::Ranges(Ranges {
                channel: self.channel,
                nodes,
                last: place + 1 == count,
                all,
            }));
        }
    }

    pub(super) fn on_ranges(
        &mut self,
        fx: &mut Effects<'_>,
        ranges: &Ranges,
    ) -> Result<(), Violation> {
        if self.is_turning && !self.leads() {
            // The view is being read. A first flight has few frames.
            self.early.push(ranges.clone());
            return match self.early.len() > MAX_EARLY {
                true => Err("more ranges came than a comparison begins with"),
                false => Ok(()),
            };
        }
        let mut tree = match std::mem::take(&mut self.compare) {
            Compare::None => return Err("ranges came outside of a comparison"),
            Compare::Expected => Box::new(self.tree(fx)),
            Compare::Active(tree) => tree,
        };
        match tree.take(&ranges.nodes, ranges.last, ranges.all)? {
            Step::Wait => self.compare = Compare::Active(tree),
            Step::Over => self.end_ranges(fx, &tree),
            Step::Answer { frames, all, over } => {
                self.send_flight(fx, frames, all);
                match over || all {
                    true => self.end_ranges(fx, &tree),
                    false => self.compare = Compare::Active(tree),
                }
            }
        }
        Ok(())
    }

    fn end_ranges(&mut self, fx: &mut Effects<'_>, tree: &Tree) {
        if let Push::Ranges = self.push {
            let tips = tree.news().into_iter().map(|op| Tip { op, after: 0 });
            let place = self
                .view
                .as_ref()
                .map_or(OpsEnd::default(), |view| view.end);
            self.start_news(fx, tips.collect(), None, place);
        }
    }

    /// Another comparison: the accepting side begins it when it, or the peer, has found that the
    /// sets differ.
    pub(super) fn want_round(&mut self, fx: &mut Effects<'_>, ours: &Summary, theirs: &Summary) {
        let may = self.leads() && self.is_settled() && !self.is_turning;
        if may && self.beats.may_round(fx, ours, theirs) {
            self.beats.note_full(fx, ours, theirs);
            self.is_turning = true;
        }
    }

    /// The accepting side begins a round.
    pub(super) fn on_round(&mut self, round: &Round) -> Result<(), Violation> {
        if self.leads() {
            return Err("only the side that accepted a session begins a round");
        }
        if !self.is_settled() || self.is_turning {
            return Err("a round began before the last one was over");
        }
        self.theirs = Some(round.summary);
        self.is_turning = true;
        self.answers_ranges = round.ranges;
        self.begin_pull();
        Ok(())
    }

    /// Reads the view for a round, once no ops are being read: the peer would get them twice.
    pub(super) fn turn(&mut self, fx: &mut Effects<'_>) {
        let is_asking = self.is_asking(|pending| *pending == Pending::Round);
        if self.is_turning && !self.is_reading && !is_asking {
            self.ask(fx, Pending::Round, Request::View);
        }
    }

    pub(super) fn on_round_view(&mut self, fx: &mut Effects<'_>, view: ReplicaView) {
        self.is_turning = false;
        let ours = summary(&view, &self.left_out());
        self.safe = self.safe.max(view.end);
        self.view = Some(view);
        let theirs = self
            .theirs
            .expect("the first round of the session noted it");
        let method = self.method(fx, &theirs, None);
        if self.leads() {
            let ranges = method.is_ranges();
            fx.send(Frame::Round(Round {
                channel: self.channel,
                ranges,
                summary: ours,
            }));
            self.begin_pull();
            self.begin_push(fx, method, ranges);
            return;
        }
        let ranges = std::mem::take(&mut self.answers_ranges);
        let method = match method {
            // The accepting side has decided otherwise.
            Method::Ranges if !ranges => Method::Tips,
            method => method,
        };
        self.begin_push(fx, method, ranges);
        for ranges in std::mem::take(&mut self.early) {
            if let Err(rule) = self.on_ranges(fx, &ranges) {
                self.broken = Some(rule);
            }
        }
    }

    /// Whether both directions are live, or off.
    pub(super) fn is_settled(&self) -> bool {
        self.push.is_settled() && self.pull.is_settled()
    }

    /// Authors whose ops are not offered.
    pub(super) fn not_offered(&self, fx: &Effects<'_>) -> BTreeSet<lattice_meta::PubKey> {
        match fx.config.has(Fault::RefusalIgnored) {
            true => BTreeSet::new(),
            false => self.refused.clone(),
        }
    }
}
