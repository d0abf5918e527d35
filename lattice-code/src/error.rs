//! Why code is unavailable.

use std::io;
use std::path::PathBuf;

use lattice_meta::{Cid, StoreType};
use lattice_wasm::CodeError;

use crate::source::SourceFailure;

/// Why the code of a store is unavailable, or must not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// No source has the code that a store records.
    #[error(
        "{cid} is missing; looked in {}; `lattice code add FILE` adds it",
        list(looked_in)
    )]
    Missing {
        /// The store's type.
        store_type: StoreType,
        /// The code.
        cid: Cid,
        /// The sources that were searched.
        looked_in: Vec<String>,
    },
    /// Sources failed, and no other has the code.
    #[error("no source has code {cid}, and some failed: {}", failures(failed))]
    Source {
        /// The code.
        cid: Cid,
        /// The sources that failed, in the order in which they were asked.
        failed: Vec<SourceFailure>,
    },
    /// The code was found, but the user has not trusted it.
    #[error(
        "code {cid} for {store_type} is not trusted here; `lattice code add {found}` trusts it"
    )]
    NotTrusted {
        /// The store's type.
        store_type: StoreType,
        /// The code.
        cid: Cid,
        /// Where it was found.
        found: String,
    },
    /// A module claims to be code of a store type that only this program provides.
    #[error(
        "{cid} is code for {store_type}; for types that start with `core:` this program accepts only \
         the modules that match its own code"
    )]
    Reserved {
        /// The type.
        store_type: StoreType,
        /// The module.
        cid: Cid,
    },
    /// The module breaks a rule of the interface.
    #[error("{name} cannot be used as code")]
    Refused {
        /// A file, or a content id.
        name: String,
        /// What is wrong with it.
        #[source]
        source: CodeError,
    },
    /// The list of trusted modules is malformed.
    #[error("{} is not a valid list of trusted code: {reason}; correct it, or delete it to trust no code", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

fn list(places: &[String]) -> String {
    places.join(", ")
}

fn failures(failed: &[SourceFailure]) -> String {
    let failed: Vec<String> = failed.iter().map(SourceFailure::to_string).collect();
    failed.join("; ")
}

impl LibraryError {
    pub(crate) fn refused(name: &str, source: CodeError) -> Self {
        Self::Refused {
            name: name.to_owned(),
            source,
        }
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.into(),
            source,
        }
    }
}
