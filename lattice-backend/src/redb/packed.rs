//! A new file of pages without gaps between them.
//!
//! Pages of one order stand together, those of the highest order first, so that each begins on a
//! multiple of its length. The record of free pages follows the same order.

use std::io;

use twox_hash::XxHash3_128;

use crate::redb::copy_pages::Stop;
use crate::redb::error::{MAGIC, open_error};
use crate::redb::free_pages::{self, ORDERS, REGION_PAGES, definition, record};
use crate::redb::page::{
    COMMIT_NUMBER, FLAGS, HEADER_BYTES, LAST_REGION_PAGES, PAGE_BYTES, PAGE_SIZE,
    REGION_DATA_PAGES, ROOTS, SLOT_CHECKSUM, SLOTS, TREE_TABLES,
};
use crate::redb::pages::{Link, Place};
use crate::redb::reader::TWO_PHASE_COMMIT;
use crate::storage::Storage;

/// How much of one order is written at once.
const PIECE: usize = 1 << 20;
/// How many pages are free for the first commit, beside those for the next records of free pages.
const FREE_PAGES: u32 = 32;
const FREE_RECORDS: u32 = 3;

/// How many pages of each order there are.
#[derive(Debug, Default)]
pub(super) struct PageCounts {
    of_order: [u32; ORDERS],
    all: u32,
}

impl PageCounts {
    /// Counts a page; `None` if a region does not hold this many.
    pub(super) fn add(&mut self, order: usize) -> Option<()> {
        *self.of_order.get_mut(order)? += 1;
        self.all = self.all.checked_add(1 << order)?;
        (self.all < REGION_PAGES).then_some(())
    }
}

/// What a header says of a commit.
pub(super) struct Commit {
    pub(super) version: u8,
    pub(super) root: Link,
    pub(super) tables: u64,
    pub(super) number: u64,
}

/// A file that is being written, in one region.
pub(super) struct Packed<'a> {
    storage: &'a dyn Storage,
    areas: Vec<Area>,
    used: u32,
    free: u32,
    order_of_record: usize,
}

/// The pages of one order.
#[derive(Default)]
struct Area {
    /// The number of the next page, and how many follow from it on.
    next: u64,
    left: u32,
    /// The next pages in the file, and what of them is not written yet.
    offset: u64,
    buffer: Vec<u8>,
}

impl<'a> Packed<'a> {
    /// A file for these pages; `None` if one region does not hold them.
    pub(super) fn new(storage: &'a dyn Storage, mut counts: PageCounts) -> Option<Self> {
        // The record also covers its own page and that of its definition.
        counts.add(0)?;
        let mut order_of_record = 0;
        loop {
            let pages = counts.all.checked_add(1 << order_of_record)?;
            match free_pages::order_of_record(pages) {
                order if order > order_of_record => order_of_record = order,
                _ => break,
            }
        }
        counts.add(order_of_record)?;
        let free = FREE_PAGES + (FREE_RECORDS << order_of_record);
        if counts.all + free >= REGION_PAGES {
            return None;
        }
        let mut areas: Vec<Area> = Vec::new();
        areas.resize_with(ORDERS, Area::default);
        let mut pages = 0;
        for (order, count) in counts.of_order.iter().enumerate().rev() {
            areas[order].next = pages >> order;
            areas[order].left = *count;
            areas[order].offset = (1 + pages) * PAGE_BYTES;
            pages += u64::from(*count) << order;
        }
        Some(Self {
            storage,
            areas,
            used: counts.all,
            free,
            order_of_record,
        })
    }

    /// Appends a page. Returns its number. Fails if there are more pages than were counted.
    pub(super) fn append(&mut self, order: usize, page: &[u8]) -> Result<u64, Stop> {
        let area = &mut self.areas[order];
        area.left = area.left.checked_sub(1).ok_or(Stop::Unfit)?;
        if area.buffer.len() + page.len() > PIECE {
            area.write(self.storage).map_err(unwritten)?;
        }
        area.buffer.extend_from_slice(page);
        let index = area.next;
        area.next += 1;
        let order = u64::try_from(order).expect("it is at most 20");
        Ok(order << 59 | index)
    }

    /// Writes the record of free pages, and the header that names the commit as the last one. The
    /// file is then one that redb closed cleanly.
    pub(super) fn finish(mut self, commit: &Commit) -> Result<(), Stop> {
        let order = self.order_of_record;
        let record = self.append_leaf(order, record(self.used, commit.number))?;
        let definitions = self.append_leaf(0, definition(record))?;
        if self.areas.iter().any(|area| area.left > 0) {
            return Err(Stop::Unfit);
        }
        let pages = self.used + self.free;
        let header = header(pages, commit, definitions);
        let mut write = || {
            for area in &mut self.areas {
                area.write(self.storage)?;
            }
            let len = (1 + u64::from(pages)) * PAGE_BYTES;
            self.storage.set_len(len)?;
            self.storage.write_at(0, &header)
        };
        write().map_err(unwritten)
    }

