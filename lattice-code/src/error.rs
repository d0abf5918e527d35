//! Why code is unavailable.

use std::io;
use std::path::PathBuf;

use lattice_backend::backend::Cause;
use lattice_meta::{Cid, PubKey, StoreType, shell_word};
use lattice_registry::files::FilesError;
use lattice_wasm::CodeError;

use crate::source::SourceFailure;

/// Why the code of a store is unavailable, or must not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// An operation on a file or directory failed.
    #[error(transparent)]
    Files(#[from] FilesError),
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
        "code {cid} for {store_type} is not trusted here; `lattice code add {}` trusts it",
        shell_word(found)
    )]
    NotTrusted {
        /// The store's type.
        store_type: StoreType,
        /// The code.
        cid: Cid,
        /// Where it was found.
        found: String,
    },
    /// The pin of a type is in no source.
    #[error(
        "{cid}, the pin of {store_type}, is missing; looked in {}; `lattice code add FILE` adds it, \
         `lattice code unpin {store_type}` removes the pin",
        list(looked_in)
    )]
    PinMissing {
        /// The type.
        store_type: StoreType,
        /// The pin.
        cid: Cid,
        /// The sources that were searched.
        looked_in: Vec<String>,
    },
    /// The trusted publisher has released modules of the type, and none that could be chosen is in
    /// a source.
    #[error(
        "{cid}, release {release} of {store_type}, is missing; looked in {}; a bundle with code, or \
         `lattice code add FILE`, brings it",
        list(looked_in)
    )]
    ReleaseMissing {
        /// The type.
        store_type: StoreType,
        /// The newest release.
        release: u64,
        /// Its module.
        cid: Cid,
        /// The sources that were searched.
        looked_in: Vec<String>,
    },
    /// The trusted publisher of a type has no release that may be chosen.
    #[error(
        "no release of {store_type} by its trusted publisher {publisher} may be chosen: each one here \
         is withdrawn, conflicts with another of its number, or is older than one already used{}",
        newest.map_or_else(String::new, |newest| format!(" (release {newest})"))
    )]
    NoRelease {
        /// The type.
        store_type: StoreType,
        /// The publisher.
        publisher: PubKey,
        /// The newest release that was used here.
        newest: Option<u64>,
    },
    /// The code was published by an author whom the user does not trust for its type.
    #[error(
        "code {cid} for {store_type} is a release of a publisher that is not trusted here; \
         `lattice code trust {store_type} {publisher}` trusts all releases of that publisher"
    )]
    OtherPublisher {
        /// The store's type.
        store_type: StoreType,
        /// The code.
        cid: Cid,
        /// The publisher.
        publisher: PubKey,
    },
    /// A type is published, but no publisher of it is trusted and no module of it was added.
    #[error(
        "no publisher of {store_type} is trusted here; {}",
        trusts(store_type, publishers)
    )]
    NoPublisher {
        /// The type.
        store_type: StoreType,
        /// The publishers that have releases of it.
        publishers: Vec<PubKey>,
    },
    /// A store that cannot be read may be a registry with releases of the type.
    #[error(
        "no release of {store_type} is chosen while a store cannot be read that may withdraw it: {}; \
         restore it, or move it out of the data directory",
        list(stores)
    )]
    Unreadable {
        /// The type.
        store_type: StoreType,
        /// The stores, and why they cannot be read.
        stores: Vec<String>,
    },
    /// The releases of a type cannot be read.
    #[error("cannot read the releases of {store_type}")]
    Catalogue {
        /// The type.
        store_type: StoreType,
        /// What failed.
        #[source]
        source: Cause,
    },
    /// A module claims to be code of a store type that only this program provides.
    #[error(
        "{cid} is code for {store_type}; for types that start with `core:` this program accepts only \
         the modules that match its own code, and the pin of the type"
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
}

fn trusts(store_type: &StoreType, publishers: &[PubKey]) -> String {
    let commands = publishers
        .iter()
        .map(|key| format!("`lattice code trust {store_type} {key}`"));
    let commands: Vec<_> = commands.collect();
    match commands.len() {
        1 => format!("{} trusts the one that has releases here", commands[0]),
        _ => format!(
            "each of these trusts one that has releases here: {}",
            commands.join(", ")
        ),
    }
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

    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        FilesError::io(doing, path, source).into()
    }
}
