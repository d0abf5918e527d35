//! The core: connections, sessions, and who may read, pull and ingest.

mod finds;
mod greet;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use lattice_meta::{GenesisHash, PubKey};

use crate::config::{Config, Fault};
use crate::convert::to_u64;
use crate::core::greet::nonce_of;
use crate::event::{Event, FindFault, Lost, Over};
use crate::host::{Answer, ConnId, Input, Mode, Output, SessionId, Side, Ticket, Time};
use crate::link::Link;
use crate::random::Random;
use crate::session::{Effects, Session, Violation, rule_of};
use crate::status::SessionStatus;
use crate::wire::{EndReason, FEATURE_FIND, Farewell, Frame, Hello, PROTOCOL};

/// Replication of any number of stores with any number of peers. See the crate's documentation.
#[derive(Debug)]
pub struct Core {
    config: Config,
    random: Random,
    instance: u64,
    attempts: u64,
    links: BTreeMap<ConnId, Link>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    /// Sessions that something happened to.
    touched: BTreeSet<SessionId>,
    ingesting: BTreeMap<GenesisHash, SessionId>,
    /// The session that ingested last: the next one comes after it.
    ingested: SessionId,
    now: Time,
    outputs: Vec<Output>,
}

impl Core {
    /// A core without connections. The seed must be secret, and another one for each run: tokens
    /// come from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let instance = random.number();
        Self {
            config,
            random,
            instance,
            attempts: 0,
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_session: 1,
            touched: BTreeSet::new(),
            ingesting: BTreeMap::new(),
            ingested: SessionId(0),
            now: Time::from_ms(0),
            outputs: Vec::new(),
        }
    }

    /// Takes an input and returns what is to be done, in this order.
    pub fn on_input(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        match input {
            Input::Connected { conn, side, peer } => self.on_connected(conn, side, peer),
            Input::Received { conn, bytes } => self.on_received(conn, &bytes),
            Input::Sent { conn, bytes } => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.unsent = link.unsent.saturating_sub(bytes);
                }
            }
            Input::Closed { conn } => self.lose(conn, Lost::Cut, None),
            Input::Close { conn } => self.part(conn, Farewell::Closing, None),
            Input::Sync { conn, store, mode } => self.on_sync(conn, store, mode),
            Input::End { session } => self.with(session, |session, fx| {
                session.end(fx, EndReason::Closing);
            }),
            Input::Changed {
                store,
                visible,
                durable,
            } => {
                let early = self.config.has(Fault::SendBeforeDurable);
                let place = if early { visible } else { durable };
                for id in self.sessions_of(&store) {
                    self.with(id, |session, fx| session.on_changed(fx, place));
                }
            }
            Input::Answer { ticket, answer } => self.on_answer(ticket, answer),
            Input::Find { conn, name } => self.find(conn, name),
            Input::Known {
                conn,
                number,
                record,
            } => self.on_known(conn, number, record),
            Input::Fetch {
                session,
                cid,
                max_bytes,
            } => self.with(session, |session, fx| session.fetch(fx, cid, max_bytes)),
            Input::Probe { session } => self.with(session, Session::start_probe),
            Input::Tick => {}
        }
        self.run_timers();
        self.pump();
        std::mem::take(&mut self.outputs)
    }

    /// When the core wants [`Input::Tick`], if nothing happens before.
    pub fn next_wake(&self) -> Option<Time> {
        let links = self.links.values().map(|link| link.deadline(&self.config));
        let sessions = self.sessions.values().filter_map(Session::next_wake);
        let lease = self.sessions.values().any(Session::wants_pull);
        let lease = lease.then(|| self.now.after(self.config.lease_ms));
        // What is due already waits for something else than time.
        let times = links.chain(sessions).chain(lease);
        times.filter(|at| *at > self.now).min()
    }

    /// The sessions, in the order in which they began.
    pub fn status(&self) -> Vec<SessionStatus> {
        let all = self.sessions.values();
        all.map(|session| session.status(&self.config)).collect()
    }

    /// Bytes that came in and are neither part of a complete frame nor durable.
    pub fn buffered(&self) -> u64 {
        let links = self
            .links
            .values()
            .map(|link| to_u64(link.reader.buffered()));
        let sessions = self
            .sessions
            .values()
            .map(|session| session.status(&self.config).buffered);
        links.chain(sessions).sum()
    }

    fn sessions_of(&self, store: &GenesisHash) -> Vec<SessionId> {
        let sessions = self
            .sessions
            .values()
            .filter(|session| session.store == *store);
        sessions.map(|session| session.id).collect()
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    fn send(&mut self, conn: ConnId, frame: &Frame) {
        if let Some(link) = self.links.get_mut(&conn) {
            let bytes = frame.encode();
            link.unsent += bytes.len();
            self.outputs.push(Output::Send { conn, bytes });
        }
    }

    /// Lets a session act, and carries out its effects.
    fn with(&mut self, id: SessionId, act: impl FnOnce(&mut Session, &mut Effects<'_>)) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        self.touched.insert(id);
        let mut fx = Effects {
            now: self.now,
            config: &self.config,
            random: &mut self.random,
            frames: Vec::new(),
            outputs: Vec::new(),
            over: None,
        };
        act(session, &mut fx);
        let conn = session.conn;
        if fx.over.is_some() {
            session.on_over(&mut fx);
        }
        let broken = session.broken.take();
        let Effects {
            frames,
            outputs,
            over,
            ..
        } = fx;
        for frame in &frames {
            self.send(conn, frame);
        }
        self.outputs.extend(outputs);
        if let Some(why) = over {
            self.forget(id, why);
        }
        if let Some(rule) = broken {
            self.part(conn, Farewell::Protocol, Some(rule));
        }
    }

    /// Removes a session that is over.
    fn forget(&mut self, id: SessionId, why: Over) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.touched.remove(&id);
        self.ingesting.retain(|_, ingesting| *ingesting != id);
        if let Some(link) = self.links.get_mut(&session.conn) {
            link.channels.remove(&session.channel);
        }
        self.touched.extend(self.sessions_of(&session.store));
        let store = session.store;
        self.emit(Event::Over {
            session: id,
            store,
            why,
        });
    }

    fn on_connected(&mut self, conn: ConnId, side: Side, peer: Option<PubKey>) {
        self.attempts += 1;
        let own = Hello {
            protocols: vec![PROTOCOL],
            features: FEATURE_FIND,
            peer: self.config.own,
            instance: self.instance,
            attempt: self.attempts,
        };
        let hello = Frame::Hello(own.clone());
        self.links
            .insert(conn, Link::new(side, peer, own, self.now));
        self.send(conn, &hello);
    }

    /// Ends a connection from this side.
    fn part(&mut self, conn: ConnId, why: Farewell, rule: Option<Violation>) {
        if self.links.contains_key(&conn) {
            self.send(conn, &Frame::Bye(why));
            self.outputs.push(Output::Close { conn });
            self.lose(conn, Lost::Here(why), rule);
        }
    }

    /// A connection is gone, with all its sessions.
    fn lose(&mut self, conn: ConnId, why: Lost, rule: Option<Violation>) {
        let Some(link) = self.links.remove(&conn) else {
            return;
        };
        for id in link.channels.into_values() {
            self.with(id, |_, fx| fx.over = Some(Over::Disconnected));
        }
        for name in link.finds.into_names() {
            self.found(conn, name, Err(FindFault::Cut));
        }
        self.emit(Event::Lost { conn, why, rule });
    }

    fn on_sync(&mut self, conn: ConnId, store: GenesisHash, mode: Mode) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let channel = link.new_channel();
        let hello = link.hello.as_ref();
        let nonce = hello.map_or(0, |hello| nonce_of(&link.own, hello));
        let peer = hello.map(|hello| hello.peer).or(link.expected);
        let id = self.add(conn, channel, store, Side::Dialled, mode);
        self.with(id, |session, fx| {
            session.nonce = nonce;
            if let Some(peer) = peer {
                session.propose(fx, peer);
            }
        });
    }

    fn add(
        &mut self,
        conn: ConnId,
        channel: u32,
        store: GenesisHash,
        side: Side,
        mode: Mode,
    ) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        let session = Session::new(id, conn, channel, store, side, mode);
        self.sessions.insert(id, session);
        if let Some(link) = self.links.get_mut(&conn) {
            link.channels.insert(channel, id);
        }
        id
    }

    fn on_received(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        link.hear(self.now, to_u64(bytes.len()));
        link.reader.push(bytes);
        let mut has_frame = false;
        while let Some(link) = self.links.get_mut(&conn) {
            match link.reader.next_frame() {
                Ok(Some(frame)) => {
                    has_frame = true;
                    if let Err(rule) = self.on_frame(conn, frame) {
                        self.part(conn, Farewell::Protocol, Some(rule));
                    }
                }
                Ok(None) => {
                    link.took_frames(self.now, has_frame);
                    return;
                }
                Err(error) => {
                    let rule = rule_of(&error);
                    self.part(conn, Farewell::Protocol, Some(rule));
                }
            }
        }
    }

    fn on_frame(&mut self, conn: ConnId, frame: Frame) -> Result<(), Violation> {
        let Some(link) = self.links.get(&conn) else {
            return Ok(());
        };
        match (link.hello.is_some(), frame) {
            (_, Frame::Bye(why)) => {
                self.outputs.push(Output::Close { conn });
                self.lose(conn, Lost::There(why), None);
                Ok(())
            }
            (false, Frame::Hello(hello)) => {
                self.on_hello(conn, hello);
                Ok(())
            }
            (false, _) => Err("the first frame is no greeting"),
            (true, Frame::Hello(_)) => Err("a peer greets twice"),
            (true, Frame::Open(open)) => self.on_open(conn, open),
            (true, Frame::Find(find)) => self.on_find(conn, find),
            (true, Frame::Found(found)) => self.on_found(conn, found),
            (true, frame) => self.on_session_frame(conn, frame),
        }
    }

    fn on_session_frame(&mut self, conn: ConnId, frame: Frame) -> Result<(), Violation> {
        let channel = frame.channel();
        let link = self.links.get(&conn);
        let id = channel.and_then(|channel| link?.channels.get(&channel).copied());
        let Some(id) = id else {
            // The session ended while the frame was on its way.
            return Ok(());
        };
        let mut taken = Ok(());
        self.with(id, |session, fx| taken = session.on_frame(fx, frame));
        taken
    }

    fn on_answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Answer::Ingested(_) = answer {
            self.ingesting
                .retain(|_, session| *session != ticket.session);
        }
        self.with(ticket.session, |session, fx| {
            session.on_answer(fx, ticket.number, answer);
        });
    }

    fn run_timers(&mut self) {
        let now = self.now;
        let dead = self
            .links
            .iter()
            .filter(|(_, link)| link.deadline(&self.config) <= now);
        let dead: Vec<ConnId> = dead.map(|(conn, _)| *conn).collect();
        for conn in dead {
            self.part(conn, Farewell::Timeout, None);
        }
        let due = self
            .sessions
            .values()
            .filter(|session| session.next_wake().is_some_and(|at| at <= now));
        self.touched
            .extend(due.map(|session| session.id).collect::<Vec<_>>());
    }

    /// Does what has become possible.
    fn pump(&mut self) {
        while let Some(id) = self.touched.pop_first() {
            self.with(id, |session, fx| session.pump(fx));
            self.touched.remove(&id);
        }
        self.start_pulls();
        self.start_ingests();
        self.start_reads();
        self.start_finds();
        self.touched.clear();
    }
}
