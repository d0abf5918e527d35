//! Takes the ops of a bundle into a store.

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

/// The most ops of which one report says what became of them.
const OPS_PER_REPORT: usize = 4096;
/// The most bytes of these ops that are in memory, but for a longer op.
const BYTES_PER_REPORT: usize = 8 << 20;

/// Takes in a bundle, which is read twice: first to its end, before anything changes, then op by op.
/// A file that is replaced between the two readings is read on as it was. A file that is written to
/// in place makes the second reading differ: its end reports that, and ops before it are applied
/// by then. Each of those is a valid op of the store, by an author that the caller accepts.
pub(super) fn apply(
    context: &mut Context<'_>,
    file: &Path,
    whose: &Authors,
) -> Result<(), Failure> {
    let bundle = Source::open(context, file)?.read_through(&context.data_dir)?;
    let genesis = bundle.genesis();
    let store_id = genesis.store_id();
    // A store that exists records which code opens it. Several modules of its type may be trusted.
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
        failure.and(&format!("{applied} applied before"))
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
            "{} of the bundle {} not taken in",
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
    // A report names each op: what became of a chunk is counted before the next one is taken in.
    for chunk in Chunks::new(ops, OPS_PER_REPORT, BYTES_PER_REPORT, Vec::len) {
        counts.add(&store.ingest(&mut chunk?.into_iter().map(Ok), whose)?);
    }
    Ok(())
}
