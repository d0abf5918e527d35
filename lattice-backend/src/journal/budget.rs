//! One limit for the memory that the journals of a process take.
//!
//! While they take more, the largest generations are folded first: by the next commit of their
//! stores, or by the worker if these do not write now.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::journal::shared::{Core, lock};

/// The budgets, by their limits.
static BUDGETS: Mutex<BTreeMap<usize, Weak<Budget>>> = Mutex::new(BTreeMap::new());

/// The stores that share a limit.
#[derive(Default)]
struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// By the address of their cores: the weak pointer keeps it from being used again.
    stores: Mutex<BTreeMap<usize, Weak<Core>>>,
}

impl Budget {
    /// The budget of all stores with this limit.
    fn of(limit: usize) -> Arc<Self> {
        let mut budgets = lock(&BUDGETS);
        if let Some(budget) = budgets.get(&limit).and_then(Weak::upgrade) {
            return budget;
        }
        budgets.retain(|_, budget| budget.strong_count() > 0);
        let budget = Arc::new(Self {
            limit,
            ..Self::default()
        });
        budgets.insert(limit, Arc::downgrade(&budget));
        budget
    }

    /// How far the limit is exceeded.
    fn excess(&self) -> usize {
        self.used.load(Ordering::Relaxed).saturating_sub(self.limit)
    }

    /// Lets the largest generations be folded, until those that stay fit.
    fn relieve(&self) {
        let stores = lock(&self.stores);
        let stores = stores.values().filter_map(Weak::upgrade);
        let stay = stores.filter(|core| !core.share.is_due());
        let mut stay: Vec<_> = stay.map(|core| (core.share.active(), core)).collect();
        stay.sort_by_key(|(bytes, _)| Reverse(*bytes));
        let mut left: usize = stay.iter().map(|(bytes, _)| bytes).sum();
        for (bytes, core) in stay {
            if left <= self.limit {
                break;
            }
            left -= bytes;
            core.share.is_due.store(true, Ordering::Relaxed);
            core.wake();
        }
    }
}

/// The memory that the generations of one store take.
pub(super) struct Share {
    budget: Arc<Budget>,
    active: AtomicUsize,
    frozen: AtomicUsize,
    /// The generation ends for the sake of other stores.
    is_due: AtomicBool,
}

impl Share {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            budget: Budget::of(limit),
            active: AtomicUsize::new(0),
            frozen: AtomicUsize::new(0),
            is_due: AtomicBool::new(false),
        }
    }

    fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed)
    }

    /// How far the limit of all stores is exceeded, as a part of 64 of it.
    pub(super) fn excess(&self) -> usize {
        self.budget.excess().saturating_mul(64) / self.budget.limit.max(1)
    }

    fn set(&self, part: &AtomicUsize, bytes: usize) {
        let before = part.swap(bytes, Ordering::Relaxed);
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(before, Ordering::Relaxed);
    }

    /// The generation that commits go to takes this much.
    pub(super) fn set_active(&self, bytes: usize) {
        self.set(&self.active, bytes);
    }

    /// The generation that is being folded takes this much.
    pub(super) fn set_frozen(&self, bytes: usize) {
        self.set(&self.frozen, bytes);
    }

    /// The generation has ended.
    pub(super) fn freeze(&self) {
        self.set_frozen(self.active());
        self.end();
    }

    /// The next generation is empty.
    pub(super) fn end(&self) {
        self.set_active(0);
        self.is_due.store(false, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set_active(0);
        self.set_frozen(0);
    }
}

impl Core {
    /// This store has a session. It counts until it is closed.
    pub(super) fn join_budget(self: &Arc<Self>) {
        let mut stores = lock(&self.share.budget.stores);
        let place = Arc::as_ptr(self).addr();
        stores.entry(place).or_insert_with(|| Arc::downgrade(self));
    }

    pub(super) fn leave_budget(self: &Arc<Self>) {
        let mut stores = lock(&self.share.budget.stores);
        stores.remove(&Arc::as_ptr(self).addr());
        // Stores that were not closed.
        stores.retain(|_, core| core.strong_count() > 0);
    }

    /// A commit was added to the generation.
    pub(super) fn count(&self, bytes: usize) {
        self.share.set_active(bytes);
        if self.share.budget.excess() > 0 {
            self.share.budget.relieve();
        }
    }
}
