//! Instances that a thread makes ahead of the calls that need them.
//!
//! Making an instance takes longer than most calls run: about 30 ns for each function of the module
//! and 2 us besides. An op needs three. A thread of the process makes them, and drops the used
//! ones, while the threads that carry out ops wait for a disk. An instance made ahead has run no
//! code of its module and serves one call, so that it is as good as one made for the call. If none
//! is ready, the caller makes one.
//!
//! To wake a thread takes as long as to make an instance, so callers only set a flag. The thread
//! reads the flags again and again, until no caller has set one for a while.

use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::code::{Code, WeakCode};
use crate::instance::Running;

/// Number of instances of a module that are kept ready: an op needs three, or four if it replaces
/// values.
const READY: usize = 4;
/// An instance that takes more memory is made when it is needed.
pub(crate) const MAX_INSTANCE_BYTES: u64 = 256 << 10;
/// Number of pages of a memory above which an instance is dropped at once.
const MAX_PAGES: u64 = 4;
/// How long the thread sleeps before it reads the flags again.
const PAUSE: Duration = Duration::from_micros(100);
/// How long it does so after it has last found one set.
const ATTENTION: Duration = Duration::from_millis(20);
/// How long it then waits to be woken before it drops the instances that are ready.
const IDLE: Duration = Duration::from_secs(1);

/// The instances of a module that are made and not used, or used and not dropped.
pub(crate) struct Shelf {
    is_small: bool,
    ready: Mutex<Vec<Running>>,
    used: Mutex<Vec<Running>>,
    /// Whether an instance was taken since the thread has filled the shelf.
    is_asked: AtomicBool,
    /// Whether the thread reads that flag.
    is_known: AtomicBool,
}

/// Whether the thread has to be woken.
static IS_ASLEEP: AtomicBool = AtomicBool::new(false);

fn lock(instances: &Mutex<Vec<Running>>) -> MutexGuard<'_, Vec<Running>> {
    // A vector that a panicking thread pushes to or pops from is still a vector.
    instances.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// A shelf for a module whose instances are small enough to be made ahead, or not.
    pub(crate) fn new(is_small: bool) -> Self {
        Self {
            is_small,
            ready: Mutex::new(Vec::new()),
            used: Mutex::new(Vec::new()),
            is_asked: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
        }
    }

    /// Takes an instance, if one is ready, and has the shelf filled again.
    pub(crate) fn take(&self, code: impl FnOnce() -> WeakCode) -> Option<Running> {
        let requests = requests().filter(|_| self.is_small)?;
        let ready = lock(&self.ready).pop();
        if !self.is_asked.swap(true, Ordering::SeqCst) {
            let is_known = self.is_known.load(Ordering::SeqCst);
            if !is_known || IS_ASLEEP.swap(false, Ordering::SeqCst) {
                // This fails only if the thread has panicked; callers then make all instances.
                let _ = requests.send(code());
            }
        }
        ready
    }

    /// Drops a used instance, or leaves that to the thread.
    pub(crate) fn discard(&self, running: Running) {
        if self.is_known.load(Ordering::SeqCst) && running.pages() <= MAX_PAGES {
            let mut used = lock(&self.used);
            if used.len() < READY {
                return used.push(running);
            }
        }
        drop(running);
    }

    /// Fills the shelf if an instance was taken; returns whether one was.
    fn fill(&self, code: &Code) -> bool {
        if !self.is_asked.swap(false, Ordering::SeqCst) {
            return false;
        }
        // Outside of the lock, which others wait for.
        let used = take(&mut *lock(&self.used));
        drop(used);
        while lock(&self.ready).len() < READY {
            match Running::make(code) {
                Ok(running) => lock(&self.ready).push(running),
                // The caller reports the error, when it makes an instance itself.
                Err(_) => break,
            }
        }
        true
    }

    fn clear(&self) {
        self.is_known.store(false, Ordering::SeqCst);
        self.is_asked.store(false, Ordering::SeqCst);
        let cleared = [&self.ready, &self.used].map(|instances| take(&mut *lock(instances)));
        drop(cleared);
    }
}

