//! GroupCommit commit: a thread that finds no leader leads, and does the jobs of all threads that wait.
//!
//! Locks and their order: `queue` before `done`, and `queue` before a `Slot`. No thread holds two
//! slots, or any of these locks while it does jobs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most jobs that one leader takes on; the rest wait for the next.
const MAX_GROUP: usize = 1024;
/// The longest that a leader lingers, and the part of the time that the last batch took.
const MAX_LINGER: Duration = Duration::from_micros(500);
const LINGER_DIVISOR: u32 = 4;

/// Jobs of many threads, done in groups by one of them at a time.
///
/// A job that comes alone is done at once. The threads whose jobs shared a batch come back one after
/// another: the first of them leads the next batch. It begins, takes jobs as they arrive, and
/// lingers until there are as many as in the last batch, or for a small part of the time that the
/// last batch took. Else batches would be small and large in turns.
pub(crate) struct GroupCommit<J, R> {
    queue: Mutex<Queue<J, R>>,
    /// Notified of each job that arrives while a leader lingers.
    arrived: Condvar,
    /// How many batches are done.
    done: Mutex<u64>,
    /// Notified of each batch that is done. One call wakes all followers.
    finished: Condvar,
}

struct Queue<J, R> {
    waiting: Vec<Waiting<J, R>>,
    has_leader: bool,
    /// A leader lingers.
    is_lingering: bool,
    /// How many jobs there were when the last batch was done: its own, and those that had arrived.
    expected: usize,
    linger_time: Duration,
    /// A leader panicked, and its batch is lost.
    broken: bool,
}

struct Waiting<J, R> {
    job: J,
    slot: Slot<R>,
}

/// Where a follower finds its result.
type Slot<R> = Arc<Mutex<Option<R>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<J, R> Default for GroupCommit<J, R> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                has_leader: false,
                is_lingering: false,
                expected: 1,
                linger_time: Duration::ZERO,
                broken: false,
            }),
            arrived: Condvar::new(),
            done: Mutex::new(0),
            finished: Condvar::new(),
        }
    }
}

impl<J, R> GroupCommit<J, R> {
    fn queue(&self) -> MutexGuard<'_, Queue<J, R>> {
        lock(&self.queue)
    }

    /// Queues a job and waits until this thread or another has done it. `work` does the jobs of a
    /// [`Batch`] and returns a result for each, in their order. Returns nothing once a leader has
    /// panicked. A follower calls `help` once before it waits.
    pub(crate) fn submit(
        &self,
        job: J,
        work: impl Fn(&mut Batch<'_, J, R>) -> Vec<R>,
        help: impl Fn(),
    ) -> Option<R> {
        let slot = Slot::default();
        let mut has_helped = false;
        let mut queue = self.queue();
        queue.waiting.push(Waiting {
            job,
            slot: Arc::clone(&slot),
        });
        if queue.is_lingering {
            self.arrived.notify_one();
        }
        loop {
            // The batch of the present leader is not counted yet, so its end cannot be missed.
            let seen = *lock(&self.done);
            if let Some(result) = lock(&slot).take() {
                return Some(result);
            }
            if queue.broken {
                return None;
            }
            if queue.has_leader {
                drop(queue);
                if !std::mem::replace(&mut has_helped, true) {
                    help();
                }
                self.wait_behind(seen);
                if let Some(result) = lock(&slot).take() {
                    return Some(result);
                }
                queue = self.queue();
                continue;
            }
            queue.has_leader = true;
            let batch = Batch::of(self, &mut queue);
            drop(queue);
            self.lead(batch, &work);
            queue = self.queue();
        }
    }

    /// Waits until more batches are done than `seen`.
    fn wait_behind(&self, seen: u64) {
        let still = |done: &mut u64| *done == seen;
        let done = self.finished.wait_while(lock(&self.done), still);
        drop(done.unwrap_or_else(PoisonError::into_inner));
    }

    fn lead(&self, mut batch: Batch<'_, J, R>, work: &impl Fn(&mut Batch<'_, J, R>) -> Vec<R>) {
        let started = Instant::now();
        let results = work(&mut batch);
        let linger_time = (started.elapsed() / LINGER_DIVISOR).min(MAX_LINGER);
        batch.is_done = true;
        // Before another thread can lead: a follower that finds no leader has its result, or its job
        // is still queued.
        for (slot, result) in batch.slots.iter().zip(results) {
            *lock(slot) = Some(result);
        }
        let mut queue = self.queue();
        queue.has_leader = false;
        queue.expected = batch.slots.len() + queue.waiting.len();
        queue.linger_time = linger_time;
        drop(queue);
        self.finish();
    }

    /// Wakes all followers: to take their results, or to lead.
    fn finish(&self) {
        *lock(&self.done) += 1;
        self.finished.notify_all();
    }
}

/// Jobs that are done together: those that were queued when the work began, and those that arrived
/// since.
pub(crate) struct Batch<'a, J, R> {
    group: &'a GroupCommit<J, R>,
    jobs: Vec<J>,
    slots: Vec<Slot<R>>,
    expected: usize,
    linger_time: Duration,
    is_done: bool,
}

impl<'a, J, R> Batch<'a, J, R> {
    fn of(group: &'a GroupCommit<J, R>, queue: &mut Queue<J, R>) -> Self {
        let mut batch = Self {
            group,
            jobs: Vec::new(),
            slots: Vec::new(),
            expected: queue.expected,
            linger_time: queue.linger_time,
            is_done: false,
        };
        batch.take(queue);
        batch
    }

