//! Finds the authors in which two large sets of branch tips differ, by range-based set
//! reconciliation (Aljoscha Meyer, "Range-Based Set Reconciliation", 2023).
//!
//! An item is an author with all tips of its branches, at the place of the first eight bytes of its
//! key. The ranges are the nodes of a tree with sixteen children: no bounds have to be sent. A
//! fingerprint is the sum of the short hashes below a node. The hashes are keyed with numbers that
//! both peers chose for the session, so no author can prepare collisions. A collision hides a
//! difference from one comparison; the digest, which is not keyed, shows it, and the next
//! comparison has another key.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use lattice_backend::op::OpRef;
use lattice_meta::PubKey;

use crate::config::{Config, Fault};
use crate::wire::{MAX_NODE_SHORTS, MAX_NODES, Node, NodeContent};

/// Digits of a place.
const DIGITS: u8 = 16;
/// The most nodes that one flight answers; sets that differ in more places are sent as a whole.
const MAX_FLIGHT: usize = 16 << 10;
/// The most flights: each goes one digit deeper.
const MAX_FLIGHTS: u8 = 20;
/// The most bytes of nodes in a frame.
const FRAME_BYTES: usize = 64 << 10;

/// An author, and the sum of the short hashes before it.
#[derive(Debug, Clone)]
struct Item {
    place: u64,
    short: u64,
    before: u64,
    tips: Range<usize>,
}

/// The state of one side of a comparison.
#[derive(Debug)]
pub(crate) struct Tree {
    tips: Arc<[OpRef]>,
    items: Vec<Item>,
    /// The sum of all short hashes.
    total: u64,
    node_authors: usize,
    flights: u8,
    /// The nodes of a flight that answer frames of a flight that is not complete.
    answer: Vec<Node>,
    /// Whether the flight that is coming in expects an answer.
    is_expected: bool,
    /// Positions of authors that the other side lacks, or has otherwise.
    news: BTreeSet<usize>,
    is_all: bool,
    skips: bool,
}

/// What a frame of ranges leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The flight is not complete.
    Wait,
    /// A flight is to be sent, in these frames.
    Answer {
        frames: Vec<Vec<Node>>,
        /// Whether the sets differ in too many places.
        all: bool,
        /// Whether the other side has nothing to answer.
        over: bool,
    },
    /// The comparison is over.
    Over,
}

impl Tree {
    /// The tips of a view without those of some authors, under a key that both sides compute.
    pub(crate) fn new(
        config: &Config,
        tips: Arc<[OpRef]>,
        without: &BTreeSet<PubKey>,
        key: &[u8; 32],
    ) -> Self {
        let mut items: Vec<Item> = Vec::new();
        let mut total = 0_u64;
        let mut start = 0;
        while let Some(author) = tips.get(start).map(|tip| tip.author) {
            let rest = &tips[start..];
            let len = rest.partition_point(|tip| tip.author == author);
            let mut hasher = blake3::Hasher::new_keyed(key);
            for tip in &rest[..len] {
                hasher.update(&tip.to_key());
            }
            let short = first_number(hasher.finalize().as_bytes());
            if !without.contains(&author) {
                items.push(Item {
                    place: first_number(author.as_bytes()),
                    short,
                    before: total,
                    tips: start..start + len,
                });
                total = total.wrapping_add(short);
            }
            start += len;
        }
        Self {
            tips,
            items,
            total,
            node_authors: config.node_authors,
            flights: 0,
            answer: Vec::new(),
            is_expected: false,
            news: BTreeSet::new(),
            is_all: false,
            skips: config.has(Fault::RangeSkipped),
        }
    }

    /// The first flight: the fingerprints of 256 ranges.
    pub(crate) fn root(&self) -> Vec<Vec<Node>> {
        let kids = (0..16).map(|digit| self.kids(1, digit << 60));
        frames(kids.collect())
    }

