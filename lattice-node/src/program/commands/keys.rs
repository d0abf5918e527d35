//! Commands for key-value stores.

use std::ffi::OsString;
use std::ops::Bound;

use lattice_backend::engine::write::AppendError;
use lattice_kvstore::{KvRefusal, Sibling};
use serde_json::{Map, Value, json};

use super::timestamp;
use crate::KvStore;
use crate::program::args::{self, Encoding};
use crate::program::context::{Context, close, given, shown};
use crate::program::failure::Failure;
use crate::program::output::{Output, echo, json_base64, json_bytes, styles};

pub(super) fn put(context: &mut Context<'_>, put: args::Put) -> Result<(), Failure> {
    let key = given(put.key, put.encoding)?;
    let value = match put.value {
        Some(value) => given(value, put.encoding)?,
        None => {
            let value = context.read_stdin("VALUE")?;
            from_stdin(value, put.encoding)?
        }
    };
    context.allow(put.writing);
    let kv: KvStore = context.write(&put.store.store, &lattice_kvstore::store_type())?;
    let receipt = kv.put(key, value)?;
    close(&kv)?;
    print_receipt(&mut context.out, &receipt)
}

/// Decodes the value. Programs print base64 with a line end, which is removed.
fn from_stdin(mut value: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>, Failure> {
    if encoding.b64 {
        while value.last().is_some_and(u8::is_ascii_whitespace) {
            value.pop();
        }
        value = crate::program::context::from_base64(&value)
            .map_err(|reason| Failure::usage(format!("standard input: {reason}")))?;
    }
    Ok(value)
}

/// Prints a receipt in JSON only; text output is silent on success.
fn print_receipt(
    out: &mut Output<'_>,
    receipt: &lattice_backend::engine::write::Receipt,
) -> Result<(), Failure> {
    if out.is_json() {
        let op = &receipt.op;
        out.json(
            &json!({ "op": op.id, "author": op.author, "seq": op.seq, "index": receipt.index.get() }),
        )?;
    }
    Ok(())
}

pub(super) fn get(context: &mut Context<'_>, get: args::Get) -> Result<(), Failure> {
    let key = given(get.key, get.encoding)?;
    let kv: KvStore = context.read(&get.store.store, &lattice_kvstore::store_type())?;
    let Some(value) = kv.get(&key)? else {
        return Err(no_key(&kv, &key));
    };
    if context.out.is_json() {
        let entry = entry(&key, Some(&value), get.encoding);
        return context.out.json(&entry.into());
    }
    if get.encoding.b64 {
        return context.out.line(&shown(&value, get.encoding));
    }
    context.out.value(&value)
}

fn no_key(kv: &KvStore, key: &[u8]) -> Failure {
    Failure::not_found(format!(
        "store {} has no key \"{}\"",
        kv.store_id(),
        echo(key)
    ))
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

pub(super) fn delete(context: &mut Context<'_>, delete: args::Delete) -> Result<(), Failure> {
    let keys = delete
        .keys
        .into_iter()
        .map(|key| given(key, delete.encoding))
        .collect::<Result<Vec<_>, _>>()?;
    context.allow(delete.writing);
    let kv: KvStore = context.write(&delete.store.store, &lattice_kvstore::store_type())?;
    let mut batch = kv.batch();
    for key in &keys {
        batch = batch.expect_present(key).delete(key);
    }
    let receipt = batch.commit().map_err(|error| match error {
        AppendError::Refused(KvRefusal::Expectation { key, .. }) if keys.len() > 1 => {
            no_key(&kv, &key).and("nothing was deleted")
        }
        AppendError::Refused(KvRefusal::Expectation { key, .. }) => no_key(&kv, &key),
        error => error.into(),
    })?;
    close(&kv)?;
    print_receipt(&mut context.out, &receipt)
}

pub(super) fn scan(context: &mut Context<'_>, scan: args::Scan) -> Result<(), Failure> {
    let encoding = scan.encoding;
    if scan.null && context.out.is_terminal() {
        return Err(Failure::usage(
            "-0 prints raw bytes, which can control a terminal; pipe the output to a program",
        ));
    }
    if scan.null && context.out.is_json() {
        return Err(Failure::usage(
            "-0 prints raw bytes, so it cannot be used with --json",
        ));
    }
    let bytes =
        |argument: Option<OsString>| argument.map(|bytes| given(bytes, encoding)).transpose();
    let (prefix, from, to) = (bytes(scan.prefix)?, bytes(scan.from)?, bytes(scan.to)?);
    let kv: KvStore = context.read(&scan.store.store, &lattice_kvstore::store_type())?;
    let span = (
        from.map_or(Bound::Unbounded, Bound::Included),
        to.map_or(Bound::Unbounded, Bound::Excluded),
    );
    let rows = kv
        .snapshot()?
        .scan_prefix(prefix.unwrap_or_else(Vec::new), span);
    let limit = scan.limit.unwrap_or(usize::MAX);
    let print = |out: &mut Output<'_>, key: &[u8], value: Option<&[u8]>| {
        if scan.null {
            return [Some(key), value]
                .into_iter()
                .flatten()
                .try_for_each(|bytes| {
                    out.raw(bytes)?;
                    out.raw(b"\0")
                });
        }
        out.either(entry(key, value, encoding), |out| {
            let key = out.paint(styles::NAME, &shown(key, encoding));
            value.map_or(key.clone(), |value| {
                format!("{key}\t{}", shown(value, encoding))
            })
        })
    };
    let out = &mut context.out;
    // The four combinations have iterators of four different types.
    match (scan.keys_only, scan.reverse) {
        (true, false) => rows
            .keys()
            .take(limit)
            .try_for_each(|key| print(out, &key?, None)),
        (true, true) => rows
            .keys()
            .rev()
            .take(limit)
            .try_for_each(|key| print(out, &key?, None)),
        (false, false) => rows.take(limit).try_for_each(|row| {
            let (key, value) = row?;
            print(out, &key, Some(&value))
        }),
        (false, true) => rows.rev().take(limit).try_for_each(|row| {
            let (key, value) = row?;
            print(out, &key, Some(&value))
        }),
    }
}

pub(super) fn conflicts(
    context: &mut Context<'_>,
    conflicts: args::Conflicts,
) -> Result<(), Failure> {
    let encoding = conflicts.encoding;
    let kv: KvStore = context.read(&conflicts.store.store, &lattice_kvstore::store_type())?;
    let snapshot = kv.snapshot()?;
    let Some(key) = conflicts.key else {
        let mut keys = 0_u64;
        for key in snapshot.conflicted_keys() {
            let key = key?;
            print_siblings(&mut context.out, &key, &snapshot.conflicts(&key)?, encoding)?;
            keys += 1;
        }
        if keys == 0 {
            context.out.note("no key has more than one value");
        }
        return Ok(());
    };
    let key = given(key, encoding)?;
    let siblings = snapshot.conflicts(&key)?;
    if siblings.is_empty() {
        return Err(no_key(&kv, &key));
    }
    print_siblings(&mut context.out, &key, &siblings, encoding)
}

fn print_siblings(
    out: &mut Output<'_>,
    key: &[u8],
    siblings: &[Sibling],
    encoding: Encoding,
) -> Result<(), Failure> {
    for (place, sibling) in siblings.iter().enumerate() {
        let mut object = entry(key, Some(&sibling.value), encoding);
        object.insert("current".into(), json!(place == 0));
        object.insert("author".into(), json!(sibling.op.author));
        object.insert("time".into(), sibling.hlc.ms().into());
        object.insert("op".into(), json!(sibling.op.id));
        out.either(object, |out| {
            let key = out.paint(styles::NAME, &shown(key, encoding));
            let current = if place == 0 { "current" } else { "also" };
            let by = format!("{}  {:.8}", timestamp(sibling.hlc.ms()), sibling.op.author);
            let by = out.paint(styles::FAINT, &by);
            format!(
                "{key}\t{current}\t{by}\t{}",
                shown(&sibling.value, encoding)
            )
        })?;
    }
    Ok(())
}
