//! The two files of a journal.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::journal::layout::{
    Generation, HEADER_BYTES, Keys, Published, RECORDS, SLOT, SLOT_BYTES, Salt, header,
    header_offsets, read_header,
};
use crate::journal::record::{ALIGN, HEAD_BYTES, Head};
use crate::storage::{Disk, FileId, FileMode, LockKind, LockRange, SEGMENT_SUFFIX, Storage};

/// The length of a new segment.
const FIRST_BYTES: u64 = 64 << 10;
/// The most zeros by which a segment grows for a record: the sync of the record takes them along.
const MAX_GROWTH: u64 = 1 << 20;
/// Zeros are written in pieces of this length.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

const fn byte(offset: u64) -> LockRange {
    (Bound::Included(offset), Bound::Included(offset))
}

/// Locks of the first file, far behind its end. The handles that know the session and have not
/// crashed hold it shared: what is published is what they have synced.
const LIVE: LockRange = byte(1 << 61);
/// A writer that recovers holds it, or readers of a crashed store share it.
const GUARD: LockRange = byte((1 << 61) + 1);
/// A reader that the writer has overtaken several times holds it: no segment is recycled.
const READING: LockRange = byte((1 << 61) + 2);

/// The path of a segment, beside the canonical path of the store's file.
pub(super) fn path(store: &Path, file: usize) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(SEGMENT_SUFFIX);
    path.push(file.to_string());
    PathBuf::from(path)
}

/// Both segments of a session, open.
#[derive(Debug)]
pub(super) struct Segments {
    files: [Segment; 2],
    keys: Keys,
    /// Whether this value holds the lock of those who know the session.
    is_joined: AtomicBool,
    /// A write has failed: this handle ends the session, and writes no record to it any more.
    is_given_up: AtomicBool,
}

#[derive(Debug)]
struct Segment {
    storage: Box<dyn Storage>,
    id: Option<FileId>,
    /// A length that the file has reached. Systems keep a finer time of the next write to a file
    /// whose length was asked for, and write that time with each sync: a commit does not ask.
    reached: AtomicU64,
}

impl Segment {
    fn new(storage: Box<dyn Storage>, id: Option<FileId>) -> Self {
        Self {
            storage,
            id,
            reached: AtomicU64::new(0),
        }
    }
}

/// What both slots of a session say is published, the later one.
pub(super) enum Slots {
    Read(Option<Published>),
    /// A slot is being written, or a crash has damaged it: this is what the other one says.
    Torn(Option<Published>),
}

/// Why the segments of a session cannot be opened.
pub(super) enum OpenFailure {
    /// A segment is not there, or is not of this session.
    Missing,
    Io(io::Error),
}

impl From<io::Error> for OpenFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

impl Segments {
    /// Makes the segments of a new session, with the headers of the first two generations, and
    /// syncs them and their directory. If that fails, none is left.
    pub(super) fn create(disk: &dyn Disk, store: &Path, keys: &Keys) -> io::Result<Self> {
        let mut made = Vec::new();
        let mut create = |generation: Generation| {
            let path = path(store, generation.file());
            let storage = disk.create_beside(store, &path)?;
            made.push(path.clone());
            write_zeros(&*storage, 0, FIRST_BYTES)?;
            let bytes = header(keys.salt(), generation);
            storage.write_at(generation.header_offset(), &bytes)?;
            storage.sync()?;
            disk.sync_entry(&path)?;
            let id = disk.file_id(&path)?;
            Ok::<_, io::Error>(Segment::new(storage, id))
        };
        let first = create(Generation::FIRST);
        let both = first.and_then(|first| Ok([create(Generation::FIRST.next())?, first]));
        if both.is_err() {
            for path in made {
                // Report the first error, not that of the removal.
                let _ = disk.remove(&path);
            }
        }
        Ok(Self {
            files: both?,
            keys: keys.clone(),
            is_joined: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
        })
    }

