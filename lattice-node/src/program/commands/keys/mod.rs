//! Commands for key-value stores: those that write, and those that read in `read`.

mod read;

use std::ffi::OsString;

use lattice_backend::engine::write::{AppendError, Receipt};
use lattice_kvstore::{Expectation, Found, KvRefusal, KvSnapshot};
use serde_json::{Map, Value, json};

pub(super) use read::{conflicts, exists, get, scan};

use crate::KvStore;
use crate::program::args::{self, Encoding};
use crate::program::context::{Context, close, from_base64, given};
use crate::program::escapes::unescape;
use crate::program::failure::{Failure, Kind};
use crate::program::output::{Output, echo, json_base64, json_bytes};

pub(super) fn put(context: &mut Context<'_>, put: args::Put) -> Result<(), Failure> {
    let encoding = put.encoding;
    let expected = match (put.if_absent, put.expect) {
        (true, _) => Some(Expectation::Absent),
        (false, Some(value)) => Some(Expectation::Value(given(value, encoding)?)),
        (false, None) => None,
    };
    let value = match put.value {
        Some(value) => given(value, encoding)?,
        None => {
            let value = context.read_stdin("VALUE")?;
            from_stdin(value, encoding)?
        }
    };
    context.allow(put.writing);
    let kv: KvStore = context.write(&put.store.store, &lattice_kvstore::store_type())?;
    let key = given_key(&kv.snapshot()?, put.key, encoding, For::Writing)?;
    let mut batch = kv.batch().put(&key, value);
    if let Some(expected) = expected {
        batch = batch.expect(key, expected);
    }
    let receipt = batch.commit()?;
    close(&kv)?;
    print_receipt(&mut context.out, &receipt)
}

/// Decodes the value. Programs print base64 with a line end, which is removed.
fn from_stdin(mut value: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>, Failure> {
    if encoding.b64 {
        while value.last().is_some_and(u8::is_ascii_whitespace) {
            value.pop();
        }
        value = from_base64(&value)
            .map_err(|reason| Failure::usage(format!("standard input: {reason}")))?;
    }
    Ok(value)
}

/// Prints a receipt in JSON only; text output is silent on success.
pub(super) fn print_receipt(out: &mut Output<'_>, receipt: &Receipt) -> Result<(), Failure> {
    match out.is_json() {
        true => out.json(&receipt_json(receipt).into()),
        false => Ok(()),
    }
}

/// A receipt as a JSON object.
pub(super) fn receipt_json(receipt: &Receipt) -> Map<String, Value> {
    let op = &receipt.op;
    Map::from_iter([
        ("op".to_owned(), json!(op.id)),
        ("author".to_owned(), json!(op.author)),
        ("seq".to_owned(), json!(op.seq.to_string())),
        ("apply_index".to_owned(), json!(receipt.index.get())),
    ])
}

pub(super) fn delete(context: &mut Context<'_>, delete: args::Delete) -> Result<(), Failure> {
    let expected = match delete.expect {
        Some(value) => Expectation::Value(given(value, delete.encoding)?),
        None => Expectation::Present,
    };
    context.allow(delete.writing);
    let kv: KvStore = context.write(&delete.store.store, &lattice_kvstore::store_type())?;
    let keys = given_all(&kv.snapshot()?, delete.keys, delete.encoding, For::Writing)?;
    let mut batch = kv.batch();
    for key in &keys {
        batch = batch.expect(key, expected.clone()).delete(key);
    }
    let receipt = batch.commit().map_err(|error| {
        let failure = match error {
            AppendError::Refused(KvRefusal::Expectation {
                key,
                found: Found::Absent,
                ..
            }) => no_key(&kv, &key),
            error => error.into(),
        };
        match keys.len() {
            1 => failure,
            _ => failure.and("nothing was deleted"),
        }
    })?;
    close(&kv)?;
    print_receipt(&mut context.out, &receipt)
}

/// What a command does with the keys that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Reading,
    Writing,
}

/// The keys of a command: those that are there, as `scan` prints them, or else as they are given.
///
/// A key with bytes that are not printable is given with `\\xNN`. If keys of both forms are there,
/// a command that writes is refused.
fn given_all(
    snapshot: &KvSnapshot,
    keys: Vec<OsString>,
    encoding: Encoding,
    purpose: For,
) -> Result<Vec<Vec<u8>>, Failure> {
    let key = |key| given_key(snapshot, key, encoding, purpose);
    keys.into_iter().map(key).collect()
}

fn given_key(
    snapshot: &KvSnapshot,
    key: OsString,
    encoding: Encoding,
    purpose: For,
) -> Result<Vec<u8>, Failure> {
    let key = given(key, encoding)?;
    let Some(printed) = unescape(&key).filter(|_| !encoding.b64) else {
        return Ok(key);
    };
    // A text that is too long or empty is no key.
    match snapshot.contains(&printed).unwrap_or(false) {
        false => Ok(key),
        true if purpose == For::Writing && snapshot.contains(&key)? => {
            Err(Failure::usage(format!(
                "two keys are there: {} as it is given, and one that is printed so; give the key \
                 with --b64",
                echo(&key)
            )))
        }
        true => Ok(printed),
    }
}

fn no_key(kv: &KvStore, key: &[u8]) -> Failure {
    Failure::new(
        Kind::NoKey,
        format!("store {} has no key \"{}\"", kv.store_id(), echo(key)),
    )
}

/// A key, and its value if given, as a JSON object.
fn entry(key: &[u8], value: Option<&[u8]>, encoding: Encoding) -> Map<String, Value> {
    let mut object = Map::new();
    put_bytes(&mut object, "key", key, encoding);
    if let Some(value) = value {
        put_bytes(&mut object, "value", value, encoding);
    }
    object
}

fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8], encoding: Encoding) {
    if encoding.b64 {
        json_base64(object, name, bytes);
    } else {
        json_bytes(object, name, bytes);
    }
}
