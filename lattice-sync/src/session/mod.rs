//! A session: what two peers do about one store on one connection.
//!
//! The two directions are independent: [`Push`] sends, [`Pull`] takes. Both begin with a comparison
//! and end live. A session never changes another; the core gives it the right to read, to pull and
//! to ingest, and hands its effects on.

mod beat;
mod blob;
mod compare;
mod open;
mod probe;
mod pull;
mod push;
mod refused;
mod settle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lattice_meta::{GenesisHash, PubKey};

use crate::config::Config;
use crate::event::{Event, Over};
use crate::host::{Answer, ConnId, Mode, Output, Request, SessionId, Side, Ticket, Time};
use crate::random::Random;
use crate::session::beat::Beats;
use crate::session::blob::Blobs;
use crate::session::compare::Compare;
use crate::session::probe::Probing;
use crate::session::pull::Pull;
use crate::session::push::Push;
use crate::session::settle::Settling;
use crate::spans::Track;
use crate::status::{Counts, Phase, SessionStatus};
use crate::wire::{Cursor, EndReason, Frame, Open, Ranges, Summary, Token, WireError};
use lattice_backend::op::{OpsEnd, ReplicaView};

/// The rule that a peer broke; the connection ends.
pub(crate) type Violation = &'static str;

/// What a session wants done.
pub(crate) struct Effects<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    pub(crate) random: &'a mut Random,
    pub(crate) frames: Vec<Frame>,
    pub(crate) outputs: Vec<Output>,
    /// The session ends, after the frames.
    pub(crate) over: Option<Over>,
}

impl Effects<'_> {
    pub(crate) fn send(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }
}

/// What a question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Load,
    Tips,
    Weigh,
    Plan,
    ReadPlan,
    /// A run in the order of held ops, or of applied ones.
    Read {
        held: bool,
        from: u64,
        until: u64,
    },
    Ingest,
    /// For a beat.
    Say,
    /// To compare with a beat of the peer, made after it had taken in so many bytes.
    Judge(Summary, u64),
    /// For another round.
    Round,
    Blob,
    Trace,
}

