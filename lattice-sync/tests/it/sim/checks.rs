//! What must hold at every step.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::engine::read::PeerRow;
use lattice_backend::op::OpRef;
use lattice_meta::PubKey;
use lattice_sync::host::Request;
use lattice_sync::wire::Frame;
use lattice_sync::{Event, FindFault, Over};

use crate::sim::disk::{Disk, Fate};
use crate::sim::world::{Failure, GENESIS, Node, key};

/// A session as the simulator sees it: connection and channel.
type Session = (u64, u32);

/// Frames with ops that came, each with the credit up to it.
type Came = Vec<(u64, Vec<OpRef>)>;

#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) counts: BTreeMap<String, u64>,
    /// Ops that a side has sent.
    sent: BTreeMap<(Session, usize), BTreeSet<OpRef>>,
    /// Ops that were given to an ingest and did not arrive, by connection.
    not_arrived: BTreeSet<(u64, OpRef)>,
    /// Ops that arrived by a connection.
    arrived: BTreeSet<(u64, usize, OpRef)>,
    came: BTreeMap<(Session, usize), Came>,
    deliveries: BTreeMap<(usize, OpRef), u64>,
    refused: BTreeMap<(Session, usize), BTreeSet<PubKey>>,
    pub(crate) diverged: BTreeSet<usize>,
    /// What happened, if it is wanted.
    pub(crate) log: Option<Vec<String>>,
}

impl Checks {
    pub(crate) fn log(&mut self, line: String) {
        if let Some(log) = &mut self.log {
            log.push(line);
        }
    }

    /// How often each op has come to each node.
    pub(crate) fn deliveries(&self) -> &BTreeMap<(usize, OpRef), u64> {
        &self.deliveries
    }

    /// A frame has reached a side of a connection.
    pub(crate) fn received(
        &mut self,
        node: usize,
        disk: &dyn Disk,
        conn: u64,
        side: usize,
        frame: &Frame,
    ) {
        match frame {
            Frame::Ops(ops) => {
                let came = self.came.entry(((conn, ops.channel), side)).or_default();
                let before = came.last().map_or(0, |(sum, _)| *sum);
                let names = ops.ops.iter().filter_map(|op| disk.name(&op.0));
                let names: Vec<OpRef> = names.collect();
                for op in &names {
                    *self.deliveries.entry((node, *op)).or_insert(0) += 1;
                }
                came.push((before + ops.credit(), names));
            }
            Frame::Refused(refused) => {
                let known = self
                    .refused
                    .entry(((conn, refused.channel), side))
                    .or_default();
                known.extend(&refused.authors);
            }
            _ => {}
        }
    }

