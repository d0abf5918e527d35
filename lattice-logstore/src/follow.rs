//! Entries in the order in which they arrive.

use std::time::{Duration, Instant};
use std::vec;

use lattice_backend::{BackendError, Engine, Op, Table};
use lattice_meta::OpId;

use crate::payload::decode_payload;
use crate::{Entry, LogMachine};

/// How long one wait lasts that is to have no end; it is begun again.
const AN_AGE: Duration = Duration::from_secs(3600);

/// How far somebody has followed a log: everything up to an entry of an op, in the order in which
/// this replica applied ops. Its fields are there to be kept across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The op followed last; nothing at the start.
    pub op: Option<CursorOp>,
}

/// The op that a cursor stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorOp {
    /// Its place in the order of local application, from 0.
    pub index: u64,
    /// Its id: a history that has another op in this place is not the one that was followed.
    pub id: OpId,
    /// How many of its entries have been given; `u32::MAX` stands for all.
    pub entries: u32,
}

impl Cursor {
    /// In front of the first op.
    pub const START: Self = Self { op: None };

    /// Behind all of an op.
    pub(crate) const fn behind(index: u64, id: OpId) -> Self {
        Self {
            op: Some(CursorOp {
                index,
                id,
                entries: u32::MAX,
            }),
        }
    }

    /// The op to be looked at next.
    fn next_index(&self) -> u64 {
        self.op.map_or(0, |op| op.index + 1)
    }
}

/// Why a log cannot be followed further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The cursor is of another history than the store now has.
    #[error(
        "the store no longer has op {expected} as number {index} of those it applied; it was \
         restored to an earlier state, so follow it from the start or from where it is now"
    )]
    Rewound {
        /// The place in the order of local application.
        index: u64,
        /// The op that the cursor says is there.
        expected: OpId,
        /// The op that is there, if any.
        found: Option<OpId>,
    },
    /// Reading failed, or the store was closed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Entries from a cursor on, in the order in which this replica applied them: first those that are
/// there, then those to come. Iterating waits for as long as it takes; the iterator ends after an
/// error only, that the store was closed included.
#[derive(Debug)]
pub struct Follow {
    engine: Engine<LogMachine>,
    cursor: Cursor,
    /// Entries of the op at the cursor that have not been given.
    pending: vec::IntoIter<Entry>,
    /// So many ops are known to be applied.
    applied: u64,
    has_failed: bool,
}

impl Follow {
    pub(crate) fn new(engine: Engine<LogMachine>, cursor: Cursor) -> Result<Self, FollowError> {
        let pending = match cursor.op {
            None => Vec::new(),
            Some(at) => left_of(&engine, at)?,
        };
        Ok(Self {
            engine,
            cursor,
            pending: pending.into_iter(),
            applied: 0,
            has_failed: false,
        })
    }

    /// Where the next entry will be given from.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The next entry, waiting for one for this long at the most; nothing if none has come.
    ///
    /// # Errors
    /// What the engine underneath reports.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Entry>, FollowError> {
        let begun = Instant::now();
        // Ops without entries are passed over; they do not prolong the wait.
        while self.pending.as_slice().is_empty() {
            let index = self.cursor.next_index();
            if self.applied <= index {
                let left = timeout.saturating_sub(begun.elapsed());
                self.applied = self.engine.wait_for_ops(index, left)?;
            }
            if self.applied <= index {
                return Ok(None);
            }
            let op = applied_op(&self.engine, index)?;
            self.pending = entries(&op, 0).into_iter();
            let id = op.reference().id;
            self.cursor = Cursor {
                op: Some(CursorOp {
                    index,
                    id,
                    entries: 0,
                }),
            };
        }
        let next = self.pending.next();
        if let (Some(entry), Some(at)) = (&next, &mut self.cursor.op) {
            at.entries = entry.index + 1;
        }
        Ok(next)
    }
}

impl Iterator for Follow {
    type Item = Result<Entry, FollowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        loop {
            match self.next_timeout(AN_AGE) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl std::iter::FusedIterator for Follow {}

/// The entries behind a cursor of the op that it stands at.
fn left_of(engine: &Engine<LogMachine>, at: CursorOp) -> Result<Vec<Entry>, FollowError> {
    let op = engine.op_at(at.index)?;
    let found = op.as_ref().map(|op| op.reference().id);
    match op.filter(|_| found == Some(at.id)) {
        Some(op) => Ok(entries(&op, at.entries)),
        None => {
            let (index, expected) = (at.index, at.id);
            Err(FollowError::Rewound {
                index,
                expected,
                found,
            })
        }
    }
}

/// An op with an index below the number of those applied.
pub(crate) fn applied_op(engine: &Engine<LogMachine>, index: u64) -> Result<Op, BackendError> {
    let missing = || {
        let found = format!("nothing at {index}");
        BackendError::row(
            Table::Ops,
            "an op at every index below the number applied",
            found,
        )
    };
    engine.op_at(index)?.ok_or_else(missing)
}

/// The entries of an op without the first `given`. A void op and a merge have none.
fn entries(op: &Op, given: u32) -> Vec<Entry> {
    let entry = |(index, content): (u32, &[u8])| Entry {
        hlc: op.hlc(),
        author: op.reference().author,
        op: op.reference().id,
        index,
        content: content.to_vec(),
    };
    let contents = decode_payload(op.payload()).into_iter().flatten();
    (0..)
        .zip(contents)
        .filter(|(index, _)| *index >= given)
        .map(entry)
        .collect()
}
