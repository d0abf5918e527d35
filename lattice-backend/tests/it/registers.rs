//! A state machine for tests: named registers where the write with the greatest `(hlc, op_id)`
//! wins; and machines that each break one rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lattice_backend::backend::{Direction, PrefixSpan, Result, Row};
use lattice_backend::machine::{
    Args, CallError, DataRead, DataWrite, History, Invalid, Logic, MachineError, MethodEntry,
    Param, StateMachine, Value, ValueType,
};
use lattice_backend::op::OpView;
use lattice_backend::params;
use lattice_meta::{SchemaVersion, StoreType};

#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Sets a register.
    Set(Vec<u8>, Vec<u8>),
    /// Is refused.
    Refuse,
    /// Becomes a payload unchanged, valid or not.
    Raw(Vec<u8>),
    /// Panics while it is prepared.
    Panic,
}

impl Command {
    pub(crate) fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self::Set(key.as_ref().to_vec(), value.as_ref().to_vec())
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused by name")]
pub(crate) struct Refused;

/// Ways to break the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// The write that arrives last wins.
    LastArrivalWins,
    /// A write to a register is ignored if it does not change the value.
    EffectFromState,
    /// Validity of a payload depends on how many this process has seen before.
    ValidityFromOutside,
    /// A row counts the calls in this process.
    Nondeterminism,
    /// All rows have one element.
    ElementsCollide,
    /// Elements carry a number that changes.
    ElementsFromOutside,
    /// Elements carry apply indexes, which differ between replicas.
    NumbersInElements,
    /// Commands become payloads that are invalid.
    PreparesInvalid,
    /// A migration loses a row.
    MigrationLoses,
}

/// Up to this schema, register rows have the prefix [`OLD_PREFIX`].
const OLD_LAYOUT: SchemaVersion = SchemaVersion::new(2);
const OLD_PREFIX: u8 = 1;

#[derive(Debug, Clone)]
pub(crate) struct Registers {
    pub(crate) logic: Logic,
    pub(crate) lie: Lie,
    /// The machine stores values of registers whose names have this prefix backwards.
    pub(crate) backwards: Option<&'static [u8]>,
    /// Makes `apply` panic.
    pub(crate) panics: Arc<AtomicBool>,
    pub(crate) calls: Arc<AtomicU64>,
}

const STORE_TYPE: &str = "org.example.registers";

/// Logic that opens layout 2 and later ones.
fn logic(store_type: &str, version: &str, newest: u64) -> Logic {
    let schemas = OLD_LAYOUT..=SchemaVersion::new(newest);
    Logic::new(store_type, version).unwrap().schemas(schemas)
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            logic: logic(STORE_TYPE, "registers-1", 4),
            lie: Lie::None,
            backwards: None,
            panics: Arc::default(),
            calls: Arc::default(),
        }
    }
}

impl Registers {
    pub(crate) fn lying(lie: Lie) -> Self {
        Self {
            lie,
            ..Self::default()
        }
    }

    pub(crate) fn store_type() -> StoreType {
        STORE_TYPE.parse().unwrap()
    }

    /// The same logic for another store type.
    pub(crate) fn of_type(store_type: &str) -> Self {
        Self {
            logic: logic(store_type, "registers-1", 4),
            ..Self::default()
        }
    }

    /// The same logic up to a different layout.
    pub(crate) fn up_to_layout(newest: u64) -> Self {
        Self {
            logic: logic(STORE_TYPE, "registers-1", newest),
            ..Self::default()
        }
    }

    /// The same logic at an older layout.
    pub(crate) fn old_layout() -> Self {
        Self::up_to_layout(OLD_LAYOUT.get())
    }

    /// A different build: another version, and perhaps other results.
    pub(crate) fn build(version: &str, backwards: Option<&'static [u8]>) -> Self {
        Self {
            logic: logic(STORE_TYPE, version, 4),
            backwards,
            ..Self::default()
        }
    }

    /// The key of a register's row.
    fn row_key(&self, key: &[u8]) -> Vec<u8> {
        match self.logic.newest_schema() <= OLD_LAYOUT {
            true => [&[OLD_PREFIX], key].concat(),
            false => key.to_vec(),
        }
    }

    fn count(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }
}

/// `key length, key, value`; an empty key is invalid.
pub(crate) fn payload(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(key.len()).unwrap()], key, value].concat()
}

fn parse(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = payload.split_first()?;
    let parts = rest.split_at_checked(usize::from(length));
    parts.filter(|(key, _)| !key.is_empty())
}

/// One row names the greatest write of all. It moves, so that rows are removed too.
fn mark_latest(data: &mut dyn DataWrite, rank: &[u8]) -> Result<()> {
    const PREFIX: &[u8] = b"\xfflatest/";
    let span = PrefixSpan::new(PREFIX);
    let before = {
        let mut rows = data.range(span.span(), Direction::Backward)?;
        rows.next()?.map(|row| row.key.to_vec())
    };
    let after = [PREFIX, rank].concat();
    match before {
        Some(before) if before >= after => return Ok(()),
        Some(before) => data.remove(&before)?,
        None => {}
    }
    data.put(&after, b"")
}

