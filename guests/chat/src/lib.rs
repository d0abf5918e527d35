//! A third-party store type: `org.example.chat`, and its successor with new rules.
//!
//! A store type is a state machine: `prepare` makes the payload of an op from a command, `decode`
//! reads it on every replica, `apply` writes the rows that follow from it, and queries read them.
//! Replicas take in ops in different orders, so `apply` must not depend on the order. The simplest
//! way is a state that only grows: here every message is a row, every edit is a row, and a query
//! chooses the text of a message when it reads the message.
//!
//! The same source compiles natively and as a module; the last lines export the module.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use lattice_guest::store_type::*;

/// The rules of a store. They never change within a store type: new rules are a new store type, and
/// the old stores are migrated to it.
pub trait Rules: Send + Sync + 'static {
    /// The store type.
    const STORE_TYPE: &'static str;
    /// The store types that stores of this type can be made from.
    const CONVERTS: &'static [&'static str];
    /// The room that a name refers to.
    fn room(name: &str) -> String;
    /// Whether queries show a message with this text.
    fn is_shown(text: &str) -> bool;
}

/// The author of a message can edit it.
#[derive(Debug, Clone, Copy)]
pub struct First;

/// As above. An empty text also removes a message, and room names ignore ASCII case.
#[derive(Debug, Clone, Copy)]
pub struct Second;

impl Rules for First {
    const STORE_TYPE: &'static str = "org.example.chat";
    const CONVERTS: &'static [&'static str] = &[];

    fn room(name: &str) -> String {
        name.to_owned()
    }

    fn is_shown(_: &str) -> bool {
        true
    }
}

impl Rules for Second {
    const STORE_TYPE: &'static str = "org.example.chat.v2";
    const CONVERTS: &'static [&'static str] = &[First::STORE_TYPE];

    fn room(name: &str) -> String {
        // ASCII only: case beyond ASCII depends on the Unicode version.
        name.to_ascii_lowercase()
    }

    fn is_shown(text: &str) -> bool {
        !text.is_empty()
    }
}

/// A command, and the content of a payload: fields with a NUL after each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Says something in a room.
    Post {
        /// The room.
        room: String,
        /// The text of the message.
        text: String,
    },
    /// Changes the text of a message.
    Edit {
        /// The op that posted the message.
        message: OpId,
        /// The new text.
        text: String,
    },
}

/// Why a command is refused. A refused command does not become an op.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room has a name, and neither name nor text has a NUL")]
pub struct Refusal;

impl Command {
    /// The payload of the command.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Post { room, text } => format!("post\0{room}\0{text}\0").into_bytes(),
            Self::Edit { message, text } => format!("edit\0{message}\0{text}\0").into_bytes(),
        }
    }

    /// Parses the command in a payload.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(payload).ok()?;
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
        // One encoding for each command: an id has several spellings.
        (command.encode() == payload).then_some(command)
    }
}

/// The key of a message or an edit: a prefix, then time and id, so that rows are in the order of
/// time and no two have the same key.
fn row_key(prefix: &[u8], hlc: Hlc, id: &OpId) -> Vec<u8> {
    [prefix, &hlc.to_u64().to_be_bytes(), id.as_bytes()].concat()
}

/// The prefix of a room's messages.
fn room_prefix(room: &str) -> Vec<u8> {
    [b"m", room.as_bytes(), b"\0"].concat()
}

/// The prefix of a message's edits.
fn edit_prefix(message: &OpId) -> Vec<u8> {
    [b"e", &message.as_bytes()[..]].concat()
}

/// The state machine of both store types.
pub struct ChatMachine<R> {
    rules: PhantomData<R>,
}

