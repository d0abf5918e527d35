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

/// How long one wait lasts that is to have no end; it is begun again.
const AN_AGE: Duration = Duration::from_secs(3600);

/// How far somebody has followed a store: everything up to an event of an op, in the order in which
/// this replica applied ops. Its fields are there to be kept across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The op followed last; nothing at the start.
    pub op: Option<CursorOp>,
}

/// The op that a cursor stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorOp {
    /// Its position in the local order of application.
    pub index: ApplyIndex,
    /// Its id: a history that has another op in this place is not the one that was followed.
    pub id: OpId,
    /// How many of its events have been passed; `u32::MAX` stands for all.
    pub passed: u32,
}

impl Cursor {
    /// In front of the first op.
    pub const START: Self = Self { op: None };

    /// The op to be looked at next.
    fn next_index(&self) -> u64 {
        self.op.map_or(0, |op| op.index.get().saturating_add(1))
    }
}

/// Why a store cannot be followed further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The cursor is of another history than the store now has.
    #[error(
        "the store no longer has op {expected} as number {index} of those it applied; it was \
         restored to an earlier state, so follow it from the start or from where it is now"
    )]
    Rewound {
        /// The position in the local order of application.
        index: ApplyIndex,
        /// The op that the cursor says is there.
        expected: OpId,
        /// The op that is there, if any.
        found: Option<OpId>,
    },
    /// Reading failed, or the store was closed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What of an op is told: events, each with its place among all that the op has. Whoever wants only
/// some of them leaves the others out, and the places stay the same.
pub type Events<E> = Box<dyn Fn(&Op) -> Vec<(u32, E)> + Send>;

/// Events from a cursor on: first of the ops that are there, then of those to come. Each is given
/// once, and none is left out, however slow the caller. Iterating waits for as long as it takes; the
/// iterator ends after an error only, that the store was closed included.
pub struct ChangeFeed<M: StateMachine, E> {
    engine: Engine<M>,
    events: Events<E>,
    cursor: Cursor,
    /// Events of the op at the cursor that have not been given.
    pending: VecDeque<(u32, E)>,
    place: Option<u32>,
    /// So many ops are known to be applied.
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

    /// Where the next event will be given from: keep it, and go on there after a restart.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The place of the event given last among all that its op has, from 0; nothing before the first.
    /// A [`CursorOp`] that has passed one more goes on behind it.
    pub fn place(&self) -> Option<u32> {
        self.place
    }

    /// The next event, waiting for one for this long at the most; nothing if none has come.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<E>, FeedError> {
        let begun = Instant::now();
        // Ops without events are passed over; they do not prolong the wait.
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
            let op = self.engine.op_at(index)?.ok_or_else(|| missing(index))?;
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

/// The cursor after the first `count` ops that were applied, or after all of them if there are
/// fewer.
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
