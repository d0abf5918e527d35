//! Whether this data directory vouches for a store: it created, verified or restored the store, or
//! the user took it on trust.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::backend::{Access, BackendError, OpenOptions, PeekError, StateDb, peek_open};
use lattice_backend::engine::open::OpenError;
use lattice_backend::engine::read::StoreMark;
use lattice_backend::engine::verify::{Depth, Finding, Verification};
use lattice_meta::{MetaInfo, StoreId};

use super::find::{canonical, peek_handle, state_db};
use super::known::{How, Key, Known, Lines, update};
use super::{ManagerError, STATE_DB, StoreManager};
use crate::files::make_dirs;

/// What a manager does with a store that its data directory does not vouch for, before it writes to
/// it, copies it or hands out its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IfUnverified {
    /// Verifies it in full, and refuses it if that finds anything or cannot be done.
    #[default]
    Verify,
    /// Takes it unverified, on the caller's word.
    Trust,
}

/// How a store became one that its data directory vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vouched {
    /// It was one before.
    Known,
    /// It was verified in full.
    Verified,
    /// It was taken unverified.
    Trusted,
}

impl StoreManager {
    /// Whether this data directory vouches for a store: it was created, verified or restored here,
    /// or taken on trust, and still has the op that was its newest then. Other stores can be read;
    /// before they are written or copied, they are verified ([`IfUnverified`]). A data directory
    /// without a file `known.toml` vouches for all its stores. Writes nothing.
    ///
    /// # Errors
    /// If `known.toml` or the store cannot be read.
    pub fn is_known(&self, path: impl AsRef<Path>) -> Result<bool, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        let known = Known::load(&self.dir)?;
        let looked = self.peek_known(known.is_there(), &|key| known.mark(key), &file);
        Ok(looked?.1)
    }

    /// The stores that were created in this data directory, as `known.toml` says: not those that came
    /// as bundles or copies, nor those that are older than the file.
    ///
    /// # Errors
    /// If `known.toml` cannot be read.
    pub fn created(&self) -> Result<Vec<StoreId>, ManagerError> {
        Ok(Known::load(&self.dir)?.created())
    }

    /// The same as [`is_known`](Self::is_known), with `known.toml` already read: whether it is there, and its entries. Also returns
    /// what a peek returns.
    pub(super) fn peek_known(
        &self,
        is_there: bool,
        entry: &dyn Fn(&Key) -> Option<StoreMark>,
        file: &Path,
    ) -> Result<(MetaInfo, bool), ManagerError> {
        if let Some(open) = self.opened(file, Access::ReadWrite) {
            // It was checked when it was opened.
            return Ok((peek_handle(&*open, file)?.meta, true));
        }
        self.reading(file, &mut |db| {
            let meta = peek_open(db, file)?.meta;
            let key = self.key_of(file, meta.store_id);
            let is_known = match (is_there, &key) {
                (false, Key::Store(_)) => true,
                _ => entry(&key).map_or(Ok(false), |mark| passes(&mark, db))?,
            };
            Ok((meta, is_known))
        })
    }

    /// Makes sure that this data directory vouches for a store, as the manager's options say.
    /// Verifies an unknown one, and enters it in `known.toml`.
    ///
    /// # Errors
    /// [`ManagerError::Unsound`] if the verification finds anything,
    /// [`ManagerError::Unverifiable`] if it cannot be done; and what reading and writing report.
    pub fn ensure_known(&self, path: impl AsRef<Path>) -> Result<Vouched, ManagerError> {
        let file = canonical(&state_db(path.as_ref()));
        if self.opened(&file, Access::ReadWrite).is_some() {
            return Ok(Vouched::Known);
        }
        self.ensure_known_closed(&file)
    }

    /// The same for a file that this manager does not have open for writing.
    pub(super) fn ensure_known_closed(&self, file: &Path) -> Result<Vouched, ManagerError> {
        self.reading(file, &mut |db| self.vouch(file, db))
    }

    /// The same for a file that is open.
    pub(super) fn vouch(&self, file: &Path, db: &dyn StateDb) -> Result<Vouched, ManagerError> {
        let key = self.key_of(file, peek_open(db, file)?.meta.store_id);
        let mut known = Known::load(&self.dir)?;
        if !known.is_there() && matches!(key, Key::Store(_)) {
            self.enter(|_| {})?;
            known = Known::load(&self.dir)?;
            if !known.is_there() {
                // A directory that cannot be written has no file, and vouches for its stores.
                return Ok(Vouched::Known);
            }
        }
        if let Some(mark) = known.mark(&key)
            && passes(&mark, db)?
        {
            return Ok(Vouched::Known);
        }
        // Other processes may write during the verification, which then covers more than the mark.
        let mark = read_mark(db, file);
        let (mark, vouched) = match self.options.unverified {
            // What cannot be read is reported by the open.
            IfUnverified::Trust => match mark {
                Ok(mark) => (mark, Vouched::Trusted),
                Err(_) => return Ok(Vouched::Trusted),
            },
            IfUnverified::Verify => {
                tracing::info!(path = %file.display(), "verifying a store that is not known here");
                sound(file, self.verify_file(file, Depth::Full))?;
                let mark = mark?;
                if !passes(&mark, db)? {
                    let path = file.to_path_buf();
                    return Err(ManagerError::VerifyChanged { path });
                }
                (mark, Vouched::Verified)
            }
        };
        self.record(
            &key,
            &mark,
            match vouched {
                Vouched::Trusted => How::Trusted,
                _ => How::Verified,
            },
        )?;
        Ok(vouched)
    }

    /// Enters a store of which the caller knows how far it has come.
    pub(super) fn record(&self, key: &Key, mark: &StoreMark, how: How) -> Result<(), ManagerError> {
        self.enter(|lines| lines.set(key, mark, how))
    }

    /// Enters a store file as it is now.
    pub(super) fn record_file(&self, file: &Path, how: How) -> Result<(), ManagerError> {
        let mark = self.mark_of(file)?;
        self.record(&self.key_of(file, mark.store_id), &mark, how)
    }

    /// Removes the entry of a store of this data directory.
    pub(super) fn forget(&self, store_id: StoreId) -> Result<(), ManagerError> {
        if !Known::load(&self.dir)?.is_there() {
            return Ok(());
        }
        self.enter(|lines| lines.remove(&Key::Store(store_id)))
    }

    /// Changes `known.toml`. If it is missing, first enters all stores of the directory. Creates
    /// a missing data directory; one that cannot be written stays as it is. So does one on a full
    /// disk, where a store must still be verified, and destroyed for its space.
    fn enter(&self, change: impl FnOnce(&mut Lines)) -> Result<(), ManagerError> {
        // The stores are read before the lock is taken, so that others do not wait for that.
        let found = match Known::load(&self.dir)?.is_there() {
            true => Vec::new(),
            false => self.marks()?,
        };
        let updated = make_dirs(&self.dir).and_then(|_| {
            update(&self.dir, |known, lines| {
                if !known.is_there() {
                    for mark in &found {
                        lines.set(&Key::Store(mark.store_id), mark, How::Entered);
                    }
                }
                change(lines);
            })
        });
        match updated {
            Err(error)
                if matches!(
                    error.io_kind(),
                    Some(
                        io::ErrorKind::PermissionDenied
                            | io::ErrorKind::ReadOnlyFilesystem
                            | io::ErrorKind::StorageFull
                            | io::ErrorKind::QuotaExceeded
                    )
                ) =>
            {
                Ok(())
            }
            updated => Ok(updated?),
        }
    }

    /// The marks of all stores of the directory. Leaves out those that cannot be read.
    fn marks(&self) -> Result<Vec<StoreMark>, ManagerError> {
        let stores = self.stores_dir();
        let entries = match fs::read_dir(&stores) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| ManagerError::io("list", &stores, source))?,
        };
        let mut marks = Vec::new();
        for entry in entries {
            let dir = entry
                .map_err(|source| ManagerError::io("list", &stores, source))?
                .path();
            let named = dir.file_name().and_then(|name| name.to_str());
            let named = named.and_then(|name| name.parse::<StoreId>().ok());
            let mark = self.mark_of(&dir.join(STATE_DB)).ok();
            marks.extend(mark.filter(|mark| Some(mark.store_id) == named));
        }
        Ok(marks)
    }

    pub(super) fn mark_of(&self, file: &Path) -> Result<StoreMark, ManagerError> {
        self.reading(file, &mut |db| read_mark(db, file))
    }

    /// Opens a file for reading, and closes it.
    fn reading<T>(
        &self,
        file: &Path,
        read: &mut dyn FnMut(&dyn StateDb) -> Result<T, ManagerError>,
    ) -> Result<T, ManagerError> {
        let db = self.backend.open(file, &OpenOptions::read_only());
        let db = db.map_err(|error| ManagerError::Peek(error.into()))?;
        let done = read(&*db);
        // Nothing was written through it.
        let _ = db.close();
        done
    }

    /// The key of a store's file, given by its canonical path.
    pub(super) fn key_of(&self, file: &Path, store_id: StoreId) -> Key {
        // The store's directory may be a link.
        match canonical(&self.store_path(store_id)) == file {
            true => Key::Store(store_id),
            false => Key::File(file.to_path_buf()),
        }
    }
}

