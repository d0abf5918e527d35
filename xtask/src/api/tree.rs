//! A crate as a tree of modules, parsed from its sources.

use std::collections::BTreeMap;

use quote::ToTokens;
use syn::{Attribute, Item, Meta, Visibility};

use super::ApiError;
use super::expand::Macros;
use super::text::text;
use crate::source::{listed, shipped};

/// A crate of the workspace.
pub(crate) struct Crate {
    /// The name in paths: `lattice_meta`.
    pub(crate) name: String,
    /// The first module is the root.
    pub(super) modules: Vec<Module>,
}

/// A module and its contents.
#[derive(Default)]
pub(super) struct Module {
    pub(super) parent: usize,
    pub(super) children: BTreeMap<String, usize>,
    pub(super) public: bool,
    /// The conditions of the module, without those of its parents.
    pub(super) guards: Vec<String>,
    pub(super) items: Vec<Item>,
    pub(super) uses: Vec<Use>,
}

/// One name that a `use` imports into a module.
pub(super) struct Use {
    pub(super) public: bool,
    pub(super) path: Vec<String>,
    /// True if the path begins with `::`, so that its first name is a crate.
    pub(super) external: bool,
    /// The name in this module; `None` for a glob.
    pub(super) name: Option<String>,
    pub(super) guards: Vec<String>,
}

impl Crate {
    /// Reads the crate in `directory`; `read` returns the text of a file, or `None` if it is
    /// missing.
    ///
    /// # Errors
    ///
    /// A file is missing or is not Rust, or a macro is not supported.
    pub(crate) fn read(
        directory: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ApiError> {
        let mut reader = Reader {
            read,
            macros: Macros::default(),
            calls: Vec::new(),
            modules: vec![Module {
                public: true,
                ..Module::default()
            }],
        };
        let root = format!("{directory}/src/lib.rs");
        let items = reader.file(&root)?;
        reader.fill(0, items, &root, &format!("{directory}/src"))?;
        reader.expand()?;
        Ok(Self {
            name: directory.replace('-', "_"),
            modules: reader.modules,
        })
    }
}

struct Reader<'a> {
    read: &'a dyn Fn(&str) -> Option<String>,
    macros: Macros,
    calls: Vec<Call>,
    modules: Vec<Module>,
}

/// A macro call of a module. The macro may be defined later.
struct Call {
    at: usize,
    call: syn::Macro,
    path: String,
    directory: String,
}

impl Reader<'_> {
    fn file(&self, path: &str) -> Result<Vec<Item>, ApiError> {
        let text = (self.read)(path).ok_or_else(|| ApiError::NoFile {
            path: path.to_owned(),
        })?;
        let file = syn::parse_file(&text).map_err(|source| ApiError::rust(path, source))?;
        Ok(shipped(file).items)
    }

    /// Adds the items of expanded macros to the modules that call them.
    fn expand(&mut self) -> Result<(), ApiError> {
        while let Some(call) = self.calls.pop() {
            let made = self.macros.expand(&call.call);
            let made = made.map_err(|source| ApiError::rust(&call.path, source))?;
            if let Some(made) = made {
                self.fill(call.at, made, &call.path, &call.directory)?;
            }
        }
        Ok(())
    }

    /// Adds items to a module whose file is `path` and whose children are in `directory`.
    fn fill(
        &mut self,
        at: usize,
        items: Vec<Item>,
        path: &str,
        directory: &str,
    ) -> Result<(), ApiError> {
        for item in items {
            match item {
                Item::Mod(module) => self.module(at, module, path, directory)?,
                Item::Use(item) => {
                    let mut found = Use {
                        public: is_public(&item.vis),
                        path: Vec::new(),
                        external: item.leading_colon.is_some(),
                        name: None,
                        guards: guards(&item.attrs),
                    };
                    let uses = &mut self.modules[at].uses;
                    imports(&item.tree, &mut found, uses);
                }
                Item::Macro(item) if item.mac.path.is_ident("macro_rules") => {
                    self.macros.define(&item);
                    if item
                        .attrs
                        .iter()
                        .any(|it| it.path().is_ident("macro_export"))
                    {
                        self.modules[0].items.push(Item::Macro(item));
                    }
                }
                Item::Macro(item) => self.calls.push(Call {
                    at,
                    call: item.mac,
                    path: path.to_owned(),
                    directory: directory.to_owned(),
                }),
                item => self.modules[at].items.push(item),
            }
        }
        Ok(())
    }

    fn module(
        &mut self,
        parent: usize,
        module: syn::ItemMod,
        path: &str,
        directory: &str,
    ) -> Result<(), ApiError> {
        let name = module.ident.to_string();
        let at = self.modules.len();
        self.modules.push(Module {
            parent,
            public: is_public(&module.vis),
            guards: guards(&module.attrs),
            ..Module::default()
        });
        self.modules[parent].children.insert(name.clone(), at);
        let below = format!("{directory}/{name}");
        if let Some((_, items)) = module.content {
            return self.fill(at, items, path, &below);
        }
        let flat = format!("{below}.rs");
        let path = match (self.read)(&flat) {
            Some(_) => flat,
            None => format!("{below}/mod.rs"),
        };
        let items = self.file(&path)?;
        self.fill(at, items, &path, &below)
    }
}

