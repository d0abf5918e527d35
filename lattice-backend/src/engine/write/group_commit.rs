//! Group commit: whoever finds nobody at work does the work of all who wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
/// done together come back one after another: the first of them, who leads, begins, takes on the others
/// as they come, and waits until as many are there as there were, or for a small part of the time that the
/// work takes. Else groups would be small and large in turns.
pub(crate) struct Group<J, R> {
    queue: Mutex<Queue<J, R>>,
    /// Told of every job that comes while a leader waits for company.
    arrived: Condvar,
    /// How many groups have been done.
    done: Mutex<u64>,
    /// Told of every group that is done. All who wait are woken at once, which takes one call.
    finished: Condvar,
}

struct Queue<J, R> {
    waiting: Vec<Waiting<J, R>>,
    has_leader: bool,
    /// A leader waits for company.
    is_gathering: bool,
    /// How many jobs there were when the last group was done: its own, and those that came meanwhile.
    expected: usize,
    patience: Duration,
    /// A leader has panicked; what it worked on is lost.
    broken: bool,
}

struct Waiting<J, R> {
    job: J,
    place: Place<R>,
}

/// Where a result comes to.
type Place<R> = Arc<Mutex<Option<R>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<J, R> Default for Group<J, R> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: Vec::new(),
                has_leader: false,
                is_gathering: false,
                expected: 1,
                patience: Duration::ZERO,
                broken: false,
            }),
            arrived: Condvar::new(),
            done: Mutex::new(0),
            finished: Condvar::new(),
        }
    }
}

impl<J, R> Group<J, R> {
    fn queue(&self) -> MutexGuard<'_, Queue<J, R>> {
        lock(&self.queue)
    }

    /// Gives a job to the group and waits until it is done, by this thread or another. `work` does the
    /// jobs of a [`Company`] and gives a result for each, in their order. Nothing comes back once a
    /// leader has panicked. Who is about to wait for a leader helps once.
    pub(crate) fn submit(
        &self,
        job: J,
        work: impl Fn(&mut Company<'_, J, R>) -> Vec<R>,
        help: impl Fn(),
    ) -> Option<R> {
        let place = Place::default();
        let mut has_helped = false;
        let mut queue = self.queue();
        queue.waiting.push(Waiting {
            job,
            place: Arc::clone(&place),
        });
        if queue.is_gathering {
            self.arrived.notify_one();
        }
        loop {
            // Whoever leads now has not been counted yet, so that its end cannot be missed.
            let seen = *lock(&self.done);
            if let Some(result) = lock(&place).take() {
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
                if let Some(result) = lock(&place).take() {
                    return Some(result);
                }
                queue = self.queue();
                continue;
            }
            queue.has_leader = true;
            let company = Company::of(self, &mut queue);
            drop(queue);
            self.lead(company, &work);
            queue = self.queue();
        }
    }

    /// Waits until more groups are done than were.
    fn wait_behind(&self, seen: u64) {
        let still = |done: &mut u64| *done == seen;
        let done = self.finished.wait_while(lock(&self.done), still);
        drop(done.unwrap_or_else(PoisonError::into_inner));
    }

    fn lead(
        &self,
        mut company: Company<'_, J, R>,
        work: &impl Fn(&mut Company<'_, J, R>) -> Vec<R>,
    ) {
        let started = Instant::now();
        let results = work(&mut company);
        let patience = (started.elapsed() / PATIENCE_DIVISOR).min(MAX_PATIENCE);
        company.is_done = true;
        // Before another can lead: who finds no leader has its result, or its job is still waiting.
        for (place, result) in company.places.iter().zip(results) {
            *lock(place) = Some(result);
        }
        let mut queue = self.queue();
        queue.has_leader = false;
        queue.expected = company.places.len() + queue.waiting.len();
        queue.patience = patience;
        drop(queue);
        self.finish();
    }

    /// Wakes all who wait: for their results, or for somebody who leads.
    fn finish(&self) {
        *lock(&self.done) += 1;
        self.finished.notify_all();
    }
}

/// Jobs that are done together: those that waited when the work began, and those that have come since.
pub(crate) struct Company<'a, J, R> {
    group: &'a Group<J, R>,
    jobs: Vec<J>,
    places: Vec<Place<R>>,
    expected: usize,
    patience: Duration,
    is_done: bool,
}