    /// Opens the segments of a session.
    pub(super) fn open(
        disk: &dyn Disk,
        store: &Path,
        keys: &Keys,
        mode: FileMode,
    ) -> Result<Self, OpenFailure> {
        let open = |file| {
            let path = path(store, file);
            let id = disk.file_id(&path)?;
            let storage = disk.open(&path, mode)?;
            Ok::<_, io::Error>(Segment::new(storage, id))
        };
        let segments = Self {
            files: [open(0)?, open(1)?],
            keys: keys.clone(),
            is_joined: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
        };
        match [segments.generation(0)?, segments.generation(1)?] {
            [Some(_), Some(_)] => Ok(segments),
            _ => Err(OpenFailure::Missing),
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn storage(&self, file: usize) -> &dyn Storage {
        &*self.files[file].storage
    }

    /// The generation that a file holds: the greater one of its intact headers of this session.
    pub(super) fn generation(&self, file: usize) -> io::Result<Option<Generation>> {
        let mut greatest = None;
        for offset in header_offsets() {
            let mut bytes = [0; HEADER_BYTES];
            match self.storage(file).read_at(offset, &mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                read => read?,
            }
            if let Some((salt, generation)) = read_header(&bytes)
                && salt == self.keys.salt()
                && generation.file() == file
            {
                greatest = greatest.max(Some(generation));
            }
        }
        Ok(greatest)
    }

    /// Makes a file the next but one generation after the one that it holds, and syncs it. Returns
    /// whether that was done: if the header cannot be written, the session is given up.
    pub(super) fn recycle(&self, generation: Generation) -> io::Result<bool> {
        let storage = self.storage(generation.file());
        let offset = generation.header_offset();
        let bytes = header(self.keys.salt(), generation);
        if let Err(error) = storage.write_at(offset, &bytes) {
            self.give_up();
            return match take_back(storage, offset, &bytes) {
                Ok(true) => Ok(false),
                Ok(false) | Err(_) => Err(error),
            };
        }
        storage.sync().map(|()| true).inspect_err(|_| {
            // Another writer would rely on a header that may never reach the disk. Report the first
            // error.
            let _ = take_back(storage, offset, &bytes);
        })
    }

    /// Makes the writer of this handle end the session with its next transaction.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Writes the headers again: a sync that failed can leave headers in memory that the system
    /// takes for written.
    pub(super) fn write_headers_again(&self) -> io::Result<()> {
        for file in [0, 1] {
            if let Some(generation) = self.generation(file)? {
                let bytes = header(self.keys.salt(), generation);
                let storage = self.storage(file);
                storage.write_at(generation.header_offset(), &bytes)?;
            }
        }
        Ok(())
    }

    /// Writes zeros so that a file has at least this length. Returns whether it had not.
    pub(super) fn grow(&self, file: usize, needed: u64) -> io::Result<bool> {
        let reached = &self.files[file].reached;
        if needed <= reached.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let storage = self.storage(file);
        let len = storage.len_bytes()?;
        if needed <= len {
            reached.store(len, Ordering::Relaxed);
            return Ok(false);
        }
        // Doubled at first, so that few records pay for it.
        let longer = needed
            .max(len.saturating_add(len.min(MAX_GROWTH)))
            .next_multiple_of(FIRST_BYTES);
        write_zeros(storage, len, longer)?;
        reached.store(longer, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes zeros so that a file to which nothing is appended is as long as the other one. Its
    /// next generation will need that.
    pub(super) fn grow_like_other(&self, file: usize) -> io::Result<()> {
        let from = self.storage(file).len_bytes()?;
        let to = self.storage(1 - file).len_bytes()?;
        write_zeros(self.storage(file), from, to)
    }

    /// Publishes the end of the records: beside those of the other generation.
    pub(super) fn publish(&self, published: &Published) -> io::Result<()> {
        let storage = self.storage(published.generation.other_file());
        storage.write_at(SLOT, &published.to_bytes())
    }

    /// What is published: the later one of both files.
    pub(super) fn published(&self) -> io::Result<Option<Published>> {
        let (Slots::Read(published) | Slots::Torn(published)) = self.read_slots()?;
        Ok(published)
    }

    pub(super) fn read_slots(&self) -> io::Result<Slots> {
        let mut latest: Option<Published> = None;
        let mut is_torn = false;
        for file in [0, 1] {
            let mut bytes = [0; SLOT_BYTES];
            match self.storage(file).read_at(SLOT, &mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                read => read?,
            }
            let published = Published::from_bytes(&bytes);
            is_torn |= published.is_none() && bytes != [0; SLOT_BYTES];
            if let Some(published) = published
                && published.salt == self.keys.salt()
                && latest.is_none_or(|latest| latest.seq < published.seq)
            {
                latest = Some(published);
            }
        }
        Ok(match is_torn {
            true => Slots::Torn(latest),
            false => Slots::Read(latest),
        })
    }

    /// Takes back what is published.
    pub(super) fn unpublish(&self) -> io::Result<()> {
        for file in [0, 1] {
            self.storage(file).write_at(SLOT, &[0; SLOT_BYTES])?;
        }
        Ok(())
    }

    /// The same for a session that has ended, also on a disk that takes no bytes.
    pub(super) fn retire(&self) -> io::Result<()> {
        let mut files = self.files.iter();
        files.try_for_each(|segment| retire(&*segment.storage))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.storage(0).sync()?;
        self.storage(1).sync()
    }

    /// Takes the lock of those who know the session.
    pub(super) fn join(&self) -> io::Result<bool> {
        let is_joined = self.storage(0).try_lock(LIVE, LockKind::Shared)?;
        self.is_joined.store(is_joined, Ordering::Release);
        Ok(is_joined)
    }

    /// Releases this lock, whatever still uses this value.
    pub(super) fn leave(&self) -> io::Result<()> {
        self.is_joined.store(false, Ordering::Release);
        self.storage(0).unlock(LIVE)
    }

    /// Whether a handle that knows the session has not crashed: this one or another.
    pub(super) fn has_members(&self) -> io::Result<bool> {
        Ok(self.is_joined.load(Ordering::Acquire) || self.has_other_members()?)
    }

    /// Whether another handle, in this process or another, knows the session and has not crashed.
    pub(super) fn has_other_members(&self) -> io::Result<bool> {
        self.storage(0).is_locked(LIVE)
    }

    /// Tries to keep writers from recovering, or other handles from reading a crashed store.
    pub(super) fn try_guard(&self, kind: LockKind) -> io::Result<bool> {
        self.storage(0).try_lock(GUARD, kind)
    }

    pub(super) fn release_guard(&self) -> io::Result<()> {
        self.storage(0).unlock(GUARD)
    }

    /// Tries to keep the writer from recycling a segment.
    pub(super) fn try_read(&self) -> io::Result<bool> {
        self.storage(0).try_lock(READING, LockKind::Shared)
    }

    pub(super) fn release_reading(&self) -> io::Result<()> {
        self.storage(0).unlock(READING)
    }

    pub(super) fn is_being_read(&self) -> io::Result<bool> {
        self.storage(0).is_locked(READING)
    }

    /// Removes the files after the session has ended. Names that lead to other files are left.
    pub(super) fn remove(&self, disk: &dyn Disk, store: &Path) {
        for (file, segment) in self.files.iter().enumerate() {
            let path = path(store, file);
            // What stays is of a closed session, and the next writer removes it.
            if disk.file_id(&path).is_ok_and(|id| id == segment.id) {
                let _ = disk.remove(&path);
            }
        }
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        for segment in &self.files {
            // Locks that cannot be released end with the process.
            let _ = segment.storage.close();
        }
    }
}

/// Overwrites what could not be written or synced with zeros, as far as that is possible, so that a
/// later start of the system does not find it. Returns whether it is not there.
pub(super) fn take_back(storage: &dyn Storage, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let zeroed = storage.write_at(offset, &vec![0; bytes.len()]);
    storage.sync()?;
    if zeroed.is_ok() {
        return Ok(true);
    }
    // A part of a record or a header does not count.
    let mut found = vec![0; bytes.len()];
    storage.read_at(offset, &mut found)?;
    Ok(found != bytes)
}

/// Takes back what is published in a segment of a session that has ended. Readers that know the
/// session find nothing published, and look at the mark.
fn retire(storage: &dyn Storage) -> io::Result<()> {
    let written = storage.write_at(SLOT, &[0; SLOT_BYTES]);
    written.or_else(|_| storage.set_len(0))
}

fn write_zeros(storage: &dyn Storage, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let step = usize::try_from(to - at)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        storage.write_at(at, &ZEROS[..step])?;
        at += u64::try_from(step).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Puts files of another session out of the way, before a session begins. They are removed if they
/// hold no record; else both get another name, since they may hold what the store's file lacks.
pub(super) fn clear(disk: &dyn Disk, store: &Path, ended: Option<Salt>) -> io::Result<()> {
    let mut others = Vec::new();
    let mut keep = false;
    for file in [0, 1] {
        let path = path(store, file);
        let storage = match disk.open(&path, FileMode::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let salt = salt_of(&*storage)?;
        if salt.is_some() && salt == ended {
            retire(&*storage)?;
            storage.close()?;
            disk.remove(&path)?;
            continue;
        }
        if let Some(salt) = salt {
            keep |= holds_records(&*storage, &Keys::new(salt))?;
        }
        storage.close()?;
        others.push(path);
    }
    if !keep {
        return others.iter().try_for_each(|path| disk.remove(path));
    }
    let stale = |path: &PathBuf, number: u32| {
        let mut stale = path.as_os_str().to_owned();
        stale.push(format!(".stale-{number}"));
        PathBuf::from(stale)
    };
    let is_free = |path: &Path| match disk.file_id(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        found => found.map(|_| false),
    };
    for number in 0..u32::MAX {
        let names = [0, 1].map(|file| stale(&path(store, file), number));
        if is_free(&names[0])? && is_free(&names[1])? {
            for path in &others {
                let stale = stale(path, number);
                disk.rename(path, &stale)?;
                disk.sync_entry(&stale)?;
            }
            break;
        }
    }
    Ok(())
}

/// The session of a file.
fn salt_of(storage: &dyn Storage) -> io::Result<Option<Salt>> {
    for offset in header_offsets() {
        let mut bytes = [0; HEADER_BYTES];
        match storage.read_at(offset, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        if let Some((salt, _)) = read_header(&bytes) {
            return Ok(Some(salt));
        }
    }
    Ok(None)
}

/// Whether a file holds a record, or what damage has left of one.
fn holds_records(storage: &dyn Storage, keys: &Keys) -> io::Result<bool> {
    let len = storage.len_bytes()?.saturating_sub(RECORDS);
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    if !bytes.is_empty() {
        storage.read_at(RECORDS, &mut bytes)?;
    }
    let heads = (0..bytes.len())
        .step_by(ALIGN)
        .filter_map(|at| bytes[at..].first_chunk::<HEAD_BYTES>());
    let mut written = heads.filter(|head| **head != [0; HEAD_BYTES]);
    Ok(written.any(|head| Head::read(head, keys).is_some()))
}
