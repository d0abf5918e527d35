//! A store type of one's own: `org.example.chat`, and its successor with new rules.
//!
//! A store type is a state machine: `prepare` makes the payload of an op from a command, `decode`
//! reads it on every replica, `apply` writes the rows that follow from it, and queries read them.
//! Replicas take in ops in different orders, so `apply` must not depend on the order. The simplest
//! way is a state that only grows: here every message is a row, every edit is a row, and the text
//! of a message is chosen when it is read.

use lattice_node::core_registry;
use lattice_node::store_type::*;

/// The rules of a store. They never change under a store: new rules are a new type, and the old
/// stores are migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// The author of a message can edit it.
    First,
    /// Also, an empty text removes a message, and upper and lower case (of ASCII) name one room.
    Second,
}

/// What a caller asks for, and what a payload says: fields with a NUL after each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Post { room: String, text: String },
    Edit { message: OpId, text: String },
}

/// Why a command is refused; it does not become an op.
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

    fn parse(payload: &[u8]) -> Option<Self> {
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

/// Rows of a message or an edit: a prefix, then time and id, so that they are in the order of time
/// and no two are the same.
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

pub(crate) struct ChatMachine {
    rules: Rules,
    logic: Logic,
    methods: [MethodEntry<Self>; 3],
}

impl ChatMachine {
    pub(crate) fn first() -> Self {
        Self::new(Rules::First, "org.example.chat")
    }

    pub(crate) fn second() -> Self {
        Self::new(Rules::Second, "org.example.chat.v2")
    }

    fn new(rules: Rules, store_type: &str) -> Self {
        let text =
            |name: &'static str, doc: &'static str| Param::required(name, ValueType::Text, doc);
        // Programs that do not know this type call its methods by name.
        let post = vec![text("room", "the room"), text("text", "what is said")];
        let edit = vec![
            text("message", "the op that posted it"),
            text("text", "the new text"),
        ];
        let read = vec![text("room", "the room")];
        Self {
            rules,
            // Changes with the code of `decode` and `apply`: stores notice, and replay their history.
            logic: Logic::new(store_type, "chat/1").expect("both texts are well formed"),
            methods: [
                MethodEntry::command("post", "says something in a room", post, call_post),
                MethodEntry::command("edit", "changes the text of one's message", edit, call_edit),
                MethodEntry::query(
                    "read",
                    "the messages of a room, oldest first",
                    read,
                    ValueType::List,
                    call_read,
                ),
            ],
        }
    }

    fn room(&self, room: &str) -> String {
        match self.rules {
            Rules::First => room.to_owned(),
            // Of ASCII alone: what is a small letter beyond it depends on the Unicode version.
            Rules::Second => room.to_ascii_lowercase(),
        }
    }

    /// The messages whose rows have a prefix, with the text that their authors last gave them.
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

/// Any author can send an edit; only those of the message's author count.
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

impl StateMachine for ChatMachine {
    type Command = Command;
    type Refusal = Refusal;
    type Payload<'a> = Command;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode(&self, payload: &[u8]) -> Result<Command, Invalid> {
        Command::parse(payload).ok_or_else(|| Invalid::new("expected a post or an edit"))
    }

    /// Runs on the author's replica alone. It could also look at the state.
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
            Command::Post { room, text } => (room_prefix(&self.room(&room)), text),
            Command::Edit { message, text } => (edit_prefix(&message), text),
        };
        let value = [op.reference.author.as_bytes(), text.as_bytes()].concat();
        data.put(&row_key(&prefix, op.hlc, &op.reference.id), &value)
    }

    fn describe(&self, payload: &[u8]) -> String {
        match Command::parse(payload) {
            Some(Command::Post { room, text }) => format!("post in {room:?}: {text:?}"),
            Some(Command::Edit { message, text }) => format!("edit {message:.8}: {text:?}"),
            None => "nothing: an invalid payload".into(),
        }
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        &self.methods
    }
}

fn take(args: &mut Args<'_>, name: &str) -> Result<String, CallError> {
    let text = args.take_text(name)?;
    args.required(name, text)
}

fn call_post(_: &ChatMachine, mut args: Args<'_>) -> Result<Command, CallError> {
    let (room, text) = (take(&mut args, "room")?, take(&mut args, "text")?);
    Ok(Command::Post { room, text })
}

fn call_edit(_: &ChatMachine, mut args: Args<'_>) -> Result<Command, CallError> {
    let (message, text) = (take(&mut args, "message")?, take(&mut args, "text")?);
    let expected = || format!("expected an op id of 64 digits, found {message:?}");
    let message = message
        .parse()
        .map_err(|_| args.refused("message", expected()))?;
    Ok(Command::Edit { message, text })
}

fn call_read(
    machine: &ChatMachine,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let room = machine.room(&take(&mut args, "room")?);
    let record = |message: Message| {
        Value::record([
            ("id", Value::Text(message.id.to_string())),
            ("author", Value::Text(message.author.to_string())),
            ("text", Value::Text(message.text)),
        ])
    };
    let messages = machine.messages(&room_prefix(&room), data)?;
    Ok(Value::List(messages.into_iter().map(record).collect()))
}

/// The typed handle, for programs that know this type.
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

/// From the first rules to the second: the last text of each message is posted again. The calls
/// follow from the old state in one order, so that an interrupted migration can resume.
fn migrate(old: &dyn StoreHandle) -> Result<Calls, Cause> {
    let chat = old.downcast_ref::<Chat>().ok_or("expected a chat")?;
    let messages = chat.0.machine().messages(b"m", &chat.0.snapshot()?)?;
    Ok(Box::new(messages.into_iter().map(|message| {
        // The new op is ours: the text names the author.
        let said = format!("{:.8}: {}", message.author, message.text);
        let (room, text) = (Value::Text(message.room), Value::Text(said));
        Ok(("post", Value::record([("room", room), ("text", text)])))
    })))
}

/// The types that come with Lattice, and these two.
pub(crate) fn registry() -> Result<Registry, RegisterError> {
    let mut registry = core_registry()?;
    let both: [fn() -> ChatMachine; 2] = [ChatMachine::first, ChatMachine::second];
    for machine in both {
        let opener = EngineOpener::<Chat>::new(machine);
        registry.register(machine().logic.store_type().clone(), opener)?;
    }
    let [first, second] = both.map(|machine| machine().logic.store_type().clone());
    registry.register_migration(first, second, migrate)?;
    Ok(registry)
}
