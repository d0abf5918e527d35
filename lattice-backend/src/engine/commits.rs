//! Tells threads of this process that wait for ops of a store about its commits, whichever handle
//! made them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use lattice_meta::GenesisHash;

/// Counts the commits of a store by handles of this process.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    news: Mutex<News>,
    /// Notified of each commit, and when a handle is closed.
    changed: Condvar,
    /// How often a thread has begun to wait.
    #[cfg(test)]
    waits: std::sync::atomic::AtomicUsize,
}

#[derive(Debug, Default)]
struct News {
    /// The number of notifications.
    count: u64,
    /// When a waiting thread last found something new.
    seen: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Commits {
    /// What all handles of a store in this process share. A copy of the store elsewhere shares it
    /// as well: a thread that is woken for nothing looks, and waits again.
    pub(crate) fn of(store: &GenesisHash) -> Arc<Self> {
        static ALL: Mutex<BTreeMap<GenesisHash, Weak<Commits>>> = Mutex::new(BTreeMap::new());
        let mut all = lock(&ALL);
        if let Some(known) = all.get(store).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, commits| commits.strong_count() > 0);
        let commits = Arc::default();
        all.insert(*store, Arc::downgrade(&commits));
        commits
    }

    /// Wakes all waiting threads.
    pub(crate) fn notify(&self) {
        lock(&self.news).count += 1;
        self.changed.notify_all();
    }

    /// The number of notifications so far.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.news).count
    }

    /// Waits for a notification after the first `count`, for at most so long.
    pub(crate) fn wait(&self, count: u64, most: Duration) {
        let news = lock(&self.news);
        if news.count == count {
            #[cfg(test)]
            self.waits
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            drop(self.changed.wait_timeout(news, most));
        }
    }

    /// Notes that a waiting thread found something new.
    pub(crate) fn note_seen(&self) {
        lock(&self.news).seen = Some(Instant::now());
    }

    /// How long ago that was last so.
    pub(crate) fn quiet(&self) -> Option<Duration> {
        lock(&self.news).seen.map(|seen| seen.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_a_store_share_what_they_notify() {
        let [one, two] = [1, 2].map(|byte| GenesisHash::from_bytes([byte; 32]));
        let first = Commits::of(&one);
        assert!(Arc::ptr_eq(&first, &Commits::of(&one)));
        assert!(!Arc::ptr_eq(&first, &Commits::of(&two)));
    }

    #[test]
    fn a_notification_ends_a_wait_at_once() {
        let most = Duration::from_secs(60);
        let commits = Commits::default();
        let count = commits.count();
        let waited = || {
            let began = Instant::now();
            commits.wait(count, most);
            began.elapsed()
        };
        let woken = std::thread::scope(|scope| {
            let waiter = scope.spawn(waited);
            // It holds the lock until it waits, so the notification comes after that.
            while commits.waits.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            commits.notify();
            waiter.join().expect("waiting does not panic")
        });
        assert!(woken < most, "it waited for {woken:?}");
        // One that came before the wait counts as well.
        assert!(waited() < most);
        assert_eq!(commits.count(), count + 1);
    }
}
