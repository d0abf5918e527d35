//! Several stores on one connection, whose stream is slow.

use std::collections::{BTreeMap, VecDeque};

use lattice_meta::GenesisHash;
use lattice_sync::host::{Answer, ConnId, Input, Mode, Output, SessionId, Side, Time};
use lattice_sync::wire::{Frame, FrameReader};
use lattice_sync::{Config, Core, Event};

use crate::sim::disk::{Disk, Plan, answer};
use crate::sim::set::SetStore;
use crate::sim::world::{EPOCH_MS, key};

const CONN: ConnId = ConnId(1);
const LARGE: GenesisHash = GenesisHash::from_bytes([1; 32]);
const SMALL: GenesisHash = GenesisHash::from_bytes([2; 32]);
/// The most bytes of a slice; an op has a fifth of it.
const SLICE: usize = 5000;

/// A core over two stores.
struct Host {
    core: Core,
    disks: BTreeMap<GenesisHash, SetStore>,
    plans: BTreeMap<SessionId, Plan>,
    /// What the stream has not carried yet.
    stream: VecDeque<Vec<u8>>,
    events: Vec<Event>,
}

impl Host {
    fn new(node: usize, reads: usize) -> Self {
        let mut config = Config::new(key(node));
        config.reads = reads;
        (config.slice_bytes, config.unsent_bytes) = (SLICE, 2 * SLICE);
        let disk = |store| (store, SetStore::new(key(node), SLICE / 5));
        Self {
            core: Core::new(config, *key(node).as_bytes()),
            disks: [LARGE, SMALL].map(disk).into(),
            plans: BTreeMap::new(),
            stream: VecDeque::new(),
            events: Vec::new(),
        }
    }

    fn write(&mut self, store: GenesisHash, ops: usize) -> Input {
        let disk = self.disks.get_mut(&store).unwrap();
        (0..ops).for_each(|_| disk.write(EPOCH_MS));
        disk.sync();
        let (visible, durable) = (disk.visible(), disk.place());
        Input::Changed {
            store,
            visible,
            durable,
        }
    }

    /// Hands an input to the core, and answers what it asks at once.
    fn input(&mut self, now: u64, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.core.on_input(Time::from_ms(now), input) {
                match output {
                    Output::Send { bytes, .. } => self.stream.push_back(bytes),
                    Output::Close { .. } => panic!("the connection ends: {:?}", self.events),
                    Output::Ask {
                        ticket,
                        store,
                        request,
                    } => {
                        let session = ticket.session();
                        let status = self.core.status();
                        let peer = status.iter().find(|status| status.session == session);
                        let Some(peer) = peer.map(|status| status.peer) else {
                            continue;
                        };
                        let disk = self.disks.get_mut(&store).unwrap();
                        let plan = self.plans.entry(session).or_default();
                        let (answer, _) =
                            answer(disk, plan, Mode::BOTH, peer, request, EPOCH_MS + now);
                        if let Answer::Ingested(report) = &answer {
                            let (visible, durable) = (report.place, report.place);
                            inputs.push_back(Input::Changed {
                                store,
                                visible,
                                durable,
                            });
                        }
                        inputs.push_back(Input::Answer { ticket, answer });
                    }
                    Output::Note {
                        store,
                        peer,
                        served,
                    } => {
                        let disk = self.disks.get_mut(&store).unwrap();
                        disk.set_served(&peer, served);
                    }
                    Output::DropPlan { session } => {
                        self.plans.remove(&session);
                    }
                    Output::Find { .. } => panic!("no store is asked for"),
                    Output::Event(event) => self.events.push(event),
                }
            }
        }
    }
}

/// Two hosts, and a stream that carries one frame of each side in a millisecond.
struct Pair {
    hosts: [Host; 2],
    now: u64,
    channels: BTreeMap<u32, GenesisHash>,
    /// The stores of the frames with ops, in the order in which they arrived.
    ops: Vec<GenesisHash>,
}

impl Pair {
    fn connect(hosts: [Host; 2]) -> Self {
        let mut pair = Self {
            hosts,
            now: 0,
            channels: BTreeMap::new(),
            ops: Vec::new(),
        };
        for (host, side) in pair.hosts.iter_mut().zip([Side::Dialled, Side::Accepted]) {
            let (conn, peer) = (CONN, None);
            host.input(0, Input::Connected { conn, side, peer });
        }
        pair
    }

    fn sync(&mut self, host: usize, store: GenesisHash) {
        let (conn, mode) = (CONN, Mode::BOTH);
        self.hosts[host].input(self.now, Input::Sync { conn, store, mode });
    }

