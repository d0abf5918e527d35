//! Work on several threads. If the system has no thread to give, the calling thread does the work:
//! all threads of Lattice that share work are started here.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Starts a thread, unless the system refuses one, as at a limit of processes.
fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).ok()
}

/// Starts a thread that runs on its own. Returns false if the system refuses it.
pub fn detach(work: impl FnOnce() + Send + 'static) -> bool {
    Builder::new().spawn(work).is_ok()
}

/// Work that has been begun; see [`ahead`].
#[derive(Debug)]
pub(crate) enum Ahead<T> {
    /// A thread does it.
    Running(JoinHandle<T>),
    /// There was no thread.
    Done(T),
}

impl<T> Ahead<T> {
    /// Waits for the result. A panic of the thread continues here.
    pub(crate) fn wait(self) -> T {
        match self {
            Self::Running(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Self::Done(result) => result,
        }
    }
}

/// Runs a function on a thread of its own. Without a thread, this thread runs it first.
pub(crate) fn ahead<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Ahead<T> {
    // Only a thread that has started takes the function.
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<_>>| {
        let taken = work.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.expect("one thread takes the function")
    };
    let shared = Arc::clone(&work);
    match helper(move || take(&shared)()) {
        Some(running) => running,
        None => Ahead::Done(take(&work)()),
    }
}

/// The same, unless there is no thread.
pub(crate) fn helper<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<Ahead<T>> {
    let thread = Builder::new().spawn(work);
    thread.ok().map(Ahead::Running)
}

/// Whether threads can run at the same time. Measured on first use.
pub(crate) fn has_several() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

/// The result of another thread, whose panic continues here.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs both functions: the first on a thread of its own, the second on this one. Without a thread,
/// this thread runs first the second, then the first.
pub fn both<A: Send, B>(beside: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> (A, B) {
    // Only a thread that has started takes the function.
    let beside = Mutex::new(Some(beside));
    let run = || {
        let taken = beside.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.map(|beside| beside())
    };
    let (ran, here) = std::thread::scope(|scope| {
        let thread = start(scope, run);
        let here = here();
        (thread.and_then(join), here)
    });
    let beside = ran.or_else(run);
    (
        beside.expect("a function that no thread has run is still there"),
        here,
    )
}

/// Runs `each` on all items, with one thread per core, or with as many as the system gives. The
/// helper threads start with the items immediately; the calling thread first runs `here`, then
/// takes items too. Returns the results in the order of the items, and the result of `here`.
///
/// `state` makes what a thread keeps between its items. A thread takes `share` items at a time;
/// there are no more threads than shares. A panic of a thread continues in this one.
pub fn on_all_cores<I: Send, O: Send, S, T>(
    items: Vec<I>,
    share: usize,
    state: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, I) -> O + Sync,
    here: impl FnOnce() -> T,
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
        // After the first refusal, no more threads are asked for.
        let helpers: Vec<_> = (0..helpers).map_while(|_| start(scope, work)).collect();
        let done = here();
        let mut shares = vec![work()];
        shares.extend(helpers.into_iter().map(join));
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
    fn both_functions_run_once() {
        let (one, other) = both(
            || std::thread::current().id(),
            || std::thread::current().id(),
        );
        assert_ne!(one, other);
        assert_eq!(other, std::thread::current().id());
    }

    #[test]
    fn work_ahead_has_its_own_thread() {
        let work = ahead(|| std::thread::current().id());
        assert_ne!(work.wait(), std::thread::current().id());
        let panicked = std::panic::catch_unwind(|| ahead(|| panic!("ahead")).wait());
        assert!(panicked.is_err());
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
