//! The simulated network: processes, connections, time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use lattice_backend::conformance::Rng;
use lattice_meta::{GenesisHash, PubKey};
use lattice_sync::host::{
    Answer, ConnId, Input, Mode, Output, Request, SessionId, Side, Ticket, Time,
};
use lattice_sync::wire::{FrameReader, RefuseReason};
use lattice_sync::{Config, Core, Event, Over};

use crate::sim::checks::Checks;
use crate::sim::disk::{Disk, Plan, answer};
use crate::sim::schedule::{Action, Schedule};
use crate::sim::set::AHEAD_MS;

/// The wall clock at the start.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

pub(crate) fn store() -> GenesisHash {
    GenesisHash::from_bytes([9; 32])
}

pub(crate) fn key(node: usize) -> PubKey {
    // Keys spread over all first digits, as public keys do.
    PubKey::from_bytes(*blake3::hash(&node.to_le_bytes()).as_bytes())
}

/// A process.
pub(crate) struct Node {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) backup: Option<Box<dyn Disk>>,
    pub(crate) core: Option<Core>,
    /// Increases with each start.
    pub(crate) epoch: u64,
    /// Outputs before it dies.
    fuse: Option<(usize, u64, bool)>,
    plans: BTreeMap<SessionId, Plan>,
    sessions: BTreeMap<SessionId, u64>,
    slow_ms: u64,
    disk_free: u64,
    skew_ms: i64,
    pub(crate) mode: Mode,
    woken: Option<u64>,
}

/// An end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: Option<usize>,
    pub(crate) epoch: u64,
    pub(crate) is_open: bool,
    /// When the last byte sent from here arrives at the other end.
    busy_until: u64,
    /// Whether bytes sent from here vanish.
    is_deaf: bool,
    reader: FrameReader,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) edge: Option<usize>,
    pub(crate) ends: [End; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Deliver {
        conn: u64,
        to: usize,
        bytes: Vec<u8>,
    },
    Sent {
        conn: u64,
        from: usize,
        bytes: usize,
    },
    Close {
        conn: u64,
        to: usize,
    },
    Dial {
        edge: usize,
        backwards: bool,
    },
    Start {
        node: usize,
    },
    Work {
        node: usize,
        epoch: u64,
        job: usize,
    },
    Reply {
        node: usize,
        epoch: u64,
        job: usize,
    },
    Sync {
        node: usize,
        epoch: u64,
    },
    Wake {
        node: usize,
        epoch: u64,
    },
    Act(usize),
    Retry {
        node: usize,
        epoch: u64,
        conn: u64,
    },
    Attack {
        conn: u64,
        left: usize,
    },
}

/// A question that the disk works on.
struct Job {
    ticket: Ticket,
    request: Request,
    answer: Option<Answer>,
}

pub(crate) struct World {
    pub(crate) schedule: Schedule,
    pub(crate) nodes: Vec<Node>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    pub(crate) now: u64,
    rng: Rng,
    heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    count: u64,
    jobs: Vec<Job>,
    cut: BTreeSet<usize>,
    /// A dial of the schedule, beside the connection that there is.
    is_again: bool,
    pub(crate) is_healed: bool,
    pub(crate) checks: Checks,
    pub(crate) frames: u64,
}

pub(crate) type Failure = String;
type Result<T> = std::result::Result<T, Failure>;

impl World {
    pub(crate) fn new(schedule: &Schedule, disks: Vec<Box<dyn Disk>>) -> Self {
        let nodes = disks.into_iter().enumerate().map(|(node, disk)| Node {
            disk,
            backup: None,
            core: None,
            epoch: 0,
            fuse: None,
            plans: BTreeMap::new(),
            sessions: BTreeMap::new(),
            slow_ms: 0,
            disk_free: 0,
            skew_ms: 0,
            mode: Mode {
                gives: true,
                takes: !schedule.read_only.contains(&node),
            },
            woken: None,
        });
        let mut world = Self {
            schedule: schedule.clone(),
            nodes: nodes.collect(),
            conns: BTreeMap::new(),
            now: 0,
            rng: Rng::new(schedule.seed),
            heap: BinaryHeap::new(),
            count: 0,
            jobs: Vec::new(),
            cut: BTreeSet::new(),
            is_again: false,
            is_healed: false,
            checks: Checks::default(),
            frames: 0,
        };
        for node in 0..world.nodes.len() {
            world.at(0, Happening::Start { node });
        }
        for edge in 0..schedule.edges.len() {
            world.at(
                1,
                Happening::Dial {
                    edge,
                    backwards: false,
                },
            );
        }
        for (place, (at, _)) in schedule.actions.iter().enumerate() {
            world.at(*at, Happening::Act(place));
        }
        world
    }

