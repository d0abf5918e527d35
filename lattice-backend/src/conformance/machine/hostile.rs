//! Ops that are well-formed but that no honest replica would make.

use lattice_meta::{Hlc, OpId, PubKey};

use crate::conformance::Rng;
use crate::conformance::broke::broke;
use crate::conformance::machine::broken::{Broken, Rule};
use crate::op::{Op, OpDraft, OpHasher, OpKind, OpRef};

/// Makes ops with parents other than the frontier. Their author is the forger itself, or an honest
/// author, who is then forked.
pub(super) struct Forger {
    authors: Vec<PubKey>,
}

impl Forger {
    pub(super) fn new(own: PubKey, honest: &[PubKey]) -> Self {
        let mut authors = honest.to_vec();
        // Most forgeries have the forger itself as author.
        authors.extend(std::iter::repeat_n(own, 2 * honest.len()));
        Self { authors }
    }

    /// An op after some of the known ones, with a timestamp just after theirs or later.
    pub(super) fn forge(
        &self,
        rng: &mut Rng,
        hasher: &OpHasher,
        known: &[Op],
        payload: &[u8],
    ) -> Result<Op, Broken> {
        let author = *rng.pick(&self.authors).expect("there are authors");
        let own: Vec<&Op> = known
            .iter()
            .filter(|op| op.reference().author == author)
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
        let composed = draft.compose(hasher, author);
        composed.map_err(|error| Broken::new(Rule::Error, broke("making an op", &error)))
    }
}

/// A payload made by the suite: random bytes, or a payload of the history, intact or damaged.
pub(super) fn own_payload(rng: &mut Rng, known: &[Op]) -> Vec<u8> {
    let payload = rng.pick(known).map_or(&[][..], Op::payload).to_vec();
    match rng.one_in(6) {
        true => payload,
        false => damaged(rng, payload),
    }
}

/// A damaged payload: truncated, extended, with a flipped bit, empty, or random.
pub(super) fn damaged(rng: &mut Rng, mut payload: Vec<u8>) -> Vec<u8> {
    match rng.below(5) {
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
        _ => {
            let place = rng.below(payload.len());
            if let Some(byte) = payload.get_mut(place) {
                *byte ^= 1 << rng.below(8);
            }
            payload
        }
    }
}
