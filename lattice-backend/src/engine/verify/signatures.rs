//! Checking signatures on all cores, beside the thread that replays the ops.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::engine::verify::replay::MAX_FAULTS;
use crate::history::Applied;
use crate::op::{OpRef, Verifier};

/// Ops that a thread checks at a time.
const SHARE: usize = 16;

/// Ops in the order of application.
pub(crate) struct Ops {
    /// The apply index of the first.
    pub(crate) first: u64,
    pub(crate) ops: Vec<Applied>,
}

/// Signatures that are to be checked.
#[derive(Default)]
pub(crate) struct Checking {
    queue: Mutex<Queue>,
    /// Told of ops that are given, and of the end.
    changed: Condvar,
}

/// Some of the ops that were given together.
type Share = (Arc<Ops>, Range<usize>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Share>,
    has_ended: bool,
    bad: Bad,
}

/// Ops whose signatures do not hold.
#[derive(Default)]
pub(crate) struct Bad {
    /// The first of them by their numbers, as many as are told one by one.
    pub(crate) first: BTreeMap<u64, OpRef>,
    /// How many others there are.
    pub(crate) more: u64,
}

impl Bad {
    fn add(&mut self, number: u64, op: OpRef) {
        self.first.insert(number, op);
        if self.first.len() > MAX_FAULTS {
            self.first.pop_last();
            self.more += 1;
        }
    }
}

impl Checking {
    /// Does `work`, while threads, one for each core but this thread's, check the signatures of the ops that
    /// it gives. When this returns, all that were given are checked.
    pub(crate) fn beside<T>(work: impl FnOnce(&Self) -> T) -> (T, Bad) {
        let checking = Self::default();
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let done = std::thread::scope(|scope| {
            let helper = || scope.spawn(|| checking.help());
            let helpers: Vec<_> = (1..cores).map(|_| helper()).collect();
            let end = End(&checking);
            let done = work(&checking);
            checking.check_while(|waiting| !waiting.is_empty());
            drop(end);
            for helper in helpers {
                helper.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            done
        });
        let queue = checking.queue.into_inner();
        (done, queue.unwrap_or_else(PoisonError::into_inner).bad)
    }

    /// Gives ops to be checked. Those of no more than one time before may still wait: this thread checks the
    /// others, so that memory stays bounded.
    pub(crate) fn give(&self, ops: &Arc<Ops>) {
        let first_of = |share: Option<&Share>| share.map(|(ops, _)| ops.first);
        self.check_while(|waiting| first_of(waiting.front()) != first_of(waiting.back()));
        let count = ops.ops.len();
        let shares = (0..count).step_by(SHARE);
        let shares = shares.map(|start| (Arc::clone(ops), start..count.min(start + SHARE)));
        self.queue().waiting.extend(shares);
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks ops while those that wait are too many.
    fn check_while(&self, are_too_many: impl Fn(&VecDeque<Share>) -> bool) {
        let mut verifier = Verifier::default();
        loop {
            let mut queue = self.queue();
            if !are_too_many(&queue.waiting) {
                return;
            }
            let share = queue.waiting.pop_front();
            drop(queue);
            share.inspect(|share| self.check(share, &mut verifier));
        }
    }

    /// Checks ops until the end.
    fn help(&self) {
        let mut verifier = Verifier::default();
        loop {
            let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.has_ended;
            let queue = self.changed.wait_while(self.queue(), idle);
            let share = queue
                .unwrap_or_else(PoisonError::into_inner)
                .waiting
                .pop_front();
            let Some(share) = share else {
                return;
            };
            self.check(&share, &mut verifier);
        }
    }

    fn check(&self, (given, share): &Share, verifier: &mut Verifier) {
        for (number, Applied { op, .. }) in (given.first..)
            .zip(&given.ops)
            .skip(share.start)
            .take(share.len())
        {
            if op.verify_by(verifier).is_err() {
                self.queue().bad.add(number, op.reference());
            }
        }
    }
}

/// Lets the helpers go, whatever became of the work.
struct End<'a>(&'a Checking);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.has_ended = true;
        queue.waiting.clear();
        drop(queue);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use lattice_meta::{GenesisHash, Hlc, OpId};

    use super::*;
    use crate::history::BranchNo;
    use crate::op::{Op, OpDraft, OpHasher, OpKind, SecretKey};

    /// An op, and the same with the signature of nothing.
    fn good_and_bad() -> [Op; 2] {
        let secret = SecretKey::from_bytes(&[7; 32]);
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::ZERO,
            deps: Vec::new(),
            payload: b"",
        };
        let hasher = OpHasher::new(&GenesisHash::from_bytes([3; 32]));
        let good = draft.sign(&hasher, &secret);
        let good = good.expect("it is within the limits");
        let mut bad = good.clone();
        bad.set_signature(&[0; 64]);
        [good, bad]
    }

    fn applied(op: Op) -> Applied {
        Applied {
            branch: BranchNo::FIRST,
            effect: [0; 16],
            op,
        }
    }

    /// Gives `count` ops in pieces of 100, those of `bad` with a wrong signature.
    fn check(count: u64, bad: impl Fn(u64) -> bool) -> Bad {
        let [good, wrong] = good_and_bad();
        let ((), found) = Checking::beside(|checking| {
            for first in (0..count).step_by(100) {
                let one = |number| {
                    if bad(number) {
                        wrong.clone()
                    } else {
                        good.clone()
                    }
                };
                let ops = (first..count.min(first + 100)).map(|number| applied(one(number)));
                let ops = ops.collect();
                checking.give(&Arc::new(Ops { first, ops }));
            }
        });
        found
    }

    #[test]
    fn wrong_signatures_are_found_wherever_they_are() {
        let wrong = [0, 15, 16, 99, 100, 1499, 1999, 2019];
        let found = check(2020, |number| wrong.contains(&number));
        assert_eq!(found.first.into_keys().collect::<Vec<_>>(), wrong);
        assert_eq!(found.more, 0);
        assert!(check(0, |_| true).first.is_empty());
    }

    /// Of what is given, at most two pieces wait, however few ops are in each.
    #[test]
    fn little_waits() {
        let [good, _] = good_and_bad();
        let checking = Checking::default();
        for first in 0..5 {
            let ops = vec![applied(good.clone())];
            checking.give(&Arc::new(Ops { first, ops }));
            assert!(checking.queue().waiting.len() <= 2, "nobody helps");
        }
    }

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let found = check(1000, |number| number >= 500);
        let named = u64::try_from(MAX_FAULTS).unwrap();
        assert!(found.first.into_keys().eq(500..500 + named));
        assert_eq!(found.more, 500 - named);
    }

    #[test]
    fn a_panic_of_the_work_lets_the_helpers_go() {
        let [good, _] = good_and_bad();
        let worked = std::panic::catch_unwind(|| {
            Checking::beside(|checking| {
                let ops = vec![applied(good); 3];
                checking.give(&Arc::new(Ops { first: 0, ops }));
                panic!("in the work");
            })
        });
        assert!(worked.is_err());
    }
}
