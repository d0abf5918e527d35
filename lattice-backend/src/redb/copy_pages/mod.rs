//! Copies a commit of a file page by page to a new file without unused space.
//!
//! A transaction that reads a commit keeps its pages as they are, also beside a writer in another
//! process. Each page that is read is compared with its checksum.

use std::ops::Bound;
use std::sync::Arc;

use twox_hash::XxHash3_128;

use crate::backend::file_error::FileFault;
use crate::backend::{BackendError, Result as BackendResult, Table};
use crate::progress::{Counted, ProgressSink, Stage};
use crate::redb::adapter::PRIMARY_UNFLUSHED;
use crate::redb::db::Opened;
use crate::redb::error::open_error;
use crate::redb::free_pages::REGION_PAGES;
use crate::redb::packed::{Commit, Packed, PageCounts};
use crate::redb::page::{
    BRANCH, COMMIT_NUMBER, FLAGS, HEADER_BYTES, LEAF, NORMAL, PAGE_BYTES, PAGE_SIZE, PRIMARY,
    REGION_DATA_PAGES, REGION_HEADER_PAGES, ROOTS, SLOT_BYTES, SLOTS, TREE_TABLES, count, order,
    root_at, u32_at, u64_at,
};
use crate::redb::pages::{
    Link, Pages, Place, Widths, children, definitions, is_slot_intact, links,
};
use crate::redb::reader::TWO_PHASE_COMMIT;
use crate::redb::tx::RedbReadTx;
use crate::storage::{LockKind, LockRange, Storage};

/// How often a commit may come between reading the header and beginning to read.
const ATTEMPTS: usize = 100;
/// Writers lock the header while they change it (redb's design document).
const HEADER: LockRange = (Bound::Included(0), Bound::Excluded(320));
/// No tree has more levels: a page holds two children at least, and a file 2^40 pages.
const MAX_HEIGHT: usize = 64;

/// A commit of a file whose pages stay as they are while this lives.
pub(super) struct Pinned {
    storage: Arc<dyn Storage>,
    header: [u8; HEADER_BYTES],
    slot: usize,
    pub(super) tx: RedbReadTx,
}

impl Pinned {
    /// The commit that a snapshot shows. `None` for a file that redb repaired in memory, and for
    /// one that Lattice did not write.
    pub(super) fn of(opened: &Opened) -> BackendResult<Option<Self>> {
        let Opened::Reader { header: file, .. } = opened else {
            return Ok(None);
        };
        for _ in 0..ATTEMPTS {
            let before = last_commit(opened, &**file)?;
            let tx = opened.begin_read()?;
            let after = last_commit(opened, &**file)?;
            // The number of a commit grows. So no commit was made between the two reads, and the
            // transaction reads this one.
            if let (Some((header, slot)), Some((same, _))) = (before, after)
                && header[slot..slot + SLOT_BYTES] == same[slot..slot + SLOT_BYTES]
            {
                return Ok(Some(Self {
                    storage: Arc::clone(file),
                    header,
                    slot,
                    tx,
                }));
            }
        }
        Ok(None)
    }

    fn user_root(&self) -> Option<Link> {
        root_at(&self.header, self.slot, ROOTS[0])?;
        let (_, place) = ROOTS[0];
        Place::of_root(self.slot + place).link(&self.header)
    }

    fn commit(&self, root: Link) -> Option<Commit> {
        let (_, place) = ROOTS[0];
        Some(Commit {
            version: self.header[self.slot],
            root,
            tables: u64_at(&self.header, self.slot + place + TREE_TABLES)?,
            number: u64_at(&self.header, self.slot + COMMIT_NUMBER)?,
        })
    }
}

