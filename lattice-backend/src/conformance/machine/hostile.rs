//! Ops that keep the rules of history and that no honest replica makes.

use std::sync::Arc;

use lattice_meta::{Genesis, Hlc, OpId};

use crate::conformance::machine::Rng;
use crate::conformance::machine::history::broke;
use crate::op::{Op, OpDraft, OpHasher, OpKind, OpRef, SecretKey};

/// Signs ops that name anything but the heads of history, as an author of its own, or as an
/// honest one, who is forked by it.
pub(super) struct Forger {
    hasher: OpHasher,
    keys: Vec<Arc<SecretKey>>,
}

impl Forger {
    pub(super) fn new(rng: &mut Rng, genesis: &Genesis, honest: &[Arc<SecretKey>]) -> Self {
        let mut keys = honest.to_vec();
        // Most forgeries are its own.
        let own = Arc::new(SecretKey::from_bytes(&rng.array()));
        keys.extend(std::iter::repeat_n(own, 2 * honest.len()));
        Self {
            hasher: OpHasher::new(&genesis.hash()),
            keys,
        }
    }

    /// An op after some of those known, dated just behind them or later.
    pub(super) fn forge(
        &self,
        rng: &mut Rng,
        known: &[Op],
        payload: &[u8],
    ) -> Result<Vec<u8>, String> {
        let secret = rng.pick(&self.keys).expect("there are keys");
        let own: Vec<&Op> = known
            .iter()
            .filter(|op| op.reference().author == secret.public())
            .collect();
        let prev = match rng.one_in(5) {
            true => None,
            false => rng.pick(&own).copied(),
        };
        let mut parents: Vec<&Op> = (0..rng.below(4)).filter_map(|_| rng.pick(known)).collect();
        parents.retain(|op| Some(op.reference()) != prev.map(Op::reference));
        let mut deps: Vec<OpRef> = parents.iter().map(|op| op.reference()).collect();
        deps.sort_unstable();
        deps.dedup();
        let after = parents.into_iter().chain(prev).map(Op::hlc).max();
        let first = known.first().map_or(1 << 16, |op| op.hlc().to_u64());
        let least = after.map_or(first, |after| after.to_u64() + 1);
        let later = [0, 0, 1, 1 << 16, 1 << 20][rng.below(5)];
        let is_merge = rng.one_in(6);
        let draft = OpDraft {
            kind: if is_merge {
                OpKind::Merge
            } else {
                OpKind::Application
            },
            seq: prev.map_or(0, |prev| prev.reference().seq + 1),
            prev: prev.map_or(OpId::ZERO, |prev| prev.reference().id),
            hlc: Hlc::from_u64(least + later),
            deps,
            payload: if is_merge { &[] } else { payload },
        };
        draft
            .sign(&self.hasher, secret)
            .map(Op::into_bytes)
            .map_err(|error| broke("signing", &error))
    }
}

/// A payload of the suite's own: random bytes, or one of the history, whole or damaged.
pub(super) fn own_payload(rng: &mut Rng, known: &[Op]) -> Vec<u8> {
    let mut payload = rng
        .pick(known)
        .map_or_else(Vec::new, |op| op.payload().to_vec());
    match rng.below(6) {
        0 => {
            let length = rng.below(64);
            rng.bytes(length)
        }
        1 => Vec::new(),
        2 => {
            payload.truncate(rng.below(payload.len() + 1));
            payload
        }
        3 => {
            let more = 1 + rng.below(9);
            payload.extend(rng.bytes(more));
            payload
        }
        4 => {
            let place = rng.below(payload.len());
            if let Some(byte) = payload.get_mut(place) {
                *byte ^= 1 << rng.below(8);
            }
            payload
        }
        _ => payload,
    }
}
