//! A single store, without a data directory and without a registry.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::{FileError, MemoryBackend, StateBackend};
use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::{OpenError, OpenRequest};
use lattice_backend::machine::StateMachine;
use lattice_backend::op::SecretKey;
use lattice_meta::{Genesis, Hlc, HlcError, Nonce};

use crate::TypedStore;
use crate::identity::{IdentityError, random_secret};
#[cfg(feature = "files")]
use crate::identity::{load_identity, load_or_create_identity};

/// Appended to the name of a store's file, it names the file of the key to write with.
pub const KEY_SUFFIX: &str = ".key";

/// Why a single store cannot be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandaloneError {
    /// The key to write with cannot be read or created.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The file cannot be created.
    #[error(transparent)]
    Create(#[from] FileError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system's clock shows a time that a store's timestamp cannot hold.
    #[error(transparent)]
    Clock(#[from] HlcError),
}

/// The path of a store's key file, beside the store's file.
pub fn key_path(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(KEY_SUFFIX);
    name.into()
}

/// Creates an empty store in memory, with a new key, and opens it for writing. It lives as long as
/// its handle.
///
/// # Errors
/// See [`StandaloneError`].
pub fn in_memory<T: TypedStore>(machine: T::Machine) -> Result<T, StandaloneError> {
    let identity = Arc::new(SecretKey::from_bytes(&*random_secret()?));
    let backend = Arc::new(MemoryBackend::new());
    begin(backend, Path::new("state.db"), identity, machine)
}

/// Creates an empty store in a new file and opens it for writing. The key is in the file
/// `<path>.key`, which is created if it is missing.
///
/// # Errors
/// See [`StandaloneError`]; an existing file at `path` is never replaced.
#[cfg(feature = "files")]
pub fn create<T: TypedStore>(
    path: impl AsRef<Path>,
    machine: T::Machine,
) -> Result<T, StandaloneError> {
    let path = path.as_ref();
    if path.exists() {
        return Err(FileError::Exists { path: path.into() }.into());
    }
    let identity = load_or_create_identity(&key_path(path))?;
    begin(lattice_backend::file_backend(), path, identity, machine)
}

/// Opens an existing store file for writing. Without a file `<path>.key`, the store ingests ops of
/// other authors and makes none of its own.
///
/// # Errors
/// See [`StandaloneError`]. A failed call does not change the store.
#[cfg(feature = "files")]
pub fn open<T: TypedStore>(
    path: impl AsRef<Path>,
    machine: T::Machine,
) -> Result<T, StandaloneError> {
    let path = path.as_ref();
    let identity = match load_identity(&key_path(path)) {
        Ok(identity) => Some(identity),
        Err(IdentityError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let request = OpenRequest::new(lattice_backend::file_backend(), path).identity(identity);
    Ok(T::from_engine(Engine::open(request, machine)?))
}

fn begin<T: TypedStore>(
    backend: Arc<dyn StateBackend>,
    path: &Path,
    identity: Arc<SecretKey>,
    machine: T::Machine,
) -> Result<T, StandaloneError> {
    let mut nonce = [0; Nonce::LEN];
    nonce.copy_from_slice(&random_secret()?[..Nonce::LEN]);
    let genesis = Genesis::new(
        machine.logic().store_type().clone(),
        identity.public(),
        Nonce::from_bytes(nonce),
        Hlc::from_parts(SystemClock.now_ms(), 0)?,
        None,
    );
    Engine::create(&*backend, path, &genesis, &machine)?;
    let request = OpenRequest::new(backend, path).identity(identity);
    Ok(T::from_engine(Engine::open(request, machine)?))
}
