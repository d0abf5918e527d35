//! A store type of one's own: `org.example.chat`, and its successor with new rules.
//!
//! A store type is a state machine: `prepare` turns a command into the payload of an op, `apply`
//! brings the state up to date with an op, queries read it. Replicas take in ops in different
//! orders, so `apply` must not care for the order. The simplest way is a state that only grows:
//! here every message is a row, every edit is a row, and which text a message has is decided when
//! it is read.

use std::ops::RangeInclusive;

use lattice_backend::backend::{Cause, Direction, PrefixSpan, Result};
use lattice_backend::engine::Engine;
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, Effect, History, LogicVersion, Method, MethodKind, Param,
    StateMachine, Value, ValueType,
};
use lattice_backend::op::OpView;
use lattice_meta::{Hlc, OpId, PubKey, SchemaVersion, StoreType};
use lattice_node::{Registry, StoreHandle, core_registry};
use lattice_registry::{Calls, EngineOpener, RegisterError, TypedStore};

/// Which rules a store has. Rules never change under a store: new ones are a new type, and the old
/// stores are migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// The author of a message can edit it.
    First,
    /// Besides, an empty text takes a message away, and rooms are called the same in upper and
    /// lower case (of ASCII).
    Second,
}

/// What can be done, and what an op's payload says: fields with a NUL behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Post { room: String, text: String },
    Edit { message: OpId, text: String },
}

/// Why a command is not carried out; it never becomes an op.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room has a name, and neither name nor text has a NUL")]
pub(crate) struct Refusal;

impl Command {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Post { room, text } => format!("post\0{room}\0{text}\0").into_bytes(),
            Self::Edit { message, text } => format!("edit\0{message}\0{text}\0").into_bytes(),
        }
    }

    /// Whether a payload is valid depends on its bytes alone: every replica must say the same.
    fn decode(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let command = match *text.split('\0').collect::<Vec<_>>() {
            ["post", room, text, ""] if !room.is_empty() => Self::Post {
                room: room.into(),
                text: text.into(),
            },
            ["edit", message, text, ""] => Self::Edit {
                message: message.parse().ok()?,
                text: text.into(),
            },
            _ => return None,
        };
        // One meaning, one form: an id has several spellings.
        (command.encode() == payload).then_some(command)
    }
}

/// The end of a row's key: rows of one kind stand in the order of time, and no two are the same.
fn in_time(kind: &[u8], hlc: Hlc, id: &OpId) -> Vec<u8> {
    [kind, &hlc.to_u64().to_be_bytes(), id.as_bytes()].concat()
}

/// Messages stand under `m`, their room, a NUL, and their time and id.
fn room_prefix(room: &str) -> Vec<u8> {
    [b"m", room.as_bytes(), b"\0"].concat()
}

/// Edits stand under `e`, the message's id, and their time and id.
fn edit_prefix(message: &OpId) -> Vec<u8> {
    [b"e", &message.as_bytes()[..]].concat()
}

pub(crate) struct ChatMachine {
    rules: Rules,
    store_type: StoreType,
}

impl ChatMachine {
    pub(crate) fn first() -> Self {
        Self::new(Rules::First, "org.example.chat")
    }

    pub(crate) fn second() -> Self {
        Self::new(Rules::Second, "org.example.chat.v2")
    }

    fn new(rules: Rules, store_type: &str) -> Self {
        Self {
            rules,
            store_type: store_type.parse().expect("the name follows the grammar"),
        }
    }

    fn room(&self, room: &str) -> String {
        match self.rules {
            Rules::First => room.to_owned(),
            // Of ASCII alone: what is a small letter beyond it depends on the Unicode version.
            Rules::Second => room.to_ascii_lowercase(),
        }
    }

    /// The messages whose rows start so, with the text that their authors last gave them.
    fn messages(&self, prefix: &[u8], data: &dyn DataRead) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        let span = PrefixSpan::new(prefix);
        let mut rows = data.range(span.span(), Direction::Forward)?;
        while let Some(row) = rows.next()? {
            let room = row.key[1..].split(|byte| *byte == 0).next();
            let (Some(room), Some(id)) = (room, row.key.last_chunk()) else {
                continue;
            };
            let (id, (author, text)) = (OpId::from_bytes(*id), author_and_text(row.value));
            let text = last_edit(&id, &author, data)?.unwrap_or(text);
            if self.rules == Rules::First || !text.is_empty() {
                let room = String::from_utf8_lossy(room).into_owned();
                messages.push(Message {
                    room,
                    id,
                    author,
                    text,
                });
            }
        }
        Ok(messages)
    }
}

struct Message {
    room: String,
    id: OpId,
    author: PubKey,
    text: String,
}

fn author_and_text(value: &[u8]) -> (PubKey, String) {
    let (author, text) = value.split_at(value.len().min(PubKey::LEN));
    let author = author
        .try_into()
        .map_or(PubKey::from_bytes([0; 32]), PubKey::from_bytes);
    (author, String::from_utf8_lossy(text).into_owned())
}