/// The header, and the slot of the last commit that snapshots show. `None` if Lattice does not make
/// such commits.
fn last_commit(
    opened: &Opened,
    file: &dyn Storage,
) -> BackendResult<Option<([u8; HEADER_BYTES], usize)>> {
    let mut header = [0; HEADER_BYTES];
    let mut read = || {
        file.lock(HEADER, LockKind::Shared)?;
        let read = file.read_at(0, &mut header);
        file.unlock(HEADER)?;
        read
    };
    read().map_err(|error| BackendError::storage("reading the header", error))?;
    let flags = header[FLAGS];
    let primary = usize::from(flags & PRIMARY);
    // While the last commit may not be on the disk, snapshots show the one before; but those of a
    // file without a writer show the last one.
    let is_shown = flags & PRIMARY_UNFLUSHED == 0 || opened.keeps_writers_out();
    let slot = SLOTS[if is_shown { primary } else { 1 - primary }];
    let is_known = flags & TWO_PHASE_COMMIT != 0 && is_slot_intact(&header, slot);
    Ok(is_known.then_some((header, slot)))
}

/// Why pages are not copied.
pub(super) enum Stop {
    /// The file that is copied is damaged, or cannot be read.
    Source(FileFault),
    /// The copy cannot be written.
    Target(FileFault),
    /// The file is not as Lattice writes one, or one region does not hold the copy.
    Unfit,
}

/// Faults of the file that is copied.
impl From<FileFault> for Stop {
    fn from(fault: FileFault) -> Self {
        Self::Source(fault)
    }
}

/// What a copy of a commit takes.
pub(super) struct Plan<'a> {
    pinned: &'a Pinned,
    pages: Pages<'a>,
    root: Link,
    counts: PageCounts,
    rows: u64,
}

impl<'a> Plan<'a> {
    /// Counts the pages of a commit. Reads no leaves but the first ones: the leaves of a tree are
    /// all on one level, and a page's number says how long it is.
    pub(super) fn new(pinned: &'a Pinned) -> Result<Self, Stop> {
        let header = &pinned.header;
        let geometry = [PAGE_SIZE, REGION_HEADER_PAGES, REGION_DATA_PAGES];
        let geometry = geometry.map(|place| u32_at(header, place).map(u64::from));
        if geometry != [Some(PAGE_BYTES), Some(0), Some(REGION_PAGES.into())] {
            return Err(Stop::Unfit);
        }
        let len = pinned.storage.len_bytes();
        let mut plan = Self {
            pinned,
            pages: Pages {
                storage: &*pinned.storage,
                header,
                len: len.map_err(open_error)?,
                damage: "a page does not match its checksum",
            },
            root: pinned.user_root().ok_or(Stop::Unfit)?,
            counts: PageCounts::default(),
            rows: 0,
        };
        plan.count_tree(plan.root, Widths::default())?;
        let mut tables = Vec::new();
        let mut is_ours = true;
        let widths = Widths::default();
        plan.pages.walk(plan.root, widths, &mut |leaf| {
            for table in definitions(leaf)? {
                let name = leaf.get(table.name)?;
                let is_named = Table::ALL
                    .iter()
                    .any(|table| table.name().as_bytes() == name);
                is_ours &= is_named && table.kind == NORMAL;
                if let Some(root) = table.root {
                    tables.push((root.link(leaf)?, table.widths, table.rows));
                }
            }
            Some(())
        })?;
        if !is_ours {
            return Err(Stop::Unfit);
        }
        for (root, widths, rows) in tables {
            plan.count_tree(root, widths)?;
            plan.rows = plan.rows.saturating_add(rows);
        }
        Ok(plan)
    }

    fn count_tree(&mut self, root: Link, widths: Widths) -> Result<(), Stop> {
        let mut height = 0;
        let mut page = Vec::new();
        let mut first = root;
        loop {
            self.pages.read(first, widths, &mut page)?;
            match page[0] {
                BRANCH if height < MAX_HEIGHT => height += 1,
                BRANCH => return Err(self.pages.damaged().into()),
                _ => break,
            }
            let links = links(&page).ok_or_else(|| self.pages.damaged())?;
            first = *links.first().ok_or_else(|| self.pages.damaged())?;
        }
        self.count(root, widths, height)
    }

