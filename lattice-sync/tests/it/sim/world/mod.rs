//! The simulated network: its parts, and what happens in the order of time.

mod acts;
mod network;
mod process;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use lattice_backend::conformance::Rng;
use lattice_meta::{GenesisHash, PubKey};
use lattice_sync::Core;
use lattice_sync::host::{Answer, ConnId, Input, Mode, Request, SessionId, Ticket};
use lattice_sync::wire::FrameReader;

use crate::sim::checks::Checks;
use crate::sim::disk::{Disk, Plan};
use crate::sim::schedule::Schedule;

/// The wall clock at the start.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// What every node has to say about the store.
pub(crate) const GENESIS: &[u8] = b"the genesis record";

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
    /// Sessions that have reported the end of a round.
    pub(crate) settled: BTreeSet<SessionId>,
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
    Known {
        node: usize,
        epoch: u64,
        conn: u64,
        number: u32,
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
            settled: BTreeSet::new(),
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
            Happening::Known {
                node,
                epoch,
                conn,
                number,
            } => {
                let conn = ConnId(conn);
                let record = Some(GENESIS.to_vec());
                match self.nodes[node].epoch == epoch {
                    true => self.input(
                        node,
                        Input::Known {
                            conn,
                            number,
                            record,
                        },
                    ),
                    false => Ok(()),
                }
            }
        }
    }

    pub(crate) fn plans(&self) -> usize {
        self.nodes.iter().map(|node| node.plans.len()).sum()
    }
}
