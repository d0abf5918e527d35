//! `lattice bundle apply`: ingests the ops of a bundle into a store.

use lattice_backend::bundle::{BundleCode, Claims};
use lattice_backend::chunks::Chunks;
use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::ingest::{Authors, DEFER_AHEAD_MS, REFUSE_AHEAD_MS};
use lattice_backend::engine::write::{CopyConfirmation, PeerSays};
use lattice_meta::StoreId;
use serde_json::{Map, Value};

#[cfg(feature = "wasm")]
use super::code;
use super::code::Comparison;
use super::counts::Counts;
use super::note_confirmation;
use super::source::Intact;
use super::wait::{Patience, Waiting, at};
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::pipes::FileArg;
use crate::program::progress::{self, Progress};
use crate::{Access, Alias, ManagerError, StoreHandle};

/// The most ops in one ingest report.
const OPS_PER_REPORT: usize = 4096;
/// The most bytes of these ops in memory, unless a single op is longer.
const BYTES_PER_REPORT: usize = 8 << 20;

/// Applies a bundle. Reads it twice: once to its end, before anything changes, then op by op. If
/// the file is replaced between the two passes, the second pass still reads the old file. If the
/// file is modified in place, the second pass reports the difference at its end, after it has
/// applied the ops before. Each of those is a valid op of the store, by an author that the caller
/// accepts.
///
/// With [`Patience::Wait`], the second pass is repeated when deferred ops are due.
pub(super) fn apply(
    context: &mut Context<'_>,
    file: &FileArg,
    whose: &Authors,
    patience: Patience,
    alias: Option<&Alias>,
) -> Result<(), Failure> {
    let bundle = file
        .open(context, "FILE")?
        .read_through(&context.data_dir)?;
    let store_id = bundle.genesis().store_id();
    context.check_alias(alias, Some(store_id))?;
    let name = store_id.to_string();
    context.out.hints().set_store(name.as_ref());
    let mut waiting = Waiting::start(context);
    let mut applied = Applied::default();
    context
        .interruption
        .retell(|story| story.does = "applies the rest");
    let looked = loop {
        let outcome = apply_once(context, &bundle, whose, &waiting, &mut applied);
        match outcome {
            Err(Stop::Dated { due_ms, .. }) if patience == Patience::Wait && is_near(due_ms) => {
                waiting.for_store(context, due_ms)?;
            }
            Err(Stop::Failed(failure)) if applied.attempts > 0 && failure.is_in_use() => {
                let waited = waiting.for_writer(context, failure);
                waited.map_err(|failure| applied.explain(failure))?;
            }
            Err(stop) => return Err(applied.explain(stop.into_failure())),
            Ok(looked) => match applied.counts.deferred() {
                Some(deferred) if patience == Patience::Wait => {
                    let waited = waiting.for_ops(context, &deferred);
                    waited.map_err(|failure| applied.explain(failure))?;
                }
                _ => break looked,
            },
        }
    };
    context.set_alias(alias, store_id)?;
    let Looked { compared, copy } = looked;
    let counts = &applied.counts;
    let told = Told {
        store_id,
        alias,
        created: applied.created,
        // An author whose history arrives in a new replica has written nothing here.
        forked: if applied.wrote { counts.forked() } else { 0 },
        compared,
        copy,
    };
    print(context, counts, told)?;
    if let (Some(Comparison::Differs { ours }), Some(code)) = (compared, bundle.code()) {
        return Err(Failure::damaged(format!(
            "store {store_id} has the state hash {ours}, and the bundle's sender claims {} for the \
             same ops; `lattice verify {store_id}` checks this replica",
            code.claims().state_hash()
        )));
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

/// What the attempts so far have done.
#[derive(Debug, Default)]
struct Applied {
    attempts: u32,
    created: bool,
    /// Whether this node's author had ops in the store before.
    wrote: bool,
    counts: Counts,
}

/// What the store says after its ops were applied.
struct Looked {
    /// How the sender's claims compare, if there are any.
    compared: Option<Comparison>,
    /// Whether the sender confirms this copy, if it was an unconfirmed one.
    copy: Option<CopyConfirmation>,
}

impl Applied {
    /// Adds to a failure what is in the store.
    fn explain(&self, failure: Failure) -> Failure {
        if self.attempts == 0 {
            return failure;
        }
        let applied = plural(self.counts.applied(), ("op was", "ops were"));
        let failure = failure.and(&format!("{applied} applied before"));
        match self.counts.deferred() {
            Some(deferred) => failure.and(&format!(
                "{} deferred until {}: apply the bundle again then",
                plural(deferred.ops, ("op is", "ops are")),
                at(deferred.last_ms)
            )),
            None => failure,
        }
    }
}

/// Why an attempt ended early.
enum Stop {
    /// The store is dated ahead of the clock, and so cannot be created yet.
    Dated {
        due_ms: u64,
        failure: Failure,
    },
    Failed(Failure),
}

impl Stop {
    fn into_failure(self) -> Failure {
        match self {
            Self::Dated { failure, .. } | Self::Failed(failure) => failure,
        }
    }
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Whether a time is near enough to wait for it. Ops dated further ahead are rejected.
fn is_near(due_ms: u64) -> bool {
    let left_ms = due_ms.saturating_sub(SystemClock.now_ms());
    left_ms <= REFUSE_AHEAD_MS - DEFER_AHEAD_MS
}

/// Creates the store, if it is not there, and applies the ops of the bundle that can be applied.
fn apply_once(
    context: &mut Context<'_>,
    bundle: &Intact,
    whose: &Authors,
    waiting: &Waiting,
    applied: &mut Applied,
) -> Result<Looked, Stop> {
    let (genesis, store_id) = (bundle.genesis(), bundle.genesis().store_id());
    let code = usable_code(context, bundle)?;
    // The type of an existing store is not resolved: the store records which code opens it, and
    // several modules of its type may be trusted. Nor is that of a store whose code is in the
    // bundle, and not yet where the resolver searches.
    if code.is_none() && !context.node.manager().store_path(store_id).exists() {
        context.registry().resolve(genesis.store_type())?;
    }
    context.node.become_writer()?;
    #[cfg(feature = "wasm")]
    if let Some(code) = code {
        code::keep(context, code)?;
    }
    let manager = context.node.manager();
    let place = manager.store_path(store_id);
    let created = !place.exists();
    if !created {
        context.note_use(&place);
    }
    let manager = context.node.manager();
    if created {
        let created = match code {
            Some(code) => manager.create_replica_of(genesis, code.claims().logic()),
            None => manager.create_replica(genesis),
        };
        if let Err(error @ ManagerError::CreatedAhead { due_ms, .. }) = created {
            let failure = error.into();
            return Err(Stop::Dated { due_ms, failure });
        }
        created?;
    }
    let store = manager.open(store_id, Access::ReadWrite)?;
    if applied.attempts == 0
        && let Some(own) = manager.author()
    {
        applied.wrote = store.tips()?.contains_key(&own);
    }
    applied.attempts += 1;
    applied.created |= created;
    let mut counts = Counts::default();
    let ops = progress::Counts::Things("op", "ops");
    context
        .progress
        .begin("applying ops", ops, Some(bundle.ops()));
    let taken = take_in(
        &*store,
        bundle,
        whose,
        &|| waiting.is_interrupted(),
        &context.progress,
        0,
        &mut counts,
    );
    let taken = taken.and_then(|()| waiting.check());
    applied.counts = counts.after(&applied.counts);
    let looked = taken.and_then(|()| {
        let claims = bundle.code().map(BundleCode::claims);
        let compared = claims.map(|claims| Comparison::new(&*store, claims));
        let copy = match store.is_unconfirmed_copy()? {
            true => Some(confirm_copy(&*store, &applied.counts, claims)?),
            false => None,
        };
        let compared = compared.transpose()?;
        Ok(Looked { compared, copy })
    });
    // After a failure, closing fails too; the failure is the error to report.
    let closed = manager.close(store_id);
    let looked = looked?;
    closed?;
    #[cfg(feature = "wasm")]
    if created {
        crate::program::commands::code::note_use(context, store_id)?;
    }
    Ok(looked)
}

/// The code that the bundle carries, after every module was checked. Changes nothing.
#[cfg(feature = "wasm")]
fn usable_code<'a>(
    context: &mut Context<'_>,
    bundle: &'a Intact,
) -> Result<Option<&'a BundleCode>, Failure> {
    let code = bundle.code();
    if let Some(code) = code {
        code::check(context, &bundle.name, code)?;
    }
    Ok(code)
}

/// A program without an interpreter ignores the code that a bundle carries.
#[cfg(not(feature = "wasm"))]
fn usable_code<'a>(
    context: &mut Context<'_>,
    bundle: &'a Intact,
) -> Result<Option<&'a BundleCode>, Failure> {
    if let Some(code) = bundle.code() {
        let modules = u64::try_from(code.modules().len()).unwrap_or(u64::MAX);
        context.out.note(&format!(
            "{} of the bundle ignored: this program runs no modules",
            plural(modules, ("module", "modules"))
        ));
    }
    Ok(None)
}