    /// Takes a frame. The error names the rule that it breaks.
    pub(crate) fn take(
        &mut self,
        nodes: &[Node],
        last: bool,
        all: bool,
    ) -> Result<Step, &'static str> {
        for node in nodes {
            if self.answer.len() > MAX_FLIGHT {
                self.is_all = true;
                break;
            }
            self.take_node(node)?;
        }
        self.is_all |= all;
        if !last {
            return Ok(Step::Wait);
        }
        self.flights += 1;
        if self.flights > MAX_FLIGHTS {
            return Err("a comparison does not come to its end");
        }
        if all || !std::mem::take(&mut self.is_expected) {
            return Ok(Step::Over);
        }
        let mut answer = std::mem::take(&mut self.answer);
        if self.is_all {
            answer.clear();
        }
        let is_open = |node: &Node| !matches!(node.content, NodeContent::Lacks(_));
        Ok(Step::Answer {
            over: !answer.iter().any(is_open),
            frames: frames(answer),
            all: self.is_all,
        })
    }

    fn take_node(&mut self, node: &Node) -> Result<(), &'static str> {
        let is_node = (1..=DIGITS).contains(&node.depth) && node.prefix & below(node.depth) == 0;
        if !is_node {
            return Err("a node of ranges has no place in the tree");
        }
        match &node.content {
            NodeContent::Kids(theirs) => {
                if node.depth == DIGITS {
                    return Err("a node of ranges is deeper than the tree");
                }
                self.is_expected = true;
                let depth = node.depth + 1;
                for (digit, fingerprint) in (0_u64..).zip(theirs) {
                    let prefix = node.prefix | digit << shift(depth);
                    if self.skips && digit == 1 || self.sum(depth, prefix) == *fingerprint {
                        continue;
                    }
                    let range = self.range(depth, prefix);
                    let answer = match range.len() > self.node_authors && depth < DIGITS {
                        true => self.kids(depth, prefix),
                        false => self.list(depth, prefix),
                    };
                    self.answer.push(answer);
                }
            }
            NodeContent::Items(theirs) => {
                self.is_expected = true;
                let range = self.range(node.depth, node.prefix);
                let mut lacks: BTreeSet<u64> = theirs.iter().copied().collect();
                for place in range {
                    if !lacks.remove(&self.items[place].short) {
                        self.news.insert(place);
                    }
                }
                if !lacks.is_empty() {
                    self.answer.push(Node {
                        depth: node.depth,
                        prefix: node.prefix,
                        content: NodeContent::Lacks(lacks.into_iter().collect()),
                    });
                }
            }
            NodeContent::Lacks(ours) => {
                let ours: BTreeSet<&u64> = ours.iter().collect();
                for place in self.range(node.depth, node.prefix) {
                    if ours.contains(&self.items[place].short) {
                        self.news.insert(place);
                    }
                }
            }
        }
        Ok(())
    }

    /// The tips that the other side lacks.
    pub(crate) fn news(&self) -> Vec<OpRef> {
        if self.is_all {
            let items = self.items.iter();
            return items
                .flat_map(|item| &self.tips[item.tips.clone()])
                .copied()
                .collect();
        }
        let news = self.news.iter();
        news.flat_map(|place| &self.tips[self.items[*place].tips.clone()])
            .copied()
            .collect()
    }

    fn range(&self, depth: u8, prefix: u64) -> Range<usize> {
        let last = prefix | below(depth);
        let start = self.items.partition_point(|item| item.place < prefix);
        let end = self.items.partition_point(|item| item.place <= last);
        start..end
    }

    fn sum(&self, depth: u8, prefix: u64) -> u64 {
        let Range { start, end } = self.range(depth, prefix);
        let before = |place: usize| self.items.get(place).map_or(self.total, |item| item.before);
        before(end).wrapping_sub(before(start))
    }

    fn kids(&self, depth: u8, prefix: u64) -> Node {
        let mut sums = [0; 16];
        for (digit, sum) in (0_u64..).zip(&mut sums) {
            *sum = self.sum(depth + 1, prefix | digit << shift(depth + 1));
        }
        Node {
            depth,
            prefix,
            content: NodeContent::Kids(sums),
        }
    }

    fn list(&mut self, depth: u8, prefix: u64) -> Node {
        let items = &self.items[self.range(depth, prefix)];
        // More authors than fit begin with the same sixteen digits: they were made for this.
        self.is_all |= items.len() > MAX_NODE_SHORTS;
        let shorts = items.iter().map(|item| item.short).take(MAX_NODE_SHORTS);
        Node {
            depth,
            prefix,
            content: NodeContent::Items(shorts.collect()),
        }
    }
}

/// The position of the digit of this depth.
const fn shift(depth: u8) -> u32 {
    64 - 4 * widen(depth)
}

const fn widen(depth: u8) -> u32 {
    u32::from_le_bytes([depth, 0, 0, 0])
}

/// The bits below the digits of this depth.
const fn below(depth: u8) -> u64 {
    match shift(depth) {
        0 => 0,
        bits => u64::MAX >> (64 - bits),
    }
}

fn first_number(bytes: &[u8; 32]) -> u64 {
    let first = bytes.first_chunk().expect("32 bytes begin with 8");
    u64::from_be_bytes(*first)
}

/// Cuts a flight into frames; there is always one.
fn frames(nodes: Vec<Node>) -> Vec<Vec<Node>> {
    let mut frames = vec![Vec::new()];
    let mut bytes = 0;
    for node in nodes {
        let len = 32
            + match &node.content {
                NodeContent::Kids(_) => 128,
                NodeContent::Items(shorts) | NodeContent::Lacks(shorts) => 8 * shorts.len(),
            };
        let last = frames.last_mut().expect("it begins with one frame");
        if last.len() >= MAX_NODES || bytes + len > FRAME_BYTES && !last.is_empty() {
            frames.push(vec![node]);
            bytes = len;
        } else {
            last.push(node);
            bytes += len;
        }
    }
    frames
}
