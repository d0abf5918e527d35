//! Many commands in one transaction.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::backend::{BackendError, Verdict};
use crate::engine::write::recorder::Recorder;
use crate::engine::write::state::WriterState;
use crate::engine::write::{AppendAllError, AppendError};
use crate::engine::{Engine, Inner};
use crate::machine::StateMachine;

impl<M: StateMachine> Engine<M> {
    /// Makes an op of each command, in one transaction: when this returns, all are applied and
    /// durable, or none is. Gives how many commands there were.
    ///
    /// Commands are taken one by one, and each sees what those before it have written; whatever
    /// their number, only one is in memory. Other writers of this handle wait meanwhile, so do not
    /// take commands from something that waits for them.
    ///
    /// # Errors
    /// The first error of the iterator, or that of the first command that cannot be carried out;
    /// see [`AppendAllError`]. Nothing has changed then.
    pub fn append_all<E>(
        &self,
        commands: &mut dyn Iterator<Item = Result<M::Command, E>>,
    ) -> Result<u64, AppendAllError<M::Refusal, E>> {
        self.inner.append_all(commands)
    }
}

impl<M: StateMachine> Inner<M> {
    fn append_all<E>(
        &self,
        commands: &mut dyn Iterator<Item = Result<M::Command, E>>,
    ) -> Result<u64, AppendAllError<M::Refusal, E>> {
        let failed = |error: BackendError| AppendAllError::command(0, error);
        let writer = self
            .writer
            .as_ref()
            .ok_or_else(|| failed(BackendError::ReadOnly))?;
        // Poison tells what `unusable` tells already.
        let mut state = writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_usable().map_err(failed)?;
        let (mut done, mut stop, mut started) = (0, None, false);
        let worked = catch_unwind(AssertUnwindSafe(|| {
            self.db.write(&mut |tx| {
                started = true;
                let mut recorder = Recorder::new(self, tx, &mut state);
                for command in &mut *commands {
                    stop = match command {
                        Err(error) => Some(AppendAllError::Source(error)),
                        Ok(command) => recorder
                            .append(&command)?
                            .err()
                            .map(|error| AppendAllError::command(done, error)),
                    };
                    if stop.is_some() {
                        return Ok(Verdict::Abort);
                    }
                    done += 1;
                }
                if !recorder.has_recorded() {
                    return Ok(Verdict::Abort);
                }
                recorder.finish()?;
                Ok(Verdict::Commit)
            })
        }));
        match (worked, stop) {
            (Ok(Ok(())), None) => {
                let applied = state.ledger.applied;
                drop(state);
                self.announce(applied);
                Ok(done)
            }
            (Ok(Ok(())), Some(stop)) => {
                self.forget(&mut state);
                Err(stop)
            }
            (Ok(Err(error)), _) => {
                if started {
                    self.unusable.store(true, Ordering::Release);
                }
                Err(AppendAllError::command(done, error))
            }
            (Err(panic), _) => {
                self.unusable.store(true, Ordering::Release);
                resume_unwind(panic)
            }
        }
    }

    /// Forgets what an aborted transaction has left in memory. A store that cannot be read for it
    /// is of no further use.
    fn forget(&self, state: &mut WriterState) {
        let reloaded = self
            .db
            .snapshot()
            .and_then(|tx| state.reload(&*tx, &self.hasher));
        if reloaded.is_err() {
            self.unusable.store(true, Ordering::Release);
        }
    }
}

impl<R, E> AppendAllError<R, E> {
    fn command(index: u64, error: impl Into<AppendError<R>>) -> Self {
        Self::Command {
            index,
            source: error.into(),
        }
    }
}