    /// A process sends a frame.
    pub(crate) fn sent(
        &mut self,
        nodes: &[Node],
        node: usize,
        there: Option<usize>,
        conn: u64,
        side: usize,
        frame: &Frame,
    ) -> Result<(), Failure> {
        let disk = &nodes[node].disk;
        match frame {
            Frame::Ops(ops) => {
                let session = (conn, ops.channel);
                for op in &ops.ops {
                    let Some(op) = disk.name(&op.0) else {
                        return Err(format!("node {node} sends no op"));
                    };
                    if !disk.has(&op) {
                        return Err(format!("node {node} sends {op}, which is not durable"));
                    }
                    let refused = self.refused.get(&(session, side));
                    if refused.is_some_and(|refused| refused.contains(&op.author)) {
                        return Err(format!("node {node} sends {op} of a refused author"));
                    }
                    let came = self.came.get(&(session, side));
                    let came_here =
                        came.is_some_and(|came| came.iter().any(|(_, ops)| ops.contains(&op)));
                    // Where an op that had waited came from is not remembered.
                    let has_waited = self.not_arrived.contains(&(conn, op));
                    if came_here && !has_waited && self.arrived.contains(&(conn, side, op)) {
                        return Err(format!("node {node} sends {op} back"));
                    }
                    let is_new = self.sent.entry((session, side)).or_default().insert(op);
                    if !is_new && !self.not_arrived.contains(&(conn, op)) {
                        return Err(format!("node {node} sends {op} twice"));
                    }
                }
            }
            Frame::News(news) => {
                if let (Some(since), Some(there)) = (news.since, there) {
                    let all = disk.all();
                    let before = all.iter().take(usize::try_from(since).unwrap());
                    let lacks = before.filter(|op| !nodes[there].disk.has(op)).count();
                    if lacks > 0 {
                        return Err(format!(
                            "node {node} believes a cursor at {since}, and node {there} lacks {lacks}"
                        ));
                    }
                }
            }
            // A hostile peer's frames are not all taken.
            Frame::Ack(ack) if there.is_some() => {
                let came = self.came.get(&((conn, ack.channel), side));
                let taken = came
                    .into_iter()
                    .flatten()
                    .filter(|(sum, _)| *sum <= ack.bytes);
                for op in taken.flat_map(|(_, ops)| ops) {
                    if !disk.has(op) && !self.not_arrived.contains(&(conn, *op)) {
                        return Err(format!(
                            "node {node} acknowledges {op}, which is not durable"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An ingest has committed.
    pub(crate) fn ingested(&mut self, conn: u64, side: usize, fates: &[(OpRef, Fate)]) {
        for (op, fate) in fates {
            match fate {
                Fate::Arrived => {
                    self.arrived.insert((conn, side, *op));
                }
                Fate::Known => {}
                Fate::Not => {
                    self.not_arrived.insert((conn, *op));
                }
            }
        }
    }

    /// A cursor was written: this node has the first ops of the other one.
    pub(crate) fn noted(
        &self,
        nodes: &[Node],
        node: usize,
        there: Option<usize>,
        upto: u64,
    ) -> Result<(), Failure> {
        let Some(there) = there else {
            return Ok(());
        };
        let all = nodes[there].disk.all();
        let before = all.iter().take(usize::try_from(upto).unwrap());
        match before.filter(|op| !nodes[node].disk.has(op)).count() {
            0 => Ok(()),
            lacks => Err(format!(
                "node {node} notes a cursor at {upto} of node {there}, and lacks {lacks}"
            )),
        }
    }

    /// A round is over: if the peer has confirmed all, it has what was here before its cursor.
    pub(crate) fn settled(
        &self,
        nodes: &[Node],
        node: usize,
        there: Option<usize>,
        gave: Option<bool>,
    ) -> Result<(), Failure> {
        let (Some(there), Some(true)) = (there, gave) else {
            return Ok(());
        };
        let served = nodes[node].disk.row(&key(there), PeerRow::Served);
        let upto = served.map_or(0, |row| row.upto);
        self.noted(nodes, there, Some(node), upto)
    }

    pub(crate) fn asked(&mut self, request: &Request) {
        let shown = format!("{request:?}");
        let name = shown.split([' ', '{']).next().unwrap();
        *self.counts.entry(format!("request {name}")).or_insert(0) += 1;
    }

    pub(crate) fn event(
        &mut self,
        node: usize,
        event: &Event,
        is_honest: bool,
    ) -> Result<(), Failure> {
        match event {
            Event::Lost {
                rule: Some(rule), ..
            } if is_honest => Err(format!("node {node} accuses an honest peer: {rule}")),
            Event::Over {
                why: Over::Here(reason),
                ..
            } if is_honest && *reason != lattice_sync::wire::EndReason::Closing => Err(format!(
                "node {node} ends a session with an honest peer: {reason:?}"
            )),
            Event::Found { record, .. } if is_honest => match record {
                Ok(record) if record == GENESIS => Ok(()),
                Err(FindFault::Cut) => Ok(()),
                other => Err(format!("node {node} asks for a store, and gets {other:?}")),
            },
            Event::Diverged { .. } => {
                self.diverged.insert(node);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
