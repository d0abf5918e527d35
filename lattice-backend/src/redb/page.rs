//! Checks page numbers that redb would trust.
//!
//! redb allocates memory for a page before it reads it, up to 4 GiB, by the order in the page's
//! number: one flipped bit in a number can request that much. So no number of a page that is longer
//! than the file reaches redb. Page numbers stand in
//!
//! * the header's two commit slots: the roots of two table trees, the user's and redb's own;
//! * those two roots, which are leaves: the root of each table;
//! * branches: their children.
//!
//! Other numbers, as those of freed pages, name no page that redb reads. redb reports what is made
//! unreadable here as damage.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::storage::Storage;

/// The size of the smallest page; the header has the first one to itself.
pub(super) const PAGE_BYTES: u64 = 4096;
/// The first byte of a leaf and of a branch, and of a byte sequence that is not a page.
pub(super) const LEAF: u8 = 1;
pub(super) const BRANCH: u8 = 2;
const NO_TYPE: u8 = 0;
/// The position of the count of a leaf's rows, or of a branch's keys: one less than its children.
const COUNT: usize = 2;
/// The position of a leaf's offsets, four bytes each: the ends of all keys, then of all values.
pub(super) const ENDS: usize = 4;
/// The position of a branch's checksums of its children; their page numbers follow.
pub(super) const CHILDREN: usize = 8;
pub(super) const CHECKSUM_BYTES: usize = 16;
pub(super) const NUMBER_BYTES: usize = 8;

/// The header: length, flags, the flag that selects the primary slot, page size, and the pages of a
/// region's header and data.
pub(super) const HEADER_BYTES: usize = 320;
pub(super) const FLAGS: usize = 9;
pub(super) const PRIMARY: u8 = 1;
pub(super) const PAGE_SIZE: usize = 12;
pub(super) const REGION_HEADER_PAGES: usize = 16;
pub(super) const REGION_DATA_PAGES: usize = 20;
/// The position of the number of data pages in the last region, if it is not full.
pub(super) const LAST_REGION_PAGES: usize = 28;
/// Regions have 2^20 data pages in Lattice's files, as many as a page number can address. Smaller
/// ones than this would cost redb more memory than the file has bytes.
const MIN_REGION_PAGES: u32 = 1 << 15;
/// A commit slot: its position and length, then within it, for each of two roots, the position of
/// the byte that says whether there is one, and of its page number; and of the slot's checksum.
pub(super) const SLOTS: [usize; 2] = [64, 192];
pub(super) const SLOT_BYTES: usize = 128;
pub(super) const ROOTS: [(usize, usize); 2] = [(1, 8), (2, 40)];
pub(super) const SLOT_CHECKSUM: usize = 112;
/// In a slot, the positions of the number of the commit and, from a root's page number on, of the
/// number of its tree's tables.
pub(super) const COMMIT_NUMBER: usize = 104;
pub(super) const TREE_TABLES: usize = 24;

/// A table's definition: its type, that of a table whose values are trees themselves, and the
/// positions of the byte that says whether there is a root, and of its page number.
pub(super) const NORMAL: u8 = 3;
const MULTIMAP: u8 = 4;
pub(super) const HAS_ROOT: usize = 9;
pub(super) const TABLE_ROOT: usize = 10;
/// A table of redb whose values name roots. Lattice makes no savepoints, so it is empty.
const SAVEPOINTS: &[u8] = b"persistent_savepoints";

/// Checks what redb reads of one file.
#[derive(Debug, Default)]
pub(super) struct PageGuard(Mutex<Known>);

/// What was last seen of the header. Lock order: innermost.
#[derive(Debug, Default)]
struct Known {
    /// Offsets of the roots of the table trees, by slot.
    roots: [[Option<u64>; 2]; 2],
    primary: usize,
    /// True once redb has written to the file through this guard: from then on it may reuse the
    /// pages of the other slot.
    is_writer: bool,
}

impl Known {
    fn see(&mut self, header: &[u8]) {
        self.primary = usize::from(header[FLAGS] & PRIMARY);
        self.roots = SLOTS.map(|slot| roots(header, slot));
    }

    fn has_tables(&self, offset: u64) -> bool {
        let slots = self.roots.iter().enumerate();
        let mut live = slots.filter(|(slot, _)| !self.is_writer || *slot == self.primary);
        live.any(|(_, roots)| roots.contains(&Some(offset)))
    }
}

