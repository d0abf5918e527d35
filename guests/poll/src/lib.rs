//! A poll: every author has one vote, and the latest one counts.
#![cfg_attr(target_arch = "wasm32", no_std)]

use lattice_guest::store_type::*;

/// The state machine.
pub struct Poll;

/// The code and its version, which changes with what `decode` and `apply` compute.
static LOGIC: Logic = Logic::constant(Poll::STORE_TYPE, "poll/1");

impl StateMachine for Poll {
    /// What a caller asks for: a vote for this choice.
    type Command = String;
    /// Why a command is refused.
    type Refusal = Invalid;
    /// What a valid payload says.
    type Payload<'a> = &'a str;

    fn logic(&self) -> &Logic {
        &LOGIC
    }

    /// Runs on every replica, for ops of any author.
    fn decode<'a>(&self, payload: &'a [u8]) -> Result<&'a str, Invalid> {
        match core::str::from_utf8(payload) {
            Ok(choice) if (1..=64).contains(&choice.len()) => Ok(choice),
            _ => Err(Invalid::new("a choice is a text of 1 to 64 bytes")),
        }
    }

    /// Runs on the author's replica only. It may read the state.
    fn prepare(
        &self,
        choice: &String,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Invalid>> {
        let payload = choice.as_bytes();
        self.decode(payload).map_err(MachineError::Refused)?;
        Ok(payload.to_vec())
    }

    /// Runs on every replica. Each author has a row: time, op id, choice. The greatest row stays,
    /// in whatever order the ops come.
    fn apply(
        &self,
        op: &OpView<'_>,
        choice: &str,
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        let author = op.reference.author.as_bytes();
        let (time, id) = (op.hlc.to_u64().to_be_bytes(), op.reference.id.as_bytes());
        let row = [&time, &id[..], choice.as_bytes()].concat();
        match data.get(author)?.is_some_and(|old| old > row) {
            true => Ok(()),
            false => data.put(author, &row),
        }
    }

    fn describe(&self, payload: &[u8]) -> String {
        match self.decode(payload) {
            Ok(choice) => format!("vote for {choice:?}"),
            Err(_) => "no vote: the payload is invalid".into(),
        }
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        Self::METHODS
    }
}

/// What is known at compile time.
impl StoreCode for Poll {
    const STORE_TYPE: &'static str = "org.example.poll";
    const METHODS: &'static [MethodEntry<Self>] = &[
        MethodEntry::command("vote", "votes; a later vote replaces it", VOTE, vote),
        MethodEntry::query(
            "results",
            "votes by choice",
            &[],
            ValueType::Record,
            results,
        ),
    ];
}

const VOTE: &[Param] = params![Param::required(
    "choice",
    ValueType::Text,
    "what you vote for"
)];

fn vote(_: &Poll, mut args: Args<'_>) -> Result<String, CallError> {
    let choice = args.take_text("choice")?;
    args.required("choice", choice)
}

fn results(
    _: &Poll,
    _: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let mut counts = BTreeMap::<String, u64>::new();
    let mut rows = data.range(EVERYTHING, Direction::Forward)?;
    while let Some(row) = rows.next()? {
        let choice = String::from_utf8_lossy(&row.value[8 + 32..]);
        *counts.entry(choice.into_owned()).or_default() += 1;
    }
    let counts = counts
        .into_iter()
        .map(|(choice, votes)| (choice, votes.into()));
    Ok(Value::Record(counts.collect()))
}

lattice_guest::export!(Poll, Poll);
