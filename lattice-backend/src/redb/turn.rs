//! The queue of writers: byte ranges of a lock file beside the store's file.
//!
//! A writer takes the last place of the queue, then each place before it, then the turn, and never
//! holds more than two of these locks at a time. So no writer overtakes another one in the queue.
//! All of them poll, because a lock that others can hold is not waited for without a limit. A
//! process that is killed loses its locks, and delays none of the others.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::backend::file_error::FileFault;
use crate::backend::{Busy, Holder};
use crate::redb::error::open_error;
use crate::storage::{Disk, FileMode, LockKind, LockRange, Storage, lock_beside};

/// The lock of the writer.
const TURN: u64 = 0;
/// The places of the queue, and the number of them. Further writers wait for the last place.
const FIRST_PLACE: u64 = 16;
const PLACES: u64 = 32;
/// The offset of the text that names long work. On some systems a locked byte cannot be read.
const TEXT: u64 = 64;
/// The most bytes of this text.
const MAX_TEXT: usize = 64;
/// The first pause between two attempts. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause of the first writer in the queue, and of the others.
const NEXT_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(20);

const fn byte(offset: u64) -> LockRange {
    (Bound::Included(offset), Bound::Included(offset))
}

/// The right to write to a store. Dropping it lets the next writer have it.
#[derive(Debug)]
pub(super) struct Turn(
    Box<dyn Storage>,
    /// Whether this value has written a name. A writer that only waits must not remove one.
    AtomicBool,
);

impl Turn {
    /// Takes the turn of a store once those before it in the queue have had it. Stops waiting if
    /// `is_over` returns true.
    pub(super) fn take(
        disk: &dyn Disk,
        store: &Path,
        work: Option<&str>,
        patience: &mut Patience,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Self, FileFault> {
        loop {
            let turn = Self(open(disk, store)?, AtomicBool::new(false));
            turn.queue(patience, is_over)?;
            // The file may have been removed, and made again, before it was locked.
            if open(disk, store)?
                .is_locked(byte(TURN))
                .map_err(open_error)?
            {
                turn.name(work).map_err(open_error)?;
                return Ok(turn);
            }
        }
    }

    fn queue(&self, patience: &mut Patience, is_over: &dyn Fn() -> bool) -> Result<(), FileFault> {
        let mut place = FIRST_PLACE + PLACES;
        loop {
            while self.try_byte(before(place))? {
                if place < FIRST_PLACE + PLACES {
                    self.0.unlock(byte(place)).map_err(open_error)?;
                }
                place = before(place);
                if place == TURN {
                    return Ok(());
                }
            }
            let longest = match place {
                FIRST_PLACE => NEXT_PAUSE,
                _ => MAX_PAUSE,
            };
            if is_over() || !patience.pause(longest) {
                return Err(FileFault::InUse(Busy {
                    holder: self.holder(),
                    ..patience.busy()
                }));
            }
        }
    }

    fn try_byte(&self, offset: u64) -> Result<bool, FileFault> {
        let taken = self.0.try_lock(byte(offset), LockKind::Exclusive);
        taken.map_err(open_error)
    }

    /// Whether another writer is in the queue.
    pub(super) fn is_awaited(&self) -> bool {
        let places = (
            Bound::Included(FIRST_PLACE),
            Bound::Excluded(FIRST_PLACE + PLACES),
        );
        // If it is not known, let the others have a turn.
        self.0.is_locked(places).unwrap_or(true)
    }

    /// Writes the name of long work and the id of this process, for others to read. Removes what a
    /// killed process has left there.
    pub(super) fn name(&self, work: Option<&str>) -> io::Result<()> {
        if self.0.len_bytes()? > 0 {
            self.0.set_len(0)?;
        }
        match work {
            Some(work) => {
                let text = format!("{work} {}", std::process::id());
                self.1.store(true, Ordering::Relaxed);
                self.0.write_at(TEXT, text.as_bytes())
            }
            None => Ok(()),
        }
    }

    /// What a process does that has the turn for long work. Makes no lock file.
    pub(super) fn long_work(disk: &dyn Disk, store: &Path) -> Option<Holder> {
        let store = disk.canonical(store).ok()?;
        let opened = disk.open(&lock_beside(&store), FileMode::Read).ok()?;
        let other = Self(opened, AtomicBool::new(false));
        // A killed process leaves its name.
        let is_held = other.0.is_locked(byte(TURN)).ok()?;
        other.holder().filter(|_| is_held)
    }

    /// What the process that has the turn has written about itself.
    fn holder(&self) -> Option<Holder> {
        let len = self.0.len_bytes().ok()?.checked_sub(TEXT)?;
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_TEXT)?;
        let mut text = vec![0; len];
        self.0.read_at(TEXT, &mut text).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (work, process) = text.rsplit_once(' ')?;
        let is_name = |work: &str| work.bytes().all(|byte| byte.is_ascii_lowercase());
        Some(Holder {
            work: Some(work).filter(|work| is_name(work))?.to_owned(),
            process: process.parse().ok()?,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The name of long work goes with the turn. What stays is removed with the next turn.
        if self.1.load(Ordering::Relaxed) {
            let _ = self.name(None);
        }
        // A lock that cannot be released ends with the process. There is nothing else to do.
        let _ = self.0.close();
    }
}

fn open(disk: &dyn Disk, store: &Path) -> Result<Box<dyn Storage>, FileFault> {
    disk.open_lock(store).map_err(|error| {
        let kind = error.kind();
        match open_error(error) {
            FileFault::Io(error) => {
                let text = format!("its lock file cannot be opened: {error}");
                FileFault::Io(io::Error::new(kind, text).into())
            }
            fault => fault,
        }
    })
}

/// The lock that follows in the queue, towards the turn.
const fn before(place: u64) -> u64 {
    match place {
        FIRST_PLACE => TURN,
        place => place - 1,
    }
}

/// How long a call waits for others, and how often it tries.
#[derive(Debug)]
pub(super) struct Patience {
    began: Instant,
    wait: Duration,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            began: Instant::now(),
            wait,
            pause: FIRST_PAUSE,
        }
    }

    /// Waits before the next attempt. Returns false if the time is over.
    pub(super) fn pause(&mut self, longest: Duration) -> bool {
        let left = self.wait.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return false;
        }
        if self.pause == FIRST_PAUSE {
            tracing::debug!(seconds = self.wait.as_secs(), "waiting for other processes");
        }
        self.pause = self.pause.min(longest);
        sleep(jitter(self.pause).min(left));
        self.pause *= 2;
        true
    }

    /// The same with pauses of any length.
    pub(super) fn pause_long(&mut self) -> bool {
        self.pause(MAX_PAUSE)
    }

    /// Allows at least this time from now on.
    pub(super) fn wait_at_least(&mut self, wait: Duration) {
        self.wait = self.wait.max(self.began.elapsed() + wait);
        self.pause = FIRST_PAUSE;
    }

    pub(super) fn busy(&self) -> Busy {
        Busy {
            waited: self.began.elapsed(),
            holder: None,
        }
    }
}

/// A random time of at least half this length, so that writers do not poll in step.
fn jitter(longest: Duration) -> Duration {
    let half = longest / 2;
    let random = RandomState::new().hash_one(());
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(random % nanos)
}
