//! The thread that runs the state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::Builder;
use std::time::{Duration, Instant};

use lattice_backend::op::{OpsEnd, ReplicaView};
use lattice_meta::{GenesisHash, PubKey, StateHash, StoreId};
use lattice_sync::host::{
    Answer, ConnId, Input, Loaded, Mode, Output, Request, SessionId, Side, Ticket, Time,
};
use lattice_sync::wire::RefuseReason;
use lattice_sync::{Core, Event, SessionStatus};

use crate::Node;
use crate::sync::desk::{Desk, Question};
use crate::sync::find;
use crate::sync::stream::{Stream, Wire};
use crate::sync::{Happened, Options, StoreError};

/// How long a peer has to read what was sent before the end of the stream.
const FAREWELL: Duration = Duration::from_secs(2);

/// The directions of a session that exchanges no ops.
const NEITHER: Mode = Mode {
    gives: false,
    takes: false,
};

/// What is here of a store that is not here.
fn nothing() -> Loaded {
    Loaded {
        view: ReplicaView {
            end: OpsEnd::default(),
            held: 0,
            tips: Arc::new([]),
            state: StateHash::from_bytes([0; 32]),
        },
        mine: None,
        served: None,
        mode: NEITHER,
    }
}

/// What the thread gets.
pub(super) enum Message {
    Connect {
        conn: ConnId,
        stream: Stream,
        side: Side,
    },
    /// A session about a store of the peer that need not be here.
    Look {
        conn: ConnId,
        store: GenesisHash,
    },
    Input(Input),
    /// An answer of a store.
    Answered {
        ticket: Ticket,
        answer: Answer,
        /// How far the store reaches, if that has changed.
        changed: Option<Input>,
    },
    /// A store cannot be opened, read or written.
    Failed {
        store: GenesisHash,
        error: StoreError,
    },
    /// What the sessions are doing.
    Status(Sender<Vec<SessionStatus>>),
    /// A stream failed.
    Broken {
        conn: ConnId,
        error: io::Error,
    },
    Stop,
}

/// What the thread owns.
pub(super) struct Driver {
    node: Arc<Node>,
    options: Options,
    core: Core,
    began: Instant,
    inbox: SyncSender<Message>,
    report: Sender<Happened>,
    wires: BTreeMap<ConnId, Wire>,
    /// Streams that end when their peers have read the rest, or at this moment.
    ending: Vec<(Instant, Wire)>,
    desks: BTreeMap<GenesisHash, Desk>,
    /// Stores of peers that need not be here: the next session that this side proposes about one
    /// exchanges no ops.
    looks: BTreeSet<GenesisHash>,
    /// The sessions of each store, and their peers.
    sessions: BTreeMap<SessionId, (GenesisHash, PubKey)>,
}

