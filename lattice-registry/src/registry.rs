//! Store types and their openers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lattice_backend::backend::{Cause, Peek};
use lattice_backend::machine::{Conversion, Logic, Step};
use lattice_meta::{SchemaVersion, StoreId, StoreType};

use crate::handle::StoreHandle;
use crate::migration::{Calls, Converting, Migration};
use crate::opener::StoreOpener;

/// What a store records about the code that it needs. For a store that is to be created, that is
/// only its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded<'a> {
    /// The store, if it exists.
    pub store_id: Option<StoreId>,
    /// The store's type.
    pub store_type: &'a StoreType,
    /// The layout of its rows.
    pub schema_version: Option<SchemaVersion>,
    /// The version of the logic that computed its state.
    pub logic: Option<&'a str>,
}

impl<'a> Recorded<'a> {
    /// Sets the logic.
    #[must_use]
    pub fn logic(self, logic: &'a str) -> Self {
        Self {
            logic: Some(logic),
            ..self
        }
    }
}

impl<'a> From<&'a StoreType> for Recorded<'a> {
    fn from(store_type: &'a StoreType) -> Self {
        Self {
            store_id: None,
            store_type,
            schema_version: None,
            logic: None,
        }
    }
}

impl<'a> From<&'a Peek> for Recorded<'a> {
    fn from(peek: &'a Peek) -> Self {
        Self {
            store_id: Some(peek.meta.store_id),
            store_type: &peek.meta.store_type,
            schema_version: Some(peek.meta.schema_version),
            logic: peek.logic.as_deref(),
        }
    }
}

