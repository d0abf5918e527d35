//! Code proposed for stores: a module or the program's own code that the user names, or the newest
//! that may run.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use lattice_code::{Because, LibraryError};
use lattice_meta::{Cid, StoreType};
use lattice_registry::{Found, StoreOpener};
use lattice_wasm::{Code, wasm_store_opener};

use super::named;
use crate::program::context::Context;
use crate::program::failure::Failure;

/// Code proposed for a store.
pub(in super::super) struct Proposal {
    pub(in super::super) logic: String,
    pub(in super::super) opener: Arc<dyn StoreOpener>,
    /// Why it may run; `None` for native code, and for code that only a proof may run.
    pub(in super::super) because: Option<Because>,
    /// What its publisher says has changed.
    pub(in super::super) notes: String,
    /// The module; `None` for native code.
    pub(in super::super) wasm: Option<Vec<u8>>,
    /// What names the code on a command line.
    pub(in super::super) name: OsString,
}

impl Proposal {
    pub(in super::super) fn release(&self) -> Option<u64> {
        match self.because {
            Some(Because::Published { release, .. }) => Some(release),
            _ => None,
        }
    }
}

/// Whether code must be trusted. A proof runs any code in the sandbox, and keeps no result of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Trust {
    Needed,
    NotNeeded,
}

/// The code that the user has named for a store of a type.
pub(in super::super) fn proposed(
    context: &Context<'_>,
    store_type: &StoreType,
    name: &OsStr,
    trust: Trust,
) -> Result<Proposal, Failure> {
    let pin = context.code.trusted()?.of_type(store_type).pin;
    let pin = pin.filter(|_| trust == Trust::Needed);
    let pinned = |pin: Cid| {
        Failure::failed(format!(
            "{store_type} is pinned to {pin}; `lattice code unpin {store_type}` removes the pin"
        ))
    };
    if name == "native" {
        let opener = context.native.resolve(store_type);
        let opener = opener.map_err(|_| {
            Failure::usage(format!(
                "this program has no code of its own for {store_type}; name a module or its content \
                 id: `lattice code list` lists those that are here"
            ))
        })?;
        return match pin {
            Some(pin) => Err(pinned(pin)),
            None => Ok(Proposal {
                logic: opener.logic().version().to_string(),
                opener,
                because: None,
                notes: String::new(),
                wasm: None,
                name: name.to_owned(),
            }),
        };
    }
    let named = named(context, name)?;
    let (cid, found) = (named.cid, &named.manifest.store_type);
    if let Some(pin) = pin.filter(|pin| *pin != cid) {
        return Err(pinned(pin));
    }
    let because = context.code.because(&cid, found)?;
    if trust == Trust::Needed && because.is_none() {
        return Err(LibraryError::NotTrusted {
            store_type: found.clone(),
            cid,
            found: named.file.display().to_string(),
        }
        .into());
    }
    if found != store_type {
        return Err(Failure::usage(format!(
            "{} is code for {found}, and the store is of type {store_type}",
            named.place
        )));
    }
    let code = context.code.check(&named.wasm, &named.place)?;
    Ok(Proposal {
        logic: cid.to_string(),
        opener: opener(code)?,
        because,
        notes: String::new(),
        wasm: Some(named.wasm),
        name: name.to_owned(),
    })
}

/// An opener that uses this code alone.
fn opener(code: Code) -> Result<Arc<dyn StoreOpener>, Failure> {
    let opener = wasm_store_opener(code, &[]);
    Ok(Arc::new(
        opener.map_err(|error| Failure::failed(error.to_string()))?,
    ))
}

/// The pin of a store's type, or the newest release of its trusted publisher; `None` if the store
/// uses it, or its type has neither.
pub(in super::super) fn newest(
    context: &Context<'_>,
    found: &Found,
) -> Result<Option<Proposal>, Failure> {
    let recorded = found.recorded();
    let store_type = recorded.store_type;
    let trust = context.code.trusted()?.of_type(store_type);
    let mut notes = String::new();
    let cid = match trust.pin {
        Some(pin) if recorded.logic == Some(&*pin.to_string()) => return Ok(None),
        Some(pin) => pin,
        None => {
            let Some(publisher) = trust.publisher else {
                return Ok(None);
            };
            let Some(newer) = context.code.newer(&recorded)? else {
                return Ok(None);
            };
            if !newer.is_found {
                return Err(Failure::not_found(format!(
                    "release {} of {store_type} by {publisher}, {}, is in no source; apply a bundle \
                     with code, or `lattice code add FILE`",
                    newer.release, newer.cid
                )));
            }
            notes = newer.notes;
            newer.cid
        }
    };
    let code = context.code.code(&cid, store_type)?;
    Ok(Some(Proposal {
        logic: cid.to_string(),
        opener: opener(code)?,
        because: context.code.because(&cid, store_type)?,
        notes,
        wasm: context.code.find(&cid)?.map(|found| found.wasm),
        name: cid.to_string().into(),
    }))
}
