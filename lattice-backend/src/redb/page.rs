//! What redb believes of a page without a check.

use std::io;

use crate::storage::Storage;

/// A page of the smallest order; the header has the first one to itself.
const PAGE_BYTES: u64 = 4096;
/// The first byte of a page that names other pages, and of no page.
const BRANCH: u8 = 2;
const NO_TYPE: u8 = 0;
/// Where a branch counts its keys, of which it has one less than children.
const KEY_COUNT: std::ops::Range<usize> = 2..4;
/// Where the checksums of the children begin; their numbers follow.
const CHILDREN: usize = 8;
const CHECKSUM_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;
/// The highest bits of a page's number are the binary logarithm of its length in pages.
const ORDER_SHIFT: u32 = 59;

/// Makes a page that names one which is longer than the file unreadable. redb reserves the memory for
/// a page before it reads it, up to 4 GiB, and one wrong bit in a page's number is enough to ask for
/// that much. What it does not recognise as a page it reports as damage.
pub(super) fn check_page(storage: &dyn Storage, offset: u64, page: &mut [u8]) -> io::Result<()> {
    if offset < PAGE_BYTES || page.first() != Some(&BRANCH) {
        return Ok(());
    }
    if let Some(order) = greatest_order(page)
        && order > 0
        && PAGE_BYTES << order > storage.len_bytes()?
    {
        page[0] = NO_TYPE;
    }
    Ok(())
}

/// The order of the longest child of a branch; nothing if it has more children than fit.
fn greatest_order(page: &[u8]) -> Option<u64> {
    let count: [u8; 2] = page.get(KEY_COUNT)?.try_into().ok()?;
    let children = usize::from(u16::from_le_bytes(count)) + 1;
    let numbers = page.get(CHILDREN + children * CHECKSUM_BYTES..)?;
    let numbers = numbers.get(..children * NUMBER_BYTES)?;
    let orders = numbers.chunks_exact(NUMBER_BYTES).map(|number| {
        let number = number.try_into().expect("it was cut to this length");
        u64::from_le_bytes(number) >> ORDER_SHIFT
    });
    orders.max()
}
