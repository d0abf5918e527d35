//! The findings of a verification: the cause first, and the keys that the user knows.

use std::collections::BTreeMap;

use lattice_backend::backend::Table;
use lattice_backend::engine::verify::{Finding, RowDifference};
use lattice_meta::StoreType;
use serde_json::{Map, Value, json};

use crate::program::bulk::plural;
use crate::program::output::{Output, echo, escape_text, json_bytes, styles};

/// The most bytes of a value in JSON.
const MAX_VALUE_BYTES: usize = 4096;
/// Of these, how many before the first byte that differs.
const BEFORE_BYTES: usize = 1024;

/// The key of the user that a row belongs to, or the row's own.
fn key_of<'a>(store_type: Option<&StoreType>, table: Table, key: &'a [u8]) -> Option<&'a [u8]> {
    let is_kv = store_type.is_some_and(|it| it.as_str() == lattice_kvstore::STORE_TYPE);
    let key = lattice_kvstore::key_of_row(key);
    key.filter(|_| is_kv && table == Table::Data)
}

/// How far a finding is from the cause, if other findings can follow from it or it from them;
/// `None` if it stands alone.
fn rank(finding: &Finding) -> Option<(u8, u64)> {
    Some(match finding {
        Finding::Damaged { .. } => (0, 0),
        Finding::Row(row) if row.table == Table::Ops => (1, 0),
        Finding::Op { index, .. } => (2, index.get()),
        Finding::Effect(effect) => (3, effect.index.get()),
        Finding::Row(row) if row.table == Table::Data => (4, 0),
        Finding::Row(_) => (5, 0),
        Finding::StateHash(_) => (6, 0),
        Finding::Clock { .. } => (7, 0),
        Finding::MoreOps { .. } => (8, 0),
        _ => return None,
    })
}

/// The findings as lines: the cause, what stands alone, and how many follow from the cause.
pub(super) fn lines(
    out: &Output<'_>,
    store_type: Option<&StoreType>,
    findings: &[Finding],
) -> String {
    let cause = findings
        .iter()
        .enumerate()
        .filter_map(|(place, finding)| Some((rank(finding)?, place)))
        .min();
    let cause = cause.map(|(_, place)| place);
    let mut following = BTreeMap::<&str, u64>::new();
    let mut lines = Vec::new();
    for (place, finding) in findings.iter().enumerate() {
        if rank(finding).is_some() && Some(place) != cause {
            *following.entry(finding.kind()).or_default() += 1;
            continue;
        }
        let kind = out.paint(styles::BAD, finding.kind());
        let text = out.hints().complete(&text(store_type, finding));
        let line = format!("{kind}: {}", escape_text(&text));
        match Some(place) == cause {
            true => lines.insert(0, line),
            false => lines.push(line),
        }
    }
    let count = following.values().sum();
    if count > 0 {
        let kinds = following
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"));
        let kinds: Vec<_> = kinds.collect();
        let count = plural(count, ("more finding follows", "more findings follow"));
        let line = format!(
            "{count} from the first ({}); --json has all",
            kinds.join(", ")
        );
        lines.insert(1, out.paint(styles::FAINT, &line));
    }
    lines.join("\n")
}

/// The text of a finding, with the keys of the user.
fn text(store_type: Option<&StoreType>, finding: &Finding) -> String {
    match finding {
        // The kind, which stands before it, says what is computed.
        Finding::StateHash(hash) => {
            format!("computed {}, recorded {}", hash.expected, hash.found)
        }
        Finding::Row(row) => match key_of(store_type, row.table, &row.key) {
            Some(key) => format!("key \"{}\": {}", echo(key), row.values()),
            None => finding.to_string(),
        },
        Finding::Effect(effect) => {
            let mut named = effect.clone();
            let known = |key: &Vec<u8>| {
                let own = key_of(store_type, Table::Data, key);
                own.unwrap_or(key).to_vec()
            };
            named.keys = effect.keys.iter().map(known).collect();
            named.keys.dedup();
            named.to_string()
        }
        finding => finding.to_string(),
    }
}

/// A finding as JSON, with its details in separate fields.
pub(super) fn json(store_type: Option<&StoreType>, finding: &Finding) -> Value {
    let mut object = Map::new();
    object.insert("kind".into(), finding.kind().into());
    object.insert("message".into(), text(store_type, finding).into());
    match finding {
        Finding::Op {
            index,
            op,
            author,
            hlc,
            ..
        } => object.extend([
            ("apply_index".to_owned(), json!(index.get())),
            ("op".to_owned(), json!(op.map(|op| op.id))),
            ("author".to_owned(), json!(author)),
            ("time".to_owned(), json!(hlc.map(|hlc| hlc.ms()))),
        ]),
        Finding::HeldOp { op, .. } => object.extend([
            ("op".to_owned(), json!(op.id)),
            ("author".to_owned(), json!(op.author)),
        ]),
        Finding::Effect(effect) => {
            let key = |key: &Vec<u8>| {
                let mut object = Map::new();
                let own = key_of(store_type, Table::Data, key);
                json_bytes(&mut object, "key", own.unwrap_or(key));
                Value::Object(object)
            };
            let hex = |hash: &[u8]| data_encoding::HEXLOWER.encode(hash);
            object.extend([
                ("apply_index".to_owned(), json!(effect.index.get())),
                ("op".to_owned(), json!(effect.op.id)),
                ("author".to_owned(), json!(effect.op.author)),
                ("time".to_owned(), json!(effect.hlc.ms())),
                ("keys".to_owned(), effect.keys.iter().map(key).collect()),
                // The replay's effect is what the store must have; `EffectDifference` expects what
                // the store has.
                ("expected".to_owned(), json!(hex(&effect.found))),
                ("found".to_owned(), json!(hex(&effect.expected))),
            ]);
        }
        Finding::StateHash(hash) => object.extend([
            ("expected".to_owned(), json!(hash.expected)),
            ("found".to_owned(), json!(hash.found)),
        ]),
        Finding::Row(row) => row_json(&mut object, store_type, row),
        Finding::UnknownRow { table, key } => {
            object.insert("table".into(), table.name().into());
            json_bytes(&mut object, "key", key);
        }
        Finding::Clock { expected, found } => object.extend([
            ("expected".to_owned(), json!(expected.to_string())),
            ("found".to_owned(), json!(found.to_string())),
        ]),
        _ => {}
    }
    object.into()
}

/// The values of a row, cut to what is near the first byte that differs.
fn row_json(object: &mut Map<String, Value>, store_type: Option<&StoreType>, row: &RowDifference) {
    object.insert("table".into(), row.table.name().into());
    let key = key_of(store_type, row.table, &row.key).unwrap_or(&row.key);
    json_bytes(object, "key", key);
    let differs_at = row.first_byte();
    object.insert("differs_at".into(), json!(differs_at));
    let longest = [&row.expected, &row.found].into_iter().flatten();
    let is_cut = longest.map(Vec::len).max() > Some(MAX_VALUE_BYTES);
    let start = match is_cut {
        true => differs_at.unwrap_or(0).saturating_sub(BEFORE_BYTES),
        false => 0,
    };
    object.insert("excerpt_at".into(), json!(start));
    for (name, value) in [("expected", &row.expected), ("found", &row.found)] {
        let Some(value) = value else {
            object.insert(name.into(), Value::Null);
            object.insert(format!("{name}_bytes"), Value::Null);
            continue;
        };
        let rest = &value[start.min(value.len())..];
        json_bytes(object, name, &rest[..rest.len().min(MAX_VALUE_BYTES)]);
        object.insert(format!("{name}_bytes"), json!(value.len()));
    }
}