/// How far a session has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Waits until the peer has said who it is.
    Waiting,
    /// The host loads the store.
    Loading(Option<Box<Open>>),
    /// `Open` is sent.
    Proposed,
    Open,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) conn: ConnId,
    pub(crate) channel: u32,
    pub(crate) store: GenesisHash,
    pub(crate) peer: PubKey,
    pub(crate) side: Side,
    /// A number that both sides know and no author.
    pub(crate) nonce: u64,
    mode: Mode,
    peer_mode: Mode,
    stage: Stage,
    asked: u64,
    pending: BTreeMap<u64, Pending>,
    view: Option<ReplicaView>,
    mine: Option<Cursor>,
    served: Option<Cursor>,
    theirs: Option<Summary>,
    /// Authors whose ops this side refuses.
    refusing: BTreeSet<PubKey>,
    /// Authors whose ops the peer refuses.
    refused: BTreeSet<PubKey>,
    rounds: u64,
    /// A round is about to begin: its view is read when no ops are.
    is_turning: bool,
    answers_ranges: bool,
    /// Ranges that came before the view.
    early: Vec<Ranges>,
    /// A rule that the peer broke with a frame that waited.
    pub(crate) broken: Option<Violation>,
    push: Push,
    /// Ops that were sent or came from the peer.
    applied: Track,
    held: Track,
    /// Ops before this place may be sent: where those of the peer are among them is known.
    safe: OpsEnd,
    /// Bytes of frames with ops that were sent, and that the peer has taken in.
    sent: u64,
    acked: u64,
    /// The value of `sent` after the last frame with ops; the others only have a cursor.
    sent_ops: u64,
    /// Cursors that were given to the peer and not yet confirmed.
    tokens: VecDeque<Cursor>,
    marked: u64,
    is_reading: bool,
    /// Ops of the peer that wait for others.
    waiting: u64,
    pull: Pull,
    compare: Compare,
    beats: Beats,
    settling: Settling,
    probing: Probing,
    blobs: Blobs,
    pub(crate) counts: Counts,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        conn: ConnId,
        channel: u32,
        store: GenesisHash,
        side: Side,
        mode: Mode,
    ) -> Self {
        Self {
            id,
            conn,
            channel,
            store,
            peer: PubKey::from_bytes([0; 32]),
            side,
            nonce: 0,
            mode,
            peer_mode: Mode::BOTH,
            stage: Stage::Waiting,
            asked: 0,
            pending: BTreeMap::new(),
            view: None,
            mine: None,
            served: None,
            theirs: None,
            refusing: BTreeSet::new(),
            refused: BTreeSet::new(),
            rounds: 0,
            is_turning: false,
            answers_ranges: false,
            early: Vec::new(),
            broken: None,
            push: Push::Off,
            applied: Track::default(),
            held: Track::default(),
            safe: OpsEnd::default(),
            sent: 0,
            acked: 0,
            sent_ops: 0,
            tokens: VecDeque::new(),
            marked: 0,
            is_reading: false,
            waiting: 0,
            pull: Pull::default(),
            compare: Compare::None,
            beats: Beats::default(),
            settling: Settling::default(),
            probing: Probing::default(),
            blobs: Blobs::default(),
            counts: Counts::default(),
        }
    }

    /// Asks the host.
    fn ask(&mut self, fx: &mut Effects<'_>, pending: Pending, request: Request) {
        let number = self.asked;
        self.asked += 1;
        self.pending.insert(number, pending);
        let ticket = Ticket {
            session: self.id,
            number,
        };
        fx.outputs.push(Output::Ask {
            ticket,
            store: self.store,
            request,
        });
    }

    fn is_asking(&self, is_it: impl Fn(&Pending) -> bool) -> bool {
        self.pending.values().any(is_it)
    }

    /// Takes a frame of the peer.
    pub(crate) fn on_frame(&mut self, fx: &mut Effects<'_>, frame: Frame) -> Result<(), Violation> {
        match (&self.stage, frame) {
            (Stage::Proposed, Frame::Accept(accept)) => self.on_accept(fx, &accept),
            (Stage::Proposed, Frame::Refuse(refuse)) => {
                fx.over = Some(Over::Refused(refuse.reason));
                Ok(())
            }
            (_, Frame::End(end)) => {
                fx.over = Some(Over::There(end.reason));
                Ok(())
            }
            (Stage::Open, frame) => self.on_open_frame(fx, frame),
            _ => Err("a frame came before the session was accepted"),
        }
    }

    fn on_open_frame(&mut self, fx: &mut Effects<'_>, frame: Frame) -> Result<(), Violation> {
        match frame {
            Frame::Round(round) => self.on_round(&round),
            Frame::News(news) => self.on_news(fx, news),
            Frame::Ranges(ranges) => self.on_ranges(fx, &ranges),
            Frame::Want(want) => self.on_want(fx, &want),
            Frame::Refused(refused) => self.on_refused(fx, refused.authors),
            Frame::Begin(begin) => self.on_begin(&begin),
            Frame::Ops(ops) => self.on_ops(fx, ops),
            Frame::Done(done) => self.on_done(fx, done.mark),
            Frame::Ack(ack) => self.on_ack(fx, ack.bytes, ack.token),
            Frame::Beat(beat) => self.on_beat(fx, &beat),
            Frame::Probe(probe) => self.on_probe(fx, probe),
            Frame::BlobAsk(ask) => self.on_blob_ask(&ask),
            Frame::BlobPart(part) => self.on_blob_part(fx, part),
            _ => Err("the session is open already"),
        }
    }

    /// Takes an answer of the host.
    pub(crate) fn on_answer(&mut self, fx: &mut Effects<'_>, number: u64, answer: Answer) {
        let Some(pending) = self.pending.remove(&number) else {
            return;
        };
        match (pending, answer) {
            (Pending::Load, Answer::Loaded(loaded)) => self.on_loaded(fx, *loaded),
            (Pending::Load, Answer::Declined(reason)) => self.on_declined(fx, reason),
            (Pending::Tips, Answer::Tips { tips, place }) => self.on_tips(fx, tips, place),
            (Pending::Weigh, Answer::Weighed { standing, known }) => {
                self.on_weighed(fx, &standing, known);
            }
            (Pending::Plan, Answer::Planned { ops, bytes }) => self.on_planned(fx, ops, bytes),
            (Pending::ReadPlan, Answer::Slice { ops, last, .. }) => {
                self.on_plan_slice(fx, ops, last);
            }
            (Pending::Read { held, from, until }, Answer::Slice { ops, next, .. }) => {
                self.on_live_slice(fx, ops, held, from..until, next);
            }
            (Pending::Ingest, Answer::Ingested(report)) => self.on_ingested(fx, &report),
            (Pending::Say, Answer::View(view)) => self.on_say(fx, view),
            (Pending::Judge(theirs, bytes), Answer::View(view)) => {
                self.on_judge(fx, &view, &theirs, bytes);
            }
            (Pending::Round, Answer::View(view)) => self.on_round_view(fx, view),
            (Pending::Blob, Answer::Blob { length, bytes }) => {
                self.on_blob(fx, length, bytes);
            }
            (Pending::Trace, Answer::Traced { ops, hashes }) => self.on_traced(fx, ops, &hashes),
            // A store that fails, or a host that answers another question.
            _ => self.end(fx, EndReason::Failed),
        }
    }

    /// Ends the session from this side.
    pub(crate) fn end(&mut self, fx: &mut Effects<'_>, reason: EndReason) {
        let channel = self.channel;
        match self.stage {
            Stage::Proposed | Stage::Open | Stage::Loading(Some(_)) => {
                fx.send(Frame::End(crate::wire::End { channel, reason }));
            }
            Stage::Waiting | Stage::Loading(None) => {}
        }
        fx.over = Some(Over::Here(reason));
    }

    /// What is left to say when the session is over.
    pub(crate) fn on_over(&mut self, fx: &mut Effects<'_>) {
        if !fx.config.has(crate::config::Fault::PlanKept) {
            fx.outputs.push(Output::DropPlan { session: self.id });
        }
        self.cut_blob(fx);
    }

    /// Authors whose ops are left out of what both sides compare.
    fn left_out(&self) -> BTreeSet<PubKey> {
        self.refusing.union(&self.refused).copied().collect()
    }

    fn token(fx: &mut Effects<'_>) -> Token {
        Token(fx.random.token())
    }

    /// What the session is doing.
    pub(crate) fn status(&self, config: &Config) -> SessionStatus {
        let opening = |phase| match self.stage {
            Stage::Open => phase,
            _ => Phase::Opening,
        };
        SessionStatus {
            session: self.id,
            conn: self.conn,
            store: self.store,
            peer: self.peer,
            push: opening(self.push.phase()),
            pull: opening(self.pull.phase()),
            is_delivered: self.is_delivered(config),
            is_equal: self.beats.is_equal,
            is_diverged: self.beats.is_diverged,
            counts: self.counts,
            buffered: self.pull.buffered(),
        }
    }

    /// What is due, or has become possible.
    pub(crate) fn pump(&mut self, fx: &mut Effects<'_>) {
        if self.stage == Stage::Open {
            self.turn(fx);
            self.beat(fx);
            self.settle(fx);
        }
    }

    /// When [`Self::pump`] has something to do, or an ingest is due.
    pub(crate) fn next_wake(&self) -> Option<Time> {
        match self.stage {
            Stage::Open => self
                .beats
                .next_wake()
                .into_iter()
                .chain(self.pull.next_wake())
                .chain(self.settling.next_wake())
                .min(),
            _ => None,
        }
    }
}

/// Turns an error of the wire into the rule that was broken.
pub(crate) const fn rule_of(error: &WireError) -> Violation {
    match error {
        WireError::UnknownType { .. } => "a frame has an unknown type below 128",
        WireError::TooLong { .. } | WireError::SkipTooLong { .. } | WireError::ManyOps { .. } => {
            "a frame is longer than its type allows"
        }
        WireError::Body { .. } => "the body of a frame is malformed",
    }
}
