//! The thread that reads a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::read::OpsAfter;
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_meta::Cid;
use lattice_sync::host::{Answer, Request, SessionId};
use lattice_sync::wire::Tip;

use crate::StoreHandle;
use crate::sync::desk::{Look, Question, Store, unless_it_panics};
use crate::sync::weigh::weigh;

/// The reading thread.
pub(super) struct Reader {
    store: Arc<Store>,
    plans: BTreeMap<SessionId, OpsAfter>,
    /// The module that was asked for last.
    module: Option<(Cid, Vec<u8>)>,
}

impl Reader {
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            plans: BTreeMap::new(),
            module: None,
        }
    }

    pub(super) fn run(mut self, looks: &Receiver<Look>) {
        for look in looks {
            match look {
                Look::DropPlan(session) => {
                    self.plans.remove(&session);
                }
                Look::At(question) => {
                    let ticket = question.ticket;
                    let answer = unless_it_panics(|| self.answer(*question));
                    self.store.answer(ticket, answer, None);
                }
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        let Question {
            ticket, request, ..
        } = question;
        let Some(handle) = self.store.handle() else {
            return Answer::Failed;
        };
        let answer = self.look(&*handle, ticket.session(), request);
        answer.unwrap_or_else(|error| {
            self.store.fail(error.into());
            Answer::Failed
        })
    }

    fn look(
        &mut self,
        handle: &dyn StoreHandle,
        session: SessionId,
        request: Request,
    ) -> Result<Answer, BackendError> {
        Ok(match request {
            Request::View => Answer::View(handle.replica_view()?),
            Request::TipsSince { from } => {
                let (tips, end) = handle.tips_since(from)?;
                let tips = tips.into_iter().map(|tip| Tip {
                    op: tip.op,
                    after: tip.after,
                });
                Answer::Tips {
                    tips: tips.collect(),
                    place: end,
                }
            }
            Request::Weigh { tips } => {
                let (standing, known) = weigh(handle, &self.store, &tips)?;
                Answer::Weighed { standing, known }
            }
            Request::Plan { lacking, until } => {
                let plan = handle.ops_lacking(&lacking, until)?;
                let ops = u64::try_from(plan.len()).unwrap_or(u64::MAX);
                self.plans.insert(session, plan);
                Answer::Planned { ops, bytes: 0 }
            }
            Request::ReadPlan { max_bytes } => {
                let Some(plan) = self.plans.get_mut(&session) else {
                    return Ok(Answer::Failed);
                };
                let ops = plan.next_slice(max_bytes)?.unwrap_or_else(Vec::new);
                let last = plan.len() == 0;
                if last {
                    self.plans.remove(&session);
                }
                let next = 0;
                Answer::Slice { ops, next, last }
            }
            Request::Read {
                order,
                from,
                until,
                max_bytes,
            } => {
                let slice = handle.op_slice(order, from..until, max_bytes)?;
                Answer::Slice {
                    ops: slice.ops,
                    next: slice.next,
                    last: false,
                }
            }
            Request::Blob {
                cid,
                offset,
                max_bytes,
            } => self.blob(handle, cid, offset, max_bytes),
            Request::Trace { at } => {
                let none = ProgressSink::none();
                let (ops, hashes) = handle.trace(&at, &RedbBackend::on_files(), &none)?;
                Answer::Traced { ops, hashes }
            }
            Request::Load { .. } | Request::Ingest { .. } => Answer::Failed,
        })
    }

    /// A part of the code that the store records; of no other code.
    fn blob(
        &mut self,
        handle: &dyn StoreHandle,
        cid: Cid,
        offset: u64,
        max_bytes: usize,
    ) -> Answer {
        let none = Answer::Blob {
            length: None,
            bytes: Vec::new(),
        };
        if handle.logic_version().as_str() != cid.to_string() {
            return none;
        }
        if self.module.as_ref().is_none_or(|(kept, _)| *kept != cid) {
            let modules = self.store.options.modules.as_ref();
            self.module = modules
                .and_then(|modules| modules(&cid))
                .map(|bytes| (cid, bytes));
        }
        let Some((_, module)) = &self.module else {
            return none;
        };
        let start = usize::try_from(offset).map_or(module.len(), |at| at.min(module.len()));
        let end = start.saturating_add(max_bytes).min(module.len());
        let (length, bytes) = (module.len(), module[start..end].to_vec());
        if end == module.len() {
            self.module = None;
        }
        Answer::Blob {
            length: u64::try_from(length).ok(),
            bytes,
        }
    }
}
