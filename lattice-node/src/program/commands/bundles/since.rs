//! `lattice backup --since`: the ops that earlier files of a chain of backups lack.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use lattice_backend::bundle::{BundleError, BundleReader, Follows, write_bundle_after};
use lattice_backend::op::{BranchTips, Op, OpHasher, OpRef};
use lattice_meta::StoreId;
use serde_json::json;

use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::pipes::{FileArg, Input, Opened, Spool, Target, nearest};
use crate::program::progress::Counts;

/// What every bundle starts with.
const BUNDLE: &[u8] = b"lattice bundle\n";
const FULL: &str = "`lattice backup STORE FILE` without --since makes a full copy";
const BUFFER_BYTES: usize = 64 << 10;

/// Writes the ops that the earlier files lack.
pub(in crate::program::commands) fn backup(
    context: &mut Context<'_>,
    backup: &args::Backup,
    target: Target<'_>,
    path: &Path,
) -> Result<(), Failure> {
    context.node.manager().ensure_known(path)?;
    let store = context.node.manager().open_history(path)?;
    let store_id = store.store_id();
    let (mut tips, mut earlier) = (BTreeSet::new(), BTreeSet::new());
    let mut name = String::new();
    for file in &backup.since {
        let base = Base::read(context, file).map_err(|failure| failure.and(FULL))?;
        if base.store_id != store_id {
            let found = base.store_id;
            return Err(Failure::usage(format!(
                "{file}: expected a backup of store {store_id}, found one of store {found}; {FULL}"
            )));
        }
        tips.extend(base.tips.tips);
        earlier.extend(base.tips.earlier);
        name = base.name;
    }
    let known = BranchTips {
        tips: tips.into_iter().collect(),
        earlier: earlier.into_iter().collect(),
    };
    let follows = Follows::new(&name, known.tips.clone())
        .map_err(|error| Failure::failed(format!("{name}: {error}")).and(FULL))?;
    let ops = store.ops_after(&known)?;
    let total = u64::try_from(ops.len()).unwrap_or(u64::MAX);
    let counts = Counts::Things("op", "ops");
    context.progress.begin("writing ops", counts, Some(total));
    let progress = context.progress.clone();
    let genesis = store.genesis().clone();
    let (made, bytes) = target.write(context, |out| {
        let mut ops = (0..).zip(ops).map(|(nth, op)| {
            progress.set(nth);
            op
        });
        let made = write_bundle_after(&mut *out, &genesis, &follows, &mut ops);
        made.map_err(|error| match error {
            BundleError::Write(error) => out.failed(error),
            error => error.into(),
        })
    })?;
    let value = json!({
        "store_id": store_id,
        "file": target.name(),
        "bytes": bytes,
        "ops": made.ops,
        "follows": name,
    });
    let (ops, bytes) = (
        plural(made.ops, ("op", "ops")),
        plural(bytes, ("byte", "bytes")),
    );
    let to = target.name();
    let text = format!("backed up {ops} of store {store_id} since {name} to {to} ({bytes})");
    target.summarise(context, &value, &text)
}

/// An earlier file of a chain of backups.
struct Base {
    /// Its name without directories.
    name: String,
    store_id: StoreId,
    /// What a store has that was restored from the chain up to this file.
    tips: BranchTips,
}

impl Base {
    fn read(context: &Context<'_>, argument: &FileArg) -> Result<Self, Failure> {
        let name = argument.to_string();
        match (argument, argument.open(context, "FILE")?) {
            (
                FileArg::Path(path),
                opened @ Opened {
                    input: Input::File(_),
                    ..
                },
            ) => Self::read_file(context, path, opened),
            (_, opened) => {
                let spool = Spool::within(&nearest(&context.data_dir))?;
                spool.fill(&name, opened.input.into_reader(), |_| Ok(()))?;
                let file = spool.file();
                let opened = FileArg::Path(file.clone()).open(context, "FILE");
                let read = opened.and_then(|opened| Self::read_file(context, &file, opened));
                let base = read.map_err(|failure| failure.renamed(&file, &name))?;
                Ok(Self { name, ..base })
            }
        }
    }

    fn read_file(context: &Context<'_>, path: &Path, opened: Opened) -> Result<Self, Failure> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| opened.name.clone());
        if is_bundle(path)? {
            return Self::read_bundle(name, opened);
        }
        let store = context.node.manager().open_history(path)?;
        Ok(Self {
            name,
            store_id: store.store_id(),
            tips: store.branch_tips()?,
        })
    }

    /// Reads a bundle of the chain to its end. It ends where what it follows ends, but for the
    /// branches that its own ops continue.
    fn read_bundle(name: String, opened: Opened) -> Result<Self, Failure> {
        let file = opened.name.clone();
        let within = |error: BundleError| Failure::from(error).within(&file);
        let total = opened.input.len();
        opened
            .progress
            .begin("reading the bundle", Counts::Bytes, total);
        let input = opened.progress.reading(opened.input.into_reader());
        let reader = BundleReader::new(BufReader::with_capacity(BUFFER_BYTES, input));
        let mut reader = reader.map_err(within)?;
        let Some(follows) = reader.follows() else {
            return Err(Failure::usage(format!(
                "{file} is a bundle that does not say what it follows, so no chain of backups goes on \
                 from it; give the copy that the chain begins with, or a file of `backup --since`"
            )));
        };
        let mut ends: BTreeSet<OpRef> = follows.ops().iter().copied().collect();
        let genesis = reader.genesis().clone();
        let (hasher, mut index) = (OpHasher::new(&genesis.hash()), 0);
        while let Some(bytes) = reader.next_op().map_err(within)? {
            let op = Op::decode(bytes, &hasher)
                .map_err(|source| within(BundleError::Op { index, source }))?;
            if let Some(prev) = op.prev() {
                ends.remove(&prev);
            }
            ends.insert(op.reference());
            index += 1;
        }
        Ok(Self {
            name,
            store_id: genesis.store_id(),
            tips: ends.into_iter().collect::<Vec<_>>().into(),
        })
    }
}

/// Whether a file starts like a bundle.
pub(in crate::program::commands) fn is_bundle(path: &Path) -> Result<bool, Failure> {
    let failed = |error| Failure::file(path, error);
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let length = u64::try_from(BUNDLE.len()).unwrap_or(u64::MAX);
    file.take(length).read_to_end(&mut start).map_err(failed)?;
    Ok(start == BUNDLE)
}
