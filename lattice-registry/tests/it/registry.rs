//! Registering and resolving.

use std::sync::Arc;

use lattice_backend::engine::Engine;
use lattice_registry::{
    Birth, Peeked, RegisterError, Registry, ResolveError, StoreHandle, StoreOpener, TypedStore,
    with_birth,
};

use crate::counter::{COUNTER, Counter, CounterMachine, opener, registry};

pub(crate) fn open_counter(
    store: Peeked,
) -> Result<Arc<dyn StoreHandle>, lattice_backend::engine::open::OpenError> {
    Ok(Arc::new(Counter::from_engine(Engine::open(
        store.request,
        CounterMachine::new(),
    )?)))
}

#[test]
fn a_type_is_registered_once() {
    let mut registry = registry();
    let again = registry.register(COUNTER.parse().unwrap(), open_counter);
    let store_type = COUNTER.parse().unwrap();
    assert_eq!(again, Err(RegisterError::Duplicate { store_type }));
    // The first one is still there: it can make stores, a closure cannot.
    assert!(
        registry
            .resolve(&COUNTER.parse().unwrap())
            .unwrap()
            .birth()
            .is_some()
    );
}

#[test]
fn an_unknown_type_is_refused_with_the_known_ones() {
    let error = registry()
        .resolve(&"org.example.chat".parse().unwrap())
        .err()
        .unwrap();
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
fn resolvers_are_asked_in_order_for_types_that_nobody_registered() {
    let mut registry = Registry::new();
    registry.add_resolver(|_: &lattice_meta::StoreType| Ok(None));
    registry.add_resolver(
        |store_type: &lattice_meta::StoreType| match store_type.as_str() {
            COUNTER => {
                let found: Arc<dyn StoreOpener> = Arc::new(opener());
                Ok(Some(found))
            }
            "org.example.broken" => Err("the code is not there".into()),
            _ => Ok(None),
        },
    );
    assert!(registry.resolve(&COUNTER.parse().unwrap()).is_ok());
    let broken = registry.resolve(&"org.example.broken".parse().unwrap());
    assert!(matches!(broken, Err(ResolveError::Resolver { .. })));
    let unknown = registry.resolve(&"org.example.other".parse().unwrap());
    assert!(matches!(unknown, Err(ResolveError::Unknown { .. })));
}

#[test]
fn a_closure_is_an_opener_and_can_be_given_a_birth() {
    let mut registry = Registry::new();
    registry
        .register("org.example.closed".parse().unwrap(), open_counter)
        .unwrap();
    let birth = Birth {
        schema: lattice_meta::SchemaVersion::new(3),
        logic: lattice_backend::machine::LogicVersion::new("counter/1").unwrap(),
    };
    let with = with_birth(birth.clone(), open_counter);
    registry
        .register("org.example.open".parse().unwrap(), with)
        .unwrap();
    let birth_of = |name: &str| registry.resolve(&name.parse().unwrap()).unwrap().birth();
    assert_eq!(birth_of("org.example.closed"), None);
    assert_eq!(birth_of("org.example.open"), Some(birth));
    let methods_of = |name: &str| {
        let opener = registry.resolve(&name.parse().unwrap()).unwrap();
        opener.methods()
    };
    assert!(methods_of("org.example.open").is_none());
}