    fn append_leaf(&mut self, order: usize, mut leaf: Vec<u8>) -> Result<Link, Stop> {
        let checksum = XxHash3_128::oneshot(&leaf);
        let length = usize::try_from(PAGE_BYTES).expect("a page is small") << order;
        leaf.resize(length, 0);
        let number = self.append(order, &leaf)?;
        Ok(Link { number, checksum })
    }
}

fn unwritten(error: io::Error) -> Stop {
    Stop::Target(open_error(error))
}

impl Area {
    fn write(&mut self, storage: &dyn Storage) -> io::Result<()> {
        if !self.buffer.is_empty() {
            storage.write_at(self.offset, &self.buffer)?;
            self.offset += u64::try_from(self.buffer.len()).expect("a buffer fits in memory");
            self.buffer.clear();
        }
        Ok(())
    }
}

/// A header whose slots are both this commit.
fn header(pages: u32, commit: &Commit, definitions: Link) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    header[FLAGS] = TWO_PHASE_COMMIT;
    let page_bytes = u32::try_from(PAGE_BYTES).expect("a page is small");
    put(&mut header, PAGE_SIZE, &page_bytes.to_le_bytes());
    put(&mut header, REGION_DATA_PAGES, &REGION_PAGES.to_le_bytes());
    put(&mut header, LAST_REGION_PAGES, &pages.to_le_bytes());
    for slot in SLOTS {
        header[slot] = commit.version;
        let roots = [(commit.root, commit.tables), (definitions, 1)];
        for ((is_there, place), (root, tables)) in ROOTS.into_iter().zip(roots) {
            let place = slot + place;
            header[slot + is_there] = 1;
            Place::of_root(place).set(&mut header, root);
            put(&mut header, place + TREE_TABLES, &tables.to_le_bytes());
        }
        let number = commit.number.to_le_bytes();
        put(&mut header, slot + COMMIT_NUMBER, &number);
        let checksum = XxHash3_128::oneshot(&header[slot..slot + SLOT_CHECKSUM]);
        put(&mut header, slot + SLOT_CHECKSUM, &checksum.to_le_bytes());
    }
    header
}

fn put(header: &mut [u8], place: usize, bytes: &[u8]) {
    header[place..place + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::{Disk, FileMode, MemoryDisk};

    #[test]
    fn what_one_region_does_not_hold_is_not_counted() {
        let mut counts = PageCounts::default();
        assert_eq!(counts.add(19), Some(()));
        assert_eq!(counts.add(18), Some(()));
        assert_eq!(counts.add(19), None);
        assert_eq!(PageCounts::default().add(20), None);
        assert_eq!(PageCounts::default().add(ORDERS), None);
        // Without room for the record and free pages.
        let mut counts = PageCounts::default();
        for order in 5..20 {
            counts.add(order).unwrap();
        }
        let disk = MemoryDisk::new();
        let file = disk
            .open(Path::new("copy.db"), FileMode::CreateNew)
            .unwrap();
        assert!(Packed::new(&*file, counts).is_none());
    }

    #[test]
    fn pages_of_each_order_begin_on_multiples_of_their_length() {
        let disk = MemoryDisk::new();
        let path = Path::new("copy.db");
        let file = disk.open(path, FileMode::CreateNew).unwrap();
        let orders = [0, 3, 0, 1, 9, 1, 0, 3];
        let mut counts = PageCounts::default();
        orders.iter().for_each(|order| counts.add(*order).unwrap());
        let mut packed = Packed::new(&*file, counts).unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for (nth, order) in (1..).zip(orders) {
            let page = vec![nth; 4096 << order];
            let number = packed.append(order, &page).map_err(drop).unwrap();
            let first = (number & 0xf_ffff) << order;
            assert!((first..first + (1 << order)).all(|page| taken.insert(page)));
            assert_eq!(number >> 59, u64::try_from(order).unwrap());
        }
        let used = u64::from(packed.used);
        assert!(taken.iter().all(|page| *page < used));
        // The others are the record and its definition.
        let others = used - u64::try_from(taken.len()).unwrap();
        assert_eq!(others, 1 + (1 << packed.order_of_record));
        // There is no room for a page that was not counted.
        assert!(packed.append(3, &[0; 4096 << 3]).is_err());
    }
}
