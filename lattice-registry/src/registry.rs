//! Store types and their openers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lattice_backend::Cause;
use lattice_meta::StoreType;

use crate::opener::StoreOpener;

/// Finds an opener for a type that nobody registered, e.g. among state machines that are kept as
/// content-addressed code. A plain closure is one.
pub trait Resolver: Send + Sync {
    /// An opener for the type, or nothing if this resolver does not know it either.
    ///
    /// # Errors
    /// Why a type that it knows cannot be opened.
    fn resolve(&self, store_type: &StoreType) -> Result<Option<Arc<dyn StoreOpener>>, Cause>;
}

impl<F> Resolver for F
where
    F: Fn(&StoreType) -> Result<Option<Arc<dyn StoreOpener>>, Cause> + Send + Sync,
{
    fn resolve(&self, store_type: &StoreType) -> Result<Option<Arc<dyn StoreOpener>>, Cause> {
        self(store_type)
    }
}

/// Why an opener cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The type has an opener already.
    #[error("store type {store_type} is registered already")]
    Duplicate {
        /// The type.
        store_type: StoreType,
    },
}

/// Why a type has no opener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Nobody knows the type.
    #[error("unknown store type {store_type}; known are {}", list(known))]
    Unknown {
        /// The type.
        store_type: StoreType,
        /// The types that are registered.
        known: Vec<StoreType>,
    },
    /// A resolver knows the type and failed.
    #[error("store type {store_type} could not be resolved")]
    Resolver {
        /// The type.
        store_type: StoreType,
        /// What it reported.
        #[source]
        source: Cause,
    },
}

fn list(types: &[StoreType]) -> String {
    if types.is_empty() {
        return "none".into();
    }
    types
        .iter()
        .map(StoreType::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Store types, each with its opener, and resolvers for types that are not among them. Clones are
/// cheap and share the openers.
#[derive(Clone, Default)]
pub struct Registry {
    openers: BTreeMap<StoreType, Arc<dyn StoreOpener>>,
    resolvers: Vec<Arc<dyn Resolver>>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers the opener of a type: a value, or a plain closure.
    ///
    /// # Errors
    /// [`RegisterError::Duplicate`] for a type that has one; it stays as it is.
    pub fn register(
        &mut self,
        store_type: StoreType,
        opener: impl StoreOpener + 'static,
    ) -> Result<(), RegisterError> {
        if self.openers.contains_key(&store_type) {
            return Err(RegisterError::Duplicate { store_type });
        }
        self.openers.insert(store_type, Arc::new(opener));
        Ok(())
    }

    /// Adds a resolver. Resolvers are asked in the order in which they were added.
    pub fn add_resolver(&mut self, resolver: impl Resolver + 'static) {
        self.resolvers.push(Arc::new(resolver));
    }

    /// The types that are registered, in order.
    pub fn types(&self) -> impl Iterator<Item = &StoreType> {
        self.openers.keys()
    }

    /// The opener of a type.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn resolve(&self, store_type: &StoreType) -> Result<Arc<dyn StoreOpener>, ResolveError> {
        if let Some(opener) = self.openers.get(store_type) {
            return Ok(Arc::clone(opener));
        }
        for resolver in &self.resolvers {
            let resolved =
                resolver
                    .resolve(store_type)
                    .map_err(|source| ResolveError::Resolver {
                        store_type: store_type.clone(),
                        source,
                    })?;
            if let Some(opener) = resolved {
                return Ok(opener);
            }
        }
        let known = self.types().cloned().collect();
        Err(ResolveError::Unknown {
            store_type: store_type.clone(),
            known,
        })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("types", &self.openers.keys())
            .field("resolvers", &self.resolvers.len())
            .finish()
    }
}
