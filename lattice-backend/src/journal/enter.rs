//! A writer takes its turn: it looks whether there is a session, and recovers what it does not
//! know.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{BackendError, Busy, Result, Table, Ticket, TurnHold};
use crate::journal::current::{Current, Known, missing};
use crate::journal::layout::{Generation, Keys, MARK, Mark, Published};
use crate::journal::scan::{Chain, Position, check_tail, has_both, read_mark, unreadable};
use crate::journal::segment::{OpenFailure, Segments, clear, path};
use crate::journal::shared::{Core, Job, Session, Work, Writer, lock};
use crate::journal::tx::write_rows;
use crate::storage::{FileMode, LockKind};

/// The pause between two attempts to take a lock that readers of a crashed store hold.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

impl Core {
    /// Brings what this handle knows up to date, at the first use of a turn and after a record was
    /// lost. Ends a session that is given up.
    pub(super) fn enter(self: &Arc<Self>, writer: &mut Writer, hold: &TurnHold) -> Result<()> {
        if lock(&self.log).take_loss() {
            writer.has_loss = true;
            // It has to end before the generations are read again.
            self.wait_for_fold()?;
        }
        if writer.turn != hold.number() || writer.has_loss {
            self.read_again(writer, hold)?;
        }
        let session = writer.session.as_ref();
        if session.is_some_and(|session| session.segments.is_given_up()) {
            self.give_up(writer)?;
        }
        Ok(())
    }

    fn read_again(self: &Arc<Self>, writer: &mut Writer, hold: &TurnHold) -> Result<()> {
        let mut current = lock(&self.current);
        current.last = None;
        // This handle has the turn: what a snapshot shows is what writers have left.
        let base = self.inner.snapshot()?;
        let mark = read_mark(&*base)?;
        drop(base);
        let seen = writer.seen;
        let job = match mark {
            Some(mark) if mark.is_open => match self.join(writer, &mut current, &mark, hold) {
                Err(BackendError::JournalMissing { .. } | BackendError::Damaged { .. })
                    if self.salvages =>
                {
                    self.salvage(&mark)?;
                    current.end();
                    writer.session = None;
                    None
                }
                joined => joined?,
            },
            ended => {
                current.end();
                writer.session = None;
                // Files that cannot be cleared only prevent the next session.
                let _ = clear(&*self.disk, &self.store, ended.map(|mark| mark.salt));
                None
            }
        };
        current.turn = hold.number();
        drop(current);
        writer.seen = writer.session.as_ref().map(Session::mark);
        writer.follows_others |= writer.seen != seen;
        writer.turn = hold.number();
        writer.has_loss = false;
        if writer.session.is_none() {
            self.share.end();
        }
        if let Some(session) = &writer.session {
            self.join_budget();
            self.share.set_active(session.active.bytes());
            if let Some(Work::Fold { rows, .. }) = job.as_ref().map(|job| &job.work) {
                self.share.set_frozen(rows.bytes());
            }
            let is_ready = job.is_none() && !session.segments.is_given_up();
            let mut fold = lock(&self.fold);
            fold.job = job;
            fold.next_is_ready = is_ready;
            drop(fold);
            lock(&self.log).durable = session.position.seq;
            self.wake();
        }
        Ok(())
    }

    /// What can be read of a damaged journal.
    pub(super) fn readable(&self, mark: &Mark) -> Chain {
        let mut chain = Chain::new(mark);
        chain.read_damaged(&Keys::new(mark.salt), |file| {
            // A file that cannot be read has no records.
            self.bytes_of(file).unwrap_or_else(|_| Vec::new())
        });
        chain
    }

