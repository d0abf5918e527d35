//! Connections: who is at their ends, and how long bytes take.

use lattice_sync::host::{ConnId, Input, Side};
use lattice_sync::wire::FrameReader;

use crate::sim::world::{Conn, End, Happening, Result, World, key, store};

impl World {
    /// The process at an end of a connection, if both are there.
    pub(super) fn end_of(&self, conn: u64, side: usize) -> Option<(usize, u64)> {
        let end = &self.conns.get(&conn)?.ends[side];
        let node = end.node?;
        let is_there = end.is_open && self.nodes[node].epoch == end.epoch;
        (is_there && self.nodes[node].core.is_some()).then_some((node, end.epoch))
    }

    pub(super) fn side_of(&self, conn: u64, node: usize) -> Option<(usize, usize)> {
        let ends = &self.conns.get(&conn)?.ends;
        let is_it = |end: &End| end.node == Some(node) && end.epoch == self.nodes[node].epoch;
        let side = ends.iter().position(is_it)?;
        Some((side, 1 - side))
    }

    pub(super) fn node_at_other_end(&self, conn: u64, node: usize) -> Option<usize> {
        let (_, other) = self.side_of(conn, node)?;
        let end = &self.conns[&conn].ends[other];
        end.node
            .filter(|there| self.nodes[*there].epoch == end.epoch)
    }

    pub(super) fn dial(&mut self, edge: usize, backwards: bool) -> Result<()> {
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

    /// The dialling side dials again after a while.
    pub(super) fn redial(&mut self, edge: Option<usize>, is_dialler: bool) {
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

    pub(super) fn connect(
        &mut self,
        edge: Option<usize>,
        from: Option<usize>,
        to: usize,
    ) -> Result<()> {
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
                let (conn, name) = (ConnId(conn), String::from("name"));
                self.input(node, Input::Find { conn, name })?;
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self, node: usize, conn: u64, bytes: Vec<u8>) -> Result<()> {
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

    pub(super) fn deliver(&mut self, conn: u64, to: usize, bytes: Vec<u8>) -> Result<()> {
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

    pub(super) fn close_end(&mut self, conn: u64, side: usize) -> Result<()> {
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

    /// Connections break, and both ends notice.
    pub(super) fn break_conns(&mut self, edge: Option<usize>) {
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
}
