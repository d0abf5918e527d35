//! Verifies stores.

use std::path::Path;

use lattice_backend::backend::{Access, BackendError, FileError, Integrity, Peek};
use lattice_backend::cores::both;
use lattice_backend::engine::open::{LogicPolicy, OpenError};
use lattice_backend::engine::verify::{Depth, Finding, Verification};
use lattice_backend::progress::{ProgressSink, Stage};

use super::find::{canonical, state_db};
use super::known::How;
use super::{ManagerError, StoreManager};
use crate::{Peeked, StoreHandle};

/// The cache of a store that is read once, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// Looks for a finding in an open store.
type Look<'a> = &'a dyn Fn(&dyn StoreHandle) -> Result<Option<Finding>, BackendError>;

impl StoreManager {
    /// Verifies any store, open or not: a `state.db` or the directory that holds one. The store is
    /// opened as it is, for reading only: an older layout is verified in that layout, and a full
    /// verification replays the history even with other logic than the recorded one.
    ///
    /// A full verification also checks the backend's own checksums, unless the file is open for
    /// writing. If it finds nothing, the data directory vouches for the store from then on
    /// ([`is_known`](Self::is_known)). If that cannot be noted, for example on a full disk, the
    /// result stands, and the store is verified again before its first write.
    ///
    /// # Errors
    /// If the store cannot be opened or the verification cannot continue. Defects of a store that
    /// opens are findings.
    pub fn verify_path(
        &self,
        path: impl AsRef<Path>,
        depth: Depth,
    ) -> Result<Verification, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let before = match depth {
            Depth::Quick => None,
            // What the verification covers is at least what is there before.
            Depth::Full => self.mark_of(&file).ok(),
        };
        let verified = self.verify_file(&file, depth)?;
        if let Some(mark) = before.filter(|_| verified.is_ok()) {
            let _ = self.record(&self.key_of(&file, mark.store_id), &mark, How::Verified);
        }
        Ok(verified)
    }

    /// The same, without entering the store.
    pub(super) fn verify_file(
        &self,
        file: &Path,
        depth: Depth,
    ) -> Result<Verification, ManagerError> {
        let peek = self.peek_recorded(file)?;
        let failed = |error: FileError| ManagerError::Peek(error.into());
        let check = || self.backend.check_integrity(file).map_err(failed);
        let verify = || self.verify_opened(peek, file, depth);
        let (checksums, verified) = match depth {
            Depth::Quick => (Integrity::None, verify()),
            Depth::Full if self.backend.was_closed(file).map_err(failed)? => {
                let (checksums, verified) = both(check, verify);
                (checksums?, verified)
            }
            // Opening a file whose writer was killed repairs it.
            Depth::Full => {
                self.options.progress.report(Stage::Checksums, 0, None);
                (check()?, verify())
            }
        };
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
            // The file's bytes are not those that were written, whatever error the open reports.
            Err(_) => Err(ManagerError::Peek(
                FileError::Damaged {
                    path: file.to_path_buf(),
                    detail,
                }
                .into(),
            )),
        }
    }

    /// Refuses to copy damage: a mismatch of the backend's checksums, a history that does not
    /// consist of the applied ops, or rows that do not match the state hash. No writer can open the
    /// store while the checksums are verified. For a type without code or an unknown layout, only
    /// the checksums are checked. For a state that other code computed, the rows are not: that code
    /// may count other elements.
    pub(super) fn check_copied(&self, peek: &Peek, file: &Path) -> Result<(), ManagerError> {
        self.options.progress.report(Stage::Checksums, 0, None);
        let checked = self.backend.check_integrity(file);
        let checked = checked.map_err(|error| ManagerError::Peek(error.into()))?;
        if let Integrity::Damaged { detail } = checked {
            return Err(copy_damaged(file, detail));
        }
        self.refuse_findings(peek, file, &|store| {
            // Another thread reads the rows, and this one, which alone reports progress, the ops.
            let (rows, ops) = both(
                || store.verify(Depth::Quick, &*self.backend, &ProgressSink::none()),
                || store.check_ops(&self.options.progress),
            );
            ops.and(rows).map(first_finding)
        })
    }

    /// The same for the ops alone, without progress reports.
    pub(super) fn check_copied_ops(&self, peek: &Peek, file: &Path) -> Result<(), ManagerError> {
        self.refuse_findings(peek, file, &|store| {
            store.check_ops(&ProgressSink::none()).map(|()| None)
        })
    }

    /// The same for the rows alone.
    pub(super) fn check_copied_rows(&self, peek: &Peek, file: &Path) -> Result<(), ManagerError> {
        self.refuse_findings(peek, file, &|store| {
            let rows = store.verify(Depth::Quick, &*self.backend, &self.options.progress);
            rows.map(first_finding)
        })
    }

    fn refuse_findings(
        &self,
        peek: &Peek,
        file: &Path,
        look: Look<'_>,
    ) -> Result<(), ManagerError> {
        match self.look_at(peek.clone(), file, look) {
            Ok(Some(finding)) if self.computes(peek)? => {
                Err(copy_damaged(file, finding.to_string()))
            }
            Ok(_) => Ok(()),
            Err(
                ManagerError::Resolve(_)
                | ManagerError::Open(OpenError::NewerSchema { .. } | OpenError::OlderSchema { .. }),
            ) => Ok(()),
            Err(ManagerError::Verify {
                source: source @ (BackendError::Damaged { .. } | BackendError::Row { .. }),
                ..
            }) => Err(copy_damaged(file, source.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Whether the code for a store computes the same state as the code that it records.
    fn computes(&self, peek: &Peek) -> Result<bool, ManagerError> {
        let logic = self.registry.resolve(peek)?.logic();
        let recorded = peek.logic.as_deref();
        Ok(recorded.is_none_or(|recorded| logic.computes_as(recorded)))
    }

    fn verify_opened(
        &self,
        peek: Peek,
        file: &Path,
        depth: Depth,
    ) -> Result<Verification, ManagerError> {
        let (backend, progress) = (&*self.backend, &self.options.progress);
        self.look_at(peek, file, &|store| store.verify(depth, backend, progress))
    }

    /// Opens a store as it is, runs `look`, and closes it.
    fn look_at<T>(
        &self,
        peek: Peek,
        file: &Path,
        look: &dyn Fn(&dyn StoreHandle) -> Result<T, BackendError>,
    ) -> Result<T, ManagerError> {
        let store_id = peek.meta.store_id;
        let failed = |source| ManagerError::Verify { store_id, source };
        let opener = self.registry.resolve(&peek)?;
        let request = self.request(&peek.meta, file, Access::ReadOnly, CACHE_BYTES);
        let request = request.logic(LogicPolicy::Trust);
        let store = match opener.open(Peeked { peek, request }) {
            // If the store is open exclusively here, its open handle provides a view.
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

pub(super) fn copy_damaged(file: &Path, finding: String) -> ManagerError {
    ManagerError::CopyDamaged {
        path: file.to_path_buf(),
        finding,
    }
}

fn first_finding(verified: Verification) -> Option<Finding> {
    verified.findings.into_iter().next()
}