    /// The bytes of a segment.
    fn bytes_of(&self, file: usize) -> io::Result<Vec<u8>> {
        let storage = self.disk.open(&path(&self.store, file), FileMode::Read)?;
        let len = usize::try_from(storage.len_bytes()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        storage.read_at(0, &mut bytes)?;
        storage.close()?;
        Ok(bytes)
    }

    /// Writes to the backend what can be read of a damaged journal, and puts its files aside.
    fn salvage(&self, mark: &Mark) -> Result<()> {
        let chain = self.readable(mark);
        let mut tx = self.inner.begin_write()?;
        for rows in chain.frozen.iter().chain([&chain.active]) {
            write_rows(&mut *tx, rows, chain.end.seq)?;
        }
        let ended = Mark {
            is_open: false,
            folded: chain.end.generation.0,
            seq: chain.end.seq,
            chain: chain.end.chain,
            ..*mark
        };
        tx.put(Table::System, MARK, &ended.to_bytes())?;
        tx.commit().and_then(Ticket::wait)?;
        clear(&*self.disk, &self.store, None).map_err(unwritable)
    }

    /// Recovers a session, or reads on in one that this handle knows. Returns the generation that
    /// has to be folded, if the segments hold two.
    fn join(
        self: &Arc<Self>,
        writer: &mut Writer,
        current: &mut Current,
        mark: &Mark,
        hold: &TurnHold,
    ) -> Result<Option<Job>> {
        let keys = Keys::new(mark.salt);
        let known = writer.session.as_ref();
        let known = known.filter(|session| session.keys().salt() == mark.salt);
        let is_member = known.is_some();
        let segments = match known {
            Some(session) => Arc::clone(&session.segments),
            None => Arc::new(self.open_segments(&keys, FileMode::ReadWrite)?),
        };
        if !has_both(&segments, mark)? {
            return Err(missing(&self.store));
        }
        // It was true when it was written, whatever has happened since.
        let published = segments.published().map_err(unreadable)?;
        if let Some(session) = known.filter(|_| !writer.has_loss)
            && published == Some(session.position.published(&segments))
            && Generation(mark.folded).next() == session.position.generation
        {
            return Ok(None);
        }
        let is_live = is_member || segments.has_other_members().map_err(unreadable)?;
        if !is_live {
            self.keep_readers_out(&segments)?;
            // A crash of the system can have left an older value than what was acknowledged.
            segments.unpublish().map_err(unwritable)?;
        }
        if !is_member && !segments.join().map_err(unreadable)? {
            return Err(BackendError::InUse(Busy::default()));
        }
        let chain = self.recover(current, mark, &segments, published.as_ref(), is_live)?;
        let place = chain.end;
        if !is_live {
            tracing::debug!(
                path = %self.store.display(),
                transactions = place.seq.saturating_sub(mark.seq),
                "journal recovered"
            );
        }
        if !(is_live && place.is_published(published.as_ref())) {
            segments
                .publish(&place.published(&segments))
                .map_err(unwritable)?;
        }
        if !is_live {
            segments.release_guard().map_err(unreadable)?;
        }
        let job = chain.frozen.as_ref().zip(chain.frozen_end);
        let job = job.map(|(rows, end)| Job {
            segments: Arc::clone(&segments),
            work: Work::Fold {
                rows: Arc::clone(rows),
                end,
            },
            _hold: hold.clone(),
        });
        writer.session = Some(Session {
            segments: Arc::clone(&segments),
            position: place,
            active: Arc::clone(&chain.active),
        });
        current.known = Some(Known {
            base: self.inner.snapshot()?,
            published: Some(place.published(&segments)),
            chain,
        });
        current.segments = Some(segments);
        Ok(job)
    }

    /// Reads what the backend does not hold, and makes it durable. What a live writer has published
    /// already is. `published` is what was published before it was taken back.
    fn recover(
        &self,
        current: &mut Current,
        mark: &Mark,
        segments: &Segments,
        published: Option<&Published>,
        is_live: bool,
    ) -> Result<Chain> {
        let is_same = |segments: &Arc<Segments>| segments.keys().salt() == mark.salt;
        let is_known = current.segments.as_ref().is_some_and(is_same);
        let known = current.known.take().filter(|_| is_known);
        let mut chain = Chain::after(known.map(|known| known.chain), mark);
        let oldest = self.pins.oldest(chain.end.seq);
        chain.read_on(segments, None, Some(oldest))?;
        let end = chain.end;
        check_tail(segments, &end, published)?;
        let is_synced = is_live && end.is_published(published);
        if !is_synced {
            // A killed process may not have synced the last record. After a failed sync the system
            // takes its pages for clean, so only writing it again brings it to the disk.
            if let Some(last) = chain.last.as_ref().filter(|last| last.is_before(&end)) {
                let storage = segments.storage(last.generation.file());
                storage
                    .write_at(last.offset, &last.bytes)
                    .map_err(unwritable)?;
            }
            segments.write_headers_again().map_err(unwritable)?;
        }
        // A handle that has failed can have taken back a record that is on the disk nevertheless.
        segments.sync().map_err(unwritable)?;
        let next = end.generation.next();
        let held = segments.generation(next.file()).map_err(unreadable)?;
        if chain.frozen.is_none() && held != Some(next) {
            segments.recycle(next).map_err(unwritable)?;
        }
        Ok(chain)
    }

    pub(super) fn open_segments(&self, keys: &Keys, mode: FileMode) -> Result<Segments> {
        let opened = Segments::open(&*self.disk, &self.store, keys, mode);
        opened.map_err(|failure| match failure {
            OpenFailure::Missing => missing(&self.store),
            OpenFailure::Io(error) => unreadable(error),
        })
    }

    /// Waits for readers that read a crashed store.
    fn keep_readers_out(&self, segments: &Segments) -> Result<()> {
        let began = Instant::now();
        while !segments
            .try_guard(LockKind::Exclusive)
            .map_err(unreadable)?
        {
            if began.elapsed() >= self.wait {
                return Err(BackendError::InUse(Busy {
                    waited: began.elapsed(),
                    holder: None,
                }));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Chain {
    /// What is known of the chain, if that begins where the backend ends.
    pub(super) fn after(known: Option<Self>, mark: &Mark) -> Self {
        let Some(mut known) = known else {
            return Self::new(mark);
        };
        let first = Position::folded(mark).generation;
        if known.end.generation == first && known.end.seq >= mark.seq {
            (known.frozen, known.frozen_end) = (None, None);
            return known;
        }
        let is_frozen = known
            .frozen_end
            .is_some_and(|frozen| frozen.generation == first);
        match is_frozen && known.end.generation == first.next() {
            true => known,
            false => Self::new(mark),
        }
    }
}

pub(super) fn unwritable(error: std::io::Error) -> BackendError {
    BackendError::storage("recovering the journal", error)
}
