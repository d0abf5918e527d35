//! Resolves paths in a crate's sources.

use std::collections::BTreeMap;

use syn::visit_mut::{self, VisitMut};

use super::tree::{Crate, Use, is_public, named};

/// A module, and the index of an item in it.
pub(super) type Definition = (usize, usize);

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Module(usize),
    /// All items of this name: a type and a function can share it, and so can both branches of a
    /// `cfg`.
    Items(Vec<Definition>),
    /// A path that begins with the name of another crate.
    External(Vec<String>),
}

/// The uses being followed, to detect cycles.
type Followed = Vec<(usize, String)>;

impl Crate {
    /// Follows a path as far as possible: returns the target, and the number of names consumed.
    pub(super) fn resolve(&self, from: usize, path: &[String]) -> Option<(Target, usize)> {
        self.follow(from, path, &mut Vec::new())
    }

    /// The target of a `use`.
    pub(super) fn resolve_use(&self, from: usize, used: &Use) -> Option<Target> {
        self.used(from, used, &mut Vec::new())
    }

    /// True if a module glob-imports another crate, or a module of it.
    pub(crate) fn has_globs_of(&self, other: &str) -> bool {
        self.modules.iter().enumerate().any(|(at, module)| {
            let mut globs = module.uses.iter().filter(|used| used.name.is_none());
            globs.any(|used| {
                matches!(self.resolve_use(at, used),
                    Some(Target::External(path)) if path.first().is_some_and(|root| root == other))
            })
        })
    }

    fn used(&self, from: usize, used: &Use, followed: &mut Followed) -> Option<Target> {
        if used.external {
            return Some(Target::External(used.path.clone()));
        }
        match self.follow(from, &used.path, followed) {
            Some((target, taken)) if taken == used.path.len() => Some(target),
            Some(_) => None,
            None => Some(Target::External(used.path.clone())),
        }
    }

    fn follow(
        &self,
        from: usize,
        path: &[String],
        followed: &mut Followed,
    ) -> Option<(Target, usize)> {
        let (first, _) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(from),
            "super" => Target::Module(self.modules[from].parent),
            name => self.lookup(from, name, followed)?,
        };
        let mut taken = 1;
        for name in &path[1..] {
            target = match target {
                Target::Module(at) if name == "super" => Target::Module(self.modules[at].parent),
                Target::Module(at) => self.lookup(at, name, followed)?,
                Target::External(mut path) => {
                    path.push(name.clone());
                    Target::External(path)
                }
                // The next name is a variant or an associated item.
                Target::Items(items) => return Some((Target::Items(items), taken)),
            };
            taken += 1;
        }
        Some((target, taken))
    }

    /// Resolves a name in a module.
    fn lookup(&self, at: usize, name: &str, followed: &mut Followed) -> Option<Target> {
        let module = &self.modules[at];
        let step = (at, name.to_owned());
        if followed.contains(&step) {
            return None;
        }
        if let Some(child) = module.children.get(name) {
            return Some(Target::Module(*child));
        }
        let items: Vec<Definition> = module
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| named(item).is_some_and(|(own, ..)| own == name))
            .map(|(place, _)| (at, place))
            .collect();
        if !items.is_empty() {
            return Some(Target::Items(items));
        }
        followed.push(step);
        let explicit = module
            .uses
            .iter()
            .filter(|used| used.name.as_deref() == Some(name))
            .find_map(|used| self.used(at, used, followed));
        let found = explicit.or_else(|| {
            let globs = module.uses.iter().filter(|used| used.name.is_none());
            globs
                .filter_map(|glob| self.used(at, glob, followed))
                .collect::<Vec<Target>>()
                .into_iter()
                .find_map(|glob| match glob {
                    Target::Module(below) => self.lookup(below, name, followed),
                    _ => None,
                })
        });
        followed.pop();
        found
    }
}

/// Replaces the names that a module uses for items by the items' public paths.
pub(super) struct Renamer<'a> {
    pub(super) krate: &'a Crate,
    pub(super) module: usize,
    /// The public path of each public item.
    pub(super) places: &'a BTreeMap<Definition, String>,
    /// The crates named so far, by their names in the sources.
    pub(super) crates: Vec<String>,
    /// The numbers of this crate's items named so far, public and private.
    pub(super) public: usize,
    pub(super) private: usize,
}

impl<'a> Renamer<'a> {
    pub(super) fn new(
        krate: &'a Crate,
        module: usize,
        places: &'a BTreeMap<Definition, String>,
    ) -> Self {
        Self {
            krate,
            module,
            places,
            crates: Vec::new(),
            public: 0,
            private: 0,
        }
    }

    /// The public path of a name's target, and the number of names that it replaces.
    fn renamed(&mut self, path: &[String], external: bool) -> Option<(String, usize)> {
        if external {
            self.crates.push(path.first()?.clone());
            return None;
        }
        match self.krate.resolve(self.module, path) {
            Some((Target::Items(items), taken)) => {
                let place = items.iter().find_map(|item| self.places.get(item));
                self.public += usize::from(place.is_some());
                self.private += usize::from(place.is_none());
                Some((place?.clone(), taken))
            }
            Some((Target::External(full), taken)) => {
                let root = full.first()?.clone();
                let is_ours = root.starts_with("lattice_");
                self.crates.push(root);
                is_ours.then(|| (full.join("::"), taken))
            }
            Some((Target::Module(_), _)) => None,
            None if path.len() > 1 => {
                self.crates.push(path[0].clone());
                None
            }
            None => None,
        }
    }
}

impl Renamer<'_> {
    /// The target of a private alias, which is transparent to callers.
    fn behind_alias(&mut self, of: &syn::Type) -> Option<syn::Type> {
        let syn::Type::Path(of) = of else { return None };
        let names: Vec<String> = of
            .path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        let (Target::Items(items), _) = self.krate.resolve(self.module, &names)? else {
            return None;
        };
        let definition = items.first()?;
        let syn::Item::Type(alias) = &self.krate.modules[definition.0].items[definition.1] else {
            return None;
        };
        if self.places.contains_key(definition) || !alias.generics.params.is_empty() {
            return None;
        }
        let mut behind = (*alias.ty).clone();
        let module = std::mem::replace(&mut self.module, definition.0);
        self.visit_type_mut(&mut behind);
        self.module = module;
        Some(behind)
    }

    /// Skips private fields.
    pub(super) fn visit_public_fields(&mut self, fields: &mut syn::Fields) {
        let public = fields.iter_mut().filter(|field| is_public(&field.vis));
        public.for_each(|field| self.visit_type_mut(&mut field.ty));
    }
}

impl VisitMut for Renamer<'_> {
    fn visit_type_mut(&mut self, of: &mut syn::Type) {
        match self.behind_alias(of) {
            Some(behind) => *of = behind,
            None => visit_mut::visit_type_mut(self, of),
        }
    }

    fn visit_path_mut(&mut self, path: &mut syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let Some((place, taken)) = self.renamed(&names, path.leading_colon.is_some())
            && let Ok(mut written) = syn::parse_str::<syn::Path>(&place)
        {
            let mut old = std::mem::take(&mut path.segments).into_iter();
            let last = old.nth(taken - 1).map(|segment| segment.arguments);
            if let (Some(segment), Some(arguments)) = (written.segments.last_mut(), last) {
                segment.arguments = arguments;
            }
            written.segments.extend(old);
            path.segments = written.segments;
        }
        visit_mut::visit_path_mut(self, path);
    }

    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}
}
