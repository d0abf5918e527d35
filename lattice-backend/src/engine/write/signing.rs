//! Signs ops beside the writer. No effect of an op depends on its signature, so ops can be signed
//! last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lattice_meta::OpId;

use crate::op::SecretKey;

type Signature = [u8; 64];

/// Unsigned ops of a transaction. One waiting follower signs them while the leader applies more;
/// the leader signs the rest before it commits.
#[derive(Debug, Default)]
pub(crate) struct Signing {
    signatures: Mutex<Signatures>,
    /// Notified of ops while the helper waits for them, and of the end of the round.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signatures {
    /// More ops may follow.
    is_open: bool,
    /// The number of the round, which identifies the transaction.
    round: u64,
    /// A thread helps in this round.
    has_helper: bool,
    wanted: VecDeque<OpId>,
    /// Never iterated, so the random order of the hash map has no effect.
    made: HashMap<OpId, Signature>,
}

impl Signing {
    fn signatures(&self) -> MutexGuard<'_, Signatures> {
        self.signatures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a round. A thread that offers help from now on stays until the round closes.
    pub(crate) fn open(&self) {
        let mut signatures = self.signatures();
        signatures.is_open = true;
        signatures.round += 1;
        signatures.has_helper = false;
    }

    /// Closes the round: the transaction needs no more signatures.
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

    /// Queues an op for signing.
    pub(crate) fn want(&self, id: OpId) {
        let mut signatures = self.signatures();
        signatures.wanted.push_back(id);
        let is_helper_idle = signatures.has_helper && signatures.wanted.len() == 1;
        drop(signatures);
        if is_helper_idle {
            self.changed.notify_one();
        }
    }

    /// Signs queued ops until the round closes, unless another thread already helps. A helper that
    /// wakes in a later round returns: its own command is already answered. A signature that it
    /// finishes too late is dropped.
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

    /// Signs one op from the other end of the queue than the helper. Returns whether there was one.
    pub(crate) fn make_one(&self, secret: &SecretKey) -> bool {
        let Some(id) = self.signatures().wanted.pop_back() else {
            return false;
        };
        let signature = secret.sign(&id);
        self.signatures().made.insert(id, signature);
        true
    }

    /// An op's signature. If the helper has not finished it, this thread signs the op too: Ed25519
    /// is deterministic, so both signatures are equal.
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

    /// A helper whose round is over must not stay for a round that opens immediately.
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
