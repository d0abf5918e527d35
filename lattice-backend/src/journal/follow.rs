//! A reader brings what it knows up to date with what writers in other processes have published.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{BackendError, Busy, CommitMark, JournalInfo, Result};
use crate::journal::Snapshots;
use crate::journal::current::{Current, Known, missing};
use crate::journal::enter::PAUSE;
use crate::journal::layout::{ChainValue, Keys, Mark, Published, Salt};
use crate::journal::scan::{Chain, check_tail, has_both, read_mark, unreadable};
use crate::journal::segment::{Segments, Slots};
use crate::journal::shared::{Core, lock};
use crate::journal::view::{Base, Layers, View};
use crate::storage::{FileMode, LockKind};

/// After this many attempts a reader keeps the writer from recycling segments.
const PATIENCE: usize = 8;
/// Within this time every live writer gets to the end of its recovery.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What one attempt found.
enum Found {
    /// The view is up to date.
    Done,
    /// There is no session: this is what the backend holds.
    Plain(Base),
    /// A writer has changed something since.
    Again,
    /// The records do not reach what was published, which can be so because a segment was recycled.
    Short(Published),
}

impl Core {
    /// A snapshot of the store.
    pub(super) fn view(self: &Arc<Self>) -> Result<Arc<View>> {
        let mut current = lock(&self.current);
        current.is_used = true;
        // Read before the snapshot, which is at least as new. A session begins with a commit.
        let commit = match current.known {
            Some(_) => None,
            None => self.inner.last_commit(),
        };
        if let Some((view, of)) = &current.last
            && of.is_some()
            && *of == commit
        {
            return Ok(Arc::clone(view));
        }
        let turn = self.inner.turn();
        let base = match turn == 0 || turn != current.turn {
            true => self.follow(&mut current)?,
            false => None,
        };
        if current.known.is_some()
            && let Some((last, None)) = &current.last
        {
            return Ok(Arc::clone(last));
        }
        let Some(view) = current.view(&self.pins) else {
            let view = Arc::new(View {
                base: match base {
                    Some(base) => base,
                    None => self.inner.snapshot()?,
                },
                layers: Layers::default(),
                seq: 0,
                _pin: None,
            });
            self.keep(&mut current, &view, commit);
            return Ok(view);
        };
        let view = Arc::new(view);
        self.keep(&mut current, &view, None);
        Ok(view)
    }

    /// What the journal holds.
    pub(super) fn journal(self: &Arc<Self>) -> Result<Option<JournalInfo>> {
        let mut current = lock(&self.current);
        let turn = self.inner.turn();
        if turn == 0 || turn != current.turn {
            self.follow(&mut current)?;
        }
        current.info()
    }

    /// Keeps a snapshot for the next caller.
    fn keep(self: &Arc<Self>, current: &mut Current, view: &Arc<View>, commit: Option<CommitMark>) {
        if self.snapshots == Snapshots::Kept && (current.known.is_some() || commit.is_some()) {
            current.last = Some((Arc::clone(view), commit));
            self.forget_later(current.known.is_some());
        }
    }

    /// The session and the transaction that this handle knows, if there is a session.
    pub(super) fn look(self: &Arc<Self>) -> Result<Option<(Salt, ChainValue)>> {
        let mut current = lock(&self.current);
        self.follow(&mut current)?;
        let known = current.segments.as_ref().zip(current.known.as_ref());
        Ok(known.map(|(segments, known)| (segments.keys().salt(), known.chain.end.chain)))
    }

    /// Reads what writers have published. Returns what the backend holds if there is no session.
    fn follow(self: &Arc<Self>, current: &mut Current) -> Result<Option<Base>> {
        let began = Instant::now();
        let mut short: Option<Published> = None;
        let mut reading: Option<Arc<Segments>> = None;
        let mut attempts = 0_usize;
        let followed = loop {
            attempts += 1;
            match self.try_follow(current) {
                Ok(Found::Done) => break Ok(None),
                Ok(Found::Plain(base)) => break Ok(Some(base)),
                Err(BackendError::JournalMissing { .. } | BackendError::Damaged { .. })
                    if self.reads_damaged =>
                {
                    break self.read_damaged(current);
                }
                Err(error) => break Err(error),
                Ok(Found::Again) => short = None,
                Ok(Found::Short(published)) => {
                    // While it is kept from recycling, a writer cannot be the cause.
                    if reading.is_some() && short == Some(published) {
                        break Err(BackendError::Damaged {
                            detail: format!(
                                "the journal does not reach transaction {}, up to which it was \
                                 written",
                                published.seq
                            ),
                        });
                    }
                    short = Some(published);
                }
            }
            if attempts >= PATIENCE && reading.is_none() {
                let segments = current.segments.clone();
                reading = segments.filter(|segments| segments.try_read().unwrap_or(false));
            }
            if began.elapsed() >= MAX_WAIT {
                break Err(BackendError::InUse(Busy {
                    waited: began.elapsed(),
                    holder: None,
                }));
            }
            // A peek has most often only learnt of a session. Other readers pause: they would keep
            // writers from their turns.
            if self.snapshots != Snapshots::Peeked || attempts > 2 {
                std::thread::sleep(PAUSE);
            }
        };
        if let Some(segments) = reading {
            segments.release_reading().map_err(unreadable)?;
        }
        followed
    }

