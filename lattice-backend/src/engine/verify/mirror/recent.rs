//! New rows of one table, in memory.

use std::collections::{BTreeMap, HashMap, VecDeque, btree_map};
use std::ops::Bound;
use std::sync::OnceLock;

use crate::backend::merge::LayerRows;
use crate::backend::{Direction, Span};
use crate::engine::verify::mirror::marks::{ByHash, KeyHash};

/// The memory of a row beside its bytes: its place, its share of the map, and its number.
const ROW_OVERHEAD: usize = 60;
/// Memory grows by this many bytes, not to the double, which would be unused for the most part.
const GROWTH: usize = 2 << 20;
/// The memory of a row in order beside its key.
const ORDER_OVERHEAD: usize = 56;

/// The rows are found by hash. Those whose keys begin with one byte are also kept in order, from
/// the first range on that can have any of them: state machines tell their kinds of rows by that
/// byte, and have few ranges over most kinds.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Keys, each followed by its value. A value that was replaced stays until the end.
    bytes: Vec<u8>,
    rows: Vec<Place>,
    /// Rows by the hash of their keys. If another key has that hash, by the next free number.
    by_hash: HashMap<KeyHash, u32, ByHash>,
    by_first_byte: BTreeMap<Option<u8>, Bucket>,
    /// The rows of the buckets that were in order when a row was last written to them.
    in_order: usize,
}

/// The rows whose keys begin with one byte.
#[derive(Debug, Default)]
struct Bucket {
    rows: Vec<u32>,
    in_order: OnceLock<Order>,
    /// How many of them `Recent::in_order` counts.
    counted: usize,
}

type Order = BTreeMap<Box<[u8]>, u32>;

/// Where a row is.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: KeyHash,
    start: usize,
    key_len: u32,
    /// `None` for a removed row.
    value_len: Option<u32>,
}

/// A row: the hash of its key, its key, and its value, unless it was removed.
pub(super) type RecentRow<'a> = (KeyHash, &'a [u8], Option<&'a [u8]>);

fn size(len: u32) -> usize {
    usize::try_from(len).expect("a length in memory")
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("rows in memory have fewer than 4 GiB")
}

impl Recent {
    /// No rows yet, with room for as many as these.
    pub(super) fn with_room_for(rows: &Self) -> Self {
        Self {
            rows: Vec::with_capacity(rows.len()),
            by_hash: HashMap::with_capacity_and_hasher(rows.len(), ByHash::default()),
            ..Self::default()
        }
    }

    /// The memory that the rows take, approximately.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.rows.len() * ROW_OVERHEAD + self.in_order * ORDER_OVERHEAD
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, nth: u32) -> RecentRow<'_> {
        let place = self.rows[size(nth)];
        let (key, rest) = self.bytes[place.start..].split_at(size(place.key_len));
        let value = place.value_len.map(|len| &rest[..size(len)]);
        (place.hash, key, value)
    }

    /// Returns the row of a key, or the free number under which it is entered.
    fn find(&self, mut hash: KeyHash, key: &[u8]) -> Result<u32, KeyHash> {
        while let Some(&nth) = self.by_hash.get(&hash) {
            if self.row(nth).1 == key {
                return Ok(nth);
            }
            hash = hash.wrapping_add(1);
        }
        Err(hash)
    }

    /// The value of a key, which is `None` if the row was removed; `None` if it has no row here.
    pub(super) fn get(&self, hash: KeyHash, key: &[u8]) -> Option<Option<&[u8]>> {
        let nth = self.find(hash, key).ok()?;
        Some(self.row(nth).2)
    }

    pub(super) fn write(&mut self, hash: KeyHash, key: &[u8], value: Option<&[u8]>) {
        let place = Place {
            hash,
            start: self.bytes.len(),
            key_len: number(key.len()),
            value_len: value.map(|value| number(value.len())),
        };
        let more = key.len() + value.map_or(0, <[u8]>::len);
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more.max(GROWTH));
        }
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or(&[]));
        match self.find(hash, key) {
            Ok(nth) => self.rows[size(nth)] = place,
            Err(free) => {
                let nth = number(self.rows.len());
                self.rows.push(place);
                self.by_hash.insert(free, nth);
                let bucket = self.by_first_byte.entry(key.first().copied()).or_default();
                bucket.rows.push(nth);
                if let Some(order) = bucket.in_order.get_mut() {
                    order.insert(key.into(), nth);
                    self.in_order += order.len() - bucket.counted;
                    bucket.counted = order.len();
                }
            }
        }
    }

    /// The numbers of all rows, ascending by their keys.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut sorted: Vec<_> = (0..number(self.rows.len())).collect();
        sorted.sort_unstable_by(|one, other| self.row(*one).1.cmp(self.row(*other).1));
        sorted
    }

    fn order<'a>(&'a self, bucket: &'a Bucket) -> &'a Order {
        let row = |nth: &u32| (self.row(*nth).1.into(), *nth);
        let in_order = || bucket.rows.iter().map(row).collect();
        bucket.in_order.get_or_init(in_order)
    }

    /// The rows in a range that is not empty.
    pub(super) fn range(&self, span: Span<'_>, direction: Direction) -> RecentRows<'_> {
        let first = |key: &[u8]| key.first().copied();
        let (start, end) = span;
        let start = start.map(first);
        let from = match start {
            Bound::Excluded(byte) => Bound::Included(byte),
            from => from,
        };
        let to = match end {
            // No key that begins with this byte comes before it.
            Bound::Excluded(end) if end.len() <= 1 => Bound::Excluded(first(end)),
            Bound::Excluded(end) | Bound::Included(end) => Bound::Included(first(end)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let is_empty =
            matches!((from, to), (Bound::Included(from), Bound::Excluded(to)) if from >= to);
        let orders = (!is_empty).then(|| self.by_first_byte.range((from, to)));
        let orders = orders.into_iter().flatten();
        let orders = orders.map(|(_, bucket)| self.order(bucket).range::<[u8], _>(span));
        RecentRows {
            recent: self,
            orders: orders.collect(),
            direction,
            current: None,
        }
    }
}

/// Rows in order.
pub(super) struct RecentRows<'a> {
    recent: &'a Recent,
    /// Those of each first byte, ascending.
    orders: VecDeque<btree_map::Range<'a, Box<[u8]>, u32>>,
    direction: Direction,
    current: Option<RecentRow<'a>>,
}

impl LayerRows for RecentRows<'_> {
    fn advance(&mut self) {
        let orders = &mut self.orders;
        let next = loop {
            let next = match self.direction {
                Direction::Forward => orders.front_mut().map(|order| order.next()),
                Direction::Backward => orders.back_mut().map(|order| order.next_back()),
            };
            match (next, self.direction) {
                (None, _) => break None,
                (Some(Some((_, nth))), _) => break Some(*nth),
                (Some(None), Direction::Forward) => drop(orders.pop_front()),
                (Some(None), Direction::Backward) => drop(orders.pop_back()),
            }
        };
        self.current = next.map(|nth| self.recent.row(nth));
    }

    fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.current.map(|(_, key, value)| (key, value))
    }
}