    fn at(&mut self, time: u64, what: Happening) {
        self.count += 1;
        self.heap
            .push(Reverse((time.max(self.now), self.count, what)));
    }

    fn after(&mut self, ms: u64, what: Happening) {
        self.at(self.now + ms, what);
    }

    pub(crate) fn wall(&self, node: usize) -> u64 {
        (EPOCH_MS + self.now).saturating_add_signed(self.nodes[node].skew_ms)
    }

    /// Runs until a time.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<()> {
        while let Some(Reverse((at, _, _))) = self.heap.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, what))) = self.heap.pop() else {
                break;
            };
            self.now = at;
            self.happen(what)?;
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Result<()> {
        match what {
            Happening::Deliver { conn, to, bytes } => self.deliver(conn, to, bytes),
            Happening::Sent { conn, from, bytes } => {
                let Some((node, _)) = self.end_of(conn, from) else {
                    return Ok(());
                };
                let conn = ConnId(conn);
                self.input(node, Input::Sent { conn, bytes })
            }
            Happening::Close { conn, to } => self.close_end(conn, to),
            Happening::Dial { edge, backwards } => self.dial(edge, backwards),
            Happening::Start { node } => self.start(node),
            Happening::Work { node, epoch, job } => self.work(node, epoch, job),
            Happening::Reply { node, epoch, job } => {
                if self.nodes[node].epoch != epoch {
                    return Ok(());
                }
                let (ticket, answer) = (self.jobs[job].ticket, self.jobs[job].answer.take());
                let answer = answer.unwrap();
                self.input(node, Input::Answer { ticket, answer })
            }
            Happening::Sync { node, epoch } => {
                if self.nodes[node].epoch == epoch {
                    self.nodes[node].disk.sync();
                    self.changed(node)?;
                }
                Ok(())
            }
            Happening::Wake { node, epoch } => {
                if self.nodes[node].epoch == epoch && self.nodes[node].woken == Some(self.now) {
                    self.nodes[node].woken = None;
                    self.input(node, Input::Tick)?;
                }
                Ok(())
            }
            Happening::Act(place) if !self.is_healed => {
                let action = self.schedule.actions[place].1;
                *self
                    .checks
                    .counts
                    .entry(format!("action {}", action.name()))
                    .or_insert(0) += 1;
                self.act(action)
            }
            Happening::Act(_) => Ok(()),
            Happening::Retry { node, epoch, conn } => {
                let is_there = self.nodes[node].epoch == epoch;
                let (conn, store, mode) = (ConnId(conn), store(), self.nodes[node].mode);
                match is_there {
                    true => self.input(node, Input::Sync { conn, store, mode }),
                    false => Ok(()),
                }
            }
            Happening::Attack { conn, left } => self.attack(conn, left),
        }
    }

    /// The process at an end of a connection, if both are there.
    fn end_of(&self, conn: u64, side: usize) -> Option<(usize, u64)> {
        let end = &self.conns.get(&conn)?.ends[side];
        let node = end.node?;
        let is_there = end.is_open && self.nodes[node].epoch == end.epoch;
        (is_there && self.nodes[node].core.is_some()).then_some((node, end.epoch))
    }

    fn deliver(&mut self, conn: u64, to: usize, bytes: Vec<u8>) -> Result<()> {
        if self
            .conns
            .get(&conn)
            .is_some_and(|conn| conn.ends[to].node.is_none())
        {
            return Ok(()); // an attacker reads nothing
        }
        let Some((node, _)) = self.end_of(conn, to) else {
            // No process is there: the sender's system learns it.
            return self.close_end(conn, 1 - to);
        };
        let found = self.conns.get_mut(&conn).unwrap();
        found.ends[to].reader.push(&bytes);
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = found.ends[to].reader.next_frame() {
            frames.push(frame);
        }
        for frame in &frames {
            self.checks
                .received(node, &*self.nodes[node].disk, conn, to, frame);
        }
        // In two pieces, now and then.
        let conn = ConnId(conn);
        if bytes.len() > 1 && self.rng.one_in(4) {
            let (first, second) = bytes.split_at(1 + self.rng.below(bytes.len() - 1));
            let (first, second) = (first.to_vec(), second.to_vec());
            self.input(node, Input::Received { conn, bytes: first })?;
            if self.end_of(conn.0, to).is_none() {
                return Ok(());
            }
            return self.input(
                node,
                Input::Received {
                    conn,
                    bytes: second,
                },
            );
        }
        self.input(node, Input::Received { conn, bytes })
    }

    fn close_end(&mut self, conn: u64, side: usize) -> Result<()> {
        let there = self.end_of(conn, side);
        let Some(found) = self.conns.get_mut(&conn) else {
            return Ok(());
        };
        let was_open = std::mem::replace(&mut found.ends[side].is_open, false);
        let (edge, closer) = (found.edge, found.ends[side].node);
        if let Some((node, _)) = there.filter(|_| was_open) {
            self.input(node, Input::Closed { conn: ConnId(conn) })?;
        }
        self.redial(
            edge,
            was_open && edge.is_some_and(|edge| closer == Some(self.schedule.edges[edge].0)),
        );
        Ok(())
    }

    /// The dialling side dials again after a while.
    fn redial(&mut self, edge: Option<usize>, is_dialler: bool) {
        if let Some(edge) = edge.filter(|_| is_dialler) {
            let ms = 200 + self.rng.below(1500) as u64;
            self.after(
                ms,
                Happening::Dial {
                    edge,
                    backwards: false,
                },
            );
        }
    }

    fn dial(&mut self, edge: usize, backwards: bool) -> Result<()> {
        let (a, b) = self.schedule.edges[edge];
        let (from, to) = if backwards { (b, a) } else { (a, b) };
        let is_up = |node: usize| self.nodes[node].core.is_some();
        if self.cut.contains(&edge) || !is_up(from) || !is_up(to) {
            self.redial(Some(edge), !backwards && is_up(from));
            return Ok(());
        }
        let has_one = self.conns.values().any(|conn| {
            let is_here = |end: &End| {
                end.is_open && end.node == Some(from) && end.epoch == self.nodes[from].epoch
            };
            conn.edge == Some(edge) && conn.ends.iter().any(is_here)
        });
        if has_one && !backwards && !self.is_again {
            return Ok(());
        }
        self.connect(Some(edge), Some(from), to)
    }

    fn connect(&mut self, edge: Option<usize>, from: Option<usize>, to: usize) -> Result<()> {
        self.count += 1;
        let conn = self.count;
        let end = |node: Option<usize>| End {
            node,
            epoch: node.map_or(0, |node| self.nodes[node].epoch),
            is_open: true,
            busy_until: 0,
            is_deaf: false,
            reader: FrameReader::new(),
        };
        let ends = [end(from), end(Some(to))];
        self.conns.insert(conn, Conn { edge, ends });
        for (side, node) in [(Side::Dialled, from), (Side::Accepted, Some(to))] {
            let Some(node) = node else {
                continue;
            };
            let peer = match (side, from) {
                (Side::Dialled, _) if self.rng.one_in(2) => Some(key(to)),
                _ => None,
            };
            let connected = Input::Connected {
                conn: ConnId(conn),
                side,
                peer,
            };
            self.input(node, connected)?;
            if side == Side::Dialled && self.nodes[node].core.is_some() {
                let mode = self.nodes[node].mode;
                let sync = Input::Sync {
                    conn: ConnId(conn),
                    store: store(),
                    mode,
                };
                self.input(node, sync)?;
            }
        }
        Ok(())
    }

    fn config(&self, node: usize) -> Config {
        let mut config = Config::new(key(node));
        config.window_bytes = self.schedule.window;
        config.slice_bytes = self.schedule.slice;
        config.news_tips = self.schedule.news_tips;
        config.few_tips = self.schedule.few_tips;
        config.node_authors = self.schedule.node_authors;
        config.unsent_bytes = 4 * self.schedule.slice;
        config.fault = self.schedule.fault;
        config
    }

    fn start(&mut self, node: usize) -> Result<()> {
        if self.nodes[node].core.is_some() {
            return Ok(());
        }
        let mut seed = [0; 32];
        seed.copy_from_slice(&self.rng.bytes(32));
        let config = self.config(node);
        let found = &mut self.nodes[node];
        found.epoch += 1;
        found.core = Some(Core::new(config, seed));
        found.disk_free = 0;
        found.woken = None;
        for edge in 0..self.schedule.edges.len() {
            if self.schedule.edges[edge].0 == node && self.now > 0 {
                self.redial(Some(edge), true);
            }
        }
        Ok(())
    }

    /// A process dies: memory, plans and what was not durable are gone.
    fn crash(&mut self, node: usize, down_ms: u64, is_noticed: bool) {
        let found = &mut self.nodes[node];
        if found.core.take().is_none() {
            return;
        }
        found.epoch += 1;
        found.fuse = None;
        found.plans.clear();
        found.sessions.clear();
        found.disk.crash();
        let mut closed = Vec::new();
        for (conn, found) in &mut self.conns {
            for side in 0..2 {
                if found.ends[side].node == Some(node) && found.ends[side].is_open {
                    found.ends[side].is_open = false;
                    closed.push((*conn, 1 - side));
                }
            }
        }
        for (conn, to) in closed.into_iter().filter(|_| is_noticed) {
            self.after(30, Happening::Close { conn, to });
        }
        self.after(down_ms, Happening::Start { node });
    }

    /// Hands an input to a core, and carries out what it wants.
    pub(crate) fn input(&mut self, node: usize, input: Input) -> Result<()> {
        let now = Time::from_ms(self.now);
        let Some(core) = &mut self.nodes[node].core else {
            return Ok(());
        };
        let outputs = core.on_input(now, input);
        let limit = self.schedule.window + 4 * self.schedule.slice as u64 + 4000;
        if core.buffered() > limit * 6 {
            return Err(format!("node {node} holds {} bytes", core.buffered()));
        }
        if self.rng.one_in(8) {
            for status in core.status() {
                for (name, phase) in [("push", status.push), ("pull", status.pull)] {
                    let name = format!("{name} {phase:?}");
                    *self.checks.counts.entry(name).or_insert(0) += 1;
                }
            }
        }
        for output in outputs {
            if let Some((left, down_ms, is_noticed)) = self.nodes[node].fuse {
                if left == 0 {
                    self.crash(node, down_ms, is_noticed);
                    return Ok(());
                }
                self.nodes[node].fuse = Some((left - 1, down_ms, is_noticed));
            }
            self.output(node, output)?;
        }
        let found = &mut self.nodes[node];
        let next = found.core.as_ref().and_then(Core::next_wake).map(Time::ms);
        if let Some(at) = next.filter(|at| {
            found
                .woken
                .is_none_or(|woken| woken <= self.now || *at < woken)
        }) {
            found.woken = Some(at);
            let epoch = found.epoch;
            self.at(at, Happening::Wake { node, epoch });
        }
        Ok(())
    }

    fn output(&mut self, node: usize, output: Output) -> Result<()> {
        match output {
            Output::Send { conn, bytes } => self.send(node, conn.0, bytes),
            Output::Close { conn } => {
                let Some((side, _)) = self.side_of(conn.0, node) else {
                    return Ok(());
                };
                let found = self.conns.get_mut(&conn.0).unwrap();
                let was_open = std::mem::replace(&mut found.ends[side].is_open, false);
                let (edge, arrives) = (found.edge, found.ends[side].busy_until);
                let is_deaf = found.ends[side].is_deaf;
                let is_dialler = edge.is_some_and(|edge| self.schedule.edges[edge].0 == node);
                self.redial(edge, was_open && is_dialler);
                if !is_deaf {
                    let to = 1 - side;
                    self.at(arrives + 1, Happening::Close { conn: conn.0, to });
                }
                Ok(())
            }
            Output::Ask {
                ticket, request, ..
            } => {
                let core = self.nodes[node].core.as_ref().unwrap();
                let status = core.status();
                let asking = status
                    .iter()
                    .find(|status| status.session == ticket.session());
                if let Some(status) = asking.filter(|_| matches!(request, Request::Load { .. })) {
                    self.nodes[node]
                        .sessions
                        .insert(status.session, status.conn.0);
                }
                self.checks.asked(&request);
                let job = self.jobs.len();
                self.jobs.push(Job {
                    ticket,
                    request,
                    answer: None,
                });
                let found = &mut self.nodes[node];
                let cost = 1 + found.slow_ms;
                found.disk_free = found.disk_free.max(self.now) + cost;
                let (at, epoch) = (found.disk_free, found.epoch);
                self.at(at, Happening::Work { node, epoch, job });
                Ok(())
            }
            Output::Note { peer, served, .. } => {
                self.nodes[node].disk.note_served(peer, served);
                Ok(())
            }
            Output::DropPlan { session } => {
                self.nodes[node].plans.remove(&session);
                Ok(())
            }
            Output::Event(event) => self.event(node, event),
        }
    }

    fn side_of(&self, conn: u64, node: usize) -> Option<(usize, usize)> {
        let ends = &self.conns.get(&conn)?.ends;
        let is_it = |end: &End| end.node == Some(node) && end.epoch == self.nodes[node].epoch;
        let side = ends.iter().position(is_it)?;
        Some((side, 1 - side))
    }

    fn send(&mut self, node: usize, conn: u64, bytes: Vec<u8>) -> Result<()> {
        let Some((side, other)) = self.side_of(conn, node) else {
            return Ok(());
        };
        let mut reader = FrameReader::new();
        reader.push(&bytes);
        while let Some(frame) = reader.next_frame().map_err(|error| error.to_string())? {
            self.frames += 1;
            let name = format!("frame {:?}", frame.kind());
            *self.checks.counts.entry(name).or_insert(0) += 1;
            let ends = &self.conns[&conn].ends;
            let there = ends[other]
                .node
                .filter(|there| ends[other].epoch == self.nodes[*there].epoch);
            self.checks.log(format!(
                "{:>7} node {node} conn {conn}: {frame:?}",
                self.now
            ));
            self.checks
                .sent(&self.nodes, node, there, conn, side, &frame)?;
        }
        let found = self.conns.get_mut(&conn).unwrap();
        let (latency, speed) = found
            .edge
            .map_or((5, 1000), |edge| self.schedule.links[edge]);
        let end = &mut found.ends[side];
        let free = end.busy_until.max(self.now + latency);
        let took = bytes.len() as u64 / speed;
        end.busy_until = free + took;
        let (arrives, is_deaf) = (end.busy_until, end.is_deaf);
        let count = bytes.len();
        self.at(
            arrives.saturating_sub(latency),
            Happening::Sent {
                conn,
                from: side,
                bytes: count,
            },
        );
        if !is_deaf {
            self.at(
                arrives,
                Happening::Deliver {
                    conn,
                    to: other,
                    bytes,
                },
            );
        }
        Ok(())
    }

    fn changed(&mut self, node: usize) -> Result<()> {
        let disk = &self.nodes[node].disk;
        let (visible, durable) = (disk.visible(), disk.place());
        let changed = Input::Changed {
            store: store(),
            visible,
            durable,
        };
        self.input(node, changed)
    }

    /// The disk carries out a request; the answer comes a little later, and can be lost in between.
    fn work(&mut self, node: usize, epoch: u64, job: usize) -> Result<()> {
        if self.nodes[node].epoch != epoch {
            return Ok(());
        }
        let now_ms = self.wall(node);
        let (ticket, request) = (self.jobs[job].ticket, self.jobs[job].request.clone());
        let session = ticket.session();
        let found = &mut self.nodes[node];
        let core = found.core.as_ref().unwrap();
        let status = core.status();
        let status = status.iter().find(|status| status.session == session);
        let is_declined = matches!(request, Request::Load { .. }) && self.rng.one_in(400);
        let answer = match (status, request) {
            // The session is over; what it wanted to write is written all the same.
            (None, Request::Ingest { ops, .. }) => {
                found.disk.ingest(ops, None, now_ms);
                return self.changed(node);
            }
            (None, _) => return Ok(()),
            _ if is_declined => Answer::Declined(RefuseReason::Busy { retry_ms: 100 }),
            (Some(status), request) => {
                let note = match &request {
                    Request::Ingest { note, .. } => *note,
                    _ => None,
                };
                let (conn, peer) = (status.conn.0, status.peer);
                let plan = found.plans.entry(session).or_default();
                let (answer, fates) =
                    answer(&mut *found.disk, plan, found.mode, peer, request, now_ms);
                if plan.is_empty() {
                    found.plans.remove(&session);
                }
                if let Answer::Ingested(report) = &answer {
                    let side = self.side_of(conn, node).map_or(0, |(side, _)| side);
                    self.checks.ingested(conn, side, &fates);
                    if let Some(row) = note.filter(|_| report.noted) {
                        let there = self.node_at_other_end(conn, node);
                        self.checks.noted(&self.nodes, node, there, row.upto)?;
                    }
                }
                answer
            }
        };
        let has_changed = matches!(answer, Answer::Ingested(_));
        self.jobs[job].answer = Some(answer);
        self.jobs[job].request = Request::View;
        let late = self.rng.below(3) as u64;
        let free = &mut self.nodes[node].disk_free;
        *free = (*free).max(self.now + late);
        self.after(late, Happening::Reply { node, epoch, job });
        if has_changed {
            self.changed(node)?;
        }
        Ok(())
    }

    fn node_at_other_end(&self, conn: u64, node: usize) -> Option<usize> {
        let (_, other) = self.side_of(conn, node)?;
        let end = &self.conns[&conn].ends[other];
        end.node
            .filter(|there| self.nodes[*there].epoch == end.epoch)
    }

    fn event(&mut self, node: usize, event: Event) -> Result<()> {
        let shown = format!("{event:?}");
        self.checks
            .log(format!("{:>7} node {node}: {shown}", self.now));
        let name = shown.split([' ', '(']).next().unwrap();
        *self
            .checks
            .counts
            .entry(format!("event {name}"))
            .or_insert(0) += 1;
        let conn = match &event {
            Event::Lost { conn, .. } => Some(conn.0),
            Event::Over { session, .. } => self.nodes[node].sessions.get(session).copied(),
            Event::Opened { session, conn, .. } => {
                self.nodes[node].sessions.insert(*session, conn.0);
                None
            }
            _ => None,
        };
        if let (Event::Over { why, .. }, Some(conn)) = (&event, conn)
            && matches!(why, Over::Refused(_) | Over::Declined(_))
        {
            let epoch = self.nodes[node].epoch;
            self.after(200, Happening::Retry { node, epoch, conn });
        }
        let conn = conn.and_then(|conn| self.conns.get(&conn));
        self.checks
            .event(node, &event, conn.is_some_and(|conn| conn.edge.is_some()))
    }

    fn act(&mut self, action: Action) -> Result<()> {
        self.checks.log(format!("{:>7} {action:?}", self.now));
        match action {
            Action::Write {
                node,
                count,
                sync_ms,
            } => self.write(node, count, sync_ms)?,
            Action::Crash {
                node,
                outputs,
                down_ms,
                is_noticed,
            } => {
                self.nodes[node].fuse = Some((outputs, down_ms, is_noticed));
            }
            Action::Backup { node } => self.nodes[node].backup = Some(self.nodes[node].disk.copy()),
            Action::Restore { node } => {
                if let Some(copy) = self.nodes[node].backup.as_ref().map(|copy| copy.copy()) {
                    self.crash(node, 500, true);
                    self.nodes[node].disk = copy;
                }
            }
            Action::Cut { edge } => {
                self.cut.insert(edge);
                self.break_conns(Some(edge));
            }
            Action::Mend { edge } => {
                self.cut.remove(&edge);
                self.after(
                    1,
                    Happening::Dial {
                        edge,
                        backwards: false,
                    },
                );
            }
            Action::HalfOpen { edge, backwards } => {
                for conn in self
                    .conns
                    .values_mut()
                    .filter(|conn| conn.edge == Some(edge))
                {
                    conn.ends[usize::from(backwards)].is_deaf = true;
                }
            }
            Action::DialAgain { edge, backwards } => {
                self.is_again = true;
                self.dial(edge, backwards)?;
                self.is_again = false;
            }
            Action::Slow { node, ms } => self.nodes[node].slow_ms = ms,
            Action::Skew { node, minutes } => self.nodes[node].skew_ms = minutes * 60_000,
            Action::Corrupt { node } => self.nodes[node].disk.corrupt(),
            Action::EndSession { node } => {
                let core = self.nodes[node].core.as_ref();
                let session =
                    core.and_then(|core| core.status().first().map(|s| (s.session, s.conn)));
                if let Some((session, conn)) = session {
                    self.input(node, Input::End { session })?;
                    // The user asks for it again.
                    let (store, mode) = (store(), self.nodes[node].mode);
                    self.input(node, Input::Sync { conn, store, mode })?;
                }
            }
            Action::Hostile { node, frames } => {
                if self.nodes[node].core.is_some() {
                    self.connect(None, None, node)?;
                    let conn = self.count_of_last();
                    self.after(5, Happening::Attack { conn, left: frames });
                }
            }
        }
        Ok(())
    }

    fn count_of_last(&self) -> u64 {
        *self.conns.keys().next_back().unwrap()
    }

    pub(crate) fn write(&mut self, node: usize, count: usize, sync_ms: u64) -> Result<()> {
        if self.nodes[node].core.is_none() {
            return Ok(());
        }
        let now_ms = self.wall(node);
        (0..count).for_each(|_| self.nodes[node].disk.write(now_ms));
        let epoch = self.nodes[node].epoch;
        self.after(sync_ms, Happening::Sync { node, epoch });
        self.changed(node)
    }

    /// Sends the next frame of a hostile peer.
    fn attack(&mut self, conn: u64, left: usize) -> Result<()> {
        if self.end_of(conn, 1).is_none() {
            return Ok(());
        }
        let frame = crate::sim::attack::frame(&mut self.rng, left);
        self.deliver(conn, 1, frame)?;
        if left > 0 {
            let ms = self.rng.below(200) as u64;
            self.after(
                ms,
                Happening::Attack {
                    conn,
                    left: left - 1,
                },
            );
        } else {
            self.after(10, Happening::Close { conn, to: 1 });
        }
        Ok(())
    }

    /// Connections break, and both ends notice.
    fn break_conns(&mut self, edge: Option<usize>) {
        let broken: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| match edge {
                Some(edge) => conn.edge == Some(edge),
                None => conn.ends.iter().any(|end| end.is_deaf) || conn.edge.is_none(),
            })
            .map(|(conn, _)| *conn)
            .collect();
        for conn in broken {
            for to in 0..2 {
                self.after(1 + to as u64, Happening::Close { conn, to });
            }
        }
    }

    /// All faults end: links are mended, half-open connections are noticed, processes run.
    pub(crate) fn heal(&mut self) {
        self.is_healed = true;
        self.cut.clear();
        self.break_conns(None);
        for node in &mut self.nodes {
            node.fuse = None;
            node.slow_ms = 0;
        }
        // The other end of a connection of a dead process answers with a reset.
        let dead: Vec<(u64, usize)> = self
            .conns
            .iter()
            .flat_map(|(conn, found)| {
                let is_gone = |side: usize| {
                    let end = &found.ends[side];
                    !end.is_open
                        || end
                            .node
                            .is_some_and(|node| self.nodes[node].epoch != end.epoch)
                };
                (0..2)
                    .filter(move |side| is_gone(1 - side))
                    .map(|side| (*conn, side))
            })
            .collect();
        for (conn, to) in dead {
            self.after(20, Happening::Close { conn, to });
        }
        for node in 0..self.nodes.len() {
            self.after(10, Happening::Start { node });
        }
        for edge in 0..self.schedule.edges.len() {
            self.after(
                50,
                Happening::Dial {
                    edge,
                    backwards: false,
                },
            );
        }
    }

    /// All wall clocks are right from now on.
    pub(crate) fn set_clocks(&mut self) -> Result<()> {
        self.nodes.iter_mut().for_each(|node| node.skew_ms = 0);
        let latest = self
            .nodes
            .iter()
            .map(|node| node.disk.latest_ms())
            .max()
            .unwrap_or(0);
        let until = latest.saturating_sub(AHEAD_MS + EPOCH_MS);
        self.run_until(self.now.max(until) + 1000)
    }

    pub(crate) fn plans(&self) -> usize {
        self.nodes.iter().map(|node| node.plans.len()).sum()
    }
}