    /// Reads what can be read of a damaged journal.
    fn read_damaged(&self, current: &mut Current) -> Result<Option<Base>> {
        current.end();
        current.segments = None;
        let base = self.inner.snapshot()?;
        let Some(mark) = read_mark(&*base)?.filter(|mark| mark.is_open) else {
            return Ok(Some(base));
        };
        current.known = Some(Known {
            base,
            chain: self.readable(&mark),
            published: None,
        });
        Ok(None)
    }

    fn try_follow(self: &Arc<Self>, current: &mut Current) -> Result<Found> {
        // What is published is read first: a backend's snapshot that is taken later is newer, and
        // so nothing between the two is missed.
        let published = match &current.segments {
            Some(segments) => match segments.read_slots().map_err(unreadable)? {
                Slots::Read(published) => published,
                Slots::Torn(_) if segments.has_members().map_err(unreadable)? => {
                    return Ok(Found::Again);
                }
                Slots::Torn(published) => published,
            },
            None => None,
        };
        let known = current.known.as_ref();
        let known = known.filter(|known| known.published == published);
        if known.is_some() && published.is_some() {
            return Ok(Found::Done);
        }
        let base = self.inner.snapshot()?;
        let Some(mark) = read_mark(&*base)?.filter(|mark| mark.is_open) else {
            if current.known.is_some() {
                current.end();
            }
            current.segments = None;
            return Ok(Found::Plain(base));
        };
        // Nothing is published in a crashed store, and in the segments of a session that ended.
        if let (Some(segments), Some(known)) = (&current.segments, known)
            && read_mark(&*known.base)? == Some(mark)
            && !segments.has_members().map_err(unreadable)?
        {
            return Ok(Found::Done);
        }
        let is_same = |segments: &&Arc<Segments>| segments.keys().salt() == mark.salt;
        let Some(segments) = current.segments.as_ref().filter(is_same).cloned() else {
            return self.open_session(current, &mark);
        };
        if !segments.has_members().map_err(unreadable)? {
            return self.read_crashed(current, &segments);
        }
        // A writer recovers, and has published nothing yet.
        let Some(published) = published else {
            return Ok(Found::Again);
        };
        current.last = None;
        let known = current.known.take().map(|known| known.chain);
        let mut chain = Chain::after(known, &mark);
        if published.seq > mark.seq {
            let oldest = self.pins.oldest(chain.end.seq);
            chain.read_on(&segments, Some(&published), Some(oldest))?;
            if chain.end.seq != published.seq || chain.end.chain != published.chain {
                return Ok(Found::Short(published));
            }
        } else {
            chain = Chain::new(&mark);
        }
        current.known = Some(Known {
            base,
            chain,
            published: Some(published),
        });
        Ok(Found::Done)
    }

    /// Opens the segments of a session that this handle does not know. What they have published has
    /// to be read before the backend's snapshot.
    fn open_session(&self, current: &mut Current, mark: &Mark) -> Result<Found> {
        current.end();
        match self.open_segments(&Keys::new(mark.salt), FileMode::Read) {
            Ok(segments) => {
                current.segments = Some(Arc::new(segments));
                Ok(Found::Again)
            }
            Err(error @ BackendError::JournalMissing { .. }) => {
                // The session may just have ended.
                let now = read_mark(&*self.inner.snapshot()?)?;
                match now == Some(*mark) {
                    true => Err(error),
                    false => Ok(Found::Again),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the journal of a store whose writers have crashed. Writers are kept out until it is
    /// read.
    fn read_crashed(&self, current: &mut Current, segments: &Arc<Segments>) -> Result<Found> {
        if !segments.try_guard(LockKind::Shared).map_err(unreadable)? {
            return Ok(Found::Again);
        }
        let read = self.read_guarded(current, segments);
        segments.release_guard().map_err(unreadable)?;
        read
    }

    fn read_guarded(&self, current: &mut Current, segments: &Arc<Segments>) -> Result<Found> {
        if segments.has_members().map_err(unreadable)? {
            return Ok(Found::Again);
        }
        // What a reader has shown stays.
        if self.snapshots != Snapshots::Peeked {
            match segments.sync() {
                Err(error) if may_not_sync(&error) => {}
                synced => synced.map_err(unreadable)?,
            }
        }
        let published = segments.published().map_err(unreadable)?;
        let base = self.inner.snapshot()?;
        let mark = read_mark(&*base)?.filter(|mark| mark.is_open);
        let Some(mark) = mark.filter(|mark| mark.salt == segments.keys().salt()) else {
            return Ok(Found::Again);
        };
        if !has_both(segments, &mark)? {
            return Err(missing(&self.store));
        }
        current.last = None;
        let known = current.known.take().map(|known| known.chain);
        let mut chain = Chain::after(known, &mark);
        let oldest = self.pins.oldest(chain.end.seq);
        chain.read_on(segments, None, Some(oldest))?;
        check_tail(segments, &chain.end, published.as_ref())?;
        current.known = Some(Known {
            base,
            chain,
            published,
        });
        Ok(Found::Done)
    }
}

/// Some systems allow only writers to sync.
fn may_not_sync(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}
