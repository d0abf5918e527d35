//! Group commit: whoever finds nobody at work does the work of all who wait.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The most jobs that one leader takes on; the rest wait for the next.
const MAX_GROUP: usize = 1024;

/// Jobs of many threads, done in groups by one of them at a time. A job that finds nobody at work
/// is done at once: nobody waits for company.
pub(super) struct Group<J, R> {
    queue: Mutex<Queue<J, R>>,
    changed: Condvar,
}

struct Queue<J, R> {
    next_ticket: u64,
    waiting: Vec<(u64, J)>,
    done: HashMap<u64, R>,
    has_leader: bool,
    /// A leader has panicked; what it worked on is lost.
    broken: bool,
}

impl<J, R> Default for Group<J, R> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Queue {
                next_ticket: 0,
                waiting: Vec::new(),
                done: HashMap::new(),
                has_leader: false,
                broken: false,
            }),
            changed: Condvar::new(),
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
        queue.waiting.push((ticket, job));
        loop {
            if let Some(result) = queue.done.remove(&ticket) {
                return Some(result);
            }
            if queue.broken {
                return None;
            }
            if queue.has_leader {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.has_leader = true;
            let taken = queue.waiting.len().min(MAX_GROUP);
            let (tickets, jobs): (Vec<_>, Vec<_>) = queue.waiting.drain(..taken).unzip();
            drop(queue);
            let leader = Leader { group: self };
            let results = work(jobs);
            std::mem::forget(leader);
            queue = self.queue();
            queue.done.extend(tickets.into_iter().zip(results));
            queue.has_leader = false;
            self.changed.notify_all();
        }
    }
}

/// Dropped only if the work panics: the others must not wait for ever.
struct Leader<'a, J, R> {
    group: &'a Group<J, R>,
}

impl<J, R> Drop for Leader<'_, J, R> {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        queue.has_leader = false;
        queue.broken = true;
        queue.waiting.clear();
        self.group.changed.notify_all();
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
    fn a_panic_of_the_leader_ends_the_group() {
        let group = Group::<u8, u8>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.submit(1, |_| panic!("in the work"))
        }));
        assert!(panicked.is_err());
        assert_eq!(group.submit(2, |jobs| jobs), None);
    }
}
