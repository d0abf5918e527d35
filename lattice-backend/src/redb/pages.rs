//! Pages of a file, compared with their checksums.
//!
//! redb's design document has the layout, under "B+tree pages".

use std::ops::Range;

use twox_hash::XxHash3_128;

use crate::backend::file_error::FileFault;
use crate::redb::error::open_error;
use crate::redb::page::{
    BRANCH, CHECKSUM_BYTES, CHILDREN, ENDS, HAS_ROOT, LEAF, NUMBER_BYTES, PAGE_BYTES, SLOT_BYTES,
    SLOT_CHECKSUM, TABLE_ROOT, count, offset_of, order, u32_at, u64_at,
};
use crate::storage::Storage;

/// In a table's definition, the positions of the bytes that say whether all keys, and all values,
/// have one length. The length follows.
const KEY_WIDTH: usize = 42;
const VALUE_WIDTH: usize = 47;

/// A page, and what its parent says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) checksum: u128,
}

/// Where a link stands: the positions of its page number and of its checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    number: usize,
    checksum: usize,
}

impl Place {
    /// That of a root, whose checksum follows its number.
    pub(super) const fn of_root(number: usize) -> Self {
        Self {
            number,
            checksum: number + NUMBER_BYTES,
        }
    }

    pub(super) fn link(self, bytes: &[u8]) -> Option<Link> {
        Some(Link {
            number: u64_at(bytes, self.number)?,
            checksum: u128_at(bytes, self.checksum)?,
        })
    }

    /// Names another page there.
    pub(super) fn set(self, bytes: &mut [u8], link: Link) {
        bytes[self.number..self.number + NUMBER_BYTES].copy_from_slice(&link.number.to_le_bytes());
        bytes[self.checksum..self.checksum + CHECKSUM_BYTES]
            .copy_from_slice(&link.checksum.to_le_bytes());
    }
}

/// The lengths of keys and values, where all of a tree have one length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

pub(super) fn u128_at(bytes: &[u8], place: usize) -> Option<u128> {
    let number = bytes.get(place..place.checked_add(CHECKSUM_BYTES)?)?;
    Some(u128::from_le_bytes(number.try_into().ok()?))
}

pub(super) fn usize_at(bytes: &[u8], place: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, place)?).ok()
}

/// Whether a commit slot of a header matches its checksum.
pub(super) fn is_slot_intact(header: &[u8], slot: usize) -> bool {
    let covered = header.get(slot..slot + SLOT_CHECKSUM);
    let checksum = header
        .get(..slot + SLOT_BYTES)
        .and_then(|header| u128_at(header, slot + SLOT_CHECKSUM));
    checksum.is_some() && covered.map(XxHash3_128::oneshot) == checksum
}

/// The pages of a file that does not change, or of a commit of it that a reader holds.
pub(super) struct Pages<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) header: &'a [u8],
    pub(super) len: u64,
    /// The damage that is reported.
    pub(super) damage: &'static str,
}

impl Pages<'_> {
    pub(super) fn damaged(&self) -> FileFault {
        FileFault::Damaged(self.damage.into())
    }

    /// Visits the leaves of a tree whose pages match their checksums.
    pub(super) fn walk(
        &self,
        root: Link,
        widths: Widths,
        each_leaf: &mut dyn FnMut(&[u8]) -> Option<()>,
    ) -> Result<(), FileFault> {
        let mut open = vec![root];
        // Pages that match their checksums form no cycle; the limit holds for any file.
        let mut left = self.len / PAGE_BYTES;
        let mut page = Vec::new();
        while let Some(link) = open.pop() {
            left = left.checked_sub(1).ok_or_else(|| self.damaged())?;
            self.read(link, widths, &mut page)?;
            match page[0] {
                BRANCH => open.extend(links(&page).ok_or_else(|| self.damaged())?),
                _ => each_leaf(&page).ok_or_else(|| self.damaged())?,
            }
        }
        Ok(())
    }

    /// Reads a page that matches its checksum. Returns how many bytes the checksum covers.
    pub(super) fn read(
        &self,
        link: Link,
        widths: Widths,
        page: &mut Vec<u8>,
    ) -> Result<usize, FileFault> {
        let length = PAGE_BYTES << order(link.number);
        let offset = offset_of(self.header, link.number);
        let end = offset.and_then(|offset| offset.checked_add(length));
        let (Some(offset), Some(true), Ok(length)) = (
            offset,
            end.map(|end| end <= self.len),
            usize::try_from(length),
        ) else {
            return Err(self.damaged());
        };
        page.resize(length, 0);
        let read = self.storage.read_at(offset, page);
        read.map_err(open_error)?;
        let end = used(page, widths).ok_or_else(|| self.damaged())?;
        let covered = page.get(..end).map(XxHash3_128::oneshot);
        if covered != Some(link.checksum) {
            return Err(self.damaged());
        }
        Ok(end)
    }
}

