//! The public API of a crate, one line per item.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit_mut::VisitMut;
use syn::{ImplItem, Item};

use super::describe::{Describe, bounds, function};
use super::names::{Definition, Renamer, Target};
use super::text::text;
use super::tree::{Crate, guards, is_public, named, shown_attributes};

/// A line of the API. Sorts in the order of the list: item, part, position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// The path of the item that the line belongs to.
    item: String,
    part: Part,
    /// The position of a field, a variant or a trait item, which is part of its meaning.
    place: usize,
    pub(crate) text: String,
    /// Other crates in the line, by their names in the sources.
    pub(crate) crates: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Itself,
    Inside,
    Inherent,
    Trait,
}

/// A public place of an item: its path and its conditions.
struct Place {
    path: String,
    guards: Vec<String>,
}

pub(super) struct List<'a> {
    krate: &'a Crate,
    others: &'a [Crate],
    /// All public paths of each public item.
    places: BTreeMap<Definition, Vec<Place>>,
    lines: BTreeSet<Line>,
}

/// The sorted lines of a crate's API; `others` are the crates that it may re-export from.
pub(crate) fn list(krate: &Crate, others: &[Crate]) -> Vec<Line> {
    let mut list = List {
        krate,
        others,
        places: BTreeMap::new(),
        lines: BTreeSet::new(),
    };
    list.walk(0, "", &[], &mut Vec::new());
    list.items();
    list.impls();
    list.lines.into_iter().collect()
}

/// The paths of a crate's public items.
fn public_paths(krate: &Crate) -> Vec<String> {
    let lines = list(krate, &[]).into_iter();
    lines
        .filter(|line| line.part == Part::Itself)
        .map(|line| line.item)
        .collect()
}

pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}::{name}")
    }
}

/// Formats the conditions of a line as a trailing comment.
pub(super) fn comment(guards: &[String]) -> String {
    let unique: BTreeSet<&String> = guards.iter().collect();
    let all: Vec<&str> = unique.into_iter().map(String::as_str).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("  // {}", all.join(", "))
    }
}

