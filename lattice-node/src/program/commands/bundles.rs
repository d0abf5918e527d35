//! Bundles: history in files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use lattice_backend::{
    Authors, BranchTips, BundleError, BundleReader, IngestReport, Outcome, Rejection, write_bundle,
};
use serde_json::json;

use crate::program::args::{self, BundleCommand};
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::{Access, ManagerError, StoreHandle, TipsFile};

/// Ops that are taken in together; what became of each is then counted and forgotten.
const OPS_PER_INGEST: usize = 4096;

pub(super) fn bundle(context: &mut Context<'_>, bundle: args::Bundle) -> Result<(), Failure> {
    match bundle.command {
        BundleCommand::Create { store, file, since } => {
            create(context, &store, &file, since.as_deref())
        }
        BundleCommand::Tips(store) => tips(context, &store),
        BundleCommand::Verify { file } => verify(context, &file),
        BundleCommand::Apply {
            file,
            authors,
            any_author,
        } => {
            let whose = match (any_author, authors.is_empty()) {
                (true, _) => Authors::Any,
                (false, true) => Authors::Known,
                (false, false) => Authors::Named(authors.into_iter().collect()),
            };
            apply(context, &file, &whose)
        }
    }
}

fn create(
    context: &mut Context<'_>,
    store: &args::Store,
    file: &Path,
    since: Option<&Path>,
) -> Result<(), Failure> {
    let path = context.path(&store.store)?;
    let known = since.map(read_tips).transpose()?;
    let store = context.reader.manager().open_path(path, Access::ReadOnly)?;
    if let Some(known) = known
        .as_ref()
        .filter(|known| known.store_id != store.store_id())
    {
        return Err(Failure::usage(format!(
            "the tips are those of store {}, not of {}",
            known.store_id,
            store.store_id()
        )));
    }
    let known = known.map_or_else(BranchTips::default, |known| known.tips);
    let mut ops = store.ops_after(&known)?;
    let made = make_file(file, &mut |out| {
        Ok(write_bundle(out, store.genesis(), &mut ops)?)
    })?;
    let bytes = fs::metadata(file)
        .map_err(|error| Failure::file(file, error))?
        .len();
    let value = json!({ "store_id": store.store_id(), "ops": made.ops, "bytes": bytes });
    if context.out.is_json() {
        return context.out.json(&value);
    }
    let ops = plural(made.ops, ("op", "ops"));
    context.out.note(&format!(
        "{ops} of store {} in {}",
        store.store_id(),
        file.display()
    ));
    Ok(())
}

