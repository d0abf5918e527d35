//! A file that cannot be opened: the ops that are found in its bytes.

use std::path::{Path, PathBuf};

use lattice_backend::backend::Cause;
use lattice_backend::bundle::{BundleError, write_bundle};
use lattice_backend::chunks::Chunks;
use lattice_backend::engine::carve::CarvedOps;
use lattice_backend::op::Op;
use lattice_backend::storage::SEGMENT_SUFFIX;
use serde_json::json;

use super::Sources;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::pipes::Target;
use crate::{Access, Authors, Node};

/// The most ops, and bytes of ops, that are applied at once.
const OPS_AT_ONCE: usize = 4096;
const BYTES_AT_ONCE: usize = 8 << 20;

/// Replays the ops that are found in a file that `failure` keeps from being opened.
pub(super) fn open(
    context: &Context<'_>,
    path: &Path,
    scratch: &Path,
    failure: Failure,
) -> Result<Sources, Failure> {
    let Some(mut ops) = context.node.manager().carve(path)? else {
        return Err(failure);
    };
    let genesis = ops.genesis().clone();
    let store_id = genesis.store_id();
    if context.registry().resolve(genesis.store_type()).is_err() {
        return Err(Failure::usage(format!(
            "store {store_id} is of type {}, and `salvage` is for core:kvstore and core:logstore stores; \
             `lattice salvage STORE BUNDLE --ops` writes the ops that were found in it",
            genesis.store_type()
        )));
    }
    let node = Node::builder(scratch)
        .registry(context.registry().clone())
        .open()?;
    let manager = node.manager();
    manager.create_replica(&genesis)?;
    let store = manager.open(store_id, Access::ReadWrite)?;
    let mut found = 0;
    let size = |op: &Op| op.bytes().len();
    let each = ops.by_ref().map(Ok::<_, Failure>);
    for chunk in Chunks::new(each, OPS_AT_ONCE, BYTES_AT_ONCE, size) {
        let chunk = chunk?;
        found += count(chunk.len());
        let mut chunk = chunk.into_iter().map(|op| Ok::<_, Cause>(op.into_bytes()));
        store.ingest(&mut chunk, &Authors::Any)?;
    }
    let mut missing = lost(path, &ops);
    let left = found.saturating_sub(store.op_count()? + count(ops.lacking()));
    if left > 0 {
        let ops = plural(left, ("op that was", "ops that were"));
        missing.push(format!("what {ops} found and cannot be applied would give"));
    }
    Ok(Sources {
        store_id,
        replay: Some(store),
        stored: None,
        history: Some(failure.message().to_owned()),
        is_carved: true,
        missing,
        alone: None,
    })
}

/// Writes the ops that are found in a file as a bundle.
pub(super) fn write_ops(
    context: &mut Context<'_>,
    path: &Path,
    target: Target<'_>,
) -> Result<(), Failure> {
    target.check_terminal(context, "a bundle", "`lattice bundle apply -`")?;
    let manager = context.node.manager();
    let Some(mut ops) = manager.carve(path)? else {
        // What the file is, if it is no store.
        manager.peek_path(path)?;
        return Err(Failure::damaged(
            "nothing that was found in the file says which store it was",
        ));
    };
    let genesis = ops.genesis().clone();
    let (made, bytes) = target.write(context, |out| {
        let mut each = ops.by_ref().map(|op| Ok(op.into_bytes()));
        write_bundle(&mut *out, &genesis, &mut each).map_err(|error| match error {
            BundleError::Write(error) => out.failed(error),
            error => error.into(),
        })
    })?;
    let (store_id, lacking) = (genesis.store_id(), count(ops.lacking()));
    let summary = json!({
        "store_id": store_id,
        "file": target.name(),
        "ops": made.ops,
        "lacking": lacking,
        "bytes": bytes,
    });
    let found = plural(made.ops, ("op", "ops"));
    let text = format!("wrote {found} of store {store_id} to {}", target.name());
    let is_json = context.out.is_json();
    target.summarise(context, &summary, &text)?;
    if !is_json {
        for missing in lost(path, &ops) {
            context.out.note(&format!("missing: {missing}"));
        }
        context.out.note(
            "`bundle apply FILE --any-author` makes a store of them in a new data directory; `backup` there and \
             `lattice restore FILE` here put it in the place of the damaged one",
        );
    }
    match lacking {
        0 => Ok(()),
        _ => Err(Failure::damaged(format!(
            "{} cannot be applied, because the ops before were not found",
            plural(lacking, ("op", "ops"))
        ))),
    }
}

/// What is known to be missing beside the ops that were found.
fn lost(path: &Path, ops: &CarvedOps) -> Vec<String> {
    let mut lost = Vec::new();
    if ops.lacking() > 0 {
        let lacking = plural(count(ops.lacking()), ("op", "ops"));
        lost.push(format!("what {lacking} of those that were found follow"));
    }
    if has_journal(path) {
        lost.push("the newest writes, which only the journal beside the file has".to_owned());
    }
    lost
}

fn has_journal(path: &Path) -> bool {
    let file = match path.is_dir() {
        true => path.join("state.db"),
        false => path.to_path_buf(),
    };
    let segment = |number: &str| {
        let mut name = file.clone().into_os_string();
        name.push(SEGMENT_SUFFIX);
        name.push(number);
        PathBuf::from(name)
    };
    segment("0").exists() || segment("1").exists()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
