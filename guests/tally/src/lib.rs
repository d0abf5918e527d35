//! `org.example.tally` sums numbers by name, and shows how code changes the layout of its rows.
//!
//! A layout is how rows represent the state; the state itself is its elements. A new layout has a
//! number, [`migrate`](StateMachine::migrate) rewrites the rows, and
//! [`elements`](StateMachine::elements) returns the same elements for the rows of each layout. The
//! host compares the state hash before and after, and rolls back the migration if it differs.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str;

use lattice_guest::store_type::*;

/// The first layout: the key is the name, the value the sum in decimal digits.
const DIGITS: u64 = 1;
/// Precedes the name in a key of the second layout, whose value is the sum in 8 bytes, little
/// endian. No UTF-8 text has this byte, so a key of one layout never equals a key of the other.
const PREFIX: u8 = 0xff;
/// Rows that a migration holds in memory at one time.
const PAGE: usize = 256;

/// The state machine that knows the layouts up to `LAST`.
pub struct TallyMachine<const LAST: u64>;

/// Adds a number to the sum of a name. The payload is the number in 8 bytes, little endian, then
/// the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// The name.
    pub name: String,
    /// The number.
    pub number: i64,
}

/// Why the number is not added.
#[derive(Debug, PartialEq, Eq)]
pub struct NoName;

impl core::fmt::Display for NoName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("expected a name of 1 to 255 bytes")
    }
}

impl core::error::Error for NoName {}

fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
}

fn key(layout: u64, name: &str) -> Vec<u8> {
    match layout {
        DIGITS => name.as_bytes().to_vec(),
        _ => [&[PREFIX], name.as_bytes()].concat(),
    }
}

fn value(layout: u64, sum: i64) -> Vec<u8> {
    match layout {
        DIGITS => sum.to_string().into_bytes(),
        _ => sum.to_le_bytes().to_vec(),
    }
}

/// The name and the sum of a row.
fn read(layout: u64, row: Row<'_>) -> Result<(&str, i64)> {
    let name = match (layout, row.key) {
        (DIGITS, name) => Some(name),
        (_, [PREFIX, name @ ..]) => Some(name),
        _ => None,
    };
    let sum = match layout {
        DIGITS => str::from_utf8(row.value)
            .ok()
            .and_then(|sum| sum.parse().ok()),
        _ => row.value.try_into().map(i64::from_le_bytes).ok(),
    };
    let name = name.and_then(|name| str::from_utf8(name).ok());
    name.zip(sum).ok_or_else(|| {
        let expected = "a name and its sum";
        BackendError::row(Table::Data, expected, readable(row.key).to_string())
    })
}

impl<const LAST: u64> TallyMachine<LAST> {
    const ADD: &'static [Param] = params![
        Param::required("name", ValueType::Text, "1 to 255 bytes"),
        Param::required("number", ValueType::Integer, "what is added"),
    ];
    const SUM: &'static [Param] = params![Param::required("name", ValueType::Text, "the name")];

    /// The version of the native code changes with the layouts.
    const LOGIC: &'static Logic = &Logic::constant(
        Self::STORE_TYPE,
        match LAST {
            1 => "tally/1",
            _ => "tally/2",
        },
    )
    .schemas(SchemaVersion::new(Self::SCHEMAS.0)..=SchemaVersion::new(Self::SCHEMAS.1));

    /// The state machine.
    pub fn new() -> Self {
        Self
    }
}

impl<const LAST: u64> Default for TallyMachine<LAST> {
    fn default() -> Self {
        Self::new()
    }
}

/// The sum of a name; a name without a row has the sum 0.
fn sum(layout: u64, name: &str, data: &(impl DataRead + ?Sized)) -> Result<i64> {
    let key = key(layout, name);
    let Some(value) = data.get(&key)? else {
        return Ok(0);
    };
    let (key, value) = (&key[..], &value[..]);
    Ok(read(layout, Row { key, value })?.1)
}

