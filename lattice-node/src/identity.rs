//! The identity of a data directory.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::op::SecretKey;
use lattice_registry::{IdentityError, NewIdentity};

/// The name of the file in the data directory that holds the node's secret key.
pub const IDENTITY_FILE: &str = "identity.key";

/// Reads the identity of a data directory.
///
/// # Errors
/// See [`IdentityError`].
pub fn load_identity(dir: &Path) -> Result<Arc<SecretKey>, IdentityError> {
    lattice_registry::load_identity(&dir.join(IDENTITY_FILE))
}

/// Reads the identity of a data directory, or creates one if it has none. An identity file is never
/// overwritten: if several processes create one at once, one succeeds, and all return its key.
///
/// # Errors
/// See [`IdentityError`].
pub fn load_or_create_identity(dir: &Path) -> Result<Arc<SecretKey>, IdentityError> {
    lattice_registry::load_or_create_identity(&dir.join(IDENTITY_FILE))
}

/// Gives a data directory a new identity, and keeps the old key beside it; see
/// [`lattice_registry::new_identity`]. Stores keep their owner. Replicas accept ops of the new
/// author only once they are asked to ([`Authors`](crate::Authors)).
///
/// # Errors
/// See [`IdentityError`].
pub fn new_identity(dir: &Path) -> Result<NewIdentity, IdentityError> {
    lattice_registry::new_identity(&dir.join(IDENTITY_FILE))
}
