//! Describes one public item, one line per part.

use syn::visit_mut::VisitMut;
use syn::{Attribute, Fields, Generics, Item, TraitItem};

use super::list::{List, Part, comment, joined};
use super::names::Renamer;
use super::text::text;
use super::tree::{guards, is_public, shown_attributes};

/// The bounds of an `impl` as predicates, so that each method's line can include them.
pub(super) fn bounds(generics: &Generics) -> Vec<String> {
    let mut found: Vec<String> = generics
        .type_params()
        .filter(|param| !param.bounds.is_empty())
        .map(|param| format!("{}: {}", param.ident, text(&param.bounds)))
        .collect();
    found.extend(predicates(generics));
    found
}

fn predicates(generics: &Generics) -> Vec<String> {
    let clause = generics.where_clause.as_ref();
    let all = clause.into_iter().flat_map(|clause| &clause.predicates);
    all.map(text).collect()
}

/// A signature with a path as its name, and with the bounds of the enclosing block.
pub(super) fn function(signature: &syn::Signature, path: &str, outer: &[String]) -> String {
    let mut bare = signature.clone();
    bare.generics.where_clause = None;
    for input in &mut bare.inputs {
        match input {
            // `mut` and patterns of parameters do not affect callers.
            syn::FnArg::Typed(input) => match &mut *input.pat {
                syn::Pat::Ident(name) => {
                    name.by_ref = None;
                    name.mutability = None;
                }
                other => *other = wild(),
            },
            syn::FnArg::Receiver(receiver) => {
                if matches!(receiver.kind, syn::ReceiverKind::Value) {
                    receiver.mutability = None;
                }
            }
        }
    }
    let line = text(&bare);
    let name = format!("fn {}", signature.ident);
    let mut line = line.replacen(&name, &format!("fn {path}"), 1);
    let bounds = [outer, &predicates(&signature.generics)].concat();
    if !bounds.is_empty() {
        line.push_str(&format!(" where {}", bounds.join(", ")));
    }
    line
}

fn wild() -> syn::Pat {
    syn::Pat::Wild(syn::PatWild {
        attrs: Vec::new(),
        underscore_token: syn::token::Underscore::default(),
    })
}

/// Describes one public item.
pub(super) struct Describe<'l, 'k, 'r> {
    pub(super) list: &'l mut List<'k>,
    pub(super) renamer: Renamer<'r>,
    pub(super) path: &'l str,
    pub(super) guards: Vec<String>,
}