impl PageGuard {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes bytes that were read unreadable if they name a page that is longer than the file, or
    /// if it cannot be said which pages they name.
    pub(super) fn check(
        &self,
        storage: &dyn Storage,
        offset: u64,
        bytes: &mut [u8],
    ) -> io::Result<()> {
        if offset == 0 {
            if bytes.len() >= HEADER_BYTES {
                check_header(bytes, storage.len_bytes()?);
                self.known().see(bytes);
            }
            return Ok(());
        }
        let order = match bytes.first() {
            _ if offset < PAGE_BYTES => None,
            Some(&LEAF | &BRANCH) if self.known().has_tables(offset) => tables(bytes),
            // Where the numbers of a branch stand depends on their count.
            Some(&BRANCH) => Some(children(bytes).and_then(greatest_order).unwrap_or(ENDLESS)),
            _ => None,
        };
        if let Some(order) = order
            && order > 0
            && PAGE_BYTES << order > storage.len_bytes()?
        {
            bytes[0] = NO_TYPE;
        }
        Ok(())
    }

    /// Notes bytes that redb is about to write.
    pub(super) fn note_write(&self, offset: u64, bytes: &[u8]) {
        let mut known = self.known();
        known.is_writer = true;
        if offset == 0 && bytes.len() >= HEADER_BYTES {
            known.see(bytes);
        }
    }
}

/// The order of a page that no file has: its length does not fit in memory.
const ENDLESS: u64 = 31;

/// The highest five bits of a page number: the binary logarithm of its length in pages.
pub(super) const fn order(number: u64) -> u64 {
    number >> 59
}

/// Makes a header unreadable whose regions are too small, and a slot that names a root longer than
/// the file.
fn check_header(header: &mut [u8], len: u64) {
    let pages = u32_at(header, REGION_DATA_PAGES);
    if pages.is_some_and(|pages| pages < MIN_REGION_PAGES) {
        header[PAGE_SIZE..PAGE_SIZE + 4].fill(0);
    }
    for slot in SLOTS {
        let mut roots = ROOTS.iter().filter_map(|root| root_at(header, slot, *root));
        if roots.any(|root| order(root) > 0 && PAGE_BYTES << order(root) > len) {
            let checksum = slot + SLOT_CHECKSUM..slot + SLOT_BYTES;
            header[checksum].iter_mut().for_each(|byte| *byte ^= 0xff);
        }
    }
}

pub(super) fn root_at(
    header: &[u8],
    slot: usize,
    (is_there, number): (usize, usize),
) -> Option<u64> {
    match header.get(slot + is_there)? {
        0 => None,
        _ => u64_at(header, slot + number),
    }
}

/// The offsets of a slot's roots.
fn roots(header: &[u8], slot: usize) -> [Option<u64>; 2] {
    ROOTS.map(|root| offset_of(header, root_at(header, slot, root)?))
}

/// The offset of a page in the file.
pub(super) fn offset_of(header: &[u8], number: u64) -> Option<u64> {
    let pages_at = |place| u32_at(header, place).map(u64::from);
    let (head, data) = (pages_at(REGION_HEADER_PAGES)?, pages_at(REGION_DATA_PAGES)?);
    // From the lowest bits on: 20 of the index within a region, less the order, then 20 of the
    // region.
    let index = number & (0xf_ffff >> order(number));
    let region = number >> 20 & 0xf_ffff;
    let pages = 1 + region * (head + data) + head + (index << order(number));
    pages.checked_mul(PAGE_BYTES)
}

pub(super) fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    let number = bytes.get(place..place.checked_add(4)?)?;
    Some(u32::from_le_bytes(number.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], place: usize) -> Option<u64> {
    let number = bytes.get(place..place.checked_add(8)?)?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

pub(super) fn count(page: &[u8]) -> Option<usize> {
    let count = page.get(COUNT..COUNT + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_le_bytes(count)))
}

/// The page numbers of a branch; `None` if it claims more children than fit in the page.
fn children(page: &[u8]) -> Option<&[u8]> {
    let children = count(page)? + 1;
    let numbers = page.get(CHILDREN + children * CHECKSUM_BYTES..)?;
    numbers.get(..children * NUMBER_BYTES)
}

fn greatest_order(numbers: &[u8]) -> Option<u64> {
    let numbers = numbers.chunks_exact(NUMBER_BYTES);
    numbers
        .filter_map(|number| u64_at(number, 0))
        .map(order)
        .max()
}

/// The greatest order of the roots in a leaf of table definitions. A file has few tables, so their
/// definitions fit in a leaf: a branch in its place counts as endless, and so does a leaf that is
/// not well formed, of which redb reads what it can.
fn tables(page: &[u8]) -> Option<u64> {
    let Some(count) = count(page).filter(|_| page[0] == LEAF) else {
        return Some(ENDLESS);
    };
    let orders = (0..count).map(|nth| table(page, count, nth).unwrap_or(ENDLESS));
    orders.max()
}

