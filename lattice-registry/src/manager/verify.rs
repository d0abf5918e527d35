//! Whether stores are whole.

use std::path::Path;

use lattice_backend::backend::{Access, BackendError, FileError, Integrity};
use lattice_backend::engine::open::{LogicPolicy, OpenError};
use lattice_backend::engine::verify::{Depth, Finding, Verification};
use lattice_meta::MetaInfo;

use super::open::{canonical, state_db};
use super::{ManagerError, StoreManager};
use crate::{Peeked, ResolveError, StoreHandle};

/// The cache of a store that is read through once, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// Whether the engine is asked for its own checksums before a store is copied. Whoever is about to
/// write the store is kept out meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    Check,
    Leave,
}

impl StoreManager {
    /// Verifies any store, whoever has it open: a `state.db` or the directory that holds one. It is
    /// opened for reading only, as it is: an older layout is verified as what it is, and other logic
    /// than the recorded one is what a full verification replays.
    ///
    /// A full verification also has the engine look at its own checksums, if nobody has the file
    /// open for writing.
    ///
    /// # Errors
    /// A store that does not open, and what keeps the verification from going on. What is wrong
    /// with a store that opens is a finding.
    pub fn verify_path(
        &self,
        path: impl AsRef<Path>,
        depth: Depth,
    ) -> Result<Verification, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let meta = self.peek_path(&file)?;
        let checksums = match depth {
            Depth::Quick => Integrity::None,
            Depth::Full => {
                let checked = self.backend.check_integrity(&file);
                checked.map_err(|error| ManagerError::Peek(error.into()))?
            }
        };
        let verified = self.verify_opened(meta, &file, depth);
        let Integrity::Damaged { detail } = &checksums else {
            return verified.map(|verified| Verification {
                checksums,
                ..verified
            });
        };
        let detail = detail.clone();
        match verified {
            Ok(mut verified) => {
                verified.findings.insert(0, Finding::Damaged { detail });
                verified.checksums = checksums;
                Ok(verified)
            }
            // Whatever it cannot be opened for, its bytes are not those that were written.
            Err(_) => Err(ManagerError::Peek(
                FileError::Damaged { path: file, detail }.into(),
            )),
        }
    }

    /// Sees to it that no damage is copied: what the engine finds wrong with the file, if `integrity` is
    /// to be looked at, ops that are not those that were applied, and rows that are not what the state
    /// hash says. Of a type or a layout that is not known here, only the first can be told.
    pub(super) fn check_copied(
        &self,
        meta: &MetaInfo,
        file: &Path,
        checksums: Checksums,
    ) -> Result<(), ManagerError> {
        let damaged = |finding| ManagerError::CopyDamaged {
            path: file.to_path_buf(),
            finding,
        };
        if checksums == Checksums::Check {
            let checked = self.backend.check_integrity(file);
            let checked = checked.map_err(|error| ManagerError::Peek(error.into()))?;
            if let Integrity::Damaged { detail } = checked {
                return Err(damaged(detail));
            }
        }
        let looked = self.look_at(meta.clone(), file, &|store| {
            store.check_ops()?;
            store.verify(Depth::Quick, &*self.backend, &self.options.watch)
        });
        match looked {
            Ok(verified) => match verified.findings.first() {
                None => Ok(()),
                Some(finding) => Err(damaged(finding.to_string())),
            },
            Err(
                ManagerError::Resolve(ResolveError::Unknown { .. })
                | ManagerError::Open(OpenError::NewerSchema { .. }),
            ) => Ok(()),
            Err(ManagerError::Verify {
                source: source @ (BackendError::Damaged { .. } | BackendError::Row { .. }),
                ..
            }) => Err(damaged(source.to_string())),
            Err(error) => Err(error),
        }
    }

    fn verify_opened(
        &self,
        meta: MetaInfo,
        file: &Path,
        depth: Depth,
    ) -> Result<Verification, ManagerError> {
        let (backend, watch) = (&*self.backend, &self.options.watch);
        self.look_at(meta, file, &|store| store.verify(depth, backend, watch))
    }

    /// Opens a store as it is, and closes it again.
    fn look_at<T>(
        &self,
        meta: MetaInfo,
        file: &Path,
        look: &dyn Fn(&dyn StoreHandle) -> Result<T, BackendError>,
    ) -> Result<T, ManagerError> {
        let store_id = meta.store_id;
        let failed = |source| ManagerError::Verify { store_id, source };
        let opener = self.registry.resolve(&meta.store_type)?;
        let mut request = self.request(&meta, file, Access::ReadOnly, CACHE_BYTES);
        request.logic = LogicPolicy::Trust;
        let store = match opener.open(Peeked { meta, request }) {
            // One that is open exclusively here has a view for us all the same.
            Err(error @ OpenError::File(FileError::InUse { .. })) => {
                let open = self.opened(file, Access::ReadOnly).ok_or(error)?;
                return look(&*open).map_err(failed);
            }
            opened => opened?,
        };
        let looked = look(&*store);
        let closed = store.close();
        let looked = looked.map_err(failed)?;
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        Ok(looked)
    }
}