/// The methods by which programs that do not know this type call it.
impl<R: Rules> ChatMachine<R> {
    const POST: &'static [Param] = params![
        Param::required("room", ValueType::Text, "the room"),
        Param::required("text", ValueType::Text, "what is said"),
    ];
    const EDIT: &'static [Param] = params![
        Param::required("message", ValueType::Text, "the op that posted it"),
        Param::required("text", ValueType::Text, "the new text"),
    ];
    const READ: &'static [Param] = params![Param::required("room", ValueType::Text, "the room")];
    const ALL: &'static [Param] = params![
        Param::optional(
            "after",
            ValueType::Bytes,
            "only what comes after this place"
        ),
        Param::optional("limit", ValueType::Integer, "at most this many; else 100"),
    ];

    /// The version changes with what `decode` and `apply` compute. A store detects a new version
    /// and replays its history.
    const LOGIC: &'static Logic = &Logic::constant(R::STORE_TYPE, "chat/1");

    /// The state machine.
    pub fn new() -> Self {
        Self { rules: PhantomData }
    }

    /// The messages whose rows have this prefix and follow `after`, with the text that their
    /// authors last gave them.
    fn messages(
        &self,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        data: &dyn DataRead,
    ) -> Result<Vec<Message>> {
        let span = PrefixSpan::new(prefix);
        let (start, end) = span.span();
        let start = match after {
            [] => start,
            after => Bound::Excluded(after),
        };
        let mut messages = Vec::new();
        let mut rows = data.range((start, end), Direction::Forward)?;
        while messages.len() < limit {
            let Some(row) = rows.next()? else { break };
            let room = row.key[1..].split(|byte| *byte == 0).next();
            let (Some(room), Some(id)) = (room, row.key.last_chunk()) else {
                continue;
            };
            let (id, (author, text)) = (OpId::from_bytes(*id), author_and_text(row.value));
            let text = last_edit(&id, &author, data)?.unwrap_or(text);
            messages.push(Message {
                place: row.key.to_vec(),
                room: String::from_utf8_lossy(room).into_owned(),
                id,
                author,
                text,
            });
        }
        Ok(messages)
    }
}

impl<R: Rules> Default for ChatMachine<R> {
    fn default() -> Self {
        Self::new()
    }
}

struct Message {
    place: Vec<u8>,
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

/// Any author can send an edit; only edits by the message's author count.
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

impl<R: Rules> StateMachine for ChatMachine<R> {
    type Command = Command;
    type Refusal = Refusal;
    type Payload<'a> = Command;

    fn logic(&self) -> &Logic {
        Self::LOGIC
    }

    fn decode(&self, payload: &[u8]) -> Result<Command, Invalid> {
        Command::parse(payload).ok_or_else(|| Invalid::new("expected a post or an edit"))
    }

    /// Runs on the author's replica only. It could also read the state.
    fn prepare(
        &self,
        command: &Command,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Refusal>> {
        let payload = command.encode();
        match Command::parse(&payload).as_ref() == Some(command) {
            true => Ok(payload),
            false => Err(MachineError::Refused(Refusal)),
        }
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        command: Command,
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        let (prefix, text) = match command {
            Command::Post { room, text } => (room_prefix(&R::room(&room)), text),
            Command::Edit { message, text } => (edit_prefix(&message), text),
        };
        #[cfg(all(feature = "broken", target_arch = "wasm32"))]
        let text = shouted(&text);
        let value = [op.reference.author.as_bytes(), text.as_bytes()].concat();
        data.put(&row_key(&prefix, op.hlc, &op.reference.id), &value)
    }

    fn describe(&self, payload: &[u8]) -> String {
        // The hotfix computes the same state and differs in the wording here.
        let said = match cfg!(feature = "hotfix") {
            true => "message in",
            false => "post in",
        };
        match Command::parse(payload) {
            Some(Command::Post { room, text }) => format!("{said} {room:?}: {text:?}"),
            Some(Command::Edit { message, text }) => format!("edit {message:.8}: {text:?}"),
            None => "nothing: an invalid payload".into(),
        }
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        Self::METHODS
    }
}

/// Constants of the code, for its manifest.
impl<R: Rules> StoreCode for ChatMachine<R> {
    const STORE_TYPE: &'static str = R::STORE_TYPE;
    const CONVERTS: &'static [&'static str] = R::CONVERTS;
    const METHODS: &'static [MethodEntry<Self>] = &[
        MethodEntry::command("post", "says something in a room", Self::POST, call_post),
        MethodEntry::command(
            "edit",
            "changes the text of one's message",
            Self::EDIT,
            call_edit,
        ),
        MethodEntry::query(
            "read",
            "the messages of a room, oldest first",
            Self::READ,
            ValueType::List,
            call_read,
        ),
        MethodEntry::query(
            "all",
            "the messages of all rooms: a list, and where the next one begins",
            Self::ALL,
            ValueType::Record,
            call_all,
        ),
    ];