/// The number of bytes of a page that its checksum covers: up to the end of its last row or key.
pub(super) fn used(page: &[u8], widths: Widths) -> Option<usize> {
    let count = count(page).filter(|count| *count > 0)?;
    let last = count - 1;
    match (page[0], widths.key, widths.value) {
        (LEAF, Some(key), Some(value)) => {
            let rows = key.checked_add(value)?.checked_mul(count)?;
            rows.checked_add(ENDS)
        }
        (LEAF, Some(_), None) => usize_at(page, ENDS + 4 * last),
        (LEAF, None, Some(value)) => {
            let values = value.checked_mul(count)?;
            values.checked_add(usize_at(page, ENDS + 4 * last)?)
        }
        (LEAF, None, None) => usize_at(page, ENDS + 4 * (count + last)),
        (BRANCH, key, _) => {
            let keys = CHILDREN + (CHECKSUM_BYTES + NUMBER_BYTES) * (count + 1);
            match key {
                Some(key) => key.checked_mul(count)?.checked_add(keys),
                None => usize_at(page, keys + 4 * last),
            }
        }
        _ => None,
    }
}

/// Where a branch names its children; `None` if it claims more than fit in the page.
pub(super) fn children(page: &[u8]) -> Option<impl Iterator<Item = Place> + use<>> {
    let children = count(page)? + 1;
    let numbers = CHILDREN + CHECKSUM_BYTES * children;
    let place = move |nth: usize| Place {
        number: numbers + NUMBER_BYTES * nth,
        checksum: CHILDREN + CHECKSUM_BYTES * nth,
    };
    (numbers + NUMBER_BYTES * children <= page.len()).then(|| (0..children).map(place))
}

/// The children of a branch.
pub(super) fn links(page: &[u8]) -> Option<Vec<Link>> {
    children(page)?.map(|place| place.link(page)).collect()
}

/// A table as a leaf of definitions defines it.
pub(super) struct Definition {
    /// Its bytes in the leaf.
    pub(super) name: Range<usize>,
    pub(super) kind: u8,
    pub(super) rows: u64,
    pub(super) widths: Widths,
    /// `None` for a table without rows.
    pub(super) root: Option<Place>,
}

/// The tables that a leaf of definitions defines.
pub(super) fn definitions(leaf: &[u8]) -> Option<Vec<Definition>> {
    let count = count(leaf)?;
    let end = |nth: usize| usize_at(leaf, ENDS + 4 * nth);
    (0..count)
        .map(|nth| {
            let key = match nth {
                0 => ENDS + 8 * count,
                nth => end(nth - 1)?,
            };
            // The values follow the last key.
            let start = end(count + nth - 1)?;
            let definition = leaf.get(start..end(count + nth)?)?;
            let width = |place: usize| match *definition.get(place)? {
                0 => Some(None),
                _ => Some(Some(usize_at(definition, place + 1)?)),
            };
            let root = Place::of_root(TABLE_ROOT);
            root.link(definition)?;
            Some(Definition {
                name: key..end(nth)?,
                kind: *definition.first()?,
                rows: u64_at(definition, 1)?,
                widths: Widths {
                    key: width(KEY_WIDTH)?,
                    value: width(VALUE_WIDTH)?,
                },
                root: (*definition.get(HAS_ROOT)? != 0).then(|| Place::of_root(start + TABLE_ROOT)),
            })
        })
        .collect()
}
