//! The thread that writes a store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use lattice_backend::backend::BackendError;
use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::ingest::{IngestError, IngestReport, Outcome, Rejection};
use lattice_backend::engine::read::PeerRow;
use lattice_backend::engine::write::PeerSays;
use lattice_backend::op::OpsEnd;
use lattice_meta::{OpId, PubKey};
use lattice_sync::host::{Answer, Ingested, Request};
use lattice_sync::wire::Cursor;

use crate::sync::cursors::row_of;
use crate::sync::desk::{Question, Store, Write, unless_it_panics};
use crate::{Access, StoreHandle};

/// The thread that writes a store, in the order of its queue.
pub(super) struct Writer {
    store: Arc<Store>,
    /// When deferred ops can be applied, in milliseconds since the Unix epoch.
    due: BTreeSet<u64>,
    /// What peers are known to have, not yet written.
    served: BTreeMap<PubKey, Cursor>,
}

impl Writer {
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            due: BTreeSet::new(),
            served: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self, orders: &Receiver<Write>) {
        while let Ok(order) = orders.recv() {
            let mut next = Some(order);
            while let Some(order) = next {
                self.carry_out(order);
                next = orders.try_recv().ok();
            }
            // One row for each peer, when nothing else is to be done.
            self.write_rows();
        }
        self.store.rest();
    }

    fn carry_out(&mut self, order: Write) {
        match order {
            Write::Load(question) => {
                let answer = unless_it_panics(|| self.store.load(&question.peer));
                self.store.answer(question.ticket, answer, None);
            }
            Write::Ingest(question) => self.ingest(*question),
            Write::Note(peer, served) => {
                self.served.insert(peer, served);
            }
            Write::Equal => {
                let confirmed = self.store.handle().map(|handle| confirm(&*handle));
                if let Some(Err(error)) = confirmed {
                    self.store.fail(error.into());
                }
            }
            Write::Rest => {
                self.write_rows();
                self.due.clear();
                self.store.rest();
            }
        }
    }

    fn write_rows(&mut self) {
        let handle = self.store.handle();
        let handle = handle.filter(|handle| handle.access() == Access::ReadWrite);
        for (peer, served) in std::mem::take(&mut self.served) {
            if let Some(handle) = &handle {
                // Without the row, the next session compares.
                drop(handle.set_peer_row(&peer, PeerRow::Served, &row_of(&served)));
            }
        }
    }

    fn ingest(&mut self, question: Question) {
        let Question {
            ticket,
            peer,
            request,
        } = question;
        let mut end = None;
        let answer = unless_it_panics(|| {
            let (Request::Ingest { ops, note }, Some(handle)) = (request, self.store.handle())
            else {
                return Answer::Failed;
            };
            match self.take_in(&*handle, &peer, ops, note) {
                Ok((report, reached)) => {
                    end = Some(reached);
                    Answer::Ingested(Box::new(report))
                }
                Err(error) => {
                    self.store.fail(error.into());
                    Answer::Failed
                }
            }
        });
        self.store.answer(ticket, answer, end);
    }

    fn take_in(
        &mut self,
        handle: &dyn StoreHandle,
        peer: &PubKey,
        ops: Vec<Vec<u8>>,
        note: Option<Cursor>,
    ) -> Result<(Ingested, OpsEnd), BackendError> {
        let row = note.as_ref().map(row_of);
        let row = row.as_ref().map(|row| (peer, row.as_slice()));
        let whose = &self.store.options.authors;
        let taken = handle.ingest_noted(&mut ops.into_iter().map(Ok), whose, row);
        let (found, noted) = taken.map_err(|error| match error {
            IngestError::Backend(error) => error,
            // The ops are in memory.
            IngestError::Source { error, .. } => BackendError::storage("reading ops", error),
            _ => BackendError::storage("ingesting ops", "of a reason that is not known here"),
        })?;
        let end = handle.ops_end()?;
        let mut report = self.report(&found);
        report.noted = noted;
        report.place = end;
        Ok((report, end))
    }

    fn report(&mut self, found: &IngestReport) -> Ingested {
        let mut report = Ingested::default();
        let mut refused = BTreeSet::new();
        let mut held = BTreeSet::<OpId>::new();
        for (id, outcome) in &found.outcomes {
            match outcome {
                Outcome::Applied { index } => report.applied.push(index.get()),
                Outcome::Known => report.known += 1,
                Outcome::Held { .. } => held.extend(id),
                Outcome::Waiting { .. } => report.waiting += 1,
                Outcome::Deferred { until_ms } => {
                    report.later += 1;
                    self.due.insert(*until_ms);
                }
                Outcome::Rejected(Rejection::NoRoom | Rejection::FarAhead { .. }) => {
                    report.later += 1;
                }
                Outcome::Rejected(Rejection::UnknownAuthor { author }) => {
                    report.refused += 1;
                    refused.insert(*author);
                }
                // A rejection that this program does not know is for good.
                _ => report.invalid += 1,
            }
        }
        let given = found
            .held_numbers
            .iter()
            .filter(|(id, _)| held.contains(id));
        report.held = given.map(|(_, number)| *number).collect();
        report.refused_authors = refused.into_iter().collect();
        report.released = u64::try_from(found.released.len()).unwrap_or(u64::MAX);
        let now_ms = SystemClock.now_ms();
        self.due.retain(|due| *due > now_ms);
        report.due_ms = self.due.first().map(|due| due - now_ms);
        report
    }
}

/// A peer with exactly the same ops confirms a copy.
fn confirm(handle: &dyn StoreHandle) -> Result<(), BackendError> {
    if handle.access() == Access::ReadWrite && handle.is_unconfirmed_copy()? {
        handle.confirm_copy(PeerSays::Frontier(&handle.frontier()?))?;
    }
    Ok(())
}