/// The order of the root of a table; 0 without a root. A definition that Lattice does not make, and
/// whose rows name roots, counts as endless.
fn table(page: &[u8], count: usize, nth: usize) -> Option<u64> {
    let end = |nth: usize| usize::try_from(u32_at(page, ENDS + 4 * nth)?).ok();
    let key = match nth {
        0 => ENDS + 8 * count,
        nth => end(nth - 1)?,
    };
    let name = page.get(key..end(nth)?)?;
    // The values follow the last key.
    let definition = page.get(end(count + nth - 1)?..end(count + nth)?)?;
    if *definition.get(HAS_ROOT)? == 0 {
        return Some(0);
    }
    let root = order(u64_at(definition, TABLE_ROOT)?);
    let is_foreign = definition.first() == Some(&MULTIMAP) || name == SAVEPOINTS;
    Some(if is_foreign { ENDLESS } else { root })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with the geometry of Lattice's files, whose slots have these roots.
    fn header(slots: [[u64; 2]; 2]) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[REGION_DATA_PAGES..REGION_DATA_PAGES + 4]
            .copy_from_slice(&(1_u32 << 20).to_le_bytes());
        header[PAGE_SIZE + 1] = 16;
        for (slot, numbers) in SLOTS.into_iter().zip(slots) {
            for ((flag, place), number) in ROOTS.into_iter().zip(numbers) {
                header[slot + flag] = 1;
                header[slot + place..slot + place + 8].copy_from_slice(&number.to_le_bytes());
            }
        }
        header
    }

    #[test]
    fn a_slot_with_a_root_longer_than_the_file_loses_its_checksum() {
        let whole = header([[12, 6], [1 << 59 | 3, 4]]);
        let mut checked = whole.clone();
        check_header(&mut checked, 1 << 20);
        assert_eq!(checked, whole);
        for order in [9_u64, 20, 31] {
            let mut checked = header([[12, 6], [3, order << 59 | 4]]);
            check_header(&mut checked, 1 << 20);
            assert_eq!(checked[64 + 112..192], whole[64 + 112..192]);
            assert_ne!(checked[192 + 112..], whole[192 + 112..]);
        }
    }

    /// A leaf of definitions without names.
    fn leaf(definitions: &[&[u8]]) -> Vec<u8> {
        let count = definitions.len();
        let start = ENDS + 8 * count;
        let mut page = vec![LEAF, 0];
        page.extend(u16::try_from(count).unwrap().to_le_bytes());
        let mut end = |length: usize| page.extend(u32::try_from(length).unwrap().to_le_bytes());
        (0..count).for_each(|_| end(start));
        (1..=count).for_each(|nth| end(start + definitions[..nth].concat().len()));
        page.extend(definitions.concat());
        page
    }

    #[test]
    fn a_leaf_of_definitions_is_checked_behind_a_malformed_one() {
        let root = |order: u64| [&[3; 9][..], &[1], &(order << 59).to_le_bytes()].concat();
        assert_eq!(tables(&leaf(&[])), None);
        assert_eq!(tables(&leaf(&[&root(2), &[3; 18], &root(9)])), Some(9));
        assert_eq!(tables(&leaf(&[&root(2), &[3; 9]])), Some(ENDLESS));
        assert_eq!(tables(&leaf(&[&[3; 9], &root(20)])), Some(ENDLESS));
        assert_eq!(tables(&[LEAF, 0, 1]), Some(ENDLESS));
        assert_eq!(tables(&[BRANCH, 0, 0, 0]), Some(ENDLESS));
    }

    #[test]
    fn regions_that_lattice_does_not_make_are_refused() {
        let mut checked = header([[12, 6], [3, 4]]);
        checked[REGION_DATA_PAGES..REGION_DATA_PAGES + 4].copy_from_slice(&[1, 0, 0, 0]);
        check_header(&mut checked, 1 << 20);
        assert_eq!(checked[PAGE_SIZE..PAGE_SIZE + 4], [0; 4]);
    }

    #[test]
    fn a_writer_trusts_the_pages_of_the_other_slot_to_be_reused() {
        let mut known = Known::default();
        known.see(&header([[12, 6], [1 << 59 | 3, 4 << 20]]));
        let region = (1 << 20) * PAGE_BYTES;
        for offset in [13, 7, 1 + 6] {
            assert!(known.has_tables(offset * PAGE_BYTES));
        }
        assert!(known.has_tables(PAGE_BYTES + 4 * region));
        assert!(!known.has_tables(4 * PAGE_BYTES));
        known.is_writer = true;
        assert!(known.has_tables(13 * PAGE_BYTES));
        assert!(!known.has_tables(PAGE_BYTES + 4 * region));
    }
}