impl List<'_> {
    pub(super) fn push(
        &mut self,
        item: &str,
        part: Part,
        place: usize,
        text: String,
        crates: Vec<String>,
    ) {
        self.lines.insert(Line {
            item: item.to_owned(),
            part,
            place,
            text: text.trim_end().to_owned(),
            crates,
        });
    }

    /// Records the public items of a module and its descendants. `guards` are the conditions of
    /// private modules and uses on the path; a public module has its own conditions on its own
    /// line.
    fn walk(&mut self, at: usize, path: &str, guards: &[String], visited: &mut Vec<usize>) {
        if visited.contains(&at) {
            return;
        }
        visited.push(at);
        let krate = self.krate;
        let module = &krate.modules[at];
        for (name, child) in &module.children {
            if krate.modules[*child].public {
                let path = joined(path, name);
                let own = [guards, &krate.modules[*child].guards].concat();
                let line = format!("pub mod {path}{}", comment(&own));
                self.push(&path, Part::Itself, 0, line, Vec::new());
                self.walk(*child, &path, &[], visited);
            }
        }
        for (place, item) in module.items.iter().enumerate() {
            if let Some((name, _, true)) = named(item) {
                self.place((at, place), joined(path, &name), guards.to_vec());
            }
        }
        for used in module.uses.iter().filter(|used| used.public) {
            let guards = [guards, &used.guards].concat();
            match (krate.resolve_use(at, used), &used.name) {
                (Some(Target::Module(below)), Some(name)) => {
                    let path = joined(path, name);
                    let line = format!("pub mod {path}{}", comment(&guards));
                    self.push(&path, Part::Itself, 0, line, Vec::new());
                    self.walk(below, &path, &[], visited);
                }
                (Some(Target::Module(below)), None) => self.walk(below, path, &guards, visited),
                (Some(Target::Items(items)), Some(name)) => {
                    for item in items {
                        let guards = [&guards[..], &self.private_guards(at, item.0)].concat();
                        self.place(item, joined(path, name), guards);
                    }
                }
                (Some(Target::External(full)), name) => {
                    self.republished(path, &full, name.as_deref(), &guards);
                }
                (Some(Target::Items(_)), None) | (None, _) => {}
            }
        }
        visited.pop();
    }

    /// The conditions of the modules between a module and a descendant.
    fn private_guards(&self, from: usize, to: usize) -> Vec<String> {
        let mut guards = Vec::new();
        let mut at = to;
        while at != from && at != 0 {
            guards.extend(self.krate.modules[at].guards.iter().cloned());
            at = self.krate.modules[at].parent;
        }
        guards
    }

    fn place(&mut self, definition: Definition, path: String, guards: Vec<String>) {
        let place = Place { path, guards };
        self.places.entry(definition).or_default().push(place);
    }

    /// A line for each re-exported item of another crate.
    fn republished(&mut self, path: &str, full: &[String], name: Option<&str>, guards: &[String]) {
        let target = full.join("::");
        let root = full.first().cloned().into_iter().collect::<Vec<String>>();
        let mut names = Vec::new();
        if let Some(name) = name {
            names.push((name.to_owned(), target));
        } else {
            let other = self
                .others
                .iter()
                .find(|other| full.first() == Some(&other.name));
            let below = full[1..].join("::");
            for public in other.map(public_paths).into_iter().flatten() {
                let Some(name) = public.strip_prefix(&below) else {
                    continue;
                };
                let name = name.strip_prefix("::").unwrap_or(name);
                if !name.is_empty() && !name.contains("::") {
                    names.push((name.to_owned(), format!("{target}::{name}")));
                }
            }
            if names.is_empty() {
                names.push(("*".to_owned(), target));
            }
        }
        for (name, target) in names {
            let path = joined(path, &name);
            let line = format!("pub use {path} = {target}{}", comment(guards));
            self.push(&path, Part::Itself, 0, line, root.clone());
        }
    }

    /// The shortest path of each public item; adds a line for each other path.
    fn canonical(&mut self) -> BTreeMap<Definition, String> {
        let mut canonical = BTreeMap::new();
        for (definition, mut places) in std::mem::take(&mut self.places) {
            places.sort_by_key(|place| (place.path.matches("::").count(), place.path.clone()));
            let first = places.remove(0);
            for other in places.iter().filter(|other| other.path != first.path) {
                let line = format!(
                    "pub use {} = {}{}",
                    other.path,
                    first.path,
                    comment(&other.guards)
                );
                self.push(&other.path, Part::Itself, 0, line, Vec::new());
            }
            canonical.insert(definition, first.path.clone());
            self.places.insert(definition, vec![first]);
        }
        canonical
    }

    fn items(&mut self) {
        let canonical = self.canonical();
        let krate = self.krate;
        for (definition, path) in &canonical {
            let item = &krate.modules[definition.0].items[definition.1];
            let Some((_, attributes, _)) = named(item) else {
                continue;
            };
            let mut all: Vec<String> = self.places[definition]
                .iter()
                .flat_map(|place| place.guards.clone())
                .collect();
            all.extend(guards(attributes));
            let mut describe = Describe {
                list: self,
                renamer: Renamer::new(krate, definition.0, &canonical),
                path,
                guards: all,
            };
            describe.item(item);
        }
    }

    fn impls(&mut self) {
        let canonical: BTreeMap<Definition, String> = self
            .places
            .iter()
            .map(|(definition, places)| (*definition, places[0].path.clone()))
            .collect();
        let krate = self.krate;
        for (at, module) in krate.modules.iter().enumerate() {
            for item in &module.items {
                let Item::Impl(block) = item else { continue };
                let mut renamer = Renamer::new(krate, at, &canonical);
                let mut block = block.clone();
                renamer.visit_type_mut(&mut block.self_ty);
                if let Some((path, _)) = &mut block.trait_ {
                    renamer.visit_path_mut(path);
                }
                // A private type or trait hides the whole implementation.
                if renamer.private > 0 || renamer.public == 0 {
                    continue;
                }
                renamer.visit_generics_mut(&mut block.generics);
                let own = [guards(&block.attrs), self.private_guards(0, at)].concat();
                let own = self.beyond_item(&block.self_ty, own);
                if block.trait_.is_some() {
                    self.implemented(&block, own, renamer);
                } else {
                    self.inherent(&block, &own, renamer);
                }
            }
        }
    }

    /// The guards that are not already on the line of the type or its module.
    fn beyond_item(&self, of: &syn::Type, guards: Vec<String>) -> Vec<String> {
        let path = item_path(of);
        let parents = |line: &&Line| {
            line.part == Part::Itself
                && (line.item == path || path.starts_with(&format!("{}::", line.item)))
        };
        let known: Vec<&Line> = self.lines.iter().filter(parents).collect();
        let has = |guard: &String| known.iter().any(|line| line.text.contains(guard.as_str()));
        guards.into_iter().filter(|guard| !has(guard)).collect()
    }

    fn implemented(&mut self, block: &syn::ItemImpl, own: Vec<String>, mut renamer: Renamer<'_>) {
        let Some((path, _)) = &block.trait_ else {
            return;
        };
        let (generics, _, bounds) = block.generics.split_for_impl();
        let unsafety = block.unsafety.map_or("", |_| "unsafe ");
        let not = block.modifiers.polarity.map_or("", |_| "!");
        let mut line = format!("{unsafety}impl{}", text(generics));
        line.push_str(&format!(
            " {not}{} for {}",
            text(path),
            text(&block.self_ty)
        ));
        if bounds.is_some() {
            line.push_str(&format!(" {}", text(bounds).trim_end_matches(',')));
        }
        let types: Vec<String> = block
            .items
            .iter()
            .filter_map(|item| match item {
                ImplItem::Type(item) => {
                    let mut ty = item.ty.clone();
                    renamer.visit_type_mut(&mut ty);
                    let (generics, ..) = item.generics.split_for_impl();
                    Some(format!(
                        "type {}{} = {};",
                        item.ident,
                        text(generics),
                        text(ty)
                    ))
                }
                _ => None,
            })
            .collect();
        if !types.is_empty() {
            line.push_str(&format!(" {{ {} }}", types.join(" ")));
        }
        let crates = renamer.crates;
        let item = item_path(&block.self_ty);
        self.push(&item, Part::Trait, 0, line + &comment(&own), crates);
    }

    fn inherent(&mut self, block: &syn::ItemImpl, own: &[String], mut renamer: Renamer<'_>) {
        let of = text(&block.self_ty);
        let path = item_path(&block.self_ty);
        let bounds = bounds(&block.generics);
        let block_crates = renamer.crates.clone();
        for item in &block.items {
            renamer.crates.clone_from(&block_crates);
            let (attributes, line) = match item {
                ImplItem::Fn(item) if is_public(&item.vis) => {
                    let mut signature = item.sig.clone();
                    renamer.visit_signature_mut(&mut signature);
                    let line = function(
                        &signature,
                        &joined(&of, &item.sig.ident.to_string()),
                        &bounds,
                    );
                    (&item.attrs, line)
                }
                ImplItem::Const(item) if is_public(&item.vis) => {
                    let mut ty = item.ty.clone();
                    renamer.visit_type_mut(&mut ty);
                    let line = format!(
                        "const {of}::{}: {} = {}",
                        item.ident,
                        text(ty),
                        text(&item.expr)
                    );
                    (&item.attrs, line)
                }
                _ => continue,
            };
            let guards = [own, &guards(attributes)].concat();
            let shown = shown_attributes(attributes);
            let line = format!("{shown}pub {line}{}", comment(&guards));
            self.push(&path, Part::Inherent, 0, line, renamer.crates.clone());
        }
    }
}

/// The path of the item that an implementation is for, without generics and references.
fn item_path(of: &syn::Type) -> String {
    match of {
        syn::Type::Path(path) => {
            let names = path.path.segments.iter();
            names
                .map(|segment| segment.ident.to_string())
                .collect::<Vec<String>>()
                .join("::")
        }
        syn::Type::Reference(reference) => item_path(&reference.elem),
        other => text(other),
    }
}
