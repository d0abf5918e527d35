//! The files of a chain of backups after the first, as a restore adds them.

use std::collections::{BTreeMap, BTreeSet};

use lattice_backend::bundle::Follows;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::op::{Op, OpHasher, OpRef};
use lattice_meta::StoreId;
use serde_json::json;

use super::apply::take_in;
use super::counts::Counts;
use super::source::Intact;
use crate::StoreHandle;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::program::pipes::FileArg;
use crate::program::progress::{self, Progress};

/// The files of a chain after the first, each after those that it follows.
pub(in crate::program::commands) struct Chain {
    files: Vec<Intact>,
    ops: u64,
}

impl Chain {
    /// Reads the files to their ends, and orders them. Changes nothing.
    ///
    /// # Errors
    /// If a file is damaged or of a different store, and if one follows ops that are in no file.
    pub(in crate::program::commands) fn read(
        context: &Context<'_>,
        files: &[FileArg],
        base: &dyn StoreHandle,
    ) -> Result<Self, Failure> {
        let mut read: Vec<Intact> = Vec::new();
        for file in files {
            let bundle = file
                .open(context, "FILE")?
                .read_through(&context.data_dir)?;
            check_store(&bundle, base.store_id())?;
            // A file that is given twice adds nothing.
            if read.iter().all(|other| other.digest != bundle.digest) {
                read.push(bundle);
            }
        }
        let lacking = Lacking::find(&read, base)?;
        lacking.check(&read)?;
        let mut rest: Vec<_> = read.into_iter().enumerate().collect();
        let (mut files, mut taken) = (Vec::new(), BTreeSet::new());
        while !rest.is_empty() {
            let is_ready = |(file, _): &(usize, Intact)| lacking.before(*file).is_subset(&taken);
            // Files that follow each other have been altered; their ops say what is missing.
            let place = rest.iter().position(is_ready).unwrap_or(0);
            let (file, bundle) = rest.remove(place);
            taken.insert(file);
            files.push(bundle);
        }
        let ops = files.iter().map(Intact::ops).sum();
        Ok(Self { files, ops })
    }

    /// What identifies the files, in any order.
    pub(in crate::program::commands) fn digest(&self) -> [u8; 32] {
        let mut all = [0; 32];
        for digest in self.files.iter().filter_map(|file| file.digest) {
            for (byte, other) in all.iter_mut().zip(digest) {
                *byte ^= other;
            }
        }
        all
    }

    /// Adds the ops of all files to the restored copy of the first one.
    ///
    /// # Errors
    /// If an op cannot be applied.
    pub(in crate::program::commands) fn add_to(
        &self,
        store: &dyn StoreHandle,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let ops = progress::Counts::Things("op", "ops");
        progress.begin("applying ops", ops, Some(self.ops));
        let (mut counts, mut done) = (Counts::default(), 0);
        for file in &self.files {
            // The ops of all authors were accepted once.
            take_in(
                store,
                file,
                &Authors::Any,
                &|| false,
                progress,
                done,
                &mut counts,
            )?;
            done += file.ops();
        }
        match counts.left() {
            0 => Ok(()),
            _ => Err(Failure::failed(format!(
                "{}; nothing was restored",
                counts.why_left()
            ))),
        }
    }
}

fn check_store(bundle: &Intact, store_id: StoreId) -> Result<(), Failure> {
    let found = bundle.genesis().store_id();
    match found == store_id {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{}: expected ops of store {store_id}, which the first file is a backup of, found ops of \
             store {found}; restore each store by itself",
            bundle.name
        ))),
    }
}

/// The ops that files follow and the first file lacks.
struct Lacking {
    /// Of each file.
    of: Vec<Vec<OpRef>>,
    /// The file that has the op.
    found: BTreeMap<OpRef, usize>,
}

impl Lacking {
    fn find(files: &[Intact], base: &dyn StoreHandle) -> Result<Self, Failure> {
        let mut of = Vec::new();
        for file in files {
            let named = file.follows().map_or(&[][..], Follows::ops);
            let here = base.has_ops(named)?;
            let lacking = named.iter().zip(here).filter(|(_, here)| !here);
            of.push(lacking.map(|(op, _)| *op).collect());
        }
        let all: BTreeSet<_> = of.iter().flatten().copied().collect();
        let mut found = BTreeMap::new();
        if all.is_empty() {
            return Ok(Self { of, found });
        }
        for (place, file) in files.iter().enumerate() {
            let hasher = OpHasher::new(&file.genesis().hash());
            let mut ops = file.again()?;
            while let Some(bytes) = ops.next_op()? {
                // An op that does not decode is rejected later.
                let op = Op::decode(bytes, &hasher).map(|op| op.reference());
                if let Some(op) = op.ok().filter(|op| all.contains(op)) {
                    found.insert(op, place);
                }
            }
        }
        Ok(Self { of, found })
    }

    /// Refuses a chain with a gap.
    fn check(&self, files: &[Intact]) -> Result<(), Failure> {
        let is_gap = |of: &Vec<OpRef>| of.iter().any(|op| !self.found.contains_key(op));
        let gaps = files.iter().zip(&self.of).filter(|(_, of)| is_gap(of));
        let gaps = gaps.filter_map(|(file, _)| Some((&file.name, file.follows()?.name())));
        let gaps: Vec<_> = gaps.collect();
        if gaps.is_empty() {
            return Ok(());
        }
        let text = gaps
            .iter()
            .map(|(file, after)| format!("{file} follows {after}"));
        let text = text.collect::<Vec<_>>().join(", ");
        let failure = Failure::new(
            Kind::NoFile,
            format!(
                "a file of the chain is missing: {text}, and none of the given files ends there; \
                 nothing was restored; give all files of the chain to `restore`, in any order"
            ),
        );
        let gaps = gaps
            .iter()
            .map(|(file, after)| json!({ "file": file, "follows": after }));
        Err(failure.with("gaps", gaps.collect()))
    }

    /// The files that a file follows.
    fn before(&self, file: usize) -> BTreeSet<usize> {
        let of = self.of.get(file).into_iter().flatten();
        let before = of.filter_map(|op| self.found.get(op).copied());
        before.filter(|other| *other != file).collect()
    }
}
