//! `lattice list`.

use std::cmp::Reverse;

use lattice_meta::{MetaInfo, StoreId};
use lattice_registry::Listed;
use serde_json::{Map, json};

use crate::Aliases;
use crate::program::args::{self, SortBy};
use crate::program::columns::{Column, Columns};
use crate::program::context::Context;
use crate::program::failure::{Failure, manager_kind};
use crate::program::human;
use crate::program::output::{escape, json_path, styles};
use crate::program::pager;

/// The fewest digits of an id in a list.
const MIN_DIGITS: usize = 8;

pub(super) fn list(context: &mut Context<'_>, list: &args::List) -> Result<(), Failure> {
    let mut all = context.node.manager().list()?;
    pager::show(context);
    let aliases = context.aliases();
    sort(&mut all, &aliases, list.sort);
    if context.out.is_json() {
        for listed in &all {
            let value = json(context, listed, &aliases);
            context.out.json(&value.into())?;
        }
        return Ok(());
    }
    print(context, &all, &aliases)?;
    if all.is_empty() {
        let dir = context.data_dir.display();
        context.out.note(&format!(
            "no stores in {dir}; `lattice create core:kvstore` creates one"
        ));
    }
    Ok(())
}

/// Sorts the stores. Those that cannot be read come last.
fn sort(all: &mut [Listed], aliases: &Aliases, by: SortBy) {
    let name = |meta: &MetaInfo| {
        let alias = aliases.alias_of(meta.store_id);
        // Stores without a name come after those with one.
        (alias.is_none(), alias.cloned(), meta.store_id)
    };
    all.sort_by_cached_key(|listed| {
        let meta = listed.meta.as_ref().ok();
        let (size, store_type) = match by {
            SortBy::Size => (Some(Reverse(listed.size_bytes)), None),
            SortBy::Type => (None, meta.map(|meta| meta.store_type.to_string())),
            SortBy::Name | SortBy::Id => (None, None),
        };
        let name = meta.filter(|_| by != SortBy::Id).map(name);
        let id = meta.map(|meta| meta.store_id);
        (
            meta.is_none(),
            size,
            store_type,
            name,
            id,
            listed.path.clone(),
        )
    });
}

fn print(context: &mut Context<'_>, all: &[Listed], aliases: &Aliases) -> Result<(), Failure> {
    let ids = all.iter().flat_map(|listed| &listed.meta);
    let ids: Vec<StoreId> = ids.map(|meta| meta.store_id).collect();
    let digits = unique_digits(&ids);
    let is_short = context.out.width().is_some();
    let mut table = Columns::new([
        Column::of("ID"),
        Column::of("TYPE").cut().style(styles::TYPE),
        Column::number("SIZE"),
        Column::of("NAME").cut().style(styles::NAME),
        Column::of("NOTE"),
    ]);
    for listed in all {
        let Ok(meta) = &listed.meta else {
            continue;
        };
        let id = meta.store_id.to_string();
        let size = match (listed.size_bytes, is_short) {
            (None, _) => "-".to_owned(),
            (Some(bytes), true) => human::size(bytes),
            (Some(bytes), false) => bytes.to_string(),
        };
        table.row([
            if is_short {
                first_digits(&id, digits)
            } else {
                id
            },
            meta.store_type.to_string(),
            size,
            names(aliases, meta.store_id),
            if listed.is_known { "" } else { "unverified" }.to_owned(),
        ]);
    }
    table.print(&mut context.out)?;
    for listed in all.iter().filter(|listed| listed.meta.is_err()) {
        let value = json(context, listed, aliases);
        let message = value["error"]["message"].as_str().unwrap_or("?");
        let message = context.out.paint(styles::BAD, &escape(message.as_bytes()));
        let path = escape(listed.path.as_os_str().as_encoded_bytes());
        context.out.prose(&format!("{path}  {message}"))?;
    }
    Ok(())
}

/// All names of a store.
fn names(aliases: &Aliases, store_id: StoreId) -> String {
    let names = aliases.iter().filter(|(_, id)| *id == store_id);
    let names: Vec<&str> = names.map(|(alias, _)| alias.as_str()).collect();
    names.join(", ")
}

fn json(
    context: &Context<'_>,
    listed: &Listed,
    aliases: &Aliases,
) -> Map<String, serde_json::Value> {
    match &listed.meta {
        Ok(meta) => Map::from_iter([
            ("store_id".to_owned(), json!(meta.store_id)),
            ("store_type".to_owned(), json!(meta.store_type)),
            ("schema_version".to_owned(), json!(meta.schema_version)),
            ("alias".to_owned(), json!(aliases.alias_of(meta.store_id))),
            ("bytes".to_owned(), json!(listed.size_bytes)),
            ("verified".to_owned(), json!(listed.is_known)),
        ]),
        Err(error) => {
            let name = listed.path.file_name().unwrap_or(listed.path.as_os_str());
            let failure = Failure::of(manager_kind(error), error);
            let mut value = Map::new();
            json_path(&mut value, "path", &listed.path);
            value.insert("error".into(), context.complete(failure, name).to_json());
            value
        }
    }
}

/// The number of hex digits by which the ids differ.
fn unique_digits(ids: &[StoreId]) -> usize {
    let mut all: Vec<String> = ids
        .iter()
        .map(|id| id.to_string().replace('-', ""))
        .collect();
    all.sort();
    all.dedup();
    let common = |pair: &[String]| {
        let pairs = pair[0].bytes().zip(pair[1].bytes());
        pairs.take_while(|(one, other)| one == other).count()
    };
    let longest = all.windows(2).map(common).max().unwrap_or(0);
    (longest + 1).max(MIN_DIGITS)
}

/// The start of an id that has so many digits.
fn first_digits(id: &str, digits: usize) -> String {
    let mut left = digits;
    id.chars()
        .take_while(|character| {
            let is_in = left > 0;
            left -= usize::from(is_in && *character != '-');
            is_in
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shortened_to_what_is_unique() {
        let id = |text: &str| text.parse::<StoreId>().expect("an id");
        let one = id("12345678-9abc-8def-8123-456789abcdef");
        let near = id("12345678-9abd-8def-8123-456789abcdef");
        let far = id("22345678-9abd-8def-8123-456789abcdef");
        assert_eq!(unique_digits(&[one]), 8);
        assert_eq!(unique_digits(&[one, one]), 8);
        assert_eq!(unique_digits(&[far, one]), 8);
        assert_eq!(unique_digits(&[one, far, near]), 12);
        let text = one.to_string();
        assert_eq!(first_digits(&text, 8), "12345678");
        assert_eq!(first_digits(&text, 9), "12345678-9");
        assert_eq!(first_digits(&text, 12), "12345678-9abc");
        assert_eq!(first_digits(&text, 99), text);
    }
}
