//! The section of a bundle that carries code: what its sender claims, and modules.

use std::fmt;

use lattice_meta::codec::{self, CodecError};
use lattice_meta::{Cid, CidError, StateHash};
use serde::{Deserialize, Serialize};

use crate::machine::{LogicError, LogicVersion};
use crate::op::{MAX_DEPS, OpRef, strictly_ascending};

/// The most modules in a bundle.
pub const MAX_MODULES: usize = 4;
/// The longest module in a bundle, in bytes.
pub const MAX_MODULE_BYTES: usize = 4 << 20;
/// The most ops in a claimed frontier. An op can name as many, so a write to the store makes a
/// longer frontier shorter.
pub const MAX_CLAIMED_FRONTIER: usize = MAX_DEPS;
/// The longest claims record, with room for additions of later formats.
pub(super) const MAX_CLAIMS_BYTES: u32 = 128 << 10;

/// Why the section of a bundle that carries code is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleCodeError {
    /// The claims do not decode.
    #[error("not a claims record")]
    Claims(#[from] CodecError),
    /// The claimed logic is not a logic version.
    #[error(transparent)]
    Logic(#[from] LogicError),
    /// The frontier has too many ops.
    #[error("expected a frontier of at most {MAX_CLAIMED_FRONTIER} ops, found {found}")]
    Frontier {
        /// The number of its ops.
        found: usize,
    },
    /// The ops of the frontier are not in strictly ascending order.
    #[error("the frontier's ops are not in strictly ascending order")]
    FrontierOrder,
    /// There is no module, or there are too many.
    #[error("expected 1 to {MAX_MODULES} modules, found {found}")]
    ModuleCount {
        /// The number of modules.
        found: usize,
    },
    /// A module's content id does not decode.
    #[error(transparent)]
    Cid(#[from] CidError),
    /// A module is too long.
    #[error("expected at most {MAX_MODULE_BYTES} bytes of {cid}, found {found}")]
    ModuleLength {
        /// Its content id.
        cid: Cid,
        /// Its length in bytes.
        found: usize,
    },
    /// A module's bytes are not those that its content id names.
    #[error("the bytes differ from those that {cid} names")]
    ModuleHash {
        /// The content id.
        cid: Cid,
    },
}

/// What the sender of a bundle claims about its own replica, as of the bundle. A receiver with the
/// same frontier compares its state hash with the claimed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    logic: LogicVersion,
    state_hash: StateHash,
    frontier: Vec<OpRef>,
}

/// The claims as they are encoded.
#[derive(Serialize, Deserialize)]
struct ClaimsRecord<'a> {
    #[serde(borrow)]
    logic: &'a str,
    state_hash: StateHash,
    #[serde(deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_CLAIMED_FRONTIER>")]
    frontier: Vec<OpRef>,
}

impl Claims {
    /// Claims of a replica: the logic that it records, its state hash, and its frontier, ascending.
    ///
    /// # Errors
    /// [`BundleCodeError::Frontier`] and [`BundleCodeError::FrontierOrder`].
    pub fn new(
        logic: LogicVersion,
        state_hash: StateHash,
        frontier: Vec<OpRef>,
    ) -> Result<Self, BundleCodeError> {
        if frontier.len() > MAX_CLAIMED_FRONTIER {
            let found = frontier.len();
            return Err(BundleCodeError::Frontier { found });
        }
        if !strictly_ascending(&frontier) {
            return Err(BundleCodeError::FrontierOrder);
        }
        Ok(Self {
            logic,
            state_hash,
            frontier,
        })
    }

    /// The logic that the replica records.
    pub fn logic(&self) -> &LogicVersion {
        &self.logic
    }

    /// The hash of the replica's state.
    pub fn state_hash(&self) -> StateHash {
        self.state_hash
    }

    /// The replica's frontier, ascending.
    pub fn frontier(&self) -> &[OpRef] {
        &self.frontier
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let record = ClaimsRecord {
            logic: self.logic.as_str(),
            state_hash: self.state_hash,
            frontier: self.frontier.clone(),
        };
        codec::encode(&record).expect("claims are made of types that the codec supports")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BundleCodeError> {
        let record: ClaimsRecord<'_> = codec::decode(bytes, bytes.len())?;
        let logic = LogicVersion::new(record.logic)?;
        Self::new(logic, record.state_hash, record.frontier)
    }
}

/// A module in a bundle: bytes, and the content id that names them.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    cid: Cid,
    bytes: Vec<u8>,
}

impl Module {
    /// A module of at most [`MAX_MODULE_BYTES`].
    ///
    /// # Errors
    /// [`BundleCodeError::ModuleLength`] and [`BundleCodeError::ModuleHash`].
    pub fn new(cid: Cid, bytes: Vec<u8>) -> Result<Self, BundleCodeError> {
        if bytes.len() > MAX_MODULE_BYTES {
            let found = bytes.len();
            return Err(BundleCodeError::ModuleLength { cid, found });
        }
        match cid.is_of(&bytes) {
            true => Ok(Self { cid, bytes }),
            false => Err(BundleCodeError::ModuleHash { cid }),
        }
    }

    /// Its content id.
    pub fn cid(&self) -> Cid {
        self.cid
    }

    /// Its bytes. A bundle does not check that they are code.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("cid", &self.cid)
            .field("len_bytes", &self.bytes.len())
            .finish()
    }
}

/// What a bundle of format 2 has before its genesis record: claims of its sender, and modules.
/// Neither is signed: a receiver decides by its own means which modules may run.
///
/// ```
/// use lattice_backend::bundle::{BundleCode, Claims, Module};
/// use lattice_backend::machine::LogicVersion;
/// use lattice_meta::{Cid, StateHash};
///
/// let wasm = b"the bytes of a module";
/// let cid = Cid::of(wasm);
/// let logic = LogicVersion::new(&cid.to_string())?;
/// let claims = Claims::new(logic, StateHash::from_bytes([7; 32]), Vec::new())?;
/// let code = BundleCode::new(claims, vec![Module::new(cid, wasm.to_vec())?])?;
/// assert_eq!(code.modules()[0].cid(), cid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleCode {
    claims: Claims,
    modules: Vec<Module>,
}

impl BundleCode {
    /// A section of claims and 1 to [`MAX_MODULES`] modules.
    ///
    /// # Errors
    /// [`BundleCodeError::ModuleCount`].
    pub fn new(claims: Claims, modules: Vec<Module>) -> Result<Self, BundleCodeError> {
        match modules.len() {
            1..=MAX_MODULES => Ok(Self { claims, modules }),
            found => Err(BundleCodeError::ModuleCount { found }),
        }
    }

    /// What the sender claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The modules, in the order of the bundle.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }
}