    fn count(&mut self, link: Link, widths: Widths, height: usize) -> Result<(), Stop> {
        let order = usize::try_from(order(link.number)).map_err(|_| Stop::Unfit)?;
        self.counts.add(order).ok_or(Stop::Unfit)?;
        if height > 0 {
            let mut page = Vec::new();
            self.pages.read(link, widths, &mut page)?;
            if page[0] != BRANCH {
                return Err(Stop::Unfit);
            }
            for child in links(&page).ok_or_else(|| self.pages.damaged())? {
                self.count(child, widths, height - 1)?;
            }
        }
        Ok(())
    }

    /// Writes the copy. It is one that redb closed cleanly.
    pub(super) fn write(self, target: &dyn Storage, progress: &ProgressSink) -> Result<(), Stop> {
        let to = Packed::new(target, self.counts).ok_or(Stop::Unfit)?;
        let mut copy = Copy {
            pages: self.pages,
            to,
            rows: Counted::new(progress, Stage::Copy, Some(self.rows)),
            spare: Vec::new(),
        };
        let root = copy.tree(self.root, Tree::Definitions, 0)?;
        let commit = self.pinned.commit(root).ok_or(Stop::Unfit)?;
        copy.to.finish(&commit)
    }
}

/// A tree, by what its leaves hold.
#[derive(Clone, Copy)]
enum Tree {
    /// Definitions of tables.
    Definitions,
    Rows(Widths),
}

struct Copy<'a> {
    pages: Pages<'a>,
    to: Packed<'a>,
    rows: Counted<'a>,
    /// Buffers of pages.
    spare: Vec<Vec<u8>>,
}

impl Copy<'_> {
    /// Copies a page after all that it names. Returns its link in the copy.
    fn tree(&mut self, link: Link, tree: Tree, depth: usize) -> Result<Link, Stop> {
        let mut page = Vec::new();
        if let Some(spare) = self.spare.pop() {
            page = spare;
        }
        let widths = match tree {
            Tree::Definitions => Widths::default(),
            Tree::Rows(widths) => widths,
        };
        let used = self.pages.read(link, widths, &mut page)?;
        let is_changed = self.follow(&mut page, tree, depth)?;
        let checksum = match is_changed {
            true => XxHash3_128::oneshot(&page[..used]),
            false => link.checksum,
        };
        // What redb left there can be a part of rows that were deleted.
        page[used..].fill(0);
        let order = usize::try_from(order(link.number)).map_err(|_| Stop::Unfit)?;
        let number = self.to.append(order, &page)?;
        self.spare.push(page);
        Ok(Link { number, checksum })
    }

    /// Copies what a page names, and names the copies in it. Returns whether it names any.
    fn follow(&mut self, page: &mut [u8], tree: Tree, depth: usize) -> Result<bool, Stop> {
        let damaged = || Stop::from(self.pages.damaged());
        match (page[0], tree) {
            (BRANCH, _) if depth < MAX_HEIGHT => {
                for place in children(page).ok_or_else(damaged)? {
                    self.move_link(page, place, tree, depth + 1)?;
                }
            }
            (LEAF, Tree::Definitions) => {
                for table in definitions(page).ok_or_else(damaged)? {
                    if let Some(place) = table.root {
                        self.move_link(page, place, Tree::Rows(table.widths), 0)?;
                    }
                }
            }
            (LEAF, Tree::Rows(_)) => {
                let rows = count(page).ok_or_else(damaged)?;
                self.rows.add(u64::try_from(rows).map_err(|_| damaged())?);
                return Ok(false);
            }
            _ => return Err(damaged()),
        }
        Ok(true)
    }

    fn move_link(
        &mut self,
        page: &mut [u8],
        place: Place,
        tree: Tree,
        depth: usize,
    ) -> Result<(), Stop> {
        let link = place.link(page).ok_or_else(|| self.pages.damaged())?;
        let moved = self.tree(link, tree, depth)?;
        place.set(page, moved);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
