//! Data directories with a library and a manager.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::engine::Engine;
use lattice_backend::machine::{StateMachine, Value};
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_code::CodeLibrary;
use lattice_meta::{Cid, StoreId, StoreType};
use lattice_registry::{Access, EngineOpener, ManagerOptions, Registry, StoreHandle, StoreManager};

/// Registers native code.
pub(crate) fn register<M: StateMachine>(registry: &mut Registry, make: fn() -> M) -> StoreType {
    let store_type = make().logic().store_type().clone();
    let opener = EngineOpener::<Engine<M>>::new(make);
    registry.register(store_type.clone(), opener).unwrap();
    store_type
}

/// Stores in a directory, with the library of that directory.
pub(crate) struct Place {
    pub(crate) library: Arc<CodeLibrary>,
    pub(crate) manager: StoreManager,
}

impl Place {
    pub(crate) fn new(dir: &Path) -> Self {
        Self::with(dir, Registry::new())
    }

    /// With native code too.
    pub(crate) fn with(dir: &Path, registry: Registry) -> Self {
        Self::of(dir, CodeLibrary::new(dir).pinned_by(&registry), registry)
    }

    /// With a library of that directory.
    pub(crate) fn of(dir: &Path, library: CodeLibrary, mut registry: Registry) -> Self {
        let library = Arc::new(library);
        library.attach(&mut registry);
        let backend = Arc::new(RedbBackend::on_files());
        let options = ManagerOptions::new(SecretKey::from_bytes(&[7; 32]));
        let manager = StoreManager::new(dir.join("stores"), backend, registry, options);
        Self { library, manager }
    }

    pub(crate) fn add(&self, wasm: &[u8]) -> Cid {
        self.library.add(wasm, "test").unwrap().0.cid()
    }

    pub(crate) fn open(&self, id: StoreId) -> Arc<dyn StoreHandle> {
        self.manager.open(id, Access::ReadWrite).unwrap()
    }

    /// The logic that a store records.
    pub(crate) fn recorded(&self, id: StoreId) -> String {
        let peek = self.manager.peek_logic(self.manager.store_path(id));
        peek.unwrap().logic.unwrap()
    }
}

pub(crate) const CHAT: &str = "org.example.chat";
pub(crate) const CHAT_V2: &str = "org.example.chat.v2";
pub(crate) const TALLY: &str = "org.example.tally";

pub(crate) fn of(store_type: &str) -> StoreType {
    store_type.parse().unwrap()
}

pub(crate) fn post(store: &dyn StoreHandle, room: &str, text: &str) {
    let args = [
        ("room", Value::Text(room.into())),
        ("text", Value::Text(text.into())),
    ];
    store.call("post", Value::record(args)).unwrap();
}

pub(crate) fn add(store: &dyn StoreHandle, name: &str, number: i64) {
    let number = Value::Integer(number.into());
    let args = [("name", Value::Text(name.into())), ("number", number)];
    store.call("add", Value::record(args)).unwrap();
}

pub(crate) fn sum(store: &dyn StoreHandle, name: &str) -> Value {
    store
        .call("sum", Value::record([("name", Value::Text(name.into()))]))
        .unwrap()
}

/// The texts of a room.
pub(crate) fn texts(store: &dyn StoreHandle, room: &str) -> Vec<String> {
    let args = Value::record([("room", Value::Text(room.into()))]);
    let Value::List(messages) = store.call("read", args).unwrap() else {
        panic!("a list of messages was expected");
    };
    let text = |message| match message {
        Value::Record(mut message) => match message.remove("text") {
            Some(Value::Text(text)) => text,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    messages.into_iter().map(text).collect()
}