    fn write(&mut self, host: usize, store: GenesisHash, ops: usize) {
        let changed = self.hosts[host].write(store, ops);
        self.hosts[host].input(self.now, changed);
    }

    fn step(&mut self) {
        self.now += 1;
        for from in 0..2 {
            self.hosts[from].input(self.now, Input::Tick);
            let Some(bytes) = self.hosts[from].stream.pop_front() else {
                continue;
            };
            let mut reader = FrameReader::new();
            reader.push(&bytes);
            match reader.next_frame().unwrap().unwrap() {
                Frame::Open(open) => {
                    self.channels.insert(open.channel, open.genesis);
                }
                Frame::Ops(ops) if !ops.ops.is_empty() => {
                    self.ops.push(self.channels[&ops.channel]);
                }
                _ => {}
            }
            let (conn, count) = (CONN, bytes.len());
            self.hosts[1 - from].input(self.now, Input::Received { conn, bytes });
            self.hosts[from].input(self.now, Input::Sent { conn, bytes: count });
        }
    }

    /// Runs until something is so, and for ten seconds at the longest.
    fn run(&mut self, is_so: impl Fn(&Self) -> bool) {
        let until = self.now + 10_000;
        while !is_so(self) {
            assert!(self.now < until, "not within ten seconds");
            self.step();
        }
    }

    /// Whether both sides know that a store is equal.
    fn is_equal(&self, store: GenesisHash) -> bool {
        let [one, two] = &self.hosts;
        let knows = |host: &Host| {
            let status = host.core.status();
            status
                .iter()
                .any(|status| status.store == store && status.is_equal)
        };
        knows(one) && knows(two) && one.disks[&store].view() == two.disks[&store].view()
    }

    fn frames_of(&self, store: GenesisHash) -> usize {
        self.ops.iter().filter(|found| **found == store).count()
    }
}

#[test]
fn two_stores_on_one_connection_take_turns_and_become_equal() {
    // With one read at a time, the turns alone decide.
    let mut hosts = [0, 1].map(|node| Host::new(node, 1));
    hosts[1].write(LARGE, 200);
    hosts[1].write(SMALL, 40);
    hosts[0].write(SMALL, 4);
    let mut pair = Pair::connect(hosts);
    // The large store comes first, and the small one does not wait for its end.
    pair.sync(0, LARGE);
    pair.sync(0, SMALL);
    pair.run(|pair| pair.hosts[0].disks[&SMALL].all().len() == 44);
    let (large, small) = (pair.frames_of(LARGE), pair.frames_of(SMALL));
    assert!(
        small >= 10 && large.abs_diff(small) <= 4,
        "{large} and {small} frames"
    );
    pair.run(|pair| pair.is_equal(LARGE) && pair.is_equal(SMALL));
    assert!(pair.frames_of(LARGE) > 4 * small);
}

#[test]
fn a_store_with_new_ops_all_the_time_and_a_first_copy_share_a_connection() {
    let mut hosts = [0, 1].map(|node| Host::new(node, 2));
    hosts[1].write(LARGE, 100);
    hosts[1].write(SMALL, 1);
    let mut pair = Pair::connect(hosts);
    pair.sync(0, SMALL);
    pair.run(|pair| pair.is_equal(SMALL));
    pair.sync(0, LARGE);
    // More is written than the stream carries.
    for _ in 0..100 {
        pair.write(1, SMALL, 5);
        pair.step();
    }
    let (large, small) = (pair.frames_of(LARGE), pair.frames_of(SMALL));
    assert!(large >= 20 && small >= 20, "{large} and {small} frames");
    pair.run(|pair| pair.is_equal(LARGE) && pair.is_equal(SMALL));
}

#[test]
fn a_further_session_about_a_store_ends_the_first_on_both_sides() {
    for proposer in 0..2 {
        let mut pair = Pair::connect([0, 1].map(|node| Host::new(node, 2)));
        pair.sync(0, LARGE);
        pair.run(|pair| pair.is_equal(LARGE));
        pair.sync(proposer, LARGE);
        (0..50).for_each(|_| pair.step());
        for host in &pair.hosts {
            let status = host.core.status();
            assert!(
                status.len() == 1 && status[0].is_equal,
                "{proposer}: {status:?}"
            );
            let over = host
                .events
                .iter()
                .filter(|event| matches!(event, Event::Over { .. }));
            assert!(over.count() <= 1);
        }
    }
}
