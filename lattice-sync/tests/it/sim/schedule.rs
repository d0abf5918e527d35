//! What happens in a simulation, from a seed.

use lattice_backend::conformance::Rng;
use lattice_sync::Fault;

/// Something that happens to the simulated network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// An author writes this many ops, and nothing is durable for so many milliseconds.
    Write {
        node: usize,
        count: usize,
        sync_ms: u64,
    },
    /// A process dies after so many further outputs of its core, and starts after so long. Its
    /// peers notice at once, or not.
    Crash {
        node: usize,
        outputs: usize,
        down_ms: u64,
        is_noticed: bool,
    },
    /// A copy of the file is made.
    Backup { node: usize },
    /// The copy takes the place of the file.
    Restore { node: usize },
    /// No bytes pass between the two, in either direction, until the link is mended; connections
    /// break.
    Cut { edge: usize },
    /// Bytes pass again, and connections are made again.
    Mend { edge: usize },
    /// Bytes of one direction vanish from now on, in the connections that there are.
    HalfOpen { edge: usize, backwards: bool },
    /// The side that did not dial dials too, or the one that did, again.
    DialAgain { edge: usize, backwards: bool },
    /// Answers of the store take so long.
    Slow { node: usize, ms: u64 },
    /// The wall clock is ahead by so much, or behind.
    Skew { node: usize, minutes: i64 },
    /// The stored state is no longer what the history says.
    Corrupt { node: usize },
    /// A session is ended by its host.
    EndSession { node: usize },
    /// A hostile peer connects, and sends this many frames.
    Hostile { node: usize, frames: usize },
}

impl Action {
    /// A name for the counts.
    pub(crate) fn name(&self) -> String {
        let shown = format!("{self:?}");
        shown.split(' ').next().unwrap().to_owned()
    }
}

/// A simulation before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// Who dials whom.
    pub(crate) edges: Vec<(usize, usize)>,
    /// Latency of each edge, in milliseconds, and bytes for each millisecond.
    pub(crate) links: Vec<(u64, u64)>,
    /// Which nodes refuse which authors.
    pub(crate) refuses: Vec<(usize, usize)>,
    /// Nodes whose code cannot apply some ops of others.
    pub(crate) old: Vec<usize>,
    pub(crate) poison: Vec<usize>,
    /// Nodes that take nothing.
    pub(crate) read_only: Vec<usize>,
    pub(crate) filling: usize,
    pub(crate) window: u64,
    pub(crate) slice: usize,
    pub(crate) news_tips: usize,
    pub(crate) few_tips: usize,
    pub(crate) node_authors: usize,
    /// Authors without a process, whose ops were there before.
    pub(crate) strangers: usize,
    pub(crate) actions: Vec<(u64, Action)>,
    pub(crate) fault: Option<Fault>,
}

/// How long faults happen, in milliseconds.
pub(crate) const CHAOS_MS: u64 = 20_000;

impl Schedule {
    pub(crate) fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let nodes = 2 + rng.below(3);
        let mut edges: Vec<(usize, usize)> =
            (1..nodes).map(|node| (rng.below(node), node)).collect();
        for _ in 0..rng.below(3) {
            let (a, b) = (rng.below(nodes), rng.below(nodes));
            let is_new = !edges.iter().any(|edge| *edge == (a, b) || *edge == (b, a));
            if a != b && is_new {
                edges.push((a, b));
            }
        }
        let link = |rng: &mut Rng| {
            let speed = *rng.pick(&[2_u64, 20, 1000, 100_000]).unwrap();
            (1 + rng.below(80) as u64, speed)
        };
        let links = edges.iter().map(|_| link(&mut rng)).collect();
        let some = |rng: &mut Rng, rare: usize| match rng.one_in(rare) {
            true => vec![rng.below(nodes)],
            false => Vec::new(),
        };
        let refuses = match rng.one_in(6) {
            true => vec![(rng.below(nodes), rng.below(nodes))],
            false => Vec::new(),
        };
        let old = some(&mut rng, 5);
        let poison = match old.is_empty() {
            true => Vec::new(),
            false => (0..nodes).filter(|node| !old.contains(node)).collect(),
        };
        let read_only = some(&mut rng, 25);
        let slice = *rng.pick(&[200_usize, 700, 4000]).unwrap();
        let mut schedule = Self {
            seed,
            nodes,
            links,
            refuses: refuses.into_iter().filter(|(a, b)| a != b).collect(),
            old,
            poison,
            read_only,
            filling: *rng.pick(&[0_usize, 60, 600]).unwrap(),
            window: *rng.pick(&[300_u64, 2000, 1 << 20]).unwrap(),
            slice,
            news_tips: *rng.pick(&[1_usize, 3, 1024]).unwrap(),
            few_tips: *rng.pick(&[0_usize, 2, 1024]).unwrap(),
            node_authors: *rng.pick(&[1_usize, 2, 32]).unwrap(),
            strangers: *rng.pick(&[0_usize, 0, 3, 12]).unwrap(),
            actions: Vec::new(),
            edges,
            fault,
        };
        let count = 4 + rng.below(20);
        for _ in 0..count {
            let at = rng.below(CHAOS_MS as usize) as u64;
            let action = schedule.action(&mut rng);
            schedule.actions.push((at, action));
        }
        schedule.actions.sort_by_key(|(at, _)| *at);
        schedule
    }

    fn action(&self, rng: &mut Rng) -> Action {
        let node = rng.below(self.nodes);
        let edge = rng.below(self.edges.len());
        let backwards = rng.one_in(2);
        match rng.below(30) {
            0..11 => Action::Write {
                node,
                count: 1 + rng.below(6),
                sync_ms: rng.below(40) as u64,
            },
            11..15 => Action::Crash {
                node,
                outputs: rng.below(12),
                down_ms: 1 + rng.below(4000) as u64,
                is_noticed: !rng.one_in(4),
            },
            15..17 => Action::Backup { node },
            17..19 => Action::Restore { node },
            19..21 => Action::Cut { edge },
            21..23 => Action::Mend { edge },
            23 => Action::HalfOpen { edge, backwards },
            24..26 => Action::DialAgain { edge, backwards },
            26 => Action::Slow {
                node,
                ms: rng.below(300) as u64,
            },
            27 => match rng.below(4) {
                0 => Action::Skew {
                    node,
                    minutes: rng.below(61) as i64 - 30,
                },
                1 => Action::Corrupt { node },
                _ => Action::EndSession { node },
            },
            28 => Action::Hostile {
                node,
                frames: 1 + rng.below(30),
            },
            _ => Action::EndSession { node },
        }
    }
}
