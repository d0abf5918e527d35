//! Why ops could not be taken in.

use crate::backend::BackendError;
use crate::engine::ingest::IngestReport;

/// Why an ingest has ended before its source. `E` is what the source of the ops reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError<E> {
    /// The source of the ops failed. The ops that it gave before are taken in.
    #[error("the source of the ops failed")]
    Source {
        /// What the source reported.
        #[source]
        error: E,
        /// What became of the ops that it gave before.
        report: Box<IngestReport>,
    },
    /// The storage failed. Ops that were applied before are applied.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
