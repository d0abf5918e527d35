//! Signing beside the writer: nothing that an op does depends on its signature, so that it can come last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lattice_meta::OpId;

use crate::op::SecretKey;

type Signature = [u8; 64];

/// Ops of a transaction that wait for their signatures. One of the threads whose work the transaction does
/// signs them, while it would wait; the writer makes what is missing in the end.
#[derive(Debug, Default)]
pub(crate) struct Signing {
    signatures: Mutex<Signatures>,
    /// Told of ops, where the helper waits for them, and of the end.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signatures {
    /// There may be more ops.
    is_open: bool,
    /// Which transaction they are of.
    round: u64,
    /// A thread helps in this round.
    has_helper: bool,
    wanted: VecDeque<OpId>,
    /// Only ever looked up, so no order of a hash map can show.
    made: HashMap<OpId, Signature>,
}

impl Signing {
    fn signatures(&self) -> MutexGuard<'_, Signatures> {
        self.signatures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins: whoever offers help from now on is kept until the end.
    pub(crate) fn open(&self) {
        let mut signatures = self.signatures();
        signatures.is_open = true;
        signatures.round += 1;
        signatures.has_helper = false;
    }

    /// Ends: nobody waits for signatures any more.
    pub(crate) fn close(&self) {
        let mut signatures = self.signatures();
        signatures.is_open = false;
        signatures.wanted.clear();
        signatures.made.clear();
        let has_helper = signatures.has_helper;
        drop(signatures);
        if has_helper {
            self.changed.notify_all();
        }
    }

    /// Asks for an op's signature.
    pub(crate) fn want(&self, id: OpId) {
        let mut signatures = self.signatures();
        signatures.wanted.push_back(id);
        let is_helper_idle = signatures.has_helper && signatures.wanted.len() == 1;
        drop(signatures);
        if is_helper_idle {
            self.changed.notify_one();
        }
    }

    /// Signs what is wanted until the end, unless another thread does. The next round may have begun before
    /// this thread sees the end: its own work is done then, and it is not kept.
    pub(crate) fn help(&self, secret: &SecretKey) {
        let mut signatures = self.signatures();
        if signatures.has_helper || !signatures.is_open {
            return;
        }
        signatures.has_helper = true;
        let round = signatures.round;
        let goes_on = |signatures: &Signatures| signatures.is_open && signatures.round == round;
        while goes_on(&signatures) {
            let Some(id) = signatures.wanted.pop_front() else {
                signatures = self
                    .changed
                    .wait(signatures)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(signatures);
            let signature = secret.sign(&id);
            signatures = self.signatures();
            if goes_on(&signatures) {
                signatures.made.insert(id, signature);
            }
        }
        if signatures.round == round {
            signatures.has_helper = false;
        }
    }

    /// Signs one op that is wanted, from the other end than the helper. Whether there was one.
    pub(crate) fn make_one(&self, secret: &SecretKey) -> bool {
        let Some(id) = self.signatures().wanted.pop_back() else {
            return false;
        };
        let signature = secret.sign(&id);
        self.signatures().made.insert(id, signature);
        true
    }

    /// An op's signature. Ed25519 gives one for each op: if the helper is at it still, it is made twice.
    pub(crate) fn signature(&self, id: &OpId, secret: &SecretKey) -> Signature {
        let made = self.signatures().made.remove(id);
        made.unwrap_or_else(|| secret.sign(id))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// A helper whose work is done must not be kept by the round that begins at once.
    #[test]
    fn a_helper_is_kept_for_one_round_only() {
        let (signing, secret) = (Signing::default(), SecretKey::from_bytes(&[7; 32]));
        thread::scope(|scope| {
            signing.open();
            let helper = scope.spawn(|| signing.help(&secret));
            while !signing.signatures().has_helper {
                thread::yield_now();
            }
            signing.close();
            signing.open();
            let started = Instant::now();
            while !helper.is_finished() && started.elapsed() < Duration::from_secs(10) {
                thread::yield_now();
            }
            let is_free = helper.is_finished();
            signing.close();
            assert!(is_free, "the helper of a round that is over helps still");
        });
    }
}
