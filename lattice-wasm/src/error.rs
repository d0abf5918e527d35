//! Why a module cannot be used.

use lattice_backend::machine::manifest::ManifestError;
use lattice_meta::StoreType;

/// A module that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// It exceeds a limit of the interface.
    #[error("the module has {found} {what}, at most {limit} are allowed")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
        /// How much there is.
        found: u64,
    },
    /// The bytes are not a module, or one that needs what is not offered.
    #[error("the bytes are not a module that can be run: {reason} (at byte {at})")]
    Malformed {
        /// What the validator expected and found.
        reason: String,
        /// Where.
        at: usize,
    },
    /// It imports what is not there.
    #[error("the module imports {found}; expected functions of `lattice1` with their signatures")]
    Import {
        /// Module, name and what it is.
        found: String,
    },
    /// It was made for a later version of the interface.
    #[error(
        "the module imports from `{module}`: it was made for a later version of the interface than \
         this program knows"
    )]
    NewerImports {
        /// The module that is imported from.
        module: String,
    },
    /// An export is missing, or has a different signature or kind.
    #[error("expected the export {expected}, found {found}")]
    Export {
        /// Name and signature.
        expected: String,
        /// What is there.
        found: String,
    },
    /// It has a part that is not allowed.
    #[error("the module has {what}, which is not allowed")]
    Forbidden {
        /// The part.
        what: &'static str,
    },
    /// It has no manifest, or several.
    #[error("expected one custom section `lattice.store`, found {found}")]
    NoManifest {
        /// How many there are.
        found: usize,
    },
    /// Its manifest cannot be read.
    #[error("the manifest of the module cannot be read")]
    Manifest(#[from] ManifestError),
    /// It is the code of another store type.
    #[error("the module is code for {found}, asked for was {asked}")]
    OtherType {
        /// The store type that was asked for.
        asked: StoreType,
        /// The store type of the module.
        found: StoreType,
    },
    /// The engine does not take it.
    #[error("the module cannot be compiled: {reason}")]
    Compile {
        /// What the engine reports.
        reason: String,
    },
}

impl CodeError {
    /// Whether a later version of this program could take the module.
    pub fn is_newer(&self) -> bool {
        matches!(
            self,
            Self::NewerImports { .. } | Self::Manifest(ManifestError::Abi { .. })
        )
    }
}
