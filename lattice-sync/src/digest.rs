//! Digests of sets of branch tips.

use std::collections::BTreeSet;

use lattice_backend::op::OpRef;
use lattice_meta::PubKey;

use crate::convert::to_u32;
use crate::wire::Summary;
use lattice_backend::op::ReplicaView;

/// BLAKE3 key derivation context of the digest of branch tips.
const CONTEXT: &str = "lattice 2026 sync tips v1";

/// What a view has without the ops of some authors.
pub(crate) fn summary(view: &ReplicaView, without: &BTreeSet<PubKey>) -> Summary {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    let mut tips = 0_usize;
    // Many small updates cost more than a few long ones.
    let mut buffer = Vec::with_capacity(OpRef::KEY_LEN * 64);
    for tip in view
        .tips
        .iter()
        .filter(|tip| !without.contains(&tip.author))
    {
        buffer.extend_from_slice(&tip.to_key());
        tips += 1;
        if buffer.len() >= OpRef::KEY_LEN * 64 {
            hasher.update(&buffer);
            buffer.clear();
        }
    }
    hasher.update(&buffer);
    Summary {
        ops: view.end.applied.saturating_add(view.held),
        held: view.held,
        tips: to_u32(tips),
        digest: *hasher.finalize().as_bytes(),
        state: view.state,
    }
}
