//! The change feed: every op that is applied here, in the order of application, each once.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use lattice_meta::OpId;

use crate::backend::{BackendError, Result};
use crate::engine::Engine;
use crate::history::missing;
use crate::machine::StateMachine;
use crate::op::{ApplyIndex, Op};

/// The longest single wait of the iterator, which repeats it without end.
const AN_AGE: Duration = Duration::from_secs(3600);

/// A position in a store's change feed: everything up to an event of an op, in the order in which
/// this replica applied ops. Its fields are public so that a program can keep them across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last op that was followed; `None` at the start.
    pub op: Option<CursorOp>,
}

/// The op that a cursor points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorOp {
    /// Its apply index.
    pub index: ApplyIndex,
    /// Its id. A history with a different op at this index is not the one that was followed.
    pub id: OpId,
    /// The number of its events that the cursor has passed; `u32::MAX` stands for all.
    pub passed: u32,
}

impl Cursor {
    /// Before the first op.
    pub const START: Self = Self { op: None };

    /// The apply index of the op to read next.
    fn next_index(&self) -> u64 {
        self.op.map_or(0, |op| op.index.get().saturating_add(1))
    }
}

/// Why a store cannot be followed further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The cursor belongs to a different history than the store now has.
    #[error(
        "the op with apply index {index} is no longer {expected}: the store was restored to an \
         earlier state; start again at the first op or at the current end"
    )]
    Rewound {
        /// The apply index that the cursor points at.
        index: ApplyIndex,
        /// The op that the cursor expects there.
        expected: OpId,
        /// The op that is there, if any.
        found: Option<OpId>,
    },
    /// Reading failed, or the store was closed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Extracts an op's events, each with its index among all events of the op. A filter may omit
/// events but must not renumber the others.
pub type Events<E> = Box<dyn Fn(&Op) -> Vec<(u32, E)> + Send>;

/// Events after a cursor: first of the ops applied already, then of ops applied later. Returns each
/// event once and skips none, however slow the caller is. The iterator blocks without a time limit.
/// It ends only after an error; closing the store is one.
pub struct ChangeFeed<M: StateMachine, E> {
    engine: Engine<M>,
    events: Events<E>,
    cursor: Cursor,
    /// Events of the op at the cursor that have not been returned yet.
    pending: VecDeque<(u32, E)>,
    place: Option<u32>,
    /// At least this many ops are applied.
    applied: u64,
    has_failed: bool,
}

impl<M: StateMachine, E> fmt::Debug for ChangeFeed<M, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeFeed")
            .field("engine", &self.engine)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl<M: StateMachine, E> ChangeFeed<M, E> {
    pub(crate) fn new(
        engine: Engine<M>,
        cursor: Cursor,
        events: Events<E>,
    ) -> Result<Self, FeedError> {
        let mut feed = Self {
            engine,
            events,
            cursor,
            pending: VecDeque::new(),
            place: None,
            applied: 0,
            has_failed: false,
        };
        if let Some(at) = cursor.op {
            let op = feed.engine.op_at(at.index)?;
            let found = op.as_ref().map(|op| op.reference().id);
            let Some(op) = op.filter(|_| found == Some(at.id)) else {
                let (index, expected) = (at.index, at.id);
                return Err(FeedError::Rewound {
                    index,
                    expected,
                    found,
                });
            };
            let events = (feed.events)(&op).into_iter();
            feed.pending = events.filter(|(place, _)| *place >= at.passed).collect();
        }
        Ok(feed)
    }

    /// The position after the last returned event: keep it, and resume from it after a restart.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The index of the last returned event among all events of its op, from 0; `None` before the
    /// first event. A [`CursorOp`] whose `passed` is one greater resumes after that event.
    pub fn place(&self) -> Option<u32> {
        self.place
    }

    /// The next event. Waits for it at most for `timeout`, and returns `None` if none arrives.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<E>, FeedError> {
        let begun = Instant::now();
        // Ops without events are skipped and do not prolong the wait.
        while self.pending.is_empty() {
            let index = self.cursor.next_index();
            if self.applied <= index {
                let left = timeout.saturating_sub(begun.elapsed());
                self.applied = self.engine.wait_for_ops(index, left)?;
            }
            if self.applied <= index {
                return Ok(None);
            }
            let index = ApplyIndex::new(index);
            let op = match self.engine.op_at(index) {
                // Long work of another process keeps readers waiting for longer than they wait.
                Err(BackendError::InUse(_)) if begun.elapsed() < timeout => continue,
                Err(BackendError::InUse(_)) => return Ok(None),
                op => op?.ok_or_else(|| missing(index))?,
            };
            self.pending = (self.events)(&op).into();
            self.cursor.op = Some(CursorOp {
                index,
                id: op.reference().id,
                passed: 0,
            });
        }
        let next = self.pending.pop_front();
        if let (Some((place, _)), Some(at)) = (&next, &mut self.cursor.op) {
            self.place = Some(*place);
            at.passed = match self.pending.is_empty() {
                true => u32::MAX,
                false => place.saturating_add(1),
            };
        }
        Ok(next.map(|(_, event)| event))
    }
}

impl<M: StateMachine, E> Iterator for ChangeFeed<M, E> {
    type Item = Result<E, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        loop {
            match self.next_timeout(AN_AGE) {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<M: StateMachine, E> std::iter::FusedIterator for ChangeFeed<M, E> {}

/// The cursor after the first `count` applied ops, or after all ops if there are fewer.
pub(crate) fn cursor_after<M: StateMachine>(engine: &Engine<M>, count: u64) -> Result<Cursor> {
    let Some(index) = engine.op_count()?.min(count).checked_sub(1) else {
        return Ok(Cursor::START);
    };
    let index = ApplyIndex::new(index);
    let op = engine.op_at(index)?.ok_or_else(|| missing(index))?;
    Ok(Cursor {
        op: Some(CursorOp {
            index,
            id: op.reference().id,
            passed: u32::MAX,
        }),
    })
}
