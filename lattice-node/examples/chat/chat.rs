//! A custom store type, natively: `org.example.chat`, and its successor with new rules.
//!
//! The state machine is in `guests/chat`: it runs unchanged here, and as a module in any `lattice`
//! program. A native program adds a typed handle and an entry in the registry.

use guest_chat::{ChatMachine, First, Rules, Second};
use lattice_node::core_registry;
use lattice_node::store_type::*;

/// The typed handle, for programs that know this type.
#[derive(Debug)]
pub(crate) struct Chat<R: Rules>(Engine<ChatMachine<R>>);

impl<R: Rules> Clone for Chat<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Rules + std::fmt::Debug> TypedStore for Chat<R> {
    type Machine = ChatMachine<R>;

    fn from_engine(engine: Engine<ChatMachine<R>>) -> Self {
        Self(engine)
    }

    fn engine(&self) -> &Engine<ChatMachine<R>> {
        &self.0
    }
}

fn register<R: Rules + std::fmt::Debug>(
    registry: &mut Registry,
) -> Result<StoreType, RegisterError> {
    let store_type = ChatMachine::<R>::new().logic().store_type().clone();
    let opener = EngineOpener::<Chat<R>>::new(ChatMachine::new);
    registry.register(store_type.clone(), opener)?;
    Ok(store_type)
}

/// The built-in types and these two.
pub(crate) fn registry() -> Result<Registry, RegisterError> {
    let mut registry = core_registry()?;
    let first = register::<First>(&mut registry)?;
    let second = register::<Second>(&mut registry)?;
    // Converts stores of the first rules to the second, with the code of the second.
    let convert = |step| Ok(ChatMachine::<Second>::new().convert(step)?);
    registry.register_conversion(first, second, convert)?;
    Ok(registry)
}
