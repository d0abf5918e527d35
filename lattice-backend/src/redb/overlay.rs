//! A storage that keeps all writes in memory and does not change its base.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::storage::{LockKind, LockRange, Storage};

/// The unit of storage; redb writes multiples of it, except for its header.
const BLOCK: usize = 4096;
const BLOCK_U64: u64 = 4096;

/// Lets redb repair a file in memory, in order to read a file whose last writer was killed in
/// exclusive mode.
#[derive(Debug)]
pub(super) struct Overlay {
    base: Box<dyn Storage>,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// The bytes of the base that are still visible: after a truncation, what was cut off reads as
    /// zeroes even if the overlay grows again.
    base_len: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Overlay {
    pub(super) fn new(base: Box<dyn Storage>) -> io::Result<Self> {
        let base_len = base.len_bytes()?;
        let changed = Mutex::new(Changed {
            len: base_len,
            base_len,
            blocks: BTreeMap::new(),
        });
        Ok(Self { base, changed })
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a block of the base, with zeroes beyond its visible part.
    fn base_block(&self, number: u64, base_len: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut block = Box::new([0; BLOCK]);
        let start = number * BLOCK_U64;
        let there = base_len.saturating_sub(start).min(BLOCK_U64);
        let there = usize::try_from(there).map_err(io::Error::other)?;
        if there > 0 {
            self.base.read_at(start, &mut block[..there])?;
        }
        Ok(block)
    }
}

/// Splits a byte range at block boundaries: block number, first byte in the block, length.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let first = usize::try_from(at % BLOCK_U64).ok()?;
        let length = left.min(BLOCK - first);
        let piece = (at / BLOCK_U64, first, length);
        at += u64::try_from(length).ok()?;
        left -= length;
        Some(piece)
    })
}

impl Storage for Overlay {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.changed().len)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let changed = self.changed();
        let end = u64::try_from(buffer.len())
            .ok()
            .and_then(|len| offset.checked_add(len));
        let Some(end) = end.filter(|end| *end <= changed.len) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let blocks = offset / BLOCK_U64..end.div_ceil(BLOCK_U64);
        if end <= changed.base_len && changed.blocks.range(blocks).next().is_none() {
            drop(changed);
            return self.base.read_at(offset, buffer);
        }
        let mut rest = buffer;
        for (number, first, length) in pieces(offset, rest.len()) {
            let (piece, after) = rest.split_at_mut(length);
            match changed.blocks.get(&number) {
                Some(block) => piece.copy_from_slice(&block[first..first + length]),
                None => {
                    let block = self.base_block(number, changed.base_len)?;
                    piece.copy_from_slice(&block[first..first + length]);
                }
            }
            rest = after;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changed = self.changed();
        let base_len = changed.base_len;
        let mut rest = bytes;
        for (number, first, length) in pieces(offset, bytes.len()) {
            let (piece, after) = rest.split_at(length);
            let block = match changed.blocks.entry(number) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => free.insert(self.base_block(number, base_len)?),
            };
            block[first..first + length].copy_from_slice(piece);
            rest = after;
        }
        let len = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        changed.len = changed.len.max(offset + len);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed();
        if len < changed.len {
            let last_kept = len / BLOCK_U64;
            changed.base_len = changed.base_len.min(len);
            changed.blocks.retain(|&number, _| number <= last_kept);
            let kept = usize::try_from(len % BLOCK_U64).map_err(io::Error::other)?;
            if let Some(block) = changed.blocks.get_mut(&last_kept) {
                block[kept..].fill(0);
            }
        }
        changed.len = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    // Other processes do not see the memory, so every lock is free.
    fn try_lock(&self, _: LockRange, _: LockKind) -> io::Result<bool> {
        Ok(true)
    }

    fn lock(&self, _: LockRange, _: LockKind) -> io::Result<()> {
        Ok(())
    }

    fn unlock(&self, _: LockRange) -> io::Result<()> {
        Ok(())
    }

    fn is_locked(&self, _: LockRange) -> io::Result<bool> {
        Ok(false)
    }

    fn close(&self) -> io::Result<()> {
        self.base.close()
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::conformance::Rng;
    use crate::storage::{Disk, FileMode, MemoryDisk};

    /// Random writes, truncations and extensions have the same effect on an overlay as on a file,
    /// and do not change the base.
    #[test]
    fn an_overlay_reads_like_the_written_file() {
        let mut rng = Rng::new(11);
        for _ in 0..40 {
            let (disk, path) = (MemoryDisk::new(), Path::new("base"));
            let base = rng.bytes(5 * BLOCK / 2);
            disk.insert(path, base.clone());
            disk.insert(Path::new("model"), base.clone());
            let open = |name: &Path| disk.open(name, FileMode::ReadWrite).expect("it is there");
            let overlay = Overlay::new(open(path)).expect("memory does not fail");
            let model = open(Path::new("model"));
            for _ in 0..30 {
                let place = u64::try_from(rng.below(4 * BLOCK)).expect("it is small");
                let length = rng.below(2 * BLOCK);
                if rng.one_in(3) {
                    overlay.set_len(place).expect("memory does not fail");
                    model.set_len(place).expect("memory does not fail");
                } else {
                    let bytes = rng.bytes(length);
                    overlay.write_at(place, &bytes).expect("it is memory");
                    model.write_at(place, &bytes).expect("it is memory");
                }
                let expected = disk.bytes(Path::new("model")).expect("it is there");
                let mut found = vec![0; expected.len()];
                overlay.read_at(0, &mut found).expect("it is as long");
                assert!(found == expected, "after {place}, {length}");
                let start = rng.below(expected.len() + 1);
                let end = start + rng.below(expected.len() + 1 - start);
                let mut part = vec![0; end - start];
                let offset = u64::try_from(start).expect("it is small");
                overlay.read_at(offset, &mut part).expect("it is there");
                assert!(part == expected[start..end], "{start}..{end}");
                assert!(overlay.read_at(1, &mut found).is_err() || found.is_empty());
            }
            assert!(disk.bytes(path) == Some(base));
        }
    }
}