impl Driver {
    pub(super) fn new(
        node: Arc<Node>,
        options: Options,
        core: Core,
        inbox: SyncSender<Message>,
        report: Sender<Happened>,
    ) -> Self {
        Self {
            node,
            options,
            core,
            began: Instant::now(),
            inbox,
            report,
            wires: BTreeMap::new(),
            ending: Vec::new(),
            desks: BTreeMap::new(),
            looks: BTreeSet::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// Runs until [`Message::Stop`].
    pub(super) fn run(mut self, inputs: &Receiver<Message>) {
        loop {
            let message = match self.pause() {
                Some(pause) => inputs.recv_timeout(pause),
                None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.on_message(message),
                Err(RecvTimeoutError::Timeout) => self.input(Input::Tick),
            }
            self.end_streams();
        }
        self.stop(inputs);
    }

    /// How long nothing has to be done.
    fn pause(&self) -> Option<Duration> {
        let wake = self.core.next_wake().map(|at| {
            let at = self.began + Duration::from_millis(at.ms());
            at.saturating_duration_since(Instant::now())
        });
        let ends = self.ending.iter().map(|(at, _)| *at).min();
        let ends = ends.map(|at| at.saturating_duration_since(Instant::now()));
        wake.into_iter().chain(ends).min()
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Connect { conn, stream, side } => {
                let wire = Wire::start(conn, stream, &self.inbox);
                let connected = Input::Connected {
                    conn,
                    side,
                    peer: None,
                };
                match wire {
                    Ok(wire) => {
                        self.wires.insert(conn, wire);
                        self.input(connected);
                    }
                    // A connection that could not begin is lost as others are.
                    Err(error) => {
                        self.tell(Happened::Stream { conn, error });
                        self.input(connected);
                        self.input(Input::Closed { conn });
                    }
                }
            }
            Message::Look { conn, store } => {
                self.looks.insert(store);
                let mode = NEITHER;
                self.input(Input::Sync { conn, store, mode });
            }
            Message::Input(input) => self.input(input),
            Message::Answered {
                ticket,
                answer,
                changed,
            } => {
                self.input(Input::Answer { ticket, answer });
                if let Some(changed) = changed {
                    self.input(changed);
                }
            }
            // A caller that is gone needs no answer.
            Message::Status(answer) => drop(answer.send(self.core.status())),
            Message::Failed { store, error } => self.tell(Happened::Store { store, error }),
            Message::Broken { conn, error } => {
                if self.wires.contains_key(&conn) {
                    self.tell(Happened::Stream { conn, error });
                    self.input(Input::Closed { conn });
                }
            }
            Message::Stop => {}
        }
    }

    fn input(&mut self, input: Input) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        for output in self.core.on_input(Time::from_ms(ms), input) {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn, bytes } => {
                if let Some(wire) = self.wires.get(&conn) {
                    wire.write(bytes);
                }
            }
            Output::Close { conn } => self.end_wire(conn),
            Output::Ask {
                ticket,
                store,
                request,
            } => self.ask(ticket, store, request),
            Output::Note {
                store,
                peer,
                served,
            } => {
                if let Some(desk) = self.desks.get(&store) {
                    desk.note(peer, served);
                }
            }
            Output::Find {
                conn, number, name, ..
            } => self.find(conn, number, name),
            Output::DropPlan { session } => {
                let store = self.sessions.get(&session).map(|(store, _)| *store);
                if let Some(desk) = store.and_then(|store| self.desks.get(&store)) {
                    desk.drop_plan(session);
                }
            }
            Output::Event(event) => self.on_event(event),
        }
    }

    fn end_wire(&mut self, conn: ConnId) {
        if let Some(wire) = self.wires.remove(&conn) {
            wire.end();
            self.ending.push((Instant::now() + FAREWELL, wire));
        }
    }

    /// Cuts the streams whose peers have not read the rest in time.
    fn end_streams(&mut self) {
        let now = Instant::now();
        let due = |(at, _): &mut (Instant, Wire)| *at <= now;
        self.ending
            .extract_if(.., due)
            .for_each(|(_, wire)| wire.cut());
    }

    fn ask(&mut self, ticket: Ticket, store: GenesisHash, request: Request) {
        if let Request::Load { peer, asked } = &request {
            let (peer, asked) = (*peer, *asked);
            if asked.is_none() && self.looks.remove(&store) {
                return self.answer(ticket, Answer::Loaded(Box::new(nothing())));
            }
            self.sessions.insert(ticket.session(), (store, peer));
            let store_id = StoreId::certifying(&store);
            if asked.is_some() && !self.options.offers.contains(&store_id) {
                let answer = Answer::Declined(RefuseReason::NotHere);
                return self.answer(ticket, answer);
            }
            if !self.desks.contains_key(&store) {
                let desk = Desk::start(&self.node, store, &self.options, &self.inbox);
                match desk {
                    Ok(desk) => {
                        self.desks.insert(store, desk);
                    }
                    Err(error) => {
                        let error = StoreError::Thread(error);
                        self.tell(Happened::Store { store, error });
                        return self.answer(ticket, Answer::Failed);
                    }
                }
            }
        }
        let Some(peer) = self.sessions.get(&ticket.session()).map(|(_, peer)| *peer) else {
            return self.answer(ticket, Answer::Failed);
        };
        match self.desks.get(&store) {
            Some(desk) => desk.ask(Question {
                ticket,
                peer,
                request,
            }),
            None => self.answer(ticket, Answer::Failed),
        }
    }

    /// Looks for a store in a thread of its own: it may have to wait for the file.
    fn find(&mut self, conn: ConnId, number: u32, name: String) {
        let (node, offers) = (Arc::clone(&self.node), self.options.offers.clone());
        let inbox = self.inbox.clone();
        let known = move |record| Input::Known {
            conn,
            number,
            record,
        };
        let look = move || {
            let found = find::record(&node, &offers, &name);
            let record = found.unwrap_or_else(|error| {
                let error: &dyn Error = &error;
                tracing::warn!(name, error, "store not given");
                None
            });
            // A driver that has ended has no peers.
            drop(inbox.send(Message::Input(known(record))));
        };
        let named = Builder::new().name("lattice-sync-find".into());
        if named.spawn(look).is_err() {
            self.input(known(None));
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.input(Input::Answer { ticket, answer });
    }

    fn on_event(&mut self, event: Event) {
        trace(&event);
        match &event {
            Event::Over { session, store, .. } => {
                self.sessions.remove(session);
                let has_more = self.sessions.values().any(|(of, _)| of == store);
                if let Some(desk) = self.desks.get(store).filter(|_| !has_more) {
                    desk.rest();
                }
            }
            Event::Equal { session, .. } => {
                let store = self.sessions.get(session).map(|(store, _)| *store);
                if let Some(desk) = store.and_then(|store| self.desks.get(&store)) {
                    desk.confirm_equal();
                }
            }
            Event::Lost { conn, .. } => self.end_wire(*conn),
            _ => {}
        }
        self.tell(Happened::Event(event));
    }

    /// A syncer that is gone asks for no events.
    fn tell(&self, happened: Happened) {
        drop(self.report.send(happened));
    }

    /// Ends all connections, waits for the stores, and for peers that read the farewell.
    fn stop(mut self, inputs: &Receiver<Message>) {
        for conn in self.wires.keys().copied().collect::<Vec<_>>() {
            self.input(Input::Close { conn });
        }
        // Answers that come now are for sessions that are over; those who bring them must not wait.
        let desks = std::mem::take(&mut self.desks);
        let rests: Vec<_> = desks.into_values().map(Desk::stop).collect();
        while rests.iter().any(|rest| !rest.is_finished()) {
            if let Ok(Message::Failed { store, error }) =
                inputs.recv_timeout(Duration::from_millis(1))
            {
                self.tell(Happened::Store { store, error });
            }
        }
        let until = Instant::now() + FAREWELL;
        let is_written = |wire: &Wire| wire.is_written();
        while !self.ending.iter().all(|(_, wire)| is_written(wire)) && Instant::now() < until {
            // Threads that read streams pass on what comes, and must not wait either.
            drop(inputs.recv_timeout(Duration::from_millis(1)));
        }
        self.ending.iter().for_each(|(_, wire)| wire.cut());
    }
}

