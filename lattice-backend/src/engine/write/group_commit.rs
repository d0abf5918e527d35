//! Group commit: the first thread that finds no leader becomes the leader and does all queued jobs.
//!
//! Lock order: what `work` holds, then `queue`, then `done` or a `Slot`. No thread holds two slots.
//! `work` locks `queue` only to take jobs and to linger. No thread that holds one of these locks
//! waits for a lock that `work` holds.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most jobs in one batch; the next batch takes the rest.
const MAX_GROUP: usize = 1024;
/// A leader lingers at most this long, and at most the last batch's time / `LINGER_DIVISOR`.
const MAX_LINGER: Duration = Duration::from_micros(500);
const LINGER_DIVISOR: u32 = 4;

/// Does the jobs of many threads in batches, one after another, each on one of these threads.
///
/// A leader expects as many jobs as the last batch had, plus those that were queued at its end. The
/// first thread to lock the queue leads. Its `work` starts, takes jobs as they arrive, and lingers
/// until the batch is as long as expected or the linger time, a fraction of the last batch's time,
/// has passed. A thread that was alone for one batch waits for no other. Without the linger, batch
/// sizes would oscillate. A leader whose batch is committed and not yet durable hands over, so the
/// next batch is prepared at that time.
pub(crate) struct GroupCommit<J, R> {
    queue: Mutex<Queue<J, R>>,
    /// Notified of each job that arrives while the leader lingers.
    arrived: Condvar,
    /// The number of times that a leader has finished a batch or handed over.
    done: Mutex<u64>,
    /// Notified of each of these. One call wakes all followers.
    finished: Condvar,
}

struct Queue<J, R> {
    waiting: Vec<Waiting<J, R>>,
    has_leader: bool,
    /// The leader lingers.
    is_lingering: bool,
    /// The last batch's jobs plus the jobs that were queued when it finished.
    expected: usize,
    linger_time: Duration,
    /// A leader panicked. The results of its batch and all queued jobs are lost.
    broken: bool,
}

struct Waiting<J, R> {
    job: J,
    slot: Slot<R>,
}

/// Where a follower finds what became of its job.
type Slot<R> = Arc<Mutex<Place<R>>>;

/// What became of a job.
#[derive(Debug)]
enum Place<R> {
    Queued,
    /// It is part of a batch.
    Taken,
    Done(R),
    /// The result has been returned.
    Gone,
}

impl<R> Place<R> {
    /// The result, if the job is done.
    fn take(&mut self) -> Option<R> {
        match std::mem::replace(self, Self::Gone) {
            Self::Done(result) => Some(result),
            other => {
                *self = other;
                None
            }
        }
    }
}

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
    /// [`Batch`] and returns one result for each, in order. Returns `None` once a leader has
    /// panicked, whether or not the job was done. Before it waits, a follower calls `help` once,
    /// with no lock of the group held.
    pub(crate) fn submit(
        &self,
        job: J,
        work: impl Fn(&mut Batch<'_, J, R>) -> Vec<R>,
        help: impl Fn(),
    ) -> Option<R> {
        let slot = Slot::new(Mutex::new(Place::Queued));
        let mut has_helped = false;
        let mut queue = self.queue();
        if queue.broken {
            return None;
        }
        queue.waiting.push(Waiting {
            job,
            slot: Arc::clone(&slot),
        });
        if queue.is_lingering {
            self.arrived.notify_one();
        }
        loop {
            // Under the `queue` lock, a current leader has not counted its batch yet. A follower
            // that waits for a count above `seen` therefore cannot miss the end of that batch.
            let seen = *lock(&self.done);
            if let Some(result) = lock(&slot).take() {
                return Some(result);
            }
            if queue.broken {
                return None;
            }
            // The batch of a leader that has handed over becomes durable.
            let is_taken = matches!(*lock(&slot), Place::Taken);
            if queue.has_leader || is_taken {
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

    /// Waits until more than `seen` batches are finished.
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
        // Stored before another thread can lead: a follower that finds no leader either has its
        // result, or its job is still queued.
        for (slot, result) in batch.slots.iter().zip(results) {
            *lock(slot) = Place::Done(result);
        }
        let mut queue = self.queue();
        if !batch.is_handed_over.get() {
            queue.has_leader = false;
        }
        queue.expected = batch.slots.len() + queue.waiting.len();
        queue.linger_time = linger_time;
        drop(queue);
        self.finish();
    }

    /// Wakes all followers, which then take their results or lead.
    fn finish(&self) {
        *lock(&self.done) += 1;
        self.finished.notify_all();
    }
}

/// Jobs that are done together: those queued when the leader started, and those that `work` takes
/// later. Jobs that `work` has not taken when it returns are left to the next batch.
pub(crate) struct Batch<'a, J, R> {
    group: &'a GroupCommit<J, R>,
    jobs: Vec<J>,
    slots: Vec<Slot<R>>,
    expected: usize,
    linger_time: Duration,
    is_done: bool,
    /// Another thread can lead.
    is_handed_over: Rc<Cell<bool>>,
}

/// Lets another thread lead before a batch is done.
pub(crate) struct Lead<'a, J, R> {
    group: &'a GroupCommit<J, R>,
    is_handed_over: Rc<Cell<bool>>,
}

impl<J, R> Lead<'_, J, R> {
    /// The jobs that this batch has not taken are left to the next leader.
    pub(crate) fn hand_over(&self) {
        self.is_handed_over.set(true);
        self.group.queue().has_leader = false;
        self.group.finish();
    }
}

