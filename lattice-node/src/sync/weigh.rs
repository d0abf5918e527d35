//! Which of a peer's tips are here, and whose ops are taken.

use std::collections::BTreeSet;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::write::PeerSays;
use lattice_backend::op::OpRef;
use lattice_meta::PubKey;
use lattice_sync::host::Standing;

use crate::sync::desk::Store;
use crate::{Access, StoreHandle};

/// The standing of each tip of a peer, and what is here of the authors of those that are lacking.
pub(super) fn weigh(
    handle: &dyn StoreHandle,
    store: &Store,
    tips: &[OpRef],
) -> Result<(Vec<Standing>, Vec<OpRef>), BackendError> {
    confirm(handle, store, tips)?;
    let here = handle.has_ops(tips)?;
    let lacking = tips.iter().zip(&here).filter(|(_, here)| !**here);
    let authors: BTreeSet<PubKey> = lacking.map(|(tip, _)| tip.author).collect();
    let found = handle.tips_of(&authors)?;
    let known: BTreeSet<OpRef> = found.iter().copied().collect();
    let has_ops: BTreeSet<PubKey> = known.iter().map(|op| op.author).collect();
    let whose = &store.options.authors;
    let is_taken = |author: &PubKey| match whose {
        Authors::Any => true,
        Authors::Named(named) if named.contains(author) => true,
        _ => {
            has_ops.contains(author)
                || *author == handle.genesis().owner()
                || store.author() == Some(*author)
        }
    };
    let standing = |(tip, here): (&OpRef, &bool)| match here {
        true => Standing::Here,
        false if is_taken(&tip.author) => Standing::Lacking,
        false => Standing::Refused,
    };
    let standing = tips.iter().zip(&here).map(standing).collect();
    Ok((standing, known.into_iter().collect()))
}

/// A peer whose tips of this node's author are all here confirms a copy. The last author of the
/// frame may have more tips in the next one.
fn confirm(handle: &dyn StoreHandle, store: &Store, tips: &[OpRef]) -> Result<(), BackendError> {
    let Some(own) = store.author() else {
        return Ok(());
    };
    let said: Vec<OpRef> = tips
        .iter()
        .filter(|tip| tip.author == own)
        .copied()
        .collect();
    let may_have_more = tips.last().is_some_and(|tip| tip.author == own)
        && tips.len() >= lattice_sync::wire::MAX_NEWS_TIPS;
    let is_writable = handle.access() == Access::ReadWrite;
    if !said.is_empty() && !may_have_more && is_writable && handle.is_unconfirmed_copy()? {
        handle.confirm_copy(PeerSays::Ops(&said))?;
    }
    Ok(())
}
