//! One core over a store in memory, whose peer is the test.

use std::collections::BTreeMap;

use lattice_meta::{Cid, PubKey};
use lattice_sync::host::{Answer, ConnId, Input, Mode, Output, Request, SessionId, Side, Time};
use lattice_sync::wire::{FEATURE_FIND, Frame, FrameReader, Hello, Open, PROTOCOL, Summary};
use lattice_sync::{Config, Core, Event};

use crate::sim::disk::{Disk, Plan, answer};
use crate::sim::set::SetStore;
use crate::sim::world::{EPOCH_MS, key, store};

pub(crate) const CONN: ConnId = ConnId(1);
/// The session that the peer proposes.
pub(crate) const CHANNEL: u32 = 1;

pub(crate) struct Desk {
    pub(crate) core: Core,
    pub(crate) disk: SetStore,
    plan: Plan,
    /// The directions that the host allows.
    pub(crate) mode: Mode,
    pub(crate) now: u64,
    /// What the core has sent and done, oldest first.
    pub(crate) sent: Vec<Frame>,
    pub(crate) bytes: usize,
    pub(crate) events: Vec<Event>,
    pub(crate) asked: Vec<Request>,
    pub(crate) is_closed: bool,
    /// Answers to questions about blobs and replays.
    pub(crate) blob: Vec<u8>,
    pub(crate) effects: Vec<[u8; 16]>,
    /// Answers to questions for stores, by name; others are not answered.
    pub(crate) stores: BTreeMap<&'static str, Option<Vec<u8>>>,
    /// These questions.
    pub(crate) finds: Vec<(u32, String)>,
    /// Whether reads of new ops return none, and replays no hashes.
    pub(crate) is_stuck: bool,
}

impl Desk {
    pub(crate) fn new(node: usize, config: impl FnOnce(&mut Config)) -> Self {
        let mut limits = Config::new(key(node));
        config(&mut limits);
        let seed = *blake3::hash(&node.to_le_bytes()).as_bytes();
        Self {
            core: Core::new(limits, seed),
            disk: SetStore::new(key(node), 10),
            plan: Plan::new(),
            mode: Mode::BOTH,
            now: 0,
            sent: Vec::new(),
            bytes: 0,
            events: Vec::new(),
            asked: Vec::new(),
            is_closed: false,
            blob: Vec::new(),
            effects: Vec::new(),
            stores: BTreeMap::new(),
            finds: Vec::new(),
            is_stuck: false,
        }
    }

    /// A desk with ops of its own, to which a peer has connected and greeted.
    pub(crate) fn greeted(config: impl FnOnce(&mut Config)) -> Self {
        let mut desk = Self::new(0, config);
        for _ in 0..5 {
            desk.disk.write(EPOCH_MS);
        }
        desk.disk.sync();
        desk.connect(Side::Accepted);
        desk.feed(hello());
        desk
    }

    /// The same, with an open session.
    pub(crate) fn opened(config: impl FnOnce(&mut Config)) -> Self {
        let mut desk = Self::greeted(config);
        desk.feed(open());
        assert!(
            matches!(desk.sent.last(), Some(Frame::News(_))),
            "{:?}",
            desk.sent
        );
        desk
    }

    pub(crate) fn connect(&mut self, side: Side) {
        self.input(Input::Connected {
            conn: CONN,
            side,
            peer: None,
        });
    }

    pub(crate) fn feed(&mut self, frame: Frame) {
        self.feed_bytes(frame.encode());
    }

    pub(crate) fn feed_bytes(&mut self, bytes: Vec<u8>) {
        self.input(Input::Received { conn: CONN, bytes });
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(at) = self.core.next_wake().filter(|at| at.ms() <= until) {
            self.now = at.ms();
            self.input(Input::Tick);
        }
        self.now = until;
    }