impl<'a, J, R> Batch<'a, J, R> {
    fn of(group: &'a GroupCommit<J, R>, queue: &mut Queue<J, R>) -> Self {
        let mut batch = Self {
            group,
            jobs: Vec::new(),
            slots: Vec::new(),
            expected: queue.expected.min(MAX_GROUP),
            linger_time: queue.linger_time,
            is_done: false,
            is_handed_over: Rc::default(),
        };
        batch.take(queue);
        batch
    }

    /// For handing over before the batch is done.
    pub(crate) fn lead(&self) -> Lead<'a, J, R> {
        Lead {
            group: self.group,
            is_handed_over: Rc::clone(&self.is_handed_over),
        }
    }

    /// The jobs taken so far.
    pub(crate) fn jobs(&self) -> &[J] {
        &self.jobs
    }

    /// The number of jobs that the leader expects.
    pub(crate) fn expected(&self) -> usize {
        self.expected.max(self.jobs.len())
    }

    /// Whether the batch has as many jobs as the leader expects.
    pub(crate) fn is_complete(&self) -> bool {
        self.jobs.len() >= self.expected
    }

    /// Takes the jobs that have arrived. Returns whether the batch grew.
    pub(crate) fn take_more(&mut self) -> bool {
        let before = self.jobs.len();
        let mut queue = self.group.queue();
        self.take(&mut queue);
        self.jobs.len() > before
    }

    /// Takes the jobs that have arrived. If there are none and the batch is shorter than expected,
    /// first waits for one, at most for the rest of the linger time. Returns whether the batch
    /// grew.
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
            *lock(&waiting.slot) = Place::Taken;
            self.jobs.push(waiting.job);
            self.slots.push(waiting.slot);
        }
    }
}

impl<J, R> Drop for Batch<'_, J, R> {
    /// If `work` panics, wakes the followers, which would otherwise wait forever.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut queue = self.group.queue();
        if !self.is_handed_over.get() {
            queue.has_leader = false;
        }
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

    /// Does all jobs; the result of each is the size of the batch.
    fn count(batch: &mut Batch<'_, u8, usize>) -> Vec<usize> {
        while batch.linger() {}
        vec![batch.jobs().len(); batch.jobs().len()]
    }

    #[test]
    fn every_request_runs_once_and_requests_share_commits() {
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
                                // While the first job is done, all other threads ask for theirs.
                                let is_first = groups.fetch_add(1, Ordering::SeqCst) == 0;
                                let mine = batch.jobs().len();
                                while is_first && mine + group.queue().waiting.len() < 8 {
                                    std::thread::yield_now();
                                }
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
        // These shared a commit, if they were not part of the first.
        assert!(groups.load(Ordering::SeqCst) <= 800 - 6);
    }

    #[test]
    fn a_lone_request_does_not_linger_and_a_linger_ends_without_followers() {
        let group = GroupCommit::<u8, usize>::default();
        let alone = count;
        for _ in 0..3 {
            assert_eq!(group.submit(0, alone, || ()), Some(1));
            let queue = group.queue();
            assert_eq!((queue.expected, queue.waiting.len()), (1, 0));
        }
        // A second job arrives while the first is done, so the next leader expects two.
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
            go_on.wait();
            assert_eq!(first.join().unwrap(), Some(1));
            // No other job arrived; the leader stopped lingering and did its own.
            assert_eq!(second.join().unwrap(), Some(1));
        });
        assert_eq!(group.queue().expected, 1);
    }

    #[test]
    fn the_leader_lingers_after_a_batch_of_several() {
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
    fn a_leader_that_hands_over_keeps_its_jobs_and_leaves_the_others() {
        let group = GroupCommit::<u8, u8>::default();
        let (handed, durable) = (Barrier::new(2), Barrier::new(2));
        let never = |_: &mut Batch<'_, u8, u8>| panic!("its job is part of another batch");
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let lead = |batch: &mut Batch<'_, u8, u8>| {
                    while !batch.take_more() {
                        std::thread::yield_now();
                    }
                    batch.lead().hand_over();
                    handed.wait();
                    durable.wait();
                    batch.jobs().iter().map(|job| job * 10).collect()
                };
                group.submit(1, lead, || ())
            });
            while !group.queue().has_leader {
                std::thread::yield_now();
            }
            let follower = scope.spawn(|| group.submit(2, never, || ()));
            handed.wait();
            let is_handed_over = !group.queue().has_leader;
            let next = is_handed_over
                .then(|| group.submit(3, |batch| batch.jobs().to_vec(), || ()))
                .flatten();
            let follower_waits = !follower.is_finished();
            durable.wait();
            assert_eq!(next, Some(3), "the next batch waits for the last one");
            assert!(follower_waits, "a job was answered before it was durable");
            assert_eq!(leader.join().unwrap(), Some(10));
            assert_eq!(follower.join().unwrap(), Some(20));
        });
    }

    #[test]
    fn after_a_panic_of_the_leader_submit_returns_none() {
        let group = GroupCommit::<u8, u8>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.submit(1, |_| panic!("in the work"), || ())
        }));
        assert!(panicked.is_err());
        assert_eq!(group.submit(2, |batch| batch.jobs().to_vec(), || ()), None);
        assert!(group.queue().waiting.is_empty());
    }

    #[test]
    fn a_batch_of_the_most_jobs_is_complete_whatever_the_leader_expects() {
        let group = GroupCommit::<u8, usize>::default();
        let mut queue = group.queue();
        queue.expected = 2 * MAX_GROUP;
        queue.waiting = (0..=MAX_GROUP)
            .map(|_| Waiting {
                job: 0,
                slot: Slot::new(Mutex::new(Place::Queued)),
            })
            .collect();
        let mut batch = Batch::of(&group, &mut queue);
        assert_eq!((batch.jobs().len(), queue.waiting.len()), (MAX_GROUP, 1));
        assert!(batch.is_complete());
        batch.is_done = true;
    }
}
