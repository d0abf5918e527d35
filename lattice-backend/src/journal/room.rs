//! Room for a record: files that grow, generations that end, and commits that are slowed.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Result, TurnHold};
use crate::journal::shared::{Core, Fold, Job, Session, Work, Writer, lock, lost};
use crate::journal::tx::Changes;

/// While a generation is being folded, commits wait for the fold once the next one has this many
/// times the memory of a full one.
const STOP_TABLES: usize = 3;
/// The longest delay of one commit that is slowed before that.
const MAX_DELAY: Duration = Duration::from_millis(4);
/// The number of these delays for which a commit waits while all stores together take twice the
/// memory that they may.
const MAX_STOPS: u32 = 250;

impl Core {
    /// Makes room for a record. Returns false if it has no room, and the transaction has to be
    /// written through.
    pub(super) fn has_room(
        self: &Arc<Self>,
        writer: &mut Writer,
        changes: &Changes,
        hold: &TurnHold,
    ) -> Result<bool> {
        self.slow_down(writer)?;
        self.change_generation(writer, hold)?;
        let session = writer.session.as_ref().ok_or_else(lost)?;
        let needed = session
            .position
            .offset
            .saturating_add(changes.record_bytes());
        let file = session.position.generation.file();
        match session.segments.grow(file, needed) {
            Ok(has_grown) => {
                if has_grown {
                    self.grow_other(session, hold);
                }
                Ok(true)
            }
            // A file that cannot grow is no failure: the backend may have room.
            Err(_) => Ok(false),
        }
    }

    /// Lets the worker grow the file of the next generation, so that no commit has to.
    fn grow_other(self: &Arc<Self>, session: &Session, hold: &TurnHold) {
        let mut fold = lock(&self.fold);
        // A fold grows it as well.
        if fold.job.is_some() || !fold.next_is_ready {
            return;
        }
        fold.job = Some(Job {
            segments: Arc::clone(&session.segments),
            work: Work::Grow {
                file: session.position.generation.other_file(),
            },
            _hold: hold.clone(),
        });
        drop(fold);
        self.wake();
    }

    /// Slows commits while they are faster than the folds, and stops them when memory runs short:
    /// for at most a second because of other stores.
    fn slow_down(&self, writer: &Writer) -> Result<()> {
        let Some(session) = &writer.session else {
            return Ok(());
        };
        let bytes = session.active.bytes();
        if bytes >= self.tuning.table_bytes.saturating_mul(STOP_TABLES) {
            return self.wait_for_fold();
        }
        let excess = || match self.share.is_due() {
            // This commit ends the generation.
            true => 0,
            false => self.share.excess(),
        };
        for _ in 0..MAX_STOPS {
            let share = u32::try_from(excess()).unwrap_or(u32::MAX);
            std::thread::sleep(MAX_DELAY * share.min(64) / 64);
            if share < 64 {
                break;
            }
        }
        let limit = self.tuning.table_bytes;
        let over = bytes.saturating_sub(limit);
        if over > 0 && lock(&self.fold).job.is_some() {
            // Nothing at the limit, the whole delay at twice the limit.
            let share = u32::try_from(over.saturating_mul(64) / limit.max(1)).unwrap_or(64);
            std::thread::sleep(MAX_DELAY * share.min(64) / 64);
        }
        Ok(())
    }

    /// Goes to the next generation, if this one is full and the one before it is folded. All of it
    /// is on disk then: a generation that is folded loses no record.
    pub(super) fn change_generation(
        self: &Arc<Self>,
        writer: &mut Writer,
        hold: &TurnHold,
    ) -> Result<()> {
        let Some(session) = &mut writer.session else {
            return Ok(());
        };
        let is_full = session.position.offset >= self.tuning.segment_bytes
            || session.active.bytes() >= self.tuning.table_bytes
            || self.share.is_due();
        let is_ready = |fold: &Fold| fold.job.is_none() && fold.next_is_ready;
        if !is_full || !is_ready(&lock(&self.fold)) {
            return Ok(());
        }
        self.drain()?;
        let mut fold = lock(&self.fold);
        fold.next_is_ready = false;
        fold.job = Some(Job {
            segments: Arc::clone(&session.segments),
            work: Work::Fold {
                rows: Arc::clone(&session.active),
                end: session.position,
            },
            _hold: hold.clone(),
        });
        let end = session.position;
        session.position = end.next_generation();
        session.active = Arc::default();
        self.share.freeze();
        lock(&self.current).change_generation(&end, &session.active);
        drop(fold);
        self.wake();
        Ok(())
    }
}