    /// Hands an input to the core, and answers what it asks at once.
    pub(crate) fn input(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.core.on_input(Time::from_ms(self.now), input) {
                match output {
                    Output::Send { bytes, conn } => {
                        self.bytes += bytes.len();
                        inputs.push_back(Input::Sent {
                            conn,
                            bytes: bytes.len(),
                        });
                        let mut reader = FrameReader::new();
                        reader.push(&bytes);
                        self.sent.push(reader.next_frame().unwrap().unwrap());
                    }
                    Output::Close { .. } => self.is_closed = true,
                    Output::Ask {
                        ticket, request, ..
                    } => {
                        self.asked.push(request.clone());
                        let answer = self.answer(ticket.session(), request);
                        let has_changed = matches!(answer, Answer::Ingested(_));
                        inputs.push_back(Input::Answer { ticket, answer });
                        if has_changed {
                            inputs.push_back(self.changed());
                        }
                    }
                    Output::Note { peer, served, .. } => {
                        self.disk.set_served(&peer, served);
                    }
                    Output::DropPlan { .. } => self.plan.clear(),
                    Output::Find {
                        conn, number, name, ..
                    } => {
                        self.finds.push((number, name.clone()));
                        let record = self.stores.get(&*name).cloned();
                        let known = record.map(|record| Input::Known {
                            conn,
                            number,
                            record,
                        });
                        inputs.extend(known);
                    }
                    Output::Event(event) => self.events.push(event),
                }
            }
        }
    }

    pub(crate) fn changed(&self) -> Input {
        Input::Changed {
            store: store(),
            visible: self.disk.visible(),
            durable: self.disk.place(),
        }
    }

    fn answer(&mut self, session: SessionId, request: Request) -> Answer {
        match request {
            Request::Blob {
                offset, max_bytes, ..
            } => {
                let start = usize::try_from(offset).unwrap().min(self.blob.len());
                let end = self.blob.len().min(start + max_bytes);
                Answer::Blob {
                    length: Some(self.blob.len() as u64),
                    bytes: self.blob[start..end].to_vec(),
                }
            }
            Request::Trace { .. } if self.is_stuck => Answer::Traced {
                ops: 2,
                hashes: Vec::new(),
            },
            Request::Trace { at } => {
                let hash = |at: &u64| {
                    let upto = usize::try_from(*at).unwrap();
                    let hash = blake3::hash(&self.effects[..upto].concat());
                    *hash.as_bytes().first_chunk().unwrap()
                };
                Answer::Traced {
                    ops: self.effects.len() as u64,
                    hashes: at.iter().map(hash).collect(),
                }
            }
            Request::Read { from, .. } if self.is_stuck => Answer::Slice {
                ops: Vec::new(),
                next: from,
                last: false,
            },
            request => {
                let peer = self.peer_of(session);
                let (disk, plan) = (&mut self.disk, &mut self.plan);
                answer(disk, plan, self.mode, peer, request, EPOCH_MS + self.now).0
            }
        }
    }

    fn peer_of(&self, session: SessionId) -> PubKey {
        let status = self.core.status();
        let found = status.iter().find(|status| status.session == session);
        found.map_or(PubKey::from_bytes([0; 32]), |status| status.peer)
    }

    pub(crate) fn session(&self) -> SessionId {
        self.core.status()[0].session
    }

    /// The rule that the peer broke.
    pub(crate) fn rule(&self) -> Option<&'static str> {
        self.events.iter().find_map(|event| match event {
            Event::Lost { rule, .. } => *rule,
            _ => None,
        })
    }
}

/// The greeting of a peer.
pub(crate) fn hello() -> Frame {
    Frame::Hello(Hello {
        protocols: vec![PROTOCOL],
        features: FEATURE_FIND,
        peer: key(7),
        instance: 77,
        attempt: 1,
    })
}

/// A peer that says that it has something else.
pub(crate) fn open() -> Frame {
    Frame::Open(Open {
        channel: CHANNEL,
        genesis: store(),
        gives: true,
        takes: true,
        summary: summary(),
        cursor: None,
    })
}

pub(crate) fn summary() -> Summary {
    Summary {
        ops: 3,
        held: 0,
        tips: 1,
        digest: [3; 32],
        state: lattice_meta::StateHash::from_bytes([4; 32]),
    }
}

/// Passes what two desks have sent to each other, until both are silent. Returns the number of
/// times that the direction changed, and the frames in their order.
pub(crate) fn talk(one: &mut Desk, two: &mut Desk) -> (usize, Vec<Frame>) {
    let (mut trips, mut all) = (0, Vec::new());
    loop {
        let to_two = std::mem::take(&mut one.sent);
        let to_one = std::mem::take(&mut two.sent);
        if to_one.is_empty() && to_two.is_empty() {
            return (trips, all);
        }
        trips += 1;
        for frame in to_two {
            all.push(frame.clone());
            two.feed(frame);
        }
        for frame in to_one {
            all.push(frame.clone());
            one.feed(frame);
        }
    }
}

/// Connects two desks, and begins a session.
pub(crate) fn meet(one: &mut Desk, two: &mut Desk) -> (usize, Vec<Frame>) {
    one.connect(Side::Dialled);
    two.connect(Side::Accepted);
    let mut greetings = talk(one, two);
    one.input(Input::Sync {
        conn: CONN,
        store: store(),
        mode: Mode::BOTH,
    });
    let (trips, frames) = talk(one, two);
    greetings.1.extend(frames);
    (trips, greetings.1)
}

pub(crate) fn code() -> Cid {
    Cid::of(b"some code")
}