    /// From the first rules to the second: posts the last text of each message again. The calls
    /// follow from the old state in one order, so that an interrupted migration can resume.
    fn convert(&self, step: Step) -> Result<Conversion, String> {
        let ask = |after: Value| Query {
            method: "all".into(),
            args: Value::record([("after", after.clone())]),
            state: after,
        };
        let Value::Record(mut page) = step.result else {
            return Ok(Conversion {
                calls: Vec::new(),
                next: Some(ask(Value::Null)),
            });
        };
        let (Some(Value::List(messages)), Some(next)) =
            (page.remove("messages"), page.remove("next"))
        else {
            return Err("expected a record of messages and the next place".into());
        };
        Ok(Conversion {
            calls: messages.into_iter().filter_map(post_again).collect(),
            next: (next != Value::Null).then(|| ask(next)),
        })
    }
}

/// The tour shows it as code that computes a different state; tests use it as code that panics.
#[cfg(all(feature = "broken", target_arch = "wasm32"))]
fn shouted(text: &str) -> String {
    assert!(!text.is_empty(), "there is nothing to shout");
    text.to_ascii_uppercase()
}

fn post_again(message: Value) -> Option<(String, Value)> {
    let Value::Record(mut message) = message else {
        return None;
    };
    let mut take = |name| match message.remove(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let (room, author, text) = (take("room")?, take("author")?, take("text")?);
    // The converting author signs the new op, so the text names the message's author.
    let said = format!("{author:.8}: {text}");
    let (room, text) = (Value::Text(room), Value::Text(said));
    Some((
        "post".into(),
        Value::record([("room", room), ("text", text)]),
    ))
}

fn take(args: &mut Args<'_>, name: &str) -> Result<String, CallError> {
    let text = args.take_text(name)?;
    args.required(name, text)
}

fn call_post<R: Rules>(_: &ChatMachine<R>, mut args: Args<'_>) -> Result<Command, CallError> {
    let (room, text) = (take(&mut args, "room")?, take(&mut args, "text")?);
    Ok(Command::Post { room, text })
}

fn call_edit<R: Rules>(_: &ChatMachine<R>, mut args: Args<'_>) -> Result<Command, CallError> {
    let (message, text) = (take(&mut args, "message")?, take(&mut args, "text")?);
    let expected = || format!("expected an op id of 64 digits, found {message:?}");
    let message = message
        .parse()
        .map_err(|_| args.refused("message", expected()))?;
    Ok(Command::Edit { message, text })
}

fn record(message: Message) -> Value {
    Value::record([
        ("id", Value::Text(message.id.to_string())),
        ("author", Value::Text(message.author.to_string())),
        ("text", Value::Text(message.text)),
    ])
}

fn call_read<R: Rules>(
    machine: &ChatMachine<R>,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let room = R::room(&take(&mut args, "room")?);
    let messages = machine.messages(&room_prefix(&room), &[], usize::MAX, data)?;
    let shown = messages
        .into_iter()
        .filter(|message| R::is_shown(&message.text));
    Ok(Value::List(shown.map(record).collect()))
}

fn call_all<R: Rules>(
    machine: &ChatMachine<R>,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let after = args.take_bytes("after")?.unwrap_or(Vec::new());
    let limit = args.take_u64("limit")?.unwrap_or(100).clamp(1, 1_000);
    let limit = usize::try_from(limit).expect("it was cut");
    let messages = machine.messages(b"m", &after, limit, data)?;
    let last = messages.last().filter(|_| messages.len() == limit);
    let next = last.map(|message| message.place.clone()).into();
    let with_room = |message: Message| {
        let room = Value::Text(message.room.clone());
        match record(message) {
            Value::Record(mut fields) => {
                fields.insert("room", room);
                Value::Record(fields)
            }
            other => other,
        }
    };
    let shown = messages
        .into_iter()
        .filter(|message| R::is_shown(&message.text));
    let messages = Value::List(shown.map(with_room).collect());
    Ok(Value::record([("messages", messages), ("next", next)]))
}

#[cfg(not(feature = "second"))]
lattice_guest::export!(ChatMachine<First>, ChatMachine::<First>::new());

#[cfg(feature = "second")]
lattice_guest::export!(ChatMachine<Second>, ChatMachine::<Second>::new());
