//! The guard of copies: an author who may have written ops that a copy lacks does not write to it
//! until the caller or a peer says that there are none.

use lattice_meta::PubKey;

use crate::backend::{BackendError, Result, Table, WriteTx};
use crate::engine::inner::{Inner, Undo};
use crate::engine::write::recorder::Recorder;
use crate::history::copied::{Copied, Standing};
use crate::history::system::COPIED;
use crate::machine::StateMachine;
use crate::op::{BranchTips, OpRef};

/// What a peer says about the ops that it has. It is true at the time at which the peer said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerSays<'a> {
    /// These are the tips of all branches that it has.
    Tips(&'a BranchTips),
    /// These are among its ops, and the newest ones of each author that is among them, as in a
    /// bundle.
    Ops(&'a [OpRef]),
    /// This is its frontier: it has these ops, those that they follow, and no others.
    Frontier(&'a [OpRef]),
}

/// What became of an unconfirmed copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyConfirmation {
    /// The store is no unconfirmed copy, or this author may write to it anyway.
    NotNeeded,
    /// The peer has no op of this author that this store lacks: the author may write now.
    Confirmed,
    /// The peer said nothing about this author.
    Silent,
    /// The peer has an op of this author that this store lacks, so the author would fork.
    Ahead {
        /// The op.
        op: OpRef,
    },
}

/// Marks a store as a copy, in the transaction that makes it. Until the copy is
/// [confirmed](crate::engine::Engine::confirm_copy), these do not write to it: the owner, authors
/// of whom it has an applied or held op, and `authors`, who may have written although it has no op
/// of theirs.
///
/// # Errors
/// What the backend reports; [`BackendError::Row`] if the source has a malformed mark.
pub fn mark_copied(
    tx: &mut dyn WriteTx,
    authors: impl IntoIterator<Item = PubKey>,
) -> Result<(), BackendError> {
    let copied = Copied::read(&*tx)?.map(Copied::copied_again);
    let mut copied = copied.unwrap_or_else(Copied::default);
    for author in authors {
        copied.note_may_lack(author);
    }
    copied.write(tx)
}

/// Whether an author may not write to this store before the copy is confirmed.
pub(crate) fn is_guarded<M: StateMachine>(
    recorder: &mut Recorder<'_, M>,
    author: &PubKey,
) -> Result<bool> {
    let Some(copied) = &recorder.state.copied else {
        return Ok(false);
    };
    match copied.standing(author) {
        Some(Standing::MayLack) => Ok(true),
        Some(Standing::Began) => Ok(false),
        None => Ok(*author == recorder.inner.genesis.owner() || has_ops(recorder, author)?),
    }
}

fn has_ops<M: StateMachine>(recorder: &mut Recorder<'_, M>, author: &PubKey) -> Result<bool> {
    if recorder.tip(author)?.is_some() {
        return Ok(true);
    }
    let held = recorder.state.held;
    Ok(!held.is_empty() && held.of_author(&*recorder.tx, author)?.is_some())
}

/// Notes the first op of an author who was not guarded: its ops here are no sign of a copy.
pub(crate) fn note_began<M: StateMachine>(
    recorder: &mut Recorder<'_, M>,
    author: PubKey,
) -> Result<()> {
    let copied = recorder.state.copied.as_mut();
    if let Some(copied) = copied.filter(|copied| copied.standing(&author).is_none()) {
        copied.note_began(author);
        copied.write(recorder.tx)?;
    }
    Ok(())
}

/// Removes the mark if this handle's author is guarded. Returns whether it was.
pub(crate) fn continue_copy<M: StateMachine>(inner: &Inner<M>) -> Result<bool> {
    let confirmed = if_guarded(inner, |_, _| Ok(CopyConfirmation::Confirmed))?;
    Ok(confirmed == CopyConfirmation::Confirmed)
}

/// Removes the mark if what the peer says confirms the copy for this handle's author.
pub(crate) fn confirm_copy<M: StateMachine>(
    inner: &Inner<M>,
    says: PeerSays<'_>,
) -> Result<CopyConfirmation> {
    if_guarded(inner, |recorder, author| weigh(recorder, author, says))
}

/// Decides about a guarded author in one transaction, which removes the mark if the copy is
/// confirmed.
fn if_guarded<M: StateMachine>(
    inner: &Inner<M>,
    decide: impl FnOnce(&mut Recorder<'_, M>, &PubKey) -> Result<CopyConfirmation>,
) -> Result<CopyConfirmation> {
    let Some(author) = inner.identity.as_ref().map(|identity| identity.public()) else {
        return Ok(CopyConfirmation::NotNeeded);
    };
    inner.transact(|recorder| {
        if !is_guarded(recorder, &author)? {
            return Ok::<_, Undo<BackendError>>(CopyConfirmation::NotNeeded);
        }
        let confirmation = decide(recorder, &author)?;
        if confirmation == CopyConfirmation::Confirmed {
            recorder.tx.remove(Table::System, COPIED)?;
            recorder.state.copied = None;
            recorder.note_change();
        }
        Ok(confirmation)
    })
}

fn weigh<M: StateMachine>(
    recorder: &mut Recorder<'_, M>,
    author: &PubKey,
    says: PeerSays<'_>,
) -> Result<CopyConfirmation> {
    let named: Box<dyn Iterator<Item = &OpRef>> = match says {
        PeerSays::Tips(tips) => Box::new(tips.iter()),
        PeerSays::Ops(ops) | PeerSays::Frontier(ops) => Box::new(ops.iter()),
    };
    let mut has_heard = false;
    for op in named.filter(|op| op.author == *author) {
        if !is_here(recorder, op)? {
            return Ok(CopyConfirmation::Ahead { op: *op });
        }
        has_heard = true;
    }
    // A peer that names no op of an author who has ops here may not have heard of the author.
    has_heard |= match says {
        PeerSays::Tips(_) => !has_ops(recorder, author)?,
        PeerSays::Ops(_) => false,
        PeerSays::Frontier(frontier) => {
            for op in frontier {
                if !is_here(recorder, op)? {
                    // It may follow ops of this author.
                    return Ok(CopyConfirmation::Silent);
                }
            }
            // Equal frontiers follow the same ops.
            is_frontier(recorder, frontier) || !has_ops(recorder, author)?
        }
    };
    Ok(match has_heard {
        true => CopyConfirmation::Confirmed,
        false => CopyConfirmation::Silent,
    })
}

fn is_frontier<M: StateMachine>(recorder: &Recorder<'_, M>, ops: &[OpRef]) -> bool {
    let here = &recorder.state.frontier;
    here.len() == ops.len() && ops.iter().all(|op| here.contains_key(op))
}

fn is_here<M: StateMachine>(recorder: &mut Recorder<'_, M>, op: &OpRef) -> Result<bool> {
    let held = recorder.state.held;
    Ok(recorder.place_of(op)?.is_some() || held.contains(&*recorder.tx, op)?)
}
