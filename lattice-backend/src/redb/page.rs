//! Checks page contents that redb trusts without a check.

use std::io;

use crate::storage::Storage;

/// The size of the smallest page; the header has the first one to itself.
const PAGE_BYTES: u64 = 4096;
/// The first byte of a branch page, and of a byte sequence that is not a page.
const BRANCH: u8 = 2;
const NO_TYPE: u8 = 0;
/// The position of a branch's key count, which is one less than its number of children.
const KEY_COUNT: std::ops::Range<usize> = 2..4;
/// The position of the children's checksums; the children's page numbers follow them.
const CHILDREN: usize = 8;
const CHECKSUM_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;
/// The highest bits of a page number are the page's order: the binary logarithm of its length in
/// pages.
const ORDER_SHIFT: u32 = 59;

/// Makes a branch page unreadable if it names a page that is longer than the file. redb allocates
/// memory for a page before it reads it, up to 4 GiB, and one flipped bit in a page number can
/// request that much. redb reports a page that it does not recognise as damage.
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

/// The greatest order of a branch's children; `None` if it claims more children than fit in the
/// page.
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
