//! What a schedule does to a network, and how the network heals.

use lattice_sync::host::Input;

use crate::sim::schedule::Action;
use crate::sim::set::AHEAD_MS;
use crate::sim::world::{EPOCH_MS, Happening, Result, World, store};

impl World {
    pub(super) fn act(&mut self, action: Action) -> Result<()> {
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
    pub(super) fn attack(&mut self, conn: u64, left: usize) -> Result<()> {
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

    fn count_of_last(&self) -> u64 {
        *self.conns.keys().next_back().unwrap()
    }
}