/// What a row holds: the rank of the write, then its value.
pub(crate) fn value_of(row: &[u8]) -> &[u8] {
    &row[40..]
}

pub(crate) fn read(data: &dyn DataRead, key: &[u8]) -> Option<Vec<u8>> {
    data.get(key).unwrap().map(|row| value_of(&row).to_vec())
}

const KEY: Param = Param::required("key", ValueType::Bytes, "The register.");
const VALUE: Param = Param::required("value", ValueType::Bytes, "What it is to hold.");
const METHODS: &[MethodEntry<Registers>] = &[
    MethodEntry::command("set", "Sets a register.", params![KEY, VALUE], set),
    MethodEntry::query(
        "get",
        "Reads a register.",
        params![KEY],
        ValueType::Bytes,
        get,
    ),
    MethodEntry::stream("follow", "Follows all registers.", &[], ValueType::Record),
];

impl StateMachine for Registers {
    type Command = Command;
    type Refusal = Refused;
    type Payload<'a> = (&'a [u8], &'a [u8]);

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Invalid> {
        if self.lie == Lie::ValidityFromOutside && self.count() % 7 == 3 {
            return Err(Invalid::new("every seventh"));
        }
        parse(payload).ok_or_else(|| Invalid::new("expected a key of 1 byte or more"))
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        METHODS
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        _: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        match self.lie {
            _ if schema <= OLD_LAYOUT && row.key.first() == Some(&OLD_PREFIX) => {
                each(&row.key[1..], row.value);
            }
            Lie::ElementsCollide => each(b"all", b""),
            Lie::ElementsFromOutside => each(row.key, &self.count().to_le_bytes()),
            _ => each(row.key, row.value),
        }
        Ok(())
    }

    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        if from != OLD_LAYOUT {
            return Ok(());
        }
        let mut lost = self.lie != Lie::MigrationLoses;
        loop {
            let span = PrefixSpan::new(&[OLD_PREFIX]);
            let row = {
                let mut rows = data.range(span.span(), Direction::Forward)?;
                rows.next()?
                    .map(|row| (row.key.to_vec(), row.value.to_vec()))
            };
            let Some((key, value)) = row else {
                return Ok(());
            };
            data.remove(&key)?;
            if std::mem::replace(&mut lost, true) {
                data.put(&key[1..], &value)?;
            }
        }
    }

    fn prepare(
        &self,
        command: &Command,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<Refused>> {
        match command {
            Command::Set(_, _) if self.lie == Lie::PreparesInvalid => Ok(Vec::new()),
            Command::Set(key, value) => Ok(payload(key, value)),
            Command::Refuse => Err(MachineError::Refused(Refused)),
            Command::Raw(payload) => Ok(payload.clone()),
            Command::Panic => std::panic::resume_unwind(Box::new("told to panic")),
        }
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        (name, value): (&[u8], &[u8]),
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        // Without the message that the panic hook would print.
        if self.panics.load(Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("told to panic"));
        }
        let rank = [
            &op.hlc.to_u64().to_be_bytes()[..],
            op.reference.id.as_bytes(),
        ]
        .concat();
        let key = &*self.row_key(name);
        let mut value = value.to_vec();
        if self.backwards.is_some_and(|start| name.starts_with(start)) {
            value.reverse();
        }
        let before = data.get(key)?;
        let loses = before
            .as_ref()
            .is_some_and(|row| row[..40] > rank[..] && self.lie != Lie::LastArrivalWins);
        match self.lie {
            Lie::EffectFromState if before.is_some_and(|row| value_of(&row) == value) => {
                return Ok(());
            }
            Lie::Nondeterminism => data.put(b"calls", &self.count().to_le_bytes())?,
            Lie::NumbersInElements => value.extend(op.index.get().to_le_bytes()),
            _ => {}
        }
        mark_latest(data, &rank)?;
        if !loses {
            data.put(key, &[&rank, &*value].concat())?;
        }
        Ok(())
    }
}

fn set(_: &Registers, mut args: Args<'_>) -> Result<Command, CallError> {
    let (key, value) = (args.take_bytes("key")?, args.take_bytes("value")?);
    Ok(Command::Set(
        args.required("key", key)?,
        args.required("value", value)?,
    ))
}

fn get(
    _: &Registers,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let key = args.take_bytes("key")?;
    let key = args.required("key", key)?;
    // Through a range, so that the test covers a snapshot's cursor as well.
    let span = (
        std::ops::Bound::Included(&key[..]),
        std::ops::Bound::Included(&key[..]),
    );
    let mut rows = data.range(span, Direction::Forward)?;
    let row = rows.next()?;
    Ok(row.map(|row| value_of(row.value).to_vec()).into())
}
