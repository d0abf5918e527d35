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
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
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
const ATTENTION: Duration = Duration::from_millis(5);
/// After this time without an op of a module, its instances are dropped.
const IDLE: Duration = Duration::from_secs(1);

/// The instances of a module that are made and not used, or used and not dropped.
pub(crate) struct Shelf {
    is_small: bool,
    ready: Mutex<Vec<Running>>,
    /// `None` if the thread does not know the module.
    used: Mutex<Option<Vec<Running>>>,
    /// Whether an instance was taken since the thread has filled the shelf.
    is_asked: AtomicBool,
    /// Whether the thread reads that flag.
    is_known: AtomicBool,
}

/// Whether the thread has to be woken.
static IS_ASLEEP: AtomicBool = AtomicBool::new(false);

fn lock<T>(instances: &Mutex<T>) -> MutexGuard<'_, T> {
    // A vector that a panicking thread pushes to or pops from is still a vector.
    instances.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks unless another thread has locked. Threads that carry out ops do not wait here; nor does a
/// process that was forked while the thread had a lock.
fn try_lock<T>(instances: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match instances.try_lock() {
        Ok(locked) => Some(locked),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Shelf {
    /// A shelf for a module whose instances are small enough to be made ahead, or not.
    pub(crate) fn new(is_small: bool) -> Self {
        Self {
            is_small,
            ready: Mutex::new(Vec::new()),
            used: Mutex::new(None),
            is_asked: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
        }
    }

    /// Takes an instance, if one is ready, and has the shelf filled again.
    pub(crate) fn take(&self, code: impl FnOnce() -> WeakCode) -> Option<Running> {
        if !self.is_small {
            return None;
        }
        let requests = requests()?;
        let ready = try_lock(&self.ready).and_then(|mut ready| ready.pop());
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
    pub(crate) fn discard(&self, mut running: Running) {
        if running.pages() <= MAX_PAGES
            && let Some(mut used) = try_lock(&self.used)
            && let Some(used) = used.as_mut().filter(|used| used.len() < READY)
        {
            running.context().drop_buffers();
            used.push(running);
        }
    }

    /// Fills the shelf if an instance was taken; returns whether one was.
    fn fill(&self, code: &Code) -> bool {
        if !self.is_asked.swap(false, Ordering::SeqCst) {
            return false;
        }
        // Dropped outside of the lock.
        let used = lock(&self.used).as_mut().map(take);
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

    fn begin(&self) {
        *lock(&self.used) = Some(Vec::new());
    }

    fn clear(&self) {
        self.is_known.store(false, Ordering::SeqCst);
        self.is_asked.store(false, Ordering::SeqCst);
        let used = lock(&self.used).take();
        let ready = take(&mut *lock(&self.ready));
        drop((used, ready));
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

/// A module whose flag the thread reads.
struct Known {
    code: WeakCode,
    /// When the thread has last found it set.
    last: Instant,
}

fn serve(requests: &Receiver<WeakCode>) {
    let mut known = Vec::<Known>::new();
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
            Err(RecvTimeoutError::Timeout) => known.retain(|known| !known.is_over()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn add(known: &mut Vec<Known>, request: WeakCode) {
    if let Some(code) = request.upgrade()
        && !code.shelf().is_known.swap(true, Ordering::SeqCst)
    {
        code.shelf().begin();
        known.push(Known {
            code: request,
            last: Instant::now(),
        });
    }
}

impl Known {
    /// Fills the shelf if an instance was taken; returns whether one was.
    fn fill(&mut self) -> bool {
        let code = self.code.upgrade();
        let is_asked = code.is_some_and(|code| code.shelf().fill(&code));
        if is_asked {
            self.last = Instant::now();
        }
        is_asked
    }

    /// Clears the shelf of a module that has not run for a while; returns whether it did, or the
    /// module is gone.
    fn is_over(&self) -> bool {
        let Some(code) = self.code.upgrade() else {
            return true;
        };
        let is_over = self.last.elapsed() >= IDLE;
        if is_over {
            code.shelf().clear();
        }
        is_over
    }
}

/// Fills shelves until none was asked for a while.
fn attend(known: &mut Vec<Known>, requests: &Receiver<WeakCode>) {
    IS_ASLEEP.store(false, Ordering::SeqCst);
    let mut last = Instant::now();
    loop {
        requests.try_iter().for_each(|request| add(known, request));
        let mut is_asked = false;
        for known in known.iter_mut() {
            is_asked |= known.fill();
        }
        known.retain(|known| !known.is_over());
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
    use lattice_backend::machine::StateMachine;
    use lattice_backend::machine::manifest::{ABI, Elements, Manifest, SECTION};

    use super::*;
    use crate::{WasmMachine, WasmPayload, guests};

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

    fn used(code: &Code) -> Option<usize> {
        lock(&code.shelf().used).as_ref().map(Vec::len)
    }

    /// Takes instances until the shelf is full. A thread that sleeps for a second in between finds
    /// it cleared, and asks again.
    fn fills(code: &Code) -> bool {
        becomes(|| {
            if ready(code) < READY {
                drop(code.ready());
            }
            ready(code) == READY
        })
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
        assert!(fills(&code));
        // While the thread reads the flags, and after it has fallen asleep.
        for _ in 0..2 {
            for _ in 0..READY {
                drop(code.ready());
                assert!(fills(&code));
            }
            assert!(becomes(|| IS_ASLEEP.load(Ordering::SeqCst)));
        }
        assert!(becomes(|| ready(&code) == 0), "an idle module has none");
        assert_eq!(used(&code), None);
        assert!(code.ready().is_none());
        assert!(fills(&code), "it is known again");
    }

    #[test]
    fn an_idle_module_is_cleared_while_another_is_busy() {
        if requests().is_none() {
            return;
        }
        let [idle, busy] = [(); 2].map(|()| Code::new(guests::COUNTER).unwrap());
        assert!(fills(&idle));
        assert!(becomes(|| {
            drop(busy.ready());
            ready(&idle) == 0
        }));
        assert!(fills(&busy));
    }

    #[test]
    fn few_used_instances_are_kept_until_the_shelf_is_filled() {
        if requests().is_none() {
            return;
        }
        // A shelf that the thread fills only when this test tells it to.
        let code = Code::new(guests::COUNTER).unwrap();
        let discard = || code.discard(Running::make(&code).unwrap());
        discard();
        assert_eq!(
            used(&code),
            None,
            "the thread does not know it: dropped at once"
        );
        code.shelf().begin();
        for _ in 0..2 * READY {
            discard();
        }
        assert_eq!(used(&code), Some(READY));
        code.shelf().is_asked.store(true, Ordering::SeqCst);
        assert!(code.shelf().fill(&code));
        assert_eq!((used(&code), ready(&code)), (Some(0), READY));
        assert!(!code.shelf().fill(&code), "no instance was taken");
    }

    /// A module with a memory of some pages, whose `decode` has this body.
    fn module(pages: u32, decode: &str) -> Code {
        let schema = lattice_meta::SchemaVersion::new(1);
        let manifest = Manifest {
            abi: ABI,
            store_type: "org.example.ahead".parse().unwrap(),
            schemas: schema..=schema,
            elements: Elements::Rows,
            methods: Vec::new(),
            converts: Vec::new(),
        };
        let escaped = |byte: &u8| format!("\\{byte:02x}");
        let manifest: String = manifest.encode().iter().map(escaped).collect();
        let text = format!(
            r#"(module (memory (export "memory") {pages})
                (global $calls (mut i64) (i64.const 0))
                (func (export "lattice1_alloc") (param i32) (result i32) (i32.const 8))
                (func (export "lattice1_decode") (param i32 i32) (result i64) {decode})
                (func (export "lattice1_apply") (param i32 i32))
                (@custom "{SECTION}" "{manifest}"))"#
        );
        Code::new(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn no_instance_serves_two_calls() {
        // Invalid in a second call: a length of 1 for each earlier one.
        let code = module(
            1,
            "(global.set $calls (i64.add (global.get $calls) (i64.const 1)))
             (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
             (i64.sub (i64.add (global.get $calls) (i64.load (i32.const 0))) (i64.const 2))",
        );
        let machine = WasmMachine::new(code.clone(), &[]).unwrap();
        for _ in 0..10 {
            assert!(requests().is_none() || fills(&code));
            for _ in 0..2 * READY {
                let decoded = machine.decode(b"payload");
                assert!(matches!(decoded, Ok(WasmPayload::Valid(_))), "{decoded:?}");
            }
        }
    }

    #[test]
    fn large_instances_are_neither_made_ahead_nor_kept() {
        let [small, large] = [3, 5].map(|pages| module(pages, "(i64.const 0)"));
        assert!(small.shelf().is_small && !large.shelf().is_small);
        let none = || -> WeakCode { panic!("the thread is not asked") };
        assert!(large.shelf().take(none).is_none());
        for (code, kept) in [(small, 1), (large, 0)] {
            code.shelf().begin();
            code.discard(Running::make(&code).unwrap());
            assert_eq!(used(&code), Some(kept));
        }
    }
}
