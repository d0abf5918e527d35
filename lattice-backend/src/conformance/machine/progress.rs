//! Progress reports of slow suites.

use std::time::{Duration, Instant};

use lattice_meta::StoreType;

/// The time before the first line, and the minimum between two.
const PAUSE: Duration = Duration::from_secs(2);

/// Prints the number of finished histories on standard error.
pub(super) struct Progress {
    store_type: StoreType,
    histories: u64,
    began: Instant,
    printed: Instant,
}

impl Progress {
    pub(super) fn new(store_type: &StoreType, histories: u64) -> Self {
        let began = Instant::now();
        Self {
            store_type: store_type.clone(),
            histories,
            began,
            printed: began,
        }
    }

    /// Records that `count` histories are finished.
    pub(super) fn finished(&mut self, count: u64) {
        if self.printed.elapsed() < PAUSE {
            return;
        }
        self.printed = Instant::now();
        eprintln!(
            "state machine of {}: {count} of {} histories passed, {} s",
            self.store_type,
            self.histories,
            self.began.elapsed().as_secs()
        );
    }
}