/// Splits a `use` into names; `found` has the properties common to all of them.
fn imports(tree: &syn::UseTree, found: &mut Use, uses: &mut Vec<Use>) {
    let mut push = |last: Option<&syn::Ident>, name: Option<&syn::Ident>| {
        let mut path = found.path.clone();
        path.extend(last.filter(|last| *last != "self").map(ToString::to_string));
        let name = name.map(|name| match name.to_string() {
            own if own == "self" => path.last().cloned().unwrap_or(own),
            name => name,
        });
        uses.push(Use {
            public: found.public,
            path,
            external: found.external,
            name,
            guards: found.guards.clone(),
        });
    };
    match tree {
        syn::UseTree::Name(name) => push(Some(&name.ident), Some(&name.ident)),
        syn::UseTree::Rename(name) => push(Some(&name.ident), Some(&name.rename)),
        syn::UseTree::Glob(_) => push(None, None),
        syn::UseTree::Path(path) => {
            found.path.push(path.ident.to_string());
            imports(&path.tree, found, uses);
            found.path.pop();
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                imports(tree, found, uses);
            }
        }
    }
}

pub(super) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The predicates of an item's `#[cfg(...)]`.
pub(super) fn guards(attributes: &[Attribute]) -> Vec<String> {
    let cfgs = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    cfgs.flat_map(|attribute| listed(&attribute.meta))
        .map(text)
        .collect()
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name of an item that can be public, its attributes, and whether it is public.
pub(super) fn named(item: &Item) -> Option<(String, &[Attribute], bool)> {
    let (name, visibility) = match item {
        Item::Const(item) => (&item.ident, &item.vis),
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Fn(item) => (&item.sig.ident, &item.vis),
        Item::Static(item) => (&item.ident, &item.vis),
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Trait(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        Item::Union(item) => (&item.ident, &item.vis),
        Item::Macro(item) => return Some((item.ident.as_ref()?.to_string(), &item.attrs, true)),
        _ => return None,
    };
    Some((name.to_string(), attributes(item), is_public(visibility)))
}

/// The attributes that callers can observe.
pub(super) fn shown_attributes(attributes: &[Attribute]) -> String {
    const SHOWN: &[&str] = &["non_exhaustive", "must_use", "deprecated", "repr"];
    let mut line = String::new();
    let mut derives: Vec<String> = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            let paths = attribute.parse_args_with(
                syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated,
            );
            derives.extend(paths.into_iter().flatten().map(text));
        } else if SHOWN.iter().any(|name| attribute.path().is_ident(name)) {
            let path = attribute.path().to_token_stream();
            let shown = match &attribute.meta {
                Meta::List(list) => text(list),
                _ => text(path),
            };
            line.push_str(&format!("#[{shown}] "));
        } else if attribute.path().is_ident("doc") && text(&attribute.meta) == "doc(hidden)" {
            line.push_str("#[doc(hidden)] ");
        }
    }
    derives.sort();
    if !derives.is_empty() {
        line.push_str(&format!("#[derive({})] ", derives.join(", ")));
    }
    line
}
