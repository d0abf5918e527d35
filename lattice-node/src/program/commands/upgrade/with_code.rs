//! Upgrades to code that the user named, or that a trusted publisher has released.

use lattice_code::{Because, Outcome, Policy};
use lattice_meta::Cid;

use super::*;
use crate::program::commands::copies::confirm;
use crate::program::failure::chain;

pub(super) fn upgrade(
    context: &mut Context<'_>,
    subject: &Subject,
    proposal: Proposal,
    args: &Upgrade,
) -> Result<Upgraded, Failure> {
    let name = proposal.name.display().to_string();
    if subject.is_dry {
        let opener = &*proposal.opener;
        let change = prove(context, subject, opener, false).map_err(|error| match error {
            Refused::Differs(error) => not_equal(error, &name),
            Refused::Failed(failure) => failure,
        })?;
        let release = proposal.release();
        return Ok(Upgraded::Changed {
            change: Change { release, ..change },
            is_dry: true,
        });
    }
    if args.by.is_none() {
        ask(context, subject, &proposal, args.yes)?;
    }
    context.note_use(&subject.path);
    context.use_identity();
    if let Some(wasm) = &proposal.wasm {
        // The store must find the module when it is opened again.
        context.code.keep(wasm, &proposal.logic)?;
    }
    // The module must stay in the cache until the store has recorded it.
    let lease = context.code.lease()?;
    let manager = context.node.manager();
    let upgraded = manager.upgrade(&subject.path, Some(&*proposal.opener));
    drop(lease);
    log(context, subject, &proposal, &upgraded);
    let is_pin = proposal.because == Some(Because::Pinned);
    let upgraded = upgraded.map_err(|error| match (&error, is_pin) {
        // The store opens with no other module.
        (ManagerError::Open(OpenError::LogicDiffers { .. }), true) => {
            not_equal(error, &name).and(REBUILD)
        }
        _ => not_equal(error, &name),
    })?;
    if let Ok(cid) = proposal.logic.parse::<Cid>() {
        context.code.used(&cid, &subject.found.meta().store_type)?;
    }
    Ok(changed(&upgraded, proposal.release()))
}

/// Asks before the store changes to code that the user has not named, if the policy of its type
/// says so.
fn ask(
    context: &Context<'_>,
    subject: &Subject,
    proposal: &Proposal,
    yes: bool,
) -> Result<(), Failure> {
    let meta = subject.found.meta();
    let store_type = &meta.store_type;
    if context.code.trusted()?.of_type(store_type).policy != Policy::Ask {
        return Ok(());
    }
    let what = proposal.release().map_or_else(
        || proposal.logic.clone(),
        |release| format!("release {release}, {}", proposal.logic),
    );
    let notes = match proposal.notes.is_empty() {
        true => String::new(),
        false => format!(" ({})", escape_text(&proposal.notes)),
    };
    let question = format!(
        "Change store {} of {store_type} to {what}{notes}, if a replay gives the same state?",
        meta.store_id
    );
    confirm(context, yes, &question)?;
    // What is trusted may have changed while the user thought.
    if let Ok(cid) = proposal.logic.parse::<Cid>() {
        context.code.code(&cid, store_type)?;
    }
    Ok(())
}

/// Records what came of the upgrade.
fn log(
    context: &mut Context<'_>,
    subject: &Subject,
    proposal: &Proposal,
    upgraded: &Result<UpgradedStore, ManagerError>,
) {
    let outcome = match upgraded {
        Ok(_) => Outcome::Proven {
            because: proposal
                .because
                .as_ref()
                .map_or_else(|| "the program's own code".into(), ToString::to_string),
        },
        Err(ManagerError::Open(OpenError::LogicDiffers {
            ops, difference, ..
        })) => Outcome::Refused {
            ops: *ops,
            op: difference.op.as_ref().map(|op| op.op.id.to_string()),
        },
        Err(_) => return,
    };
    let meta = subject.found.meta();
    let recorded = subject.found.recorded().logic;
    let code = &context.code;
    let logged = code.decided(
        meta.store_id,
        &meta.store_type,
        recorded,
        &proposal.logic,
        outcome,
    );
    // What came of the upgrade matters more than its record.
    if let Err(error) = logged {
        let error = chain(&error);
        context
            .out
            .note(&format!("the decision was not recorded: {error}"));
    }
}
