//! Why an ingest failed.

use crate::backend::BackendError;
use crate::engine::ingest::IngestReport;

/// Why an ingest stopped before the end of its source. `E` is the error of the source of the ops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError<E> {
    /// The source of the ops failed. The ops before the error were ingested.
    #[error("the source of the ops failed")]
    Source {
        /// The error of the source.
        #[source]
        error: E,
        /// The outcomes of the ops before the error.
        report: Box<IngestReport>,
    },
    /// The storage failed. Ops applied before the failure stay applied.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