/// Makes a file that appears whole or not at all, and never in place of another.
fn make_file<T>(
    file: &Path,
    write: &mut dyn FnMut(&mut BufWriter<&mut File>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error: io::Error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let failure = Failure::from(error).within(&format!("cannot make {}", file.display()));
        if exists {
            failure.and("name another file")
        } else {
            failure
        }
    };
    if fs::symlink_metadata(file).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if !dir.is_dir() {
        let (path, dir) = (file.to_path_buf(), dir.to_path_buf());
        return Err(ManagerError::NoDirectory { path, dir }.into());
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bundle-");
    // It is made to be handed on: as any file, it can be read by whom the umask lets.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(dir).map_err(failed)?;
    let mut out = BufWriter::new(temporary.as_file_mut());
    let made = write(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary
        .persist_noclobber(file)
        .map_err(|error| failed(error.error))?;
    Ok(made)
}

fn read_tips(file: &Path) -> Result<TipsFile, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    text.parse()
        .map_err(|error: crate::TipsError| Failure::failed(format!("{}: {error}", file.display())))
}

fn tips(context: &mut Context<'_>, store: &args::Store) -> Result<(), Failure> {
    let path = context.path(&store.store)?;
    let store = context.reader.manager().open_path(path, Access::ReadOnly)?;
    let file = TipsFile {
        store_id: store.store_id(),
        tips: store.branch_tips()?,
    };
    let value = json!({
        "store_id": file.store_id,
        "tips": file.tips.tips,
        "earlier": file.tips.earlier,
    });
    let text = file.to_string();
    context.out.either(value, |_| text.trim_end().to_owned())
}

fn open_bundle(file: &Path) -> Result<BundleReader<BufReader<File>>, Failure> {
    let metadata = fs::metadata(file).map_err(|error| Failure::file(file, error))?;
    // A bundle is read twice, which a pipe cannot be.
    if !metadata.is_file() {
        return Err(Failure::usage(format!(
            "{} is no file; a bundle is read twice",
            file.display()
        )));
    }
    let opened = File::open(file).map_err(|error| Failure::file(file, error))?;
    BundleReader::new(BufReader::new(opened)).map_err(|error| in_bundle(file, error))
}

fn in_bundle(file: &Path, error: BundleError) -> Failure {
    Failure::from(error).within(&file.display().to_string())
}

fn verify(context: &mut Context<'_>, file: &Path) -> Result<(), Failure> {
    let summary = open_bundle(file)?
        .verify()
        .map_err(|error| in_bundle(file, error))?;
    let genesis = &summary.genesis;
    let value = json!({
        "store_id": genesis.store_id(),
        "store_type": genesis.store_type(),
        "ops": summary.ops,
        "bytes": summary.op_bytes,
        "authors": summary.authors,
    });
    context.out.either(value, |_| {
        format!(
            "whole: {} of {} of store {}, of type {}",
            plural(summary.ops, ("op", "ops")),
            plural(
                u64::try_from(summary.authors.len()).unwrap_or(u64::MAX),
                ("author", "authors")
            ),
            genesis.store_id(),
            genesis.store_type()
        )
    })
}

/// What became of a bundle's ops.
#[derive(Default)]
struct Counts {
    applied: u64,
    known: u64,
    deferred: u64,
    waiting: u64,
    rejected: BTreeMap<String, u64>,
    /// Whether ops were rejected for their author only.
    unknown_authors: bool,
}

impl Counts {
    fn add(&mut self, report: &IngestReport) {
        for (_, outcome) in &report.outcomes {
            self.count(outcome);
        }
        // What was held before has come to something.
        for (_, outcome) in &report.released {
            self.waiting = self.waiting.saturating_sub(1);
            self.count(outcome);
        }
        let evicted = u64::try_from(report.evicted.len()).unwrap_or(u64::MAX);
        if evicted > 0 {
            self.waiting = self.waiting.saturating_sub(evicted);
            *self
                .rejected
                .entry("there was no room to hold it back".into())
                .or_insert(0) += evicted;
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Applied { .. } => self.applied += 1,
            Outcome::Known => self.known += 1,
            Outcome::Waiting { .. } => self.waiting += 1,
            Outcome::Deferred { .. } => self.deferred += 1,
            Outcome::Rejected(why) => {
                self.unknown_authors |= matches!(why, Rejection::UnknownAuthor { .. });
                *self.rejected.entry(why.to_string()).or_insert(0) += 1;
            }
            _ => {}
        }
    }
}

fn apply(context: &mut Context<'_>, file: &Path, whose: &Authors) -> Result<(), Failure> {
    // A bundle that is not whole is refused before anything changes: it is read twice.
    let mut reader = open_bundle(file)?;
    while reader
        .next_op()
        .map_err(|error| in_bundle(file, error))?
        .is_some()
    {}
    let genesis = reader.summary().genesis.clone();
    context.registry().resolve(genesis.store_type())?;
    let node = context.writer()?;
    let manager = node.manager();
    let store_id = genesis.store_id();
    let created = !manager.store_path(store_id).exists();
    if created {
        manager.create_replica(&genesis)?;
    }
    let store = manager.open(store_id, Access::ReadWrite)?;
    let counts = take_in(&*store, file, whose);
    manager.close(store_id)?;
    let counts = counts?;
    let rejected = counts.rejected.iter();
    let rejected = rejected.map(|(reason, ops)| json!({ "reason": reason, "ops": ops }));
    let value = json!({
        "store_id": store_id,
        "created": created,
        "applied": counts.applied,
        "known": counts.known,
        "waiting": counts.waiting,
        "deferred": counts.deferred,
        "rejected": rejected.collect::<Vec<_>>(),
    });
    if context.out.is_json() {
        context.out.json(&value)?;
    } else {
        tell(context, &counts, created);
        context.out.line(&store_id.to_string())?;
    }
    let left = counts.rejected.values().sum::<u64>() + counts.waiting + counts.deferred;
    match left {
        0 => Ok(()),
        left => Err(Failure::failed(format!(
            "{} of the bundle {} not taken in",
            plural(left, ("op", "ops")),
            if left == 1 { "was" } else { "were" }
        ))),
    }
}

fn tell(context: &mut Context<'_>, counts: &Counts, created: bool) {
    let ops = |count| plural(count, ("op", "ops"));
    let replica = if created { " into a new replica" } else { "" };
    let (applied, known) = (ops(counts.applied), ops(counts.known));
    context
        .out
        .note(&format!("{applied} applied{replica}, {known} known before"));
    if counts.waiting > 0 {
        let waiting = ops(counts.waiting);
        context.out.note(&format!(
            "{waiting} waiting for others that the bundle lacks, and forgotten: apply it again behind \
             those"
        ));
    }
    if counts.deferred > 0 {
        let deferred = ops(counts.deferred);
        context.out.note(&format!(
            "{deferred} dated ahead of this machine's clock; apply the bundle again later"
        ));
    }
    for (reason, count) in &counts.rejected {
        context
            .out
            .note(&format!("{} rejected: {reason}", ops(*count)));
    }
    if counts.unknown_authors {
        context
            .out
            .note("--author KEY takes the ops of an author, --any-author those of everybody");
    }
}

fn take_in(store: &dyn StoreHandle, file: &Path, whose: &Authors) -> Result<Counts, Failure> {
    let mut reader = open_bundle(file)?;
    let mut counts = Counts::default();
    loop {
        let mut ops = Vec::with_capacity(OPS_PER_INGEST);
        let mut bytes = 0;
        while ops.len() < OPS_PER_INGEST
            && bytes < lattice_backend::MAX_OP_BYTES
            && let Some(op) = reader.next_op().map_err(|error| in_bundle(file, error))?
        {
            bytes += op.len();
            ops.push(op);
        }
        if ops.is_empty() {
            return Ok(counts);
        }
        counts.add(&store.ingest(&mut ops.into_iter(), whose)?);
    }
}