fn read_mark(db: &dyn StateDb, file: &Path) -> Result<StoreMark, ManagerError> {
    StoreMark::read(db).map_err(|source| {
        let path = file.to_path_buf();
        ManagerError::Peek(PeekError::Backend { path, source })
    })
}

/// Whether a store has come from where it was when it was entered. Damage is no error here: a
/// verification reports it.
fn passes(mark: &StoreMark, db: &dyn StateDb) -> Result<bool, ManagerError> {
    match mark.is_passed_by(db) {
        Err(BackendError::Row { .. } | BackendError::Damaged { .. }) => Ok(false),
        passed => passed.map_err(|source| ManagerError::Verify {
            store_id: mark.store_id,
            source,
        }),
    }
}

fn is_unsound(finding: &Finding) -> bool {
    !matches!(finding, Finding::Logic { .. })
}

/// Refuses a store whose verification found anything or could not be done. A recorded logic that
/// the running code does not name as equal is no reason: the verification has just replayed the
/// history with this code, and the next open for writing proves and records it.
pub(super) fn sound(
    path: &Path,
    verified: Result<Verification, ManagerError>,
) -> Result<(), ManagerError> {
    let path = || PathBuf::from(path);
    match verified {
        Ok(verified) => match verified.findings.iter().find(|finding| is_unsound(finding)) {
            None => Ok(()),
            Some(finding) => Err(ManagerError::Unsound {
                path: path(),
                finding: finding.to_string(),
                other_logic: (verified.recorded_logic != verified.logic.as_str())
                    .then_some(verified.recorded_logic),
            }),
        },
        Err(
            error @ (ManagerError::Resolve(_)
            | ManagerError::Open(
                OpenError::NewerSchema { .. }
                | OpenError::OlderSchema { .. }
                | OpenError::OtherType { .. },
            )),
        ) => Err(ManagerError::Unverifiable {
            path: path(),
            source: Box::new(error),
        }),
        Err(error) => Err(error),
    }
}
