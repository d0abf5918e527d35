//! New rows of one table, in memory.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::OnceLock;

use crate::backend::merge::LayerRows;
use crate::backend::{Direction, Span};
use crate::engine::verify::mirror::marks::{ByHash, KeyHash};

/// The memory of a row beside its bytes: its place, and its share of the map.
const ROW_OVERHEAD: usize = 56;
/// Memory grows by this many bytes, not to the double, which would be unused for the most part.
const GROWTH: usize = 2 << 20;
/// The memory of a row in order beside its key.
const ORDER_OVERHEAD: usize = 56;

/// The rows are found by hash. They are also kept in order from the first range on.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Keys, each followed by its value. A value that was replaced stays until the end.
    bytes: Vec<u8>,
    rows: Vec<Place>,
    /// Rows by the hash of their keys. If another key has that hash, by the next free number.
    by_hash: HashMap<KeyHash, u32, ByHash>,
    in_order: OnceLock<BTreeMap<Box<[u8]>, u32>>,
}

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
    /// The memory that the rows take, approximately.
    pub(super) fn memory(&self) -> usize {
        let order = self.in_order.get().map_or(0, BTreeMap::len) * ORDER_OVERHEAD;
        self.bytes.len() + self.rows.len() * ROW_OVERHEAD + order
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
                if let Some(order) = self.in_order.get_mut() {
                    order.insert(key.into(), nth);
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

    /// The rows in a range that is not empty.
    pub(super) fn range(&self, span: Span<'_>, direction: Direction) -> RecentRows<'_> {
        let all = || (0..number(self.rows.len())).map(|nth| (self.row(nth).1.into(), nth));
        let order = self.in_order.get_or_init(|| all().collect());
        RecentRows {
            recent: self,
            order: order.range::<[u8], _>(span),
            direction,
            current: None,
        }
    }
}

/// Rows in order.
pub(super) struct RecentRows<'a> {
    recent: &'a Recent,
    order: btree_map::Range<'a, Box<[u8]>, u32>,
    direction: Direction,
    current: Option<RecentRow<'a>>,
}

impl LayerRows for RecentRows<'_> {
    fn advance(&mut self) {
        let next = match self.direction {
            Direction::Forward => self.order.next(),
            Direction::Backward => self.order.next_back(),
        };
        self.current = next.map(|(_, nth)| self.recent.row(*nth));
    }

    fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.current.map(|(_, key, value)| (key, value))
    }
}
