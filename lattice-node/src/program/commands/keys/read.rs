//! Commands that read key-value stores.

use std::ffi::OsString;
use std::ops::Bound;

use lattice_kvstore::Sibling;
use serde_json::json;

use super::super::timestamp;
use super::{For, entry, given_all, given_key, no_key};
use crate::KvStore;
use crate::program::args::{self, Encoding};
use crate::program::context::{Context, given, shown};
use crate::program::failure::{Failure, Kind};
use crate::program::output::{Output, echo_all, styles};

/// Prints the value of one key alone, and of several each with its key. All are read from one
/// snapshot. Missing keys are reported after the values of the others.
pub(in super::super) fn get(context: &mut Context<'_>, get: args::Get) -> Result<(), Failure> {
    let encoding = get.encoding;
    check_null(&context.out, get.null)?;
    let kv: KvStore = context.read(&get.store.store, &lattice_kvstore::store_type())?;
    let snapshot = kv.snapshot()?;
    let keys = given_all(&snapshot, get.keys, encoding, For::Reading)?;
    let is_alone = keys.len() == 1 && !get.null;
    let mut missing = Vec::new();
    for key in &keys {
        let out = &mut context.out;
        match snapshot.get(key)? {
            Some(value) if !is_alone || out.is_json() => {
                print_row(out, get.null, key, Some(&value), encoding)?;
            }
            Some(value) if encoding.b64 => out.line(&shown(&value, encoding))?,
            Some(value) => out.value(&value)?,
            None => missing.push(&key[..]),
        }
    }
    match missing[..] {
        [] => Ok(()),
        [key] => Err(no_key(&kv, key)),
        _ => Err(Failure::new(
            Kind::NoKey,
            format!(
                "store {} has no keys {}",
                kv.store_id(),
                echo_all(missing.iter().copied())
            ),
        )),
    }
}

/// Answers with the exit code, and in JSON for each key.
pub(in super::super) fn exists(
    context: &mut Context<'_>,
    exists: args::Exists,
) -> Result<(), Failure> {
    let kv: KvStore = context.read(&exists.store.store, &lattice_kvstore::store_type())?;
    let snapshot = kv.snapshot()?;
    let keys = given_all(&snapshot, exists.keys, exists.encoding, For::Reading)?;
    let mut all = true;
    for key in &keys {
        let is_there = snapshot.contains(key)?;
        all &= is_there;
        if context.out.is_json() {
            let mut object = entry(key, None, exists.encoding);
            object.insert("exists".into(), json!(is_there));
            context.out.json(&object.into())?;
        }
    }
    match all {
        true => Ok(()),
        false => Err(Failure::silent(Kind::NoKey)),
    }
}

/// Raw bytes are neither for a terminal nor JSON.
fn check_null(out: &Output<'_>, null: bool) -> Result<(), Failure> {
    if null && out.is_terminal() {
        return Err(Failure::usage(
            "-0 prints raw bytes, which can control a terminal; pipe the output to a program",
        ));
    }
    if null && out.is_json() {
        return Err(Failure::usage(
            "-0 prints raw bytes, so it cannot be used with --json",
        ));
    }
    Ok(())
}

/// Prints a key, and its value if given: as raw bytes, as JSON, or on a line.
fn print_row(
    out: &mut Output<'_>,
    null: bool,
    key: &[u8],
    value: Option<&[u8]>,
    encoding: Encoding,
) -> Result<(), Failure> {
    if null {
        return [Some(key), value]
            .into_iter()
            .flatten()
            .try_for_each(|bytes| {
                out.raw(bytes)?;
                out.raw(b"\0")
            });
    }
    out.row(entry(key, value, encoding), |out| {
        let key = out.paint(styles::NAME, &shown(key, encoding));
        value.map_or(key.clone(), |value| {
            format!("{key}\t{}", shown(value, encoding))
        })
    })
}

pub(in super::super) fn scan(context: &mut Context<'_>, scan: args::Scan) -> Result<(), Failure> {
    let encoding = scan.encoding;
    check_null(&context.out, scan.null)?;
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
        print_row(out, scan.null, key, value, encoding)
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

pub(in super::super) fn conflicts(
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
    let key = given_key(&snapshot, key, encoding, For::Reading)?;
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
        out.row(object, |out| {
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