/// Tells an operator what sessions do.
fn trace(event: &Event) {
    match event {
        Event::Met {
            conn,
            peer,
            is_same_key,
        } => tracing::debug!(conn = conn.0, %peer, is_same_key, "peer met"),
        Event::Lost { conn, why, rule } => {
            tracing::info!(conn = conn.0, ?why, rule, "connection lost");
        }
        Event::Opened {
            session,
            conn,
            store,
            peer,
        } => {
            let (session, conn, store) = (session.get(), conn.0, StoreId::certifying(store));
            tracing::info!(session, conn, %store, %peer, "session opened");
        }
        Event::Over {
            session,
            store,
            why,
        } => {
            let (session, store) = (session.get(), StoreId::certifying(store));
            tracing::info!(session, %store, ?why, "session over");
        }
        Event::Caught {
            session,
            is_complete,
        } => tracing::debug!(session = session.get(), is_complete, "caught up"),
        Event::Equal { session, ops } => {
            tracing::debug!(session = session.get(), ops, "replicas are equal");
        }
        Event::Unequal {
            session,
            ours,
            theirs,
        } => tracing::info!(
            session = session.get(),
            ours,
            theirs,
            "replicas stay unequal"
        ),
        Event::Diverged {
            session,
            ours,
            theirs,
        } => {
            let session = session.get();
            tracing::error!(session, %ours, %theirs, "the same ops led to other states");
        }
        Event::AuthorsRefused { session, authors } => {
            let (session, authors) = (session.get(), authors.len());
            tracing::warn!(session, authors, "ops of authors are refused");
        }
        _ => {}
    }
}