impl<const LAST: u64> StateMachine for TallyMachine<LAST> {
    type Command = Add;
    type Refusal = NoName;
    type Payload<'a> = (&'a str, i64);

    fn logic(&self) -> &Logic {
        Self::LOGIC
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<(&'a str, i64), Invalid> {
        let (number, name) = payload
            .split_first_chunk()
            .ok_or_else(|| Invalid::new("expected a number and a name"))?;
        match str::from_utf8(name) {
            Ok(name) if is_name(name) => Ok((name, i64::from_le_bytes(*number))),
            _ => Err(Invalid::new("expected a name of 1 to 255 bytes of UTF-8")),
        }
    }

    fn prepare(
        &self,
        add: &Add,
        _: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Vec<u8>, MachineError<NoName>> {
        match is_name(&add.name) {
            true => Ok([&add.number.to_le_bytes(), add.name.as_bytes()].concat()),
            false => Err(MachineError::Refused(NoName)),
        }
    }

    /// Sums wrap around, so that the result does not depend on the order of ops.
    fn apply(
        &self,
        _: &OpView<'_>,
        (name, number): (&str, i64),
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        let sum = sum(LAST, name, data)?.wrapping_add(number);
        data.put(&key(LAST, name), &value(LAST, sum))
    }

    /// The name, and the sum in 8 bytes, whichever layout the row has.
    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        _: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let (name, sum) = read(schema.get(), row)?;
        each(name.as_bytes(), &sum.to_le_bytes());
        Ok(())
    }

    /// Rewrites the rows a page at a time: rows of the first layout sort before rows of the second.
    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        _: &dyn History,
    ) -> Result<()> {
        loop {
            let mut page = Vec::with_capacity(PAGE);
            let old = (Bound::Unbounded, Bound::Excluded(&[PREFIX][..]));
            let mut rows = data.range(old, Direction::Forward)?;
            while let Some(row) = rows.next()?.filter(|_| page.len() < PAGE) {
                let (name, sum) = read(from.get(), row)?;
                page.push((String::from(name), sum));
            }
            drop(rows);
            if page.is_empty() {
                return Ok(());
            }
            for (name, sum) in page {
                data.remove(&key(DIGITS, &name))?;
                data.put(&key(LAST, &name), &value(LAST, sum))?;
            }
        }
    }

    fn describe(&self, payload: &[u8]) -> String {
        match self.decode(payload) {
            Ok((name, number)) => format!("{name} {number:+}"),
            Err(invalid) => invalid.to_string(),
        }
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        Self::METHODS
    }
}

impl<const LAST: u64> StoreCode for TallyMachine<LAST> {
    const STORE_TYPE: &'static str = "org.example.tally";
    const SCHEMAS: (u64, u64) = (DIGITS, LAST);
    const ELEMENTS: Elements = Elements::Code;
    const METHODS: &'static [MethodEntry<Self>] = &[
        MethodEntry::command(
            "add",
            "adds a number to the sum of a name",
            Self::ADD,
            call_add,
        ),
        MethodEntry::query(
            "sum",
            "the sum of a name",
            Self::SUM,
            ValueType::Integer,
            call_sum,
        ),
    ];
}

fn call_add<const LAST: u64>(_: &TallyMachine<LAST>, mut args: Args<'_>) -> Result<Add, CallError> {
    let (name, number) = (args.take_text("name")?, args.take_i64("number")?);
    Ok(Add {
        name: args.required("name", name)?,
        number: args.required("number", number)?,
    })
}

fn call_sum<const LAST: u64>(
    _: &TallyMachine<LAST>,
    mut args: Args<'_>,
    data: &dyn DataRead,
    _: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let name = args.take_text("name")?;
    let name = args.required("name", name)?;
    Ok(Value::Integer(sum(LAST, &name, data)?.into()))
}

#[cfg(feature = "first")]
lattice_guest::export!(TallyMachine<1>, TallyMachine::<1>::new());

#[cfg(not(feature = "first"))]
lattice_guest::export!(TallyMachine<2>, TallyMachine::<2>::new());