    /// The jobs so far.
    pub(crate) fn jobs(&self) -> &[J] {
        &self.jobs
    }

    /// How many jobs the leader expects.
    pub(crate) fn expected(&self) -> usize {
        self.expected.max(self.jobs.len())
    }

    /// Whether there are as many jobs as the leader expects.
    pub(crate) fn is_complete(&self) -> bool {
        self.jobs.len() >= self.expected
    }

    /// Takes the jobs that have arrived. Whether there are more jobs now.
    pub(crate) fn take_more(&mut self) -> bool {
        let before = self.jobs.len();
        let mut queue = self.group.queue();
        self.take(&mut queue);
        self.jobs.len() > before
    }

    /// Takes the jobs that have arrived. If there are fewer than the leader expects, waits a little
    /// for them. Whether there are more jobs now.
    pub(crate) fn linger(&mut self) -> bool {
        let mut queue = self.group.queue();
        if queue.waiting.is_empty() && self.jobs.len() < self.expected {
            queue.is_lingering = true;
            let none = |queue: &mut Queue<J, R>| queue.waiting.is_empty();
            let started = Instant::now();
            (queue, _) = self
                .group
                .arrived
                .wait_timeout_while(queue, self.linger_time, none)
                .unwrap_or_else(PoisonError::into_inner);
            queue.is_lingering = false;
            self.linger_time = self.linger_time.saturating_sub(started.elapsed());
        }
        let before = self.jobs.len();
        self.take(&mut queue);
        self.jobs.len() > before
    }

    fn take(&mut self, queue: &mut Queue<J, R>) {
        let room = MAX_GROUP - self.jobs.len();
        let taken = queue.waiting.len().min(room);
        for waiting in queue.waiting.drain(..taken) {
            self.jobs.push(waiting.job);
            self.slots.push(waiting.slot);
        }
    }
}

impl<J, R> Drop for Batch<'_, J, R> {
    /// If the work panics, the followers must not wait for ever.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut queue = self.group.queue();
        queue.has_leader = false;
        queue.broken = true;
        queue.waiting.clear();
        drop(queue);
        self.group.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Does all jobs; each learns how many there were.
    fn count(batch: &mut Batch<'_, u8, usize>) -> Vec<usize> {
        while batch.linger() {}
        vec![batch.jobs().len(); batch.jobs().len()]
    }

    #[test]
    fn every_job_is_done_once_and_in_groups() {
        let group = GroupCommit::<usize, usize>::default();
        let (done, groups) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (group, done, groups, start) = (&group, &done, &groups, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..100 {
                        let job = thread * 100 + round;
                        let result = group.submit(
                            job,
                            |batch| {
                                groups.fetch_add(1, Ordering::SeqCst);
                                std::thread::yield_now();
                                while batch.linger() {}
                                let jobs = batch.jobs();
                                done.fetch_add(jobs.len(), Ordering::SeqCst);
                                jobs.iter().map(|job| job * 2).collect()
                            },
                            || (),
                        );
                        assert_eq!(result, Some(job * 2));
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 800);
        assert!(groups.load(Ordering::SeqCst) <= 800);
    }

    #[test]
    fn a_lone_job_waits_for_nobody_and_goes_on_if_nobody_comes() {
        let group = GroupCommit::<u8, usize>::default();
        let alone = count;
        for _ in 0..3 {
            assert_eq!(group.submit(0, alone, || ()), Some(1));
            let queue = group.queue();
            assert_eq!((queue.expected, queue.waiting.len()), (1, 0));
        }
        // While one job is done another comes: whoever leads next expects two.
        let (begun, go_on) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                group.submit(
                    1,
                    |batch| {
                        begun.wait();
                        go_on.wait();
                        let jobs = batch.jobs().len();
                        vec![jobs; jobs]
                    },
                    || (),
                )
            });
            begun.wait();
            let second = scope.spawn(|| group.submit(2, alone, || ()));
            while group.queue().waiting.is_empty() {
                std::thread::yield_now();
            }
            // Long enough for the first to come back.
            go_on.wait();
            assert_eq!(first.join().unwrap(), Some(1));
            // Nobody else came, and the work goes on all the same.
            assert_eq!(second.join().unwrap(), Some(1));
        });
        assert_eq!(group.queue().expected, 1);
    }

    #[test]
    fn batch_is_waited_for_where_there_was_some() {
        let group = GroupCommit::<u8, usize>::default();
        {
            let mut queue = group.queue();
            (queue.expected, queue.linger_time) = (2, Duration::from_secs(60));
        }
        std::thread::scope(|scope| {
            let first = scope.spawn(|| group.submit(1, count, || ()));
            while !group.queue().is_lingering {
                assert!(!first.is_finished(), "the first job waited for nobody");
                std::thread::yield_now();
            }
            assert_eq!(group.submit(2, count, || ()), Some(2));
            assert_eq!(first.join().unwrap(), Some(2));
        });
    }

    #[test]
    fn a_panic_of_the_leader_ends_the_group() {
        let group = GroupCommit::<u8, u8>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.submit(1, |_| panic!("in the work"), || ())
        }));
        assert!(panicked.is_err());
        assert_eq!(group.submit(2, |batch| batch.jobs().to_vec(), || ()), None);
    }
}
