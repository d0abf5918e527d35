//! Writes a store's history, or a part of it, to a file or to standard output.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use lattice_backend::bundle::{
    BundleCode, BundleCounts, BundleError, write_bundle, write_bundle_with_code,
};
use lattice_backend::engine::read::{OpsAfter, StoreState};
use lattice_backend::engine::write::{CopyConfirmation, PeerSays};
use lattice_backend::op::BranchTips;
use lattice_meta::{Genesis, StoreId};
use lattice_registry::files::{
    FilesError, Partial, create_private, directory_of, finishing, set_mode,
};
use serde_json::json;

use super::{STDIO, code, note_confirmation};
use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::program::output::json_text;
use crate::program::progress::{Counts, Progress};
use crate::{Access, ManagerError, StoreHandle, TipsError, TipsFile};

/// Whether a bundle carries the code that the store records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carry {
    History,
    #[cfg(feature = "wasm")]
    HistoryAndCode,
}

/// Where a bundle is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) file: &'a Path,
    pub(super) mode: args::Mode,
}

pub(super) fn create(
    context: &mut Context<'_>,
    store: &args::Store,
    target: Target<'_>,
    since: Option<&Path>,
    carry: Carry,
) -> Result<(), Failure> {
    let file = target.file;
    let to_stdout = file == Path::new(STDIO);
    if to_stdout && target.mode != args::Mode::PRIVATE {
        return Err(Failure::usage(
            "--mode is for a file, and this bundle goes to standard output; name a file",
        ));
    }
    if to_stdout && context.out.is_terminal() {
        return Err(Failure::usage(
            "a bundle is binary and cannot be printed on a terminal; name a file, or pipe it to \
             `lattice bundle apply -`",
        ));
    }
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
    let (made, bytes) = match to_stdout {
        true => write(context.out.data(), contents, Failure::output)?,
        false => make_file(target, contents)?,
    };
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
    match (context.out.is_json(), to_stdout) {
        (true, false) => return context.out.json(&value),
        // Standard output carries the bundle, so everything else goes to standard error.
        (true, true) => context.out.note(&json_text(&value)),
        (false, _) => {
            let ops = plural(made.ops, ("op", "ops"));
            let place = match to_stdout {
                true => "standard output".to_owned(),
                false => file.display().to_string(),
            };
            let code = match modules.first() {
                Some(cid) => format!(", with code {cid}"),
                None => String::new(),
            };
            context
                .out
                .note(&format!("wrote {ops} of store {store_id} to {place}{code}"));
        }
    }
    Ok(())
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

/// Writes the bundle; returns its contents and its length in bytes.
fn write(
    out: &mut dyn Write,
    contents: Contents,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(BundleCounts, u64), Failure> {
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
    let mut out = Counted { out, bytes: 0 };
    let made = match &code {
        Some(code) => write_bundle_with_code(&mut out, &genesis, code, &mut ops),
        None => write_bundle(&mut out, &genesis, &mut ops),
    };
    match made {
        Ok(made) => Ok((made, out.bytes)),
        Err(BundleError::Write(error)) => Err(failed(error)),
        Err(error) => Err(error.into()),
    }
}

/// Creates the file atomically. Never replaces an existing file.
fn make_file(target: Target<'_>, contents: Contents) -> Result<(BundleCounts, u64), Failure> {
    let file = target.file;
    let failed = |error: io::Error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let failure = Failure::from(error).within(&format!("cannot create {}", file.display()));
        if exists {
            failure.and("name another file")
        } else {
            failure
        }
    };
    Partial::clear(directory_of(file));
    if fs::symlink_metadata(file).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let dir = directory_of(file);
    if !dir.is_dir() {
        let (path, dir) = (file.to_path_buf(), dir.to_path_buf());
        return Err(ManagerError::NoDirectory { path, dir }.into());
    }
    let placing = |error: FilesError| match error {
        FilesError::Io { source, .. } => failed(source),
        error => Failure::of(Kind::Failed, &error),
    };
    let partial = Partial::beside(file).map_err(placing)?;
    let new = create_private(&partial.file()).map_err(failed)?;
    let mut out = BufWriter::new(&new);
    let made = write(&mut out, contents, failed)?;
    drop(out);
    set_mode(&partial.file(), target.mode.0).map_err(placing)?;
    new.sync_all().map_err(failed)?;
    let finishing = finishing();
    partial.place(file).map_err(placing)?;
    finishing.placed(file);
    Ok(made)
}

/// A writer that counts bytes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn read_tips(context: &Context<'_>, file: &Path) -> Result<TipsFile, Failure> {
    let (name, mut input): (_, Box<dyn Read>) = match file == Path::new(STDIO) {
        true => {
            context.check_stdin("TIPS")?;
            ("standard input".to_owned(), Box::new(io::stdin()))
        }
        false => {
            let opened = File::open(file).map_err(|error| Failure::file(file, error))?;
            (file.display().to_string(), Box::new(opened))
        }
    };
    let mut text = String::new();
    let read = input.read_to_string(&mut text);
    read.map_err(|error| Failure::file(Path::new(&name), error))?;
    text.parse()
        .map_err(|error: TipsError| Failure::failed(format!("{name}: {error}")))
}
