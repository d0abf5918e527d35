//! Group commit: whoever finds nobody at work does the work of all who wait.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The most jobs that one leader takes on; the rest wait for the next.
const MAX_GROUP: usize = 1024;
/// The longest that a leader waits for company, and the part of the time that the last group's work
/// took.
const MAX_PATIENCE: Duration = Duration::from_micros(500);
const PATIENCE_DIVISOR: u32 = 4;

/// Jobs of many threads, done in groups by one of them at a time.
///
/// A job that comes alone is done at once. Where there was company a moment ago, those whose jobs were
/// done together come back one after another: the first of them, who leads, waits until as many are
/// there as there were, or for a small part of the time that the work takes. Else groups would be small
/// and large in turns.
pub(super) struct Group<J, R> {
    queue: Mutex<Queue<J, R>>,
    /// Told of every job that comes while a leader waits for company.
    arrived: Condvar,
}

struct Queue<J, R> {
    next_ticket: u64,
    waiting: Vec<Waiting<J>>,
    done: HashMap<u64, R>,
    has_leader: bool,
    /// A leader waits for company.
    is_gathering: bool,
    /// How many jobs there were when the last group was done: its own, and those that came meanwhile.
    expected: usize,
    patience: Duration,
    /// A leader has panicked; what it worked on is lost.
    broken: bool,
}

struct Waiting<J> {
    ticket: u64,
    job: J,
    thread: Thread,
}

impl<J, R> Default for Group<J, R> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Queue {
                next_ticket: 0,
                waiting: Vec::new(),
                done: HashMap::new(),
                has_leader: false,
                is_gathering: false,
                expected: 1,
                patience: Duration::ZERO,
                broken: false,
            }),
            arrived: Condvar::new(),
        }
    }
}

impl<J, R> Group<J, R> {
    fn queue(&self) -> MutexGuard<'_, Queue<J, R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a job to the group and waits until it is done, by this thread or another. `work` does
    /// a list of jobs and gives a result for each, in their order. Nothing comes back once a
    /// leader has panicked.
    pub(super) fn submit(&self, job: J, work: impl Fn(Vec<J>) -> Vec<R>) -> Option<R> {
        let mut queue = self.queue();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push(Waiting {
            ticket,
            job,
            thread: thread::current(),
        });
        if queue.is_gathering {
            self.arrived.notify_one();
        }
        loop {
            if let Some(result) = queue.done.remove(&ticket) {
                return Some(result);
            }
            if queue.broken {
                return None;
            }
            if queue.has_leader {
                drop(queue);
                // Whoever does the job, or leaves it to be led by this thread, ends this.
                thread::park();
                queue = self.queue();
                continue;
            }
            queue.has_leader = true;
            queue = self.gather(queue);
            let taken = queue.waiting.len().min(MAX_GROUP);
            let mut jobs = Vec::with_capacity(taken);
            let mut callers = Vec::with_capacity(taken);
            for waiting in queue.waiting.drain(..taken) {
                jobs.push(waiting.job);
                callers.push((waiting.ticket, waiting.thread));
            }
            drop(queue);
            let mut leader = Leader {
                group: self,
                callers,
            };
            let started = Instant::now();
            let results = work(jobs);
            let patience = (started.elapsed() / PATIENCE_DIVISOR).min(MAX_PATIENCE);
            let callers = std::mem::take(&mut leader.callers);
            std::mem::forget(leader);
            queue = self.queue();
            let tickets = callers.iter().map(|(ticket, _)| *ticket);
            queue.done.extend(tickets.zip(results));
            queue.has_leader = false;
            queue.expected = taken + queue.waiting.len();
            queue.patience = patience;
            let next = queue.waiting.first().map(|next| next.thread.clone());
            drop(queue);
            let callers = callers.into_iter().filter(|(called, _)| *called != ticket);
            for thread in callers.map(|(_, thread)| thread).chain(next) {
                thread.unpark();
            }
            queue = self.queue();
        }
    }

    /// Waits for company, if there was some.
    fn gather<'a>(&self, mut queue: MutexGuard<'a, Queue<J, R>>) -> MutexGuard<'a, Queue<J, R>> {
        if queue.waiting.len() >= queue.expected {
            return queue;
        }
        queue.is_gathering = true;
        let patience = queue.patience;
        let few = |queue: &mut Queue<J, R>| queue.waiting.len() < queue.expected;
        let (mut queue, _) = self
            .arrived
            .wait_timeout_while(queue, patience, few)
            .unwrap_or_else(PoisonError::into_inner);
        queue.is_gathering = false;
        queue
    }
}

/// Dropped only if the work panics: the others must not wait for ever.
struct Leader<'a, J, R> {
    group: &'a Group<J, R>,
    callers: Vec<(u64, Thread)>,
}

impl<J, R> Drop for Leader<'_, J, R> {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        queue.has_leader = false;
        queue.broken = true;
        for waiting in queue.waiting.drain(..) {
            waiting.thread.unpark();
        }
        for (_, thread) in &self.callers {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_is_done_once_and_in_groups() {
        let group = Group::<usize, usize>::default();
        let (done, groups) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (group, done, groups, start) = (&group, &done, &groups, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..100 {
                        let job = thread * 100 + round;
                        let result = group.submit(job, |jobs| {
                            groups.fetch_add(1, Ordering::SeqCst);
                            done.fetch_add(jobs.len(), Ordering::SeqCst);
                            std::thread::yield_now();
                            jobs.into_iter().map(|job| job * 2).collect()
                        });
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
        let group = Group::<u8, usize>::default();
        let alone = |jobs: Vec<u8>| vec![jobs.len(); jobs.len()];
        for _ in 0..3 {
            assert_eq!(group.submit(0, alone), Some(1));
            let queue = group.queue();
            assert_eq!((queue.expected, queue.waiting.len()), (1, 0));
        }
        // While one job is done another comes: whoever leads next expects two.
        let (begun, go_on) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                group.submit(1, |jobs| {
                    begun.wait();
                    go_on.wait();
                    alone(jobs)
                })
            });
            begun.wait();
            let second = scope.spawn(|| group.submit(2, alone));
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
    fn company_is_waited_for_where_there_was_some() {
        let group = Group::<u8, usize>::default();
        {
            let mut queue = group.queue();
            (queue.expected, queue.patience) = (2, Duration::from_secs(60));
        }
        let count = |jobs: Vec<u8>| vec![jobs.len(); jobs.len()];
        std::thread::scope(|scope| {
            let first = scope.spawn(|| group.submit(1, count));
            while !group.queue().is_gathering {
                assert!(!first.is_finished(), "the first job waited for nobody");
                std::thread::yield_now();
            }
            assert_eq!(group.submit(2, count), Some(2));
            assert_eq!(first.join().unwrap(), Some(2));
        });
    }

    #[test]
    fn a_panic_of_the_leader_ends_the_group() {
        let group = Group::<u8, u8>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.submit(1, |_| panic!("in the work"))
        }));
        assert!(panicked.is_err());
        assert_eq!(group.submit(2, |jobs| jobs), None);
    }
}