/// Finds an opener for a store whose state no registered opener computes, for example in a
/// collection of content-addressed code. A plain closure implements it.
pub trait Resolver: Send + Sync {
    /// An opener for the store; `None` if this resolver has none.
    ///
    /// # Errors
    /// Why a store whose code the resolver knows cannot be opened.
    fn resolve(&self, recorded: &Recorded<'_>) -> Result<Option<Arc<dyn StoreOpener>>, Cause>;

    /// The migration between two types, if this resolver knows one. The default knows none.
    ///
    /// # Errors
    /// Why the migration's code cannot be used.
    fn migration(
        &self,
        from: &StoreType,
        to: &StoreType,
    ) -> Result<Option<Arc<dyn Migration>>, Cause> {
        let _ = (from, to);
        Ok(None)
    }
}

impl<F> Resolver for F
where
    F: Fn(&Recorded<'_>) -> Result<Option<Arc<dyn StoreOpener>>, Cause> + Send + Sync,
{
    fn resolve(&self, recorded: &Recorded<'_>) -> Result<Option<Arc<dyn StoreOpener>>, Cause> {
        self(recorded)
    }
}

/// Why an opener cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The type already has an opener.
    #[error("store type {store_type} is already registered")]
    Duplicate {
        /// The type.
        store_type: StoreType,
    },
    /// The migration is already registered.
    #[error("a migration from {from} to {to} is already registered")]
    DuplicateMigration {
        /// The old type.
        from: StoreType,
        /// The new type.
        to: StoreType,
    },
}

/// Why a type does not resolve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The type is not registered, and no resolver knows it.
    #[error("unknown store type {store_type}; known types: {}", list(known))]
    Unknown {
        /// The type.
        store_type: StoreType,
        /// The registered types.
        known: Vec<StoreType>,
    },
    /// No migration between the two types is registered.
    #[error(
        "cannot migrate {from} to {to}; {from} can be migrated to: {}",
        list(known)
    )]
    NoMigration {
        /// The old type.
        from: StoreType,
        /// The new type.
        to: StoreType,
        /// The types that migrations from the old type lead to.
        known: Vec<StoreType>,
    },
    /// A resolver knows the type, but failed.
    #[error("cannot load the code of store type {store_type}")]
    Resolver {
        /// The type.
        store_type: StoreType,
        /// The resolver's error.
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

/// Openers of store types, and resolvers for types without an opener. Clones are cheap and share
/// the openers.
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

    /// Registers the opener of a type.
    ///
    /// # Errors
    /// [`RegisterError::Duplicate`] if the type has an opener, which then stays.
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

    /// Registers a migration from one type to another. It maps the old store to the calls that
    /// build the new one; see [`Migration::calls`]. Both types may be the same: the result is a new
    /// store with its own history.
    ///
    /// # Errors
    /// [`RegisterError::DuplicateMigration`]; the first one stays.
    pub fn register_migration(
        &mut self,
        from: StoreType,
        to: StoreType,
        migration: impl for<'a> Fn(&'a dyn StoreHandle) -> Result<Calls<'a>, Cause>
        + Send
        + Sync
        + 'static,
    ) -> Result<(), RegisterError> {
        self.insert_migration(from, to, Arc::new(migration))
    }

    /// Registers a migration in steps: code of the new type asks queries of the old store and
    /// returns commands for the new one; see [`Converting`].
    ///
    /// # Errors
    /// [`RegisterError::DuplicateMigration`].
    pub fn register_conversion(
        &mut self,
        from: StoreType,
        to: StoreType,
        convert: impl Fn(Step) -> Result<Conversion, Cause> + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        self.insert_migration(from, to, Arc::new(Converting::new(convert)))
    }

    fn insert_migration(
        &mut self,
        from: StoreType,
        to: StoreType,
        migration: Arc<dyn Migration>,
    ) -> Result<(), RegisterError> {
        let key = (from, to);
        if self.migrations.contains_key(&key) {
            let (from, to) = key;
            return Err(RegisterError::DuplicateMigration { from, to });
        }
        self.migrations.insert(key, migration);
        Ok(())
    }

    /// The types that a store of this type can be migrated to.
    pub fn migrations_from(&self, from: &StoreType) -> impl Iterator<Item = &StoreType> {
        let of_it = self.migrations.keys().filter(move |(old, _)| old == from);
        of_it.map(|(_, to)| to)
    }

    /// The migration between two types.
    ///
    /// # Errors
    /// [`ResolveError::NoMigration`].
    pub fn migration(
        &self,
        from: &StoreType,
        to: &StoreType,
    ) -> Result<Arc<dyn Migration>, ResolveError> {
        if let Some(registered) = self.migrations.get(&(from.clone(), to.clone())) {
            return Ok(Arc::clone(registered));
        }
        for resolver in &self.resolvers {
            let found = resolver.migration(from, to);
            let found = found.map_err(|source| ResolveError::Resolver {
                store_type: to.clone(),
                source,
            })?;
            if let Some(migration) = found {
                return Ok(migration);
            }
        }
        Err(ResolveError::NoMigration {
            from: from.clone(),
            to: to.clone(),
            known: self.migrations_from(from).cloned().collect(),
        })
    }

    /// Adds a resolver. Resolvers are tried in the order in which they were added.
    pub fn add_resolver(&mut self, resolver: impl Resolver + 'static) {
        self.resolvers.push(Arc::new(resolver));
    }

    /// The registered types, in order.
    pub fn types(&self) -> impl Iterator<Item = &StoreType> {
        self.openers.keys()
    }

    /// The logic of the registered openers, in the order of types.
    pub fn logics(&self) -> impl Iterator<Item = Logic> {
        self.openers.values().map(|opener| opener.logic())
    }

    /// Registers the opener of a type. Replaces an existing one.
    pub fn replace(&mut self, store_type: StoreType, opener: impl StoreOpener + 'static) {
        self.openers.insert(store_type, Arc::new(opener));
    }

    /// The opener for a store, or for new stores of a type: the first of
    /// 1. the opener registered for the type, if its code computes the same state as the recorded
    ///    logic, or no logic is recorded;
    /// 2. the opener that a resolver returns, in the order in which resolvers were added;
    /// 3. the opener registered for the type: it opens the store if a replay of the history proves
    ///    that its code computes the same state.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn resolve<'a>(
        &self,
        recorded: impl Into<Recorded<'a>>,
    ) -> Result<Arc<dyn StoreOpener>, ResolveError> {
        let recorded = recorded.into();
        let store_type = recorded.store_type;
        let registered = self.openers.get(store_type);
        let computes = |opener: &&Arc<dyn StoreOpener>| {
            let logic = recorded.logic;
            logic.is_none_or(|logic| opener.logic().computes_as(logic))
        };
        if let Some(opener) = registered.filter(computes) {
            return Ok(Arc::clone(opener));
        }
        for resolver in &self.resolvers {
            let resolved = resolver.resolve(&recorded);
            let resolved = resolved.map_err(|source| ResolveError::Resolver {
                store_type: store_type.clone(),
                source,
            })?;
            if let Some(opener) = resolved {
                return Ok(opener);
            }
        }
        registered.cloned().ok_or_else(|| ResolveError::Unknown {
            store_type: store_type.clone(),
            known: self.types().cloned().collect(),
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
