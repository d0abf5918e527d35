//! The identity file, which holds a secret key.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use lattice_backend::op::SecretKey;
use zeroize::Zeroizing;

use crate::files::{
    DirLock, FilesError, MAX_WAIT, Partial, adopt, create_private, directory_of, replace_kept,
};

/// The file's first line; the second is the key as 64 hexadecimal digits.
const HEADER: &str = "lattice identity v1\n";
/// The file's length in bytes: header, digits and newline.
const FILE_BYTES: usize = HEADER.len() + 64 + 1;

/// Why an identity cannot be loaded or created. No message reveals anything about a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The identity file does not exist.
    #[error("no identity at {}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The file is not an identity file.
    #[error("{} is not an identity file: expected {FILE_BYTES} bytes that start with `{}`, found {found}; restore the right file, or move this one away to create a new identity", path.display(), HEADER.trim_end())]
    NotAnIdentity {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// Users other than its owner can read the file.
    #[error("other users can read {} (mode {mode:03o}); make it private with `chmod 600`, and consider the key compromised", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system provided no random bytes.
    #[error("the operating system gave no random bytes for a new identity: {reason}")]
    Random {
        /// What was reported.
        reason: String,
    },
    /// The file cannot be read, created or replaced.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Reads an identity file.
///
/// # Errors
/// See [`IdentityError`].
pub fn load_identity(path: &Path) -> Result<Arc<SecretKey>, IdentityError> {
    let path = path.to_path_buf();
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => IdentityError::NotFound { path: path.clone() },
        _ => FilesError::io("read", &path, source).into(),
    };
    let metadata = fs::metadata(&path).map_err(failed)?;
    if !metadata.is_file() {
        let found = "something that is not a file".into();
        return Err(IdentityError::NotAnIdentity { path, found });
    }
    let file = fs::File::open(&path).map_err(failed)?;
    check_private(&file, &path)?;
    // One byte more than the file has, to detect a longer file without reading all of it.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
    let limit = u64::try_from(FILE_BYTES + 1).expect("a small number");
    (&file)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    parse(&bytes).map_err(|found| IdentityError::NotAnIdentity { path, found })
}

/// Reads an identity file, or creates one with a new key if none exists. Never overwrites an
/// identity file. If several processes create one at the same time, one of them succeeds, and all
/// return its key.
///
/// # Errors
/// See [`IdentityError`].
pub fn load_or_create_identity(path: &Path) -> Result<Arc<SecretKey>, IdentityError> {
    match load_identity(path) {
        Err(IdentityError::NotFound { path }) => create(&path)?,
        loaded => return loaded,
    }
    load_identity(path)
}

/// The result of [`new_identity`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewIdentity {
    /// The new key.
    pub identity: Arc<SecretKey>,
    /// The key before, and the file in which it is kept; `None` if there was none.
    pub before: Option<(Arc<SecretKey>, PathBuf)>,
}

/// Replaces an identity file by one with a new key. Keeps the old key in a file beside it:
/// `<name>.before-1`, or the first unused number. If several processes do this at the same time,
/// they do it one after the other.
///
/// # Errors
/// See [`IdentityError`]. The identity has not changed then.
pub fn new_identity(path: &Path) -> Result<NewIdentity, IdentityError> {
    // The file may be a link, which stays.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let dir = directory_of(path);
    let _locked = DirLock::take(dir, MAX_WAIT)?;
    let before = match load_identity(path) {
        Err(IdentityError::NotFound { .. }) => {
            let identity = load_or_create_identity(path)?;
            let before = None;
            return Ok(NewIdentity { identity, before });
        }
        loaded => loaded?,
    };
    let new = write_new(path)?;
    let mut kept_as = path.as_os_str().to_owned();
    kept_as.push(".before");
    let kept = replace_kept(&new.file(), path, kept_as.as_ref())?;
    Ok(NewIdentity {
        identity: load_identity(path)?,
        before: Some((before, kept)),
    })
}

/// The file is created atomically, and is private from the start.
fn create(path: &Path) -> Result<(), IdentityError> {
    let partial = write_new(path)?;
    match partial.place(path) {
        Err(error) if error.io_kind() == Some(io::ErrorKind::AlreadyExists) => Ok(()),
        placed => {
            placed?;
            Ok(adopt(path)?)
        }
    }
}

/// Writes a new key to a file beside the identity file.
fn write_new(path: &Path) -> Result<Partial, IdentityError> {
    let secret = random_secret()?;
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES));
    text.push_str(HEADER);
    HEXLOWER.encode_append(&*secret, &mut text);
    text.push('\n');
    let partial = Partial::beside(path)?;
    let new = partial.file();
    create_private(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| FilesError::io("make", path, source))?;
    Ok(partial)
}

/// A new key's bytes, from the operating system.
pub(crate) fn random_secret() -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|error| IdentityError::Random {
        reason: error.to_string(),
    })?;
    Ok(secret)
}

fn parse(bytes: &[u8]) -> Result<Arc<SecretKey>, String> {
    let found = |what: &str| Err(format!("{} bytes {what}", bytes.len()));
    let Some(rest) = bytes.strip_prefix(HEADER.as_bytes()) else {
        return found("that start differently");
    };
    let Some(digits) = rest.strip_suffix(b"\n").filter(|digits| digits.len() == 64) else {
        return found("that end differently");
    };
    let mut secret = Zeroizing::new([0; 32]);
    match HEXLOWER.decode_mut(digits, &mut *secret) {
        Ok(_) => Ok(Arc::new(SecretKey::from_bytes(&secret))),
        Err(_) => found("without 64 hex digits on the second line"),
    }
}

#[cfg(unix)]
fn check_private(file: &fs::File, path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata();
    let metadata = metadata.map_err(|source| FilesError::io("read", path, source))?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(IdentityError::Exposed {
            path: path.to_path_buf(),
            mode,
        }),
        _ => Ok(()),
    }
}

/// Without permission bits, the access rules of the directory apply.
#[cfg(not(unix))]
fn check_private(_: &fs::File, _: &Path) -> Result<(), IdentityError> {
    Ok(())
}