/// Where requests to fill a shelf go. `None` on a machine with one processor, which the thread
/// would take from the others.
fn requests() -> Option<&'static Sender<WeakCode>> {
    static REQUESTS: OnceLock<Option<Sender<WeakCode>>> = OnceLock::new();
    let requests = REQUESTS.get_or_init(|| {
        let processors = std::thread::available_parallelism();
        if processors.is_ok_and(|processors| processors.get() == 1) {
            return None;
        }
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("lattice-wasm".into());
        thread.spawn(move || serve(&receiver)).ok()?;
        Some(sender)
    });
    requests.as_ref()
}

fn serve(requests: &Receiver<WeakCode>) {
    // The modules whose flags the thread reads.
    let mut known = Vec::<WeakCode>::new();
    loop {
        let woken = match known.is_empty() {
            true => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => requests.recv_timeout(IDLE),
        };
        match woken {
            Ok(request) => {
                add(&mut known, request);
                attend(&mut known, requests);
            }
            Err(RecvTimeoutError::Timeout) => {
                for code in take(&mut known).iter().filter_map(WeakCode::upgrade) {
                    code.shelf().clear();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn add(known: &mut Vec<WeakCode>, request: WeakCode) {
    if let Some(code) = request.upgrade()
        && !code.shelf().is_known.swap(true, Ordering::SeqCst)
    {
        known.push(request);
    }
}

/// Fills shelves until none was asked for a while.
fn attend(known: &mut Vec<WeakCode>, requests: &Receiver<WeakCode>) {
    IS_ASLEEP.store(false, Ordering::SeqCst);
    let mut last = Instant::now();
    loop {
        requests.try_iter().for_each(|request| add(known, request));
        let mut is_asked = false;
        known.retain(|code| {
            let code = code.upgrade();
            is_asked |= code.as_ref().is_some_and(|code| code.shelf().fill(code));
            code.is_some()
        });
        if is_asked {
            last = Instant::now();
            IS_ASLEEP.store(false, Ordering::SeqCst);
        } else if IS_ASLEEP.load(Ordering::SeqCst) {
            // No caller asked after the flag was set: from now on callers wake this thread.
            return;
        } else if last.elapsed() >= ATTENTION {
            IS_ASLEEP.store(true, Ordering::SeqCst);
            continue;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests;

    /// Whether `is_so` holds within ten seconds.
    fn becomes(is_so: impl Fn() -> bool) -> bool {
        let begin = Instant::now();
        while !is_so() {
            if begin.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    fn ready(code: &Code) -> usize {
        lock(&code.shelf().ready).len()
    }

    #[test]
    fn a_shelf_is_filled_after_an_instance_was_taken_and_cleared_when_none_is() {
        if requests().is_none() {
            return;
        }
        let code = Code::new(guests::COUNTER).unwrap();
        assert_eq!(
            ready(&code),
            0,
            "nothing is made for code that does not run"
        );
        assert!(code.ready().is_none());
        assert!(becomes(|| ready(&code) == READY));
        // While the thread reads the flags, and after it has fallen asleep.
        for _ in 0..2 {
            for _ in 0..READY {
                if let Some(running) = code.ready() {
                    code.discard(running);
                }
                assert!(becomes(|| ready(&code) == READY));
            }
            assert!(becomes(|| IS_ASLEEP.load(Ordering::SeqCst)));
        }
        assert!(becomes(|| ready(&code) == 0), "an idle module has none");
        assert!(lock(&code.shelf().used).is_empty());
        assert!(code.ready().is_none());
        assert!(becomes(|| ready(&code) == READY), "it is known again");
    }

    #[test]
    fn used_instances_are_dropped_with_the_next_filling_and_few_are_kept() {
        if requests().is_none() {
            return;
        }
        let code = Code::new(guests::COUNTER).unwrap();
        // The thread does not know the code yet: these are dropped at once.
        code.discard(Running::make(&code).unwrap());
        assert!(lock(&code.shelf().used).is_empty());
        assert!(code.ready().is_none());
        assert!(becomes(|| ready(&code) == READY));
        for _ in 0..2 * READY {
            code.discard(Running::make(&code).unwrap());
        }
        assert!(lock(&code.shelf().used).len() <= READY);
        drop(code.ready());
        assert!(becomes(|| lock(&code.shelf().used).is_empty()));
    }

    #[test]
    fn large_instances_are_not_made_ahead() {
        let shelf = Shelf::new(false);
        let none = || -> WeakCode { panic!("the thread is not asked") };
        assert!(shelf.take(none).is_none());
        assert!(!shelf.is_asked.load(Ordering::SeqCst));
    }
}
