//! Writes a store's history, or a part of it, to a file or to standard output.

use std::path::Path;

use lattice_backend::bundle::{
    BundleCode, BundleCounts, BundleError, write_bundle, write_bundle_with_code,
};
use lattice_backend::engine::read::{OpsAfter, StoreState};
use lattice_backend::engine::write::{CopyConfirmation, PeerSays};
use lattice_backend::op::BranchTips;
use lattice_meta::{Genesis, StoreId};
use serde_json::json;

use super::{code, note_confirmation};
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::pipes::{FileArg, Sink, Target};
use crate::program::progress::{Counts, Progress};
use crate::{Access, StoreHandle, TipsError, TipsFile};

/// Whether a bundle carries the code that the store records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carry {
    History,
    #[cfg(feature = "wasm")]
    HistoryAndCode,
}

pub(super) fn create(
    context: &mut Context<'_>,
    store: &args::Store,
    target: Target<'_>,
    since: Option<&FileArg>,
    carry: Carry,
) -> Result<(), Failure> {
    target.check_mode()?;
    target.check_terminal(context, "a bundle", "`lattice bundle apply -`")?;
    let path = context.path(&store.store)?;
    let known = since.map(|since| read_tips(context, since)).transpose()?;
    #[cfg(feature = "wasm")]
    if carry == Carry::HistoryAndCode {
        code::check_store(context, &path)?;
    }
    context.note_use(&path);
    context.node.manager().ensure_known(&path)?;
    let store = context.node.manager().open_history(&path)?;
    let store_id = store.store_id();
    if let Some(known) = known.as_ref().filter(|known| known.store_id != store_id) {
        return Err(Failure::usage(format!(
            "expected tips of store {store_id}, found tips of store {}",
            known.store_id
        )));
    }
    let is_copy = store.is_unconfirmed_copy()?;
    let said = known
        .as_ref()
        .filter(|_| is_copy)
        .map(|known| known.tips.clone());
    let known = known.map_or_else(BranchTips::default, |known| known.tips);
    let (ops, state) = ops_of(&*store, &known, carry)?;
    let total = u64::try_from(ops.len()).unwrap_or(u64::MAX);
    let contents = Contents {
        genesis: store.genesis().clone(),
        code: code::of_store(context, store_id, state)?,
        ops,
        progress: context.progress.clone(),
    };
    let counts = Counts::Things("op", "ops");
    context
        .progress
        .begin("writing the bundle", counts, Some(total));
    let modules = contents.code.iter().flat_map(BundleCode::modules);
    let modules: Vec<_> = modules.map(|module| module.cid().to_string()).collect();
    let (made, bytes) = target.write(context, |out| write(out, contents))?;
    let value = json!({
        "store_id": store_id,
        "ops": made.ops,
        "bytes": bytes,
        "cids": modules,
    });
    drop(store);
    if let Some(said) = said {
        confirm_copy(context, store_id, &path, &said)?;
    }
    let ops = plural(made.ops, ("op", "ops"));
    let code = match modules.first() {
        Some(cid) => format!(", with code {cid}"),
        None => String::new(),
    };
    let text = format!("wrote {ops} of store {store_id} to {}{code}", target.name());
    target.summarise(context, &value, &text)
}

/// Lets this author write to a copy if the other replica has no op of the author that the copy
/// lacks. The bundle is already made, so nothing that goes wrong here is a failure.
fn confirm_copy(
    context: &mut Context<'_>,
    store_id: StoreId,
    path: &Path,
    said: &BranchTips,
) -> Result<(), Failure> {
    context.node.manager().close(store_id)?;
    context.use_identity();
    if context.node.manager().author().is_none() {
        return Ok(());
    }
    let manager = context.node.manager();
    let confirmed = || -> Result<CopyConfirmation, Failure> {
        let store = manager.open_path(path, Access::ReadWrite)?;
        Ok(store.confirm_copy(PeerSays::Tips(said))?)
    };
    let confirmed = confirmed();
    manager.close(store_id)?;
    match confirmed {
        Ok(confirmed) => note_confirmation(context, confirmed),
        Err(failure) => context.out.note(&format!(
            "the copy was not confirmed: {}",
            failure.message()
        )),
    }
    Ok(())
}

/// What to write into a bundle.
struct Contents {
    genesis: Genesis,
    code: Option<BundleCode>,
    ops: OpsAfter,
    progress: Progress,
}

/// The ops that the other replica lacks; with code, also the state of the same moment.
fn ops_of(
    store: &dyn StoreHandle,
    known: &BranchTips,
    carry: Carry,
) -> Result<(OpsAfter, Option<StoreState>), Failure> {
    match carry {
        Carry::History => Ok((store.ops_after(known)?, None)),
        #[cfg(feature = "wasm")]
        Carry::HistoryAndCode => {
            let (ops, state) = store.ops_and_state(known)?;
            Ok((ops, Some(state)))
        }
    }
}

/// Writes the bundle.
fn write(out: &mut Sink<'_>, contents: Contents) -> Result<BundleCounts, Failure> {
    let Contents {
        genesis,
        code,
        ops,
        progress,
    } = contents;
    let mut ops = (0..).zip(ops).map(|(nth, op)| {
        progress.set(nth);
        op
    });
    let made = match &code {
        Some(code) => write_bundle_with_code(&mut *out, &genesis, code, &mut ops),
        None => write_bundle(&mut *out, &genesis, &mut ops),
    };
    made.map_err(|error| match error {
        BundleError::Write(error) => out.failed(error),
        error => error.into(),
    })
}

/// The longest tips file that is read: it lists branch tips, and older ops of 1,000 authors.
const MAX_TIPS_BYTES: usize = 64 << 20;

fn read_tips(context: &Context<'_>, file: &FileArg) -> Result<TipsFile, Failure> {
    let text = file
        .open(context, "TIPS")?
        .read_at_most(MAX_TIPS_BYTES + 1)?;
    if text.len() > MAX_TIPS_BYTES {
        return Err(Failure::failed(format!(
            "{file}: expected a tips file of at most {MAX_TIPS_BYTES} bytes, found a longer one"
        )));
    }
    let text = String::from_utf8(text)
        .map_err(|_| Failure::failed(format!("{file}: expected a tips file, found other bytes")))?;
    text.parse()
        .map_err(|error: TipsError| Failure::failed(format!("{file}: {error}")))
}
