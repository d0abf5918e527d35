//! The record of free pages of a file that has none: what redb would write when it closes the file.
//!
//! With such a record redb opens the file without reading all of it. If the file is longer than the
//! record says, redb takes the pages behind it for free ones.
//!
//! redb's design document has the layout, under "Region tracker" and "Regional allocator state".
//! They stand in a table of redb's own, with the number of the commit to which they belong.

use crate::redb::page::{ENDS, LEAF, NORMAL, PAGE_BYTES};
use crate::redb::pages::Link;

/// Page orders are 0 to 20.
pub(super) const ORDERS: usize = 21;
/// The pages of a region, which the highest order covers.
pub(super) const REGION_PAGES: u32 = 1 << 20;
/// The most regions of a file, and how many a new file keeps room for.
const MAX_REGIONS: u32 = 1 << 20;
const INITIAL_REGIONS: u32 = 1000;

/// The table's name, and the length and types of its keys and values.
const TABLE: &[u8] = b"allocator_state";
const KEY_BYTES: u8 = 5;
const KEY_TYPE: &[u8] = b"\x01redb::AllocatorStateKey";
const VALUE_TYPE: &[u8] = b"\x01&[u8]";
/// The first bytes of its keys: a region, which regions have free pages, and the commit's number.
const REGION: u8 = 3;
const REGIONS: u8 = 4;
const COMMIT: u8 = 5;
const KEYS: [u8; 3] = [REGION, REGIONS, COMMIT];

/// The order of the page that the record of this many pages needs.
pub(super) fn order_of_record(pages: u32) -> usize {
    let bytes = record(pages, 0).len();
    let mut order = 0;
    let mut room = PAGE_BYTES;
    while usize::try_from(room).is_ok_and(|room| room < bytes) {
        (order, room) = (order + 1, 2 * room);
    }
    order
}

/// The leaf with the record of a region with this many pages, all of them in use.
pub(super) fn record(pages: u32, commit: u64) -> Vec<u8> {
    let rows = [region(pages), regions(), commit.to_le_bytes().to_vec()];
    let ends = ENDS + 4 * rows.len() + usize::from(KEY_BYTES) * rows.len();
    let mut leaf = leaf_of(rows.len());
    put_ends(&mut leaf, ends, rows.iter().map(Vec::len));
    for kind in KEYS {
        leaf.extend([kind, 0, 0, 0, 0]);
    }
    leaf.extend(rows.concat());
    leaf
}

/// The leaf of definitions that defines the table with this root, and no other.
pub(super) fn definition(root: Link) -> Vec<u8> {
    let rows = u64::try_from(KEYS.len()).expect("there are three");
    let mut definition = vec![NORMAL];
    definition.extend(rows.to_le_bytes());
    definition.push(1);
    definition.extend(root.number.to_le_bytes());
    definition.extend(root.checksum.to_le_bytes());
    definition.extend(rows.to_le_bytes());
    // The length of keys; values have different ones.
    definition.extend([1, KEY_BYTES, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Alignments.
    definition.extend([1, 0, 0, 0, 1, 0, 0, 0]);
    put_u32(&mut definition, KEY_TYPE.len());
    definition.extend([KEY_TYPE, VALUE_TYPE].concat());
    let mut leaf = leaf_of(1);
    let lengths = [TABLE.len(), definition.len()];
    put_ends(&mut leaf, ENDS + 4 * lengths.len(), lengths.into_iter());
    leaf.extend([TABLE, &definition].concat());
    leaf
}

fn leaf_of(rows: usize) -> Vec<u8> {
    let rows = u8::try_from(rows).expect("there are few rows");
    vec![LEAF, 0, rows, 0]
}

/// Appends where parts of these lengths end that follow each other from `start` on.
fn put_ends(bytes: &mut Vec<u8>, start: usize, lengths: impl Iterator<Item = usize>) {
    let mut end = start;
    for length in lengths {
        end += length;
        put_u32(bytes, end);
    }
}

fn put_u32(bytes: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("a record is shorter than 4 GiB");
    bytes.extend(number.to_le_bytes());
}

/// The state of a region: a bitmap of free pages for each order.
fn region(pages: u32) -> Vec<u8> {
    let bitmaps: Vec<_> = (0..ORDERS)
        .map(|order| full_bitmap(pages >> order, REGION_PAGES >> order))
        .collect();
    let mut bytes = vec![u8::try_from(ORDERS - 1).expect("it is 20"), 0, 0, 0];
    bytes.extend(pages.to_le_bytes());
    let start = bytes.len() + 4 * ORDERS;
    put_ends(&mut bytes, start, bitmaps.iter().map(Vec::len));
    bytes.extend(bitmaps.concat());
    bytes
}

/// Which regions may have free pages: none, for each order.
fn regions() -> Vec<u8> {
    let full = full_bitmap(INITIAL_REGIONS, MAX_REGIONS);
    let mut bytes = Vec::new();
    put_u32(&mut bytes, ORDERS);
    (0..ORDERS).for_each(|_| put_u32(&mut bytes, full.len()));
    bytes.extend(full.repeat(ORDERS));
    bytes
}

/// A tree of bits, all of them set. Each layer has a bit for 64 of the next one; there are as many
/// layers as for the greatest length.
fn full_bitmap(len: u32, capacity: u32) -> Vec<u8> {
    let mut layers = vec![len];
    let (mut len, mut capacity) = (len, capacity);
    while capacity > 64 {
        (len, capacity) = (len.div_ceil(64), capacity.div_ceil(64));
        layers.push(len);
    }
    let layers: Vec<_> = layers.into_iter().rev().map(full_layer).collect();
    let mut bytes = Vec::new();
    put_u32(&mut bytes, layers.len());
    let start = 4 + 4 * layers.len();
    put_ends(&mut bytes, start, layers.iter().map(Vec::len));
    bytes.extend(layers.concat());
    bytes
}

fn full_layer(len: u32) -> Vec<u8> {
    let mut bytes = len.to_le_bytes().to_vec();
    (0..len.div_ceil(64)).for_each(|_| bytes.extend([0xff; 8]));
    bytes
}