/// Asks the replica that made the bundle whether it has more of this author than an unconfirmed
/// copy has. A bundle says so only if it has ops of the author, or names its replica's frontier: a
/// bundle without such ops may leave out what its maker knew to be here.
fn confirm_copy(
    store: &dyn StoreHandle,
    counts: &Counts,
    claims: Option<&Claims>,
) -> Result<CopyConfirmation, Failure> {
    if let Some(op) = counts.own_absent() {
        return Ok(CopyConfirmation::Ahead { op });
    }
    let confirmed = match (counts.own_here(), claims) {
        (Some(op), _) => store.confirm_copy(PeerSays::Ops(&[op]))?,
        (None, Some(claims)) => store.confirm_copy(PeerSays::Frontier(claims.frontier()))?,
        (None, None) => store.confirm_copy(PeerSays::Ops(&[]))?,
    };
    Ok(confirmed)
}

/// What to say about an applied bundle, beside its counts.
struct Told<'a> {
    store_id: StoreId,
    alias: Option<&'a Alias>,
    created: bool,
    /// Ops of this author that fork what this directory wrote.
    forked: u64,
    compared: Option<Comparison>,
    copy: Option<CopyConfirmation>,
}

fn print(context: &mut Context<'_>, counts: &Counts, told: Told<'_>) -> Result<(), Failure> {
    let Told {
        store_id,
        alias,
        created,
        forked,
        compared,
        copy,
    } = told;
    if context.out.is_json() {
        let mut value = Map::new();
        value.insert("store_id".into(), store_id.to_string().into());
        value.insert("alias".into(), serde_json::json!(alias));
        value.insert("new_replica".into(), created.into());
        let numbers = counts.json().into_iter();
        value.extend(numbers.map(|(name, number)| (name.to_owned(), number)));
        value.insert(
            "claimed_state".into(),
            compared.map(Comparison::name).into(),
        );
        value.insert("forked".into(), forked.into());
        let copy = copy.and_then(|copy| match copy {
            CopyConfirmation::NotNeeded => None,
            CopyConfirmation::Confirmed => Some("confirmed"),
            CopyConfirmation::Ahead { .. } => Some("ahead"),
            CopyConfirmation::Silent => Some("unconfirmed"),
        });
        value.insert("copy_state".into(), copy.into());
        return context.out.json(&Value::Object(value));
    }
    counts.tell(context, created);
    if let Some(note) = compared.and_then(Comparison::note) {
        context.out.note(note);
    }
    if forked > 0 {
        context.out.note(&format!(
            "{} of this node's own author {} what was written here: another data directory writes as \
             this author. It is a copy of this one, or the store was restored from an older copy. \
             Both histories are kept; `lattice history STORE` and `lattice info STORE` show them. If this is one \
             of two copies of a data directory, `lattice identity new` gives it a new identity",
            plural(forked, ("op", "ops")),
            if forked == 1 { "forks" } else { "fork" }
        ));
    }
    if let Some(copy) = copy {
        note_confirmation(context, copy);
    }
    context.out.line(&store_id.to_string())
}

/// Ingests the ops of a bundle, until `is_interrupted`. `done` ops were counted before.
pub(super) fn take_in(
    store: &dyn StoreHandle,
    bundle: &Intact,
    whose: &Authors,
    is_interrupted: &dyn Fn() -> bool,
    progress: &Progress,
    done: u64,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut bundle = bundle.again()?;
    let mut done = done;
    // A signal ends the ops. Those that were read are applied and counted.
    let ops = std::iter::from_fn(|| match is_interrupted() {
        true => None,
        false => bundle.next_op().transpose(),
    });
    // A report has an entry for every op, so each chunk is counted before the next is ingested.
    for chunk in Chunks::new(ops, OPS_PER_REPORT, BYTES_PER_REPORT, Vec::len) {
        let mut chunk = chunk?.into_iter();
        let mut taken = 0;
        let mut ops = std::iter::from_fn(|| match is_interrupted() {
            true => None,
            false => {
                let next = chunk.next().map(Ok);
                taken += u64::from(next.is_some());
                // An op is applied once the next one is asked for.
                progress.set(done + taken.max(1) - 1);
                next
            }
        });
        counts.add(&store.ingest(&mut ops, whose)?);
        done += taken;
        progress.set(done);
    }
    Ok(())
}