/// Anybody can send an edit; only that of the message's author counts.
fn last_edit(message: &OpId, author: &PubKey, data: &dyn DataRead) -> Result<Option<String>> {
    let span = PrefixSpan::new(&edit_prefix(message));
    let mut rows = data.range(span.span(), Direction::Backward)?;
    while let Some(row) = rows.next()? {
        let (by, text) = author_and_text(row.value);
        if by == *author {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

const fn text(name: &'static str, required: bool, doc: &'static str) -> Param {
    let value_type = ValueType::Text;
    Param {
        name,
        value_type,
        required,
        doc,
    }
}

/// What programs that do not know this type are told of it.
const METHODS: &[Method] = &[
    Method {
        name: "post",
        kind: MethodKind::Command,
        doc: "says something in a room",
        params: &[
            text("room", true, "the room"),
            text("text", true, "what is said"),
        ],
        result: ValueType::Record,
    },
    Method {
        name: "edit",
        kind: MethodKind::Command,
        doc: "gives a message of one's own another text",
        params: &[
            text("message", true, "the op that posted it"),
            text("text", true, "the new text"),
        ],
        result: ValueType::Record,
    },
    Method {
        name: "read",
        kind: MethodKind::Query,
        doc: "the messages of a room, oldest first",
        params: &[text("room", true, "the room")],
        result: ValueType::List,
    },
];

impl StateMachine for ChatMachine {
    type Command = Command;
    type Refusal = Refusal;

    fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        SchemaVersion::new(1)..=SchemaVersion::new(1)
    }

    /// To be changed with the code of `apply`, so that stores notice and hold it against history.
    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new("chat/1").expect("it is visible ASCII")
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    /// Refuses what would be of no use; it may look at the state. Nobody else runs this, so `apply`
    /// must cope with payloads that it would never make.
    fn prepare(
        &self,
        command: &Command,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Vec<u8>, Refusal>> {
        let payload = command.encode();
        let is_valid = Command::decode(&payload).as_ref() == Some(command);
        Ok(is_valid.then_some(payload).ok_or(Refusal))
    }

    fn apply(&self, op: &OpView<'_>, data: &mut dyn DataWrite, _: &dyn History) -> Result<Effect> {
        let (prefix, text) = match Command::decode(op.payload) {
            Some(Command::Post { room, text }) => (room_prefix(&self.room(&room)), text),
            Some(Command::Edit { message, text }) => (edit_prefix(&message), text),
            None => return Ok(Effect::Void),
        };
        let value = [op.reference.author.as_bytes(), text.as_bytes()].concat();
        data.put(&in_time(&prefix, op.hlc, &op.reference.id), &value)?;
        Ok(Effect::Applied)
    }

    /// For those who look at the history.
    fn describe(&self, payload: &[u8]) -> String {
        match Command::decode(payload) {
            Some(Command::Post { room, text }) => format!("post in {room:?}: {text:?}"),
            Some(Command::Edit { message, text }) => format!("edit {message:.8}: {text:?}"),
            None => "nothing: an invalid payload".into(),
        }
    }

    fn command(&self, mut args: Args) -> Result<Command, CallError> {
        let method = args.method().name;
        let mut take = |name| match args.take(name) {
            Some(Value::Text(text)) => text,
            _ => String::new(), // The host has checked that it is there, and a text.
        };
        let (text, other) = (
            take("text"),
            take(if method == "post" { "room" } else { "message" }),
        );
        if method == "post" {
            return Ok(Command::Post { room: other, text });
        }
        match other.parse() {
            Ok(message) => Ok(Command::Edit { message, text }),
            Err(_) => Err(CallError::Argument {
                method,
                param: "message",
                reason: format!("expected an op id of 64 digits, found {other:?}"),
            }),
        }
    }

    fn query(
        &self,
        mut args: Args,
        data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Value, CallError>> {
        let Some(Value::Text(room)) = args.take("room") else {
            return Ok(Ok(Value::Null));
        };
        let record = |message: Message| {
            Value::record([
                ("id", Value::Text(message.id.to_string())),
                ("author", Value::Text(message.author.to_string())),
                ("text", Value::Text(message.text)),
            ])
        };
        let messages = self.messages(&room_prefix(&self.room(&room)), data)?;
        Ok(Ok(Value::List(messages.into_iter().map(record).collect())))
    }
}

/// The typed handle: what programs use that know this type.
#[derive(Debug, Clone)]
pub(crate) struct Chat(Engine<ChatMachine>);

impl TypedStore for Chat {
    type Machine = ChatMachine;

    fn from_engine(engine: Engine<ChatMachine>) -> Self {
        Self(engine)
    }

    fn engine(&self) -> &Engine<ChatMachine> {
        &self.0
    }
}

/// From the first rules to the second: what is said at last is said again. The calls are made of the
/// old state in one order, always the same, so that an interrupted migration can go on.
fn migrate(old: &dyn StoreHandle) -> Result<Calls, Cause> {
    let chat = old.downcast_ref::<Chat>().ok_or("expected a chat")?;
    let messages = chat.0.machine().messages(b"m", &chat.0.snapshot()?)?;
    Ok(Box::new(messages.into_iter().map(|message| {
        // The new op is ours: who said it becomes part of what is said.
        let said = format!("{:.8}: {}", message.author, message.text);
        let (room, text) = (Value::Text(message.room), Value::Text(said));
        Ok(("post", Value::record([("room", room), ("text", text)])))
    })))
}

/// The types that come with Lattice, and these two.
pub(crate) fn registry() -> Result<Registry, RegisterError> {
    let mut registry = core_registry()?;
    let (first, second) = (
        ChatMachine::first().store_type,
        ChatMachine::second().store_type,
    );
    registry.register(first.clone(), EngineOpener::<Chat>::new(ChatMachine::first))?;
    registry.register(
        second.clone(),
        EngineOpener::<Chat>::new(ChatMachine::second),
    )?;
    registry.register_migration(first, second, migrate)?;
    Ok(registry)
}
