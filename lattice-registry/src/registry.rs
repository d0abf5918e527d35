//! Store types and their openers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lattice_backend::backend::Cause;
use lattice_meta::StoreType;

use crate::migration::Migration;
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
    /// There is a migration already.
    #[error("a migration from {from} to {to} is registered already")]
    DuplicateMigration {
        /// The old type.
        from: StoreType,
        /// The new type.
        to: StoreType,
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
    /// Nobody knows how to make a store of one type out of one of another.
    #[error(
        "no migration leads from {from} to {to}; from {from} there are those to {}",
        list(known)
    )]
    NoMigration {
        /// The old type.
        from: StoreType,
        /// The new type.
        to: StoreType,
        /// Where migrations lead from there.
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
    migrations: BTreeMap<(StoreType, StoreType), Arc<dyn Migration>>,
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

    /// Registers how a store of one type becomes one of another: a value, or a plain closure. Both
    /// may be the same type: what is made is a new store with a history of its own.
    ///
    /// # Errors
    /// [`RegisterError::DuplicateMigration`]; the first one stays as it is.
    pub fn register_migration(
        &mut self,
        from: StoreType,
        to: StoreType,
        migration: impl Migration + 'static,
    ) -> Result<(), RegisterError> {
        let key = (from, to);
        if self.migrations.contains_key(&key) {
            let (from, to) = key;
            return Err(RegisterError::DuplicateMigration { from, to });
        }
        self.migrations.insert(key, Arc::new(migration));
        Ok(())
    }

    /// The types that a store of this one can become.
    pub fn migrations_from(&self, from: &StoreType) -> impl Iterator<Item = &StoreType> {
        let of_it = self.migrations.keys().filter(move |(old, _)| old == from);
        of_it.map(|(_, to)| to)
    }

    /// How a store of one type becomes one of another.
    ///
    /// # Errors
    /// [`ResolveError::NoMigration`].
    pub fn migration(
        &self,
        from: &StoreType,
        to: &StoreType,
    ) -> Result<Arc<dyn Migration>, ResolveError> {
        let found = self.migrations.get(&(from.clone(), to.clone()));
        found.cloned().ok_or_else(|| ResolveError::NoMigration {
            from: from.clone(),
            to: to.clone(),
            known: self.migrations_from(from).cloned().collect(),
        })
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
