//! Processes: a core, what it wants done, and the disk that answers it.

use lattice_sync::host::{Answer, Input, Output, Request, Time};
use lattice_sync::wire::RefuseReason;
use lattice_sync::{Config, Core, Event, Over};

use crate::sim::disk::answer;
use crate::sim::world::{Happening, Job, Result, World, key, store};

impl World {
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

    pub(super) fn start(&mut self, node: usize) -> Result<()> {
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
    pub(super) fn crash(&mut self, node: usize, down_ms: u64, is_noticed: bool) {
        let found = &mut self.nodes[node];
        if found.core.take().is_none() {
            return;
        }
        found.epoch += 1;
        found.fuse = None;
        found.plans.clear();
        found.sessions.clear();
        found.settled.clear();
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
                self.nodes[node].disk.set_served(&peer, served);
                Ok(())
            }
            Output::DropPlan { session } => {
                self.nodes[node].plans.remove(&session);
                Ok(())
            }
            Output::Find { conn, number, .. } => {
                let epoch = self.nodes[node].epoch;
                let conn = conn.0;
                self.after(
                    1 + self.nodes[node].slow_ms,
                    Happening::Known {
                        node,
                        epoch,
                        conn,
                        number,
                    },
                );
                Ok(())
            }
            Output::Event(event) => self.event(node, event),
        }
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
        if let Event::Settled { session, gave, .. } = &event {
            let found = &mut self.nodes[node];
            found.settled.insert(*session);
            let conn = found.sessions.get(session).copied();
            let there = conn.and_then(|conn| self.node_at_other_end(conn, node));
            self.checks.settled(&self.nodes, node, there, *gave)?;
        }
        let conn = match &event {
            Event::Lost { conn, .. } | Event::Found { conn, .. } => Some(conn.0),
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

    pub(super) fn changed(&mut self, node: usize) -> Result<()> {
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
    pub(super) fn work(&mut self, node: usize, epoch: u64, job: usize) -> Result<()> {
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
}
