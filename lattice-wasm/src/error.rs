//! Why a module cannot be used.

use lattice_backend::machine::manifest::ManifestError;
use lattice_meta::StoreType;

/// Why a module is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The module exceeds a limit of the interface.
    #[error("the module has {found} {what}, at most {limit} are allowed")]
    Limit {
        /// The limited quantity.
        what: &'static str,
        /// The maximum.
        limit: u64,
        /// The actual quantity.
        found: u64,
    },
    /// The bytes are not a module, or the module needs an unsupported feature.
    #[error("the bytes are not a module that this program can run: {reason} (at byte {at})")]
    Malformed {
        /// What the validator expected and found.
        reason: String,
        /// The offset in the module.
        at: usize,
    },
    /// The module imports something that does not exist.
    #[error("the module imports {found}; expected functions of `lattice1` with their signatures")]
    Import {
        /// Module, name and kind of the import.
        found: String,
    },
    /// The module was built for a later version of the interface.
    #[error(
        "the module imports from `{module}`: it was built for a later version of the interface than \
         this program supports; update the program"
    )]
    NewerImports {
        /// The module that it imports from.
        module: String,
    },
    /// An export is missing, or has a different signature or kind.
    #[error("expected the export {expected}, found {found}")]
    Export {
        /// Name and signature.
        expected: String,
        /// What the module has instead.
        found: String,
    },
    /// The module has a part that is not allowed.
    #[error("the module has {what}, which is not allowed")]
    Forbidden {
        /// The part.
        what: &'static str,
    },
    /// The module has no manifest, or several.
    #[error("expected one custom section `lattice.store`, found {found}")]
    NoManifest {
        /// The number of manifests.
        found: usize,
    },
    /// The module's manifest cannot be decoded.
    #[error("the manifest of the module cannot be read")]
    Manifest(#[from] ManifestError),
    /// The module is code of a different store type.
    #[error("expected code for {asked}, found code for {found}")]
    OtherType {
        /// The requested store type.
        asked: StoreType,
        /// The store type of the module.
        found: StoreType,
    },
    /// The engine cannot compile the module.
    #[error("the module cannot be compiled: {reason}")]
    Compile {
        /// The engine's error message.
        reason: String,
    },
}

impl CodeError {
    /// Whether a later version of this program might accept the module.
    pub fn is_newer(&self) -> bool {
        matches!(
            self,
            Self::NewerImports { .. } | Self::Manifest(ManifestError::Abi { .. })
        )
    }
}