impl<'a, J, R> Company<'a, J, R> {
    fn of(group: &'a Group<J, R>, queue: &mut Queue<J, R>) -> Self {
        let mut company = Self {
            group,
            jobs: Vec::new(),
            places: Vec::new(),
            expected: queue.expected,
            patience: queue.patience,
            is_done: false,
        };
        company.take(queue);
        company
    }

    /// The jobs so far.
    pub(crate) fn jobs(&self) -> &[J] {
        &self.jobs
    }

    /// The same, for work that consumes what a job carries.
    pub(crate) fn jobs_mut(&mut self) -> &mut [J] {
        &mut self.jobs
    }

    /// How many there may be in the end.
    pub(crate) fn expected(&self) -> usize {
        self.expected.max(self.jobs.len())
    }

    /// Whether there are as many jobs as there may be.
    pub(crate) fn is_complete(&self) -> bool {
        self.jobs.len() >= self.expected
    }

    /// Takes on what has come meanwhile. Whether there are more jobs now.
    pub(crate) fn take_more(&mut self) -> bool {
        let before = self.jobs.len();
        let mut queue = self.group.queue();
        self.take(&mut queue);
        self.jobs.len() > before
    }

    /// Takes on what has come meanwhile; where there was more company a moment ago, waits a little for it.
    /// Whether there are more jobs now.
    pub(crate) fn gather(&mut self) -> bool {
        let mut queue = self.group.queue();
        if queue.waiting.is_empty() && self.jobs.len() < self.expected {
            queue.is_gathering = true;
            let none = |queue: &mut Queue<J, R>| queue.waiting.is_empty();
            let started = Instant::now();
            (queue, _) = self
                .group
                .arrived
                .wait_timeout_while(queue, self.patience, none)
                .unwrap_or_else(PoisonError::into_inner);
            queue.is_gathering = false;
            self.patience = self.patience.saturating_sub(started.elapsed());
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
            self.places.push(waiting.place);
        }
    }
}

impl<J, R> Drop for Company<'_, J, R> {
    /// If the work panics, the others must not wait for ever.
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

    /// Does all jobs, those that come meanwhile, too; each learns how many there were.
    fn count(company: &mut Company<'_, u8, usize>) -> Vec<usize> {
        while company.gather() {}
        vec![company.jobs().len(); company.jobs().len()]
    }

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
                        let result = group.submit(
                            job,
                            |company| {
                                groups.fetch_add(1, Ordering::SeqCst);
                                std::thread::yield_now();
                                while company.gather() {}
                                let jobs = company.jobs();
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
        let group = Group::<u8, usize>::default();
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
                    |company| {
                        begun.wait();
                        go_on.wait();
                        let jobs = company.jobs().len();
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
    fn company_is_waited_for_where_there_was_some() {
        let group = Group::<u8, usize>::default();
        {
            let mut queue = group.queue();
            (queue.expected, queue.patience) = (2, Duration::from_secs(60));
        }
        std::thread::scope(|scope| {
            let first = scope.spawn(|| group.submit(1, count, || ()));
            while !group.queue().is_gathering {
                assert!(!first.is_finished(), "the first job waited for nobody");
                std::thread::yield_now();
            }
            assert_eq!(group.submit(2, count, || ()), Some(2));
            assert_eq!(first.join().unwrap(), Some(2));
        });
    }

    #[test]
    fn a_panic_of_the_leader_ends_the_group() {
        let group = Group::<u8, u8>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.submit(1, |_| panic!("in the work"), || ())
        }));
        assert!(panicked.is_err());
        assert_eq!(
            group.submit(2, |company| company.jobs().to_vec(), || ()),
            None
        );
    }
}