impl Describe<'_, '_, '_> {
    fn push(&mut self, part: Part, place: usize, attributes: &[Attribute], line: &str) {
        let guards = match part {
            Part::Itself => self.guards.clone(),
            _ => guards(attributes),
        };
        let line = format!("{}{line}{}", shown_attributes(attributes), comment(&guards));
        let crates = std::mem::take(&mut self.renamer.crates);
        self.list.push(self.path, part, place, line, crates);
    }

    fn itself(&mut self, attributes: &[Attribute], line: &str) {
        self.push(Part::Itself, 0, attributes, line);
    }

    /// The name with generics, and the `where` clause.
    fn with_generics(&self, generics: &Generics) -> (String, String) {
        let mut bare = generics.clone();
        let clause = bare.where_clause.take();
        let clause = clause.map_or_else(String::new, |clause| {
            format!(" {}", text(clause).trim_end_matches(','))
        });
        (format!("{}{}", self.path, text(bare)), clause)
    }

    pub(super) fn item(&mut self, item: &Item) {
        let path = self.path.to_owned();
        match item.clone() {
            Item::Struct(mut item) => {
                self.renamer.visit_generics_mut(&mut item.generics);
                self.renamer.visit_public_fields(&mut item.fields);
                let (name, clause) = self.with_generics(&item.generics);
                let line = match &item.fields {
                    Fields::Named(fields) if fields.named.iter().any(|f| !is_public(&f.vis)) => {
                        format!("pub struct {name}{clause} {{ .. }}")
                    }
                    Fields::Named(_) => format!("pub struct {name}{clause}"),
                    Fields::Unnamed(fields) => {
                        let each = fields
                            .unnamed
                            .iter()
                            .map(|field| match is_public(&field.vis) {
                                true => format!("pub {}", text(&field.ty)),
                                false => "_".to_owned(),
                            });
                        let each = each.collect::<Vec<String>>().join(", ");
                        format!("pub struct {name}({each}){clause}")
                    }
                    Fields::Unit => format!("pub struct {name};"),
                };
                self.itself(&item.attrs, &line);
                if let Fields::Named(fields) = &item.fields {
                    self.named_fields(fields);
                }
            }
            Item::Enum(mut item) => {
                self.renamer.visit_generics_mut(&mut item.generics);
                let (name, clause) = self.with_generics(&item.generics);
                self.itself(&item.attrs, &format!("pub enum {name}{clause}"));
                for (place, mut variant) in item.variants.into_iter().enumerate() {
                    self.renamer.visit_fields_mut(&mut variant.fields);
                    let attributes = std::mem::take(&mut variant.attrs);
                    for field in variant.fields.iter_mut() {
                        // Keep `#[from]`: thiserror generates a conversion from it.
                        field
                            .attrs
                            .retain(|attribute| attribute.path().is_ident("from"));
                    }
                    let line = format!("{path}::{}", text(variant).replace(", }", " }"));
                    self.push(Part::Inside, place, &attributes, &line);
                }
            }
            Item::Fn(mut item) => {
                self.renamer.visit_signature_mut(&mut item.sig);
                let line = function(&item.sig, &path, &[]);
                self.itself(&item.attrs, &format!("pub {line}"));
            }
            Item::Const(mut item) => {
                self.renamer.visit_type_mut(&mut item.ty);
                let (ty, value) = (text(&item.ty), text(&item.expr));
                self.itself(&item.attrs, &format!("pub const {path}: {ty} = {value}"));
            }
            Item::Static(mut item) => {
                self.renamer.visit_type_mut(&mut item.ty);
                let line = format!("pub static {path}: {}", text(&item.ty));
                self.itself(&item.attrs, &line);
            }
            Item::Type(mut item) => {
                self.renamer.visit_generics_mut(&mut item.generics);
                self.renamer.visit_type_mut(&mut item.ty);
                let (name, clause) = self.with_generics(&item.generics);
                let line = format!("pub type {name}{clause} = {}", text(&item.ty));
                self.itself(&item.attrs, &line);
            }
            Item::Trait(item) => self.a_trait(item),
            Item::Macro(item) => {
                self.itself(&item.attrs, &format!("macro {path}!"));
            }
            _ => {}
        }
    }

    fn named_fields(&mut self, fields: &syn::FieldsNamed) {
        let public = fields.named.iter().filter(|field| is_public(&field.vis));
        for (place, field) in public.enumerate() {
            let name = field.ident.as_ref().map(ToString::to_string);
            let path = joined(self.path, name.as_deref().unwrap_or("_"));
            let line = format!("pub {path}: {}", text(&field.ty));
            self.push(Part::Inside, place, &field.attrs, &line);
        }
    }

    fn a_trait(&mut self, mut item: syn::ItemTrait) {
        let path = self.path.to_owned();
        self.renamer.visit_generics_mut(&mut item.generics);
        for bound in &mut item.supertraits {
            self.renamer.visit_type_param_bound_mut(bound);
        }
        let (name, clause) = self.with_generics(&item.generics);
        let parents = match item.supertraits.is_empty() {
            true => String::new(),
            false => format!(": {}", text(&item.supertraits)),
        };
        let unsafety = item.unsafety.map_or("", |_| "unsafe ");
        let line = format!("pub {unsafety}trait {name}{parents}{clause}");
        self.itself(&item.attrs, &line);
        for (place, inside) in item.items.into_iter().enumerate() {
            let (attributes, line) = match inside {
                TraitItem::Fn(mut item) => {
                    self.renamer.visit_signature_mut(&mut item.sig);
                    let path = joined(&path, &item.sig.ident.to_string());
                    let ending = item.default.map_or(";", |_| " { .. }");
                    (item.attrs, function(&item.sig, &path, &[]) + ending)
                }
                TraitItem::Type(mut item) => {
                    for bound in &mut item.bounds {
                        self.renamer.visit_type_param_bound_mut(bound);
                    }
                    let bounds = match item.bounds.is_empty() {
                        true => String::new(),
                        false => format!(": {}", text(&item.bounds)),
                    };
                    let generics = text(&item.generics);
                    (
                        item.attrs,
                        format!("type {path}::{}{generics}{bounds};", item.ident),
                    )
                }
                TraitItem::Const(mut item) => {
                    self.renamer.visit_type_mut(&mut item.ty);
                    let default = item
                        .default
                        .map_or_else(String::new, |(_, value)| format!(" = {}", text(value)));
                    let line =
                        format!("const {path}::{}: {}{default};", item.ident, text(&item.ty));
                    (item.attrs, line)
                }
                _ => continue,
            };
            self.push(Part::Inside, place, &attributes, &line);
        }
    }
}
