//! Registering and resolving.

use std::sync::Arc;

use lattice_backend::backend::Peek;
use lattice_backend::engine::open::{OpenError, Proof};
use lattice_backend::engine::verify::Rebuilt;
use lattice_backend::machine::{Logic, LogicVersion, Method};
use lattice_meta::{Genesis, Hlc, MetaInfo, Nonce, PubKey, SchemaVersion, StoreType};
use lattice_registry::{
    Access, Describer, EngineOpener, ManagerError, Peeked, Rebuild, Recorded, RegisterError,
    Registry, ResolveError, StoreHandle, StoreOpener,
};

use crate::copies::made;
use crate::counter::{COUNTER, Counter, CounterMachine, manager_of, opener, registry};

/// An opener that cannot rebuild, and that creates stores with a different layout.
pub(crate) struct Partial(EngineOpener<Counter>);

impl Partial {
    pub(crate) fn new() -> Self {
        Self(opener())
    }
}

impl StoreOpener for Partial {
    fn logic(&self) -> Logic {
        let second = SchemaVersion::new(2);
        self.0.logic().schemas(second..=second)
    }

    fn methods(&self) -> Vec<Method> {
        self.0.methods()
    }

    fn describer(&self) -> Describer {
        self.0.describer()
    }

    fn rebuild(&self, rebuild: Rebuild<'_>) -> Result<Rebuilt, OpenError> {
        let store_type = rebuild.meta.store_type.clone();
        Err(OpenError::NoRebuild { store_type })
    }

    fn prove(&self, store: Peeked) -> Result<Proof, OpenError> {
        self.0.prove(store)
    }

    fn open(&self, store: Peeked) -> Result<Arc<dyn StoreHandle>, OpenError> {
        self.0.open(store)
    }
}

fn kind(store_type: &str) -> StoreType {
    store_type.parse().unwrap()
}

/// The peek of a counter store whose recorded logic is this one.
fn peek_of(logic: &str) -> Peek {
    let genesis = Genesis::new(
        kind(COUNTER),
        PubKey::from_bytes([1; 32]),
        Nonce::from_bytes([1; 16]),
        Hlc::ZERO,
        None,
    );
    Peek {
        meta: MetaInfo::new(&genesis, SchemaVersion::new(3)),
        logic: Some(logic.to_owned()),
    }
}

/// A registered opener is used first, if it computes the recorded state. For other logic the
/// registry asks the resolvers, with what the store records, and uses the registered opener if none
/// answers.
#[test]
fn resolvers_come_after_openers_of_the_recorded_logic() {
    let own = opener().logic().version().as_str().to_owned();
    let mut registry = registry();
    registry.add_resolver(|recorded: &Recorded<'_>| {
        assert_eq!(recorded.schema_version, Some(SchemaVersion::new(3)));
        let found: Arc<dyn StoreOpener> = Arc::new(Partial::new());
        Ok((recorded.logic == Some("foreign")).then_some(found))
    });
    let schema = |logic: &str| {
        let opener = registry.resolve(&peek_of(logic)).unwrap();
        opener.logic().newest_schema().get()
    };
    assert_eq!(schema(&own), 3, "registered");
    assert_eq!(schema("foreign"), 2, "resolved");
    assert_eq!(schema("unknown"), 3, "registered, to be proven by a replay");
}

#[test]
fn a_type_is_registered_once() {
    let mut registry = registry();
    let again = registry.register(COUNTER.parse().unwrap(), Partial::new());
    let store_type = COUNTER.parse().unwrap();
    assert_eq!(again, Err(RegisterError::Duplicate { store_type }));
    // The first one is still registered: its stores start with a different layout.
    let first = registry.resolve(&kind(COUNTER)).unwrap();
    assert_eq!(first.logic().newest_schema(), SchemaVersion::new(3));
}

#[test]
fn an_unknown_type_is_refused_with_the_known_ones() {
    let error = registry().resolve(&kind("org.example.chat")).err().unwrap();
    let ResolveError::Unknown { store_type, known } = &error else {
        panic!("{error}")
    };
    assert_eq!(store_type.as_str(), "org.example.chat");
    assert_eq!(
        known.iter().map(|known| known.as_str()).collect::<Vec<_>>(),
        [COUNTER]
    );
    assert!(error.to_string().contains(COUNTER));
}

#[test]
fn resolvers_are_asked_in_order_for_unregistered_types() {
    let mut registry = Registry::new();
    registry.add_resolver(|_: &Recorded<'_>| Ok(None));
    registry.add_resolver(
        |recorded: &Recorded<'_>| match recorded.store_type.as_str() {
            COUNTER => {
                let found: Arc<dyn StoreOpener> = Arc::new(opener());
                Ok(Some(found))
            }
            "org.example.broken" => Err("the code is not there".into()),
            _ => Ok(None),
        },
    );
    assert!(registry.resolve(&kind(COUNTER)).is_ok());
    let broken = registry.resolve(&kind("org.example.broken"));
    assert!(matches!(broken, Err(ResolveError::Resolver { .. })));
    let unknown = registry.resolve(&kind("org.example.other"));
    assert!(matches!(unknown, Err(ResolveError::Unknown { .. })));
}

/// A replica gets the code that would open a store with the logic that another replica records.
#[test]
fn a_replica_is_created_with_the_code_of_a_claimed_logic() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, id) = made(one.path());
    let mut registry = Registry::new();
    registry.add_resolver(|recorded: &Recorded<'_>| match recorded.logic {
        Some("untrusted") => Err("the code is not trusted".into()),
        logic => {
            let found: Arc<dyn StoreOpener> = Arc::new(opener());
            Ok(logic.is_some().then_some(found))
        }
    });
    let to = manager_of(two.path(), registry);
    let source = from.open(id, Access::ReadOnly).unwrap();
    let claimed = |logic| {
        let logic = LogicVersion::new(logic).unwrap();
        to.create_replica_of(source.genesis(), &logic)
    };
    let refused = claimed("untrusted").unwrap_err();
    assert!(matches!(
        refused,
        ManagerError::Resolve(ResolveError::Resolver { .. })
    ));
    // No logic is claimed, and the resolver has no code for a new store.
    let refused = to.create_replica(source.genesis()).unwrap_err();
    assert!(matches!(
        refused,
        ManagerError::Resolve(ResolveError::Unknown { .. })
    ));
    assert!(!to.store_path(id).exists());
    assert_eq!(claimed("foreign").unwrap(), id);
    let recorded = to.peek_logic(to.store_path(id)).unwrap().logic;
    assert_eq!(
        recorded.as_deref(),
        Some(opener().logic().version().as_str())
    );
}

#[test]
fn an_opener_builds_logic_from_captured_values() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    for name in ["org.example.one", "org.example.two"] {
        let store_type: StoreType = name.parse().unwrap();
        let opener = EngineOpener::<Counter>::new(move || CounterMachine::of_type(name));
        assert_eq!(opener.methods()[0].name, "add");
        registry.register(store_type, opener).unwrap();
    }
    let manager = manager_of(dir.path(), registry);
    for name in ["org.example.one", "org.example.two"] {
        let id = manager.create(&name.parse().unwrap()).unwrap();
        let store = manager.open(id, Access::ReadWrite).unwrap();
        assert_eq!(store.store_type().as_str(), name);
    }
}
