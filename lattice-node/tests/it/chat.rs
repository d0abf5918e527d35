//! Runs the published suites on the custom store type of `examples/chat`.

#[path = "../../examples/chat/chat.rs"]
mod example;

use example::Chat;
use guest_chat::{ChatMachine, Command, First, Refusal, Rules, Second};
use lattice_backend::conformance::{MachineSuite, Rng};
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::verify::Depth;
use lattice_backend::engine::write::AppendError;
use lattice_backend::machine::Value;
use lattice_backend::op::Op;
use lattice_meta::{OpId, StoreId};
use lattice_node::{Access, Node, StoreHandle};
use lattice_registry::TypedStore;

/// Posts, and edits of messages that exist or do not.
fn hostile(rng: &mut Rng, ops: &[Op]) -> Vec<u8> {
    let message = rng.pick(ops).map_or(OpId::ZERO, |op| op.reference().id);
    match rng.below(4) {
        0 => format!("post\0room\0text {}\0", rng.below(9)).into_bytes(),
        1 => format!("edit\0{message}\0text {}\0", rng.below(9)).into_bytes(),
        // An id in another spelling is not an id.
        2 => format!("edit\0{}\0text\0", message.to_string().to_uppercase()).into_bytes(),
        _ => format!("post\0\0text\0{}", rng.below(9)).into_bytes(),
    }
}

#[test]
fn both_machines_keep_the_rules_of_state_machines() {
    suite::<First>();
    suite::<Second>();
}

fn suite<R: Rules>() {
    let command = |rng: &mut Rng| Command::Post {
        room: ["tea", "Tea", "coffee"][rng.below(3)].into(),
        text: format!("{}", rng.below(100)),
    };
    MachineSuite::new(ChatMachine::<R>::new, command)
        .hostile(hostile)
        .run();
}

fn call(store: &dyn StoreHandle, method: &str, args: &[(&str, &str)]) -> Value {
    let args = args
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Value::Text((*text).into())));
    store.call(method, Value::Record(args.collect())).unwrap()
}

/// The texts of a room.
fn texts(store: &dyn StoreHandle, room: &str) -> Vec<String> {
    let Value::List(messages) = call(store, "read", &[("room", room)]) else {
        panic!("a list is promised")
    };
    let text = |message| match message {
        Value::Record(fields) => match &fields["text"] {
            Value::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    messages.into_iter().map(text).collect()
}

fn field(record: &Value, name: &str) -> String {
    match record {
        Value::Record(fields) => match &fields[name] {
            Value::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn rooms_messages_edits_and_a_migration_to_new_rules() {
    let (ann_dir, bob_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ann = Node::builder(ann_dir.path())
        .registry(example::registry().unwrap())
        .open()
        .unwrap();
    let id: StoreId = ann
        .manager()
        .create(&"org.example.chat".parse().unwrap())
        .unwrap();
    let store = ann.manager().open(id, Access::ReadWrite).unwrap();
    let posted = call(&*store, "post", &[("room", "tea"), ("text", "anyone?")]);
    call(&*store, "post", &[("room", "Tea"), ("text", "hello")]);
    let gone = call(&*store, "post", &[("room", "tea"), ("text", "oops")]);
    let (posted, gone) = (field(&posted, "op"), field(&gone, "op"));
    call(
        &*store,
        "edit",
        &[("message", &posted), ("text", "anyone here?")],
    );
    call(&*store, "edit", &[("message", &gone), ("text", "")]);

    // Bob has a replica, and edits a message of another author: the edit is history, but has no
    // effect.
    let bob = Node::builder(bob_dir.path())
        .registry(example::registry().unwrap())
        .open()
        .unwrap();
    ann.manager().close_all().unwrap();
    let copy = bob.manager().store_path(id);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(ann.manager().store_path(id), &copy).unwrap();
    let bobs = bob.manager().open(id, Access::ReadWrite).unwrap();
    call(
        &*bobs,
        "edit",
        &[("message", &posted), ("text", "nobody here")],
    );
    let store = ann.manager().open(id, Access::ReadWrite).unwrap();
    let ops = bobs.ops_after(&store.branch_tips().unwrap()).unwrap();
    store
        .ingest(&mut ops.map(|op| Ok(op?)), &Authors::Any)
        .unwrap();
    assert_eq!(store.state_hash().unwrap(), bobs.state_hash().unwrap());
    assert_eq!(texts(&*store, "tea"), ["anyone here?", ""]);

    let typed = store.downcast_ref::<Chat<First>>().unwrap();
    let nowhere = Command::Post {
        room: String::new(),
        text: "x".into(),
    };
    let refused = typed.engine().append(nowhere);
    assert!(matches!(refused, Err(AppendError::Refused(Refusal))));

    let path = ann.manager().store_path(id);
    let migrated = ann
        .manager()
        .migrate(&path, &"org.example.chat.v2".parse().unwrap())
        .unwrap();
    assert_eq!((migrated.from, migrated.ops), (id, 3));
    let new = ann
        .manager()
        .open(migrated.store_id, Access::ReadWrite)
        .unwrap();
    let author = ann.manager().author().unwrap();
    let said = |text| format!("{author:.8}: {text}");
    // The spellings of the room's name now mean one room.
    assert_eq!(
        texts(&*new, "TEA"),
        [said("hello"), said("anyone here?"), said("")]
    );
    let more = call(&*new, "post", &[("room", "Tea"), ("text", "more")]);
    assert_eq!(texts(&*new, "tea").len(), 4);
    call(
        &*new,
        "edit",
        &[("message", &field(&more, "op")), ("text", "")],
    );
    assert_eq!(texts(&*new, "tea").len(), 3, "an empty text takes it away");
    for store_id in [id, migrated.store_id] {
        let path = ann.manager().store_path(store_id);
        assert_eq!(
            ann.manager()
                .verify_path(path, Depth::Full)
                .unwrap()
                .findings,
            []
        );
    }
}
