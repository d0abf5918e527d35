//! What a handle knows of the store: a snapshot of the backend, and the journal's rows over it.
//!
//! During its own turns the writer keeps this up to date. Otherwise a snapshot first reads what
//! other processes have published.

use std::path::Path;
use std::sync::Arc;

use crate::backend::{BackendError, CommitMark, JournalInfo, Result};
use crate::journal::layout::{Mark, Published, RECORDS};
use crate::journal::memtable::{Memtable, Pins};
use crate::journal::scan::{Chain, Position, read_mark};
use crate::journal::segment::Segments;
use crate::journal::shared::Session;
use crate::journal::view::{Base, Layers, View};
use crate::storage::SEGMENT_SUFFIX;

#[derive(Default)]
pub(super) struct Current {
    /// The number of the turn in which the writer keeps this up to date.
    pub(super) turn: u64,
    /// The session, if there is one.
    pub(super) known: Option<Known>,
    /// Open for reading, of the session that `known` was or will be read from.
    pub(super) segments: Option<Arc<Segments>>,
    /// The last snapshot, until there is a new commit. Without a session it has the last commit of
    /// the backend.
    pub(super) last: Option<(Arc<View>, Option<CommitMark>)>,
    /// A snapshot was taken since the worker checked last.
    pub(super) is_used: bool,
}

/// What is known of a session.
pub(super) struct Known {
    pub(super) base: Base,
    pub(super) chain: Chain,
    /// What was published when this was read.
    pub(super) published: Option<Published>,
}

impl Current {
    /// A snapshot of a session, as of its last synced transaction.
    pub(super) fn view(&self, pins: &Arc<Pins>) -> Option<View> {
        let known = self.known.as_ref()?;
        let seq = known.chain.end.seq;
        Some(View {
            base: Arc::clone(&known.base),
            layers: Layers {
                frozen: known.chain.frozen.clone(),
                active: Some(Arc::clone(&known.chain.active)),
            },
            seq,
            _pin: Some(pins.pin(seq)),
        })
    }

    /// The writer goes to the next generation.
    pub(super) fn change_generation(&mut self, end: &Position, active: &Arc<Memtable>) {
        self.last = None;
        if let Some(known) = &mut self.known {
            let before = std::mem::replace(&mut known.chain.active, Arc::clone(active));
            known.chain.frozen = Some(before);
            known.chain.frozen_end = Some(*end);
        }
    }

    /// A record was synced.
    pub(super) fn advance(&mut self, end: &Position, segments: &Segments) {
        self.last = None;
        if let Some(known) = &mut self.known {
            known.chain.end = *end;
            known.published = Some(end.published(segments));
        }
    }

    /// A generation was folded.
    pub(super) fn folded(&mut self, base: Base) {
        self.last = None;
        if let Some(known) = &mut self.known {
            known.base = base;
            known.chain.frozen = None;
            known.chain.frozen_end = None;
        }
    }

    /// What the journal holds.
    pub(super) fn info(&self) -> Result<Option<JournalInfo>> {
        let Some(known) = &self.known else {
            return Ok(None);
        };
        let mark = read_mark(&*known.base)?;
        let (folded, generation) = mark.map_or((0, 0), |mark| (mark.seq, mark.folded));
        let chain = &known.chain;
        let ends = [Some(chain.end), chain.frozen_end];
        let mut ends: Vec<_> = ends.into_iter().flatten().collect();
        // The last synced record can still be in the generation that is frozen.
        ends.dedup_by_key(|end| end.generation);
        // It can also be folded, while there is no later one.
        ends.retain(|end| end.generation.0 > generation);
        let bytes = ends.iter().map(|end| end.offset.saturating_sub(RECORDS));
        Ok(Some(JournalInfo {
            transactions: chain.end.seq.saturating_sub(folded),
            bytes: bytes.sum(),
        }))
    }

    /// The backend holds everything, and the session goes on in an empty generation.
    pub(super) fn start(&mut self, base: Base, mark: &Mark, session: &Session) {
        self.last = None;
        let mut chain = Chain::new(mark);
        chain.active = Arc::clone(&session.active);
        self.known = Some(Known {
            base,
            published: Some(chain.end.published(&session.segments)),
            chain,
        });
        self.segments = Some(Arc::clone(&session.segments));
    }

    /// The next snapshot reads again what is published.
    pub(super) fn distrust(&mut self) {
        (self.known, self.last, self.turn) = (None, None, 0);
    }

    /// There is no session.
    pub(super) fn end(&mut self) {
        self.known = None;
        self.segments = None;
        self.last = None;
    }
}

/// The error for a store whose segments are not both there.
pub(super) fn missing(store: &Path) -> BackendError {
    let name = store.file_name().map(|name| name.to_string_lossy());
    let name = name.unwrap_or_else(|| store.to_string_lossy());
    BackendError::JournalMissing {
        name: format!("{name}{SEGMENT_SUFFIX}"),
    }
}
