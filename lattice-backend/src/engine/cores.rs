//! Distributes work on many items over all cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// Runs `each` on all items, with one thread per core. The helpers start with the items
/// immediately; this thread first runs the last argument. Returns the results in the order of the
/// items.
///
/// `state` makes what a thread keeps between its items. A thread takes `share` items at a time;
/// there are no more threads than shares.
pub(crate) fn on_all_cores<I: Send, O: Send, S, T>(
    items: Vec<I>,
    share: usize,
    state: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, I) -> O + Sync,
    meanwhile: impl FnOnce() -> T,
) -> (Vec<O>, T) {
    let count = items.len();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let helpers = cores.min(count / share.max(1));
    let queue = Mutex::new(items.into_iter().enumerate());
    let work = || {
        let (mut state, mut mine) = (state(), Vec::with_capacity(count / (helpers + 1)));
        loop {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let taken: Vec<_> = queue.by_ref().take(share).collect();
            drop(queue);
            if taken.is_empty() {
                return mine;
            }
            for (place, item) in taken {
                mine.push((place, each(&mut state, item)));
            }
        }
    };
    let (done, shares) = std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let done = meanwhile();
        let mut shares = vec![work()];
        let joined = helpers.into_iter().map(|helper| helper.join());
        shares.extend(joined.map(|mine| mine.unwrap_or_else(|panic| resume_unwind(panic))));
        (done, shares)
    });
    let mut results: Vec<_> = shares.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(place, _)| *place);
    (
        results.into_iter().map(|(_, result)| result).collect(),
        done,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 15, 16, 17, 1000] {
            let items: Vec<u64> = (0..count).collect();
            let double = |(): &mut (), item: u64| item * 2;
            let (results, done) = on_all_cores(items, 16, || (), double, || "done");
            assert!(results.into_iter().eq((0..count).map(|item| item * 2)));
            assert_eq!(done, "done");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        for at in [0, 500, 999] {
            let panicked = std::panic::catch_unwind(|| {
                let each = |(): &mut (), item: u64| assert_ne!(item, at, "item {at}");
                on_all_cores((0..1000).collect(), 16, || (), each, || ())
            });
            assert!(panicked.is_err());
        }
    }
}
