//! `lattice bundle apply`: ingests the ops of a bundle into a store.

use std::path::Path;

use lattice_backend::chunks::Chunks;
use lattice_backend::engine::ingest::Authors;
use serde_json::{Map, Value};

use super::counts::Counts;
use super::source::{Intact, Source};
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::{Access, StoreHandle};

/// The most ops in one ingest report.
const OPS_PER_REPORT: usize = 4096;
/// The most bytes of these ops in memory, unless a single op is longer.
const BYTES_PER_REPORT: usize = 8 << 20;

/// Applies a bundle. Reads it twice: once to its end, before anything changes, then op by op. If
/// the file is replaced between the two passes, the second pass still reads the old file. If the
/// file is modified in place, the second pass reports the difference at its end, after it has
/// applied the ops before. Each of those is a valid op of the store, by an author that the caller
/// accepts.
pub(super) fn apply(
    context: &mut Context<'_>,
    file: &Path,
    whose: &Authors,
) -> Result<(), Failure> {
    let bundle = Source::open(context, file)?.read_through(&context.data_dir)?;
    let genesis = bundle.genesis();
    let store_id = genesis.store_id();
    // The type of an existing store is not resolved: the store records which code opens it, and
    // several modules of its type may be trusted.
    if !context.node.manager().store_path(store_id).exists() {
        context.registry().resolve(genesis.store_type())?;
    }
    context.node.become_writer()?;
    let manager = context.node.manager();
    let created = !manager.store_path(store_id).exists();
    if created {
        manager.create_replica(genesis)?;
    }
    let store = manager.open(store_id, Access::ReadWrite)?;
    let mut counts = Counts::default();
    let taken = take_in(&*store, &bundle, whose, &mut counts);
    manager.close(store_id)?;
    taken.map_err(|failure| {
        let applied = plural(counts.applied(), ("op was", "ops were"));
        failure.and(&format!("{applied} applied before the error"))
    })?;
    if context.out.is_json() {
        let mut value = Map::new();
        value.insert("store_id".into(), store_id.to_string().into());
        value.insert("created".into(), created.into());
        let numbers = counts.json().into_iter();
        value.extend(numbers.map(|(name, number)| (name.to_owned(), number)));
        context.out.json(&Value::Object(value))?;
    } else {
        counts.tell(context, created);
        context.out.line(&store_id.to_string())?;
    }
    match counts.left() {
        0 => Ok(()),
        left => Err(Failure::failed(format!(
            "{} of the bundle {} not applied",
            plural(left, ("op", "ops")),
            if left == 1 { "was" } else { "were" }
        ))),
    }
}

fn take_in(
    store: &dyn StoreHandle,
    bundle: &Intact,
    whose: &Authors,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut bundle = bundle.again()?;
    let ops = std::iter::from_fn(|| bundle.next_op().transpose());
    // A report has an entry for every op, so each chunk is counted before the next is ingested.
    for chunk in Chunks::new(ops, OPS_PER_REPORT, BYTES_PER_REPORT, Vec::len) {
        counts.add(&store.ingest(&mut chunk?.into_iter().map(Ok), whose)?);
    }
    Ok(())
}
