//! Whether stores are whole.

use std::path::Path;

use lattice_backend::{Access, BackendError, Depth, Finding, Integrity, LogicPolicy, Verification};

use super::open::{canonical, state_db};
use super::{ManagerError, StoreManager};
use crate::{Peeked, StoreHandle};

/// The cache of a store that is read through once, in bytes.
const CACHE_BYTES: usize = 16 << 20;

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
        let store_id = meta.store_id;
        let opener = self.registry.resolve(&meta.store_type)?;
        let integrity = match depth {
            Depth::Quick => Integrity::None,
            Depth::Full => {
                let checked = self.backend.check_integrity(&file);
                checked.map_err(|error| ManagerError::Peek(error.into()))?
            }
        };
        let mut request = self.request(&meta, &file, Access::ReadOnly, CACHE_BYTES);
        request.logic = LogicPolicy::Trust;
        let store = opener.open(Peeked { meta, request })?;
        let verified = verify(&*store, depth, self);
        let closed = store.close();
        let mut verified = verified.map_err(|source| ManagerError::Verify { store_id, source })?;
        closed.map_err(|source| ManagerError::Close { store_id, source })?;
        if let Integrity::Damaged { detail } = integrity {
            verified.findings.insert(0, Finding::Damaged { detail });
        }
        Ok(verified)
    }
}

fn verify(
    store: &dyn StoreHandle,
    depth: Depth,
    manager: &StoreManager,
) -> Result<Verification, BackendError> {
    match store.verify(depth, &*manager.backend, &manager.options.watch) {
        // Damage that the tables cannot be read over is what was looked for.
        Err(error @ (BackendError::Damaged { .. } | BackendError::Row { .. })) => {
            let detail = error.to_string();
            Ok(Verification {
                depth,
                ops: store.op_count()?,
                leaves: 0,
                state_hash: store.state_hash()?,
                forks: 0,
                findings: vec![Finding::Damaged { detail }],
            })
        }
        verified => verified,
    }
}
