//! Removes what only tests build from a syntax tree.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Meta, Token};

/// The predicates of tests and documentation tests.
const UNSHIPPED: &[&str] = &["test", "doctest"];

/// The file without the parts under `#[cfg(test)]`.
pub(crate) fn shipped(mut file: syn::File) -> syn::File {
    DropTests.visit_file_mut(&mut file);
    file
}

/// False under `#[cfg(test)]` and `#[cfg(all(test, ...))]`; code under `any(test, ...)` also ships.
pub(crate) fn is_shipped(attributes: &[Attribute]) -> bool {
    let mut cfgs = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .flat_map(|attribute| listed(&attribute.meta));
    !cfgs.any(|meta| needs_test(&meta))
}

fn needs_test(predicate: &Meta) -> bool {
    let path = predicate.path();
    UNSHIPPED.iter().any(|name| path.is_ident(name))
        || path.is_ident("all") && listed(predicate).iter().any(needs_test)
}

/// The parts of `name(part, ...)`; none of anything else.
pub(crate) fn listed(meta: &Meta) -> Punctuated<Meta, Token![,]> {
    let list = meta.require_list();
    let parts = list.and_then(|list| list.parse_args_with(Punctuated::parse_terminated));
    parts.unwrap_or_else(|_| Punctuated::new())
}

/// Whether the attributes that the syntax begins with let it ship.
fn ships(syntax: &impl ToTokens) -> bool {
    let attributes = |input: ParseStream<'_>| {
        let attributes = input.call(Attribute::parse_outer)?;
        input.parse::<TokenStream>()?;
        Ok(attributes)
    };
    let attributes = attributes.parse2(syntax.to_token_stream());
    attributes.map_or(true, |attributes| is_shipped(&attributes))
}

struct DropTests;

/// Defines methods of the visitor that remove test elements from a list of a node.
macro_rules! drop_tests {
    ($($visit:ident: $node:ident.$list:ident;)*) => {$(
        fn $visit(&mut self, node: &mut syn::$node) {
            node.$list.retain(|part| ships(part));
            visit_mut::$visit(self, node);
        }
    )*};
}

impl VisitMut for DropTests {
    drop_tests! {
        visit_block_mut: Block.stmts;
        visit_expr_array_mut: ExprArray.elems;
        visit_expr_call_mut: ExprCall.args;
        visit_expr_match_mut: ExprMatch.arms;
        visit_expr_method_call_mut: ExprMethodCall.args;
        visit_expr_struct_mut: ExprStruct.fields;
        visit_expr_tuple_mut: ExprTuple.elems;
        visit_fields_named_mut: FieldsNamed.named;
        visit_fields_unnamed_mut: FieldsUnnamed.unnamed;
        visit_generics_mut: Generics.params;
        visit_item_enum_mut: ItemEnum.variants;
        visit_item_foreign_mod_mut: ItemForeignMod.items;
        visit_item_impl_mut: ItemImpl.items;
        visit_item_trait_mut: ItemTrait.items;
        visit_pat_struct_mut: PatStruct.fields;
        visit_signature_mut: Signature.inputs;
    }

    fn visit_file_mut(&mut self, file: &mut syn::File) {
        if is_shipped(&file.attrs) {
            file.items.retain(ships);
        } else {
            file.items.clear();
        }
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        // Inner attributes, which are in the module's block.
        let keep = is_shipped(&module.attrs);
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| keep && ships(item));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shipped part of the source equals the other source.
    #[track_caller]
    fn ships_as(source: &str, expected: &str) {
        let [source, expected] = [source, expected].map(|text| syn::parse_file(text).unwrap());
        let [seen, expected] = [shipped(source), expected].map(|file| file.to_token_stream());
        assert_eq!(seen.to_string(), expected.to_string());
    }

    #[test]
    fn test_items_do_not_ship() {
        for item in [
            "#[cfg(test)] mod tests { fn f<A, B>() { x } }",
            "#[cfg(test)] #[path = \"x\"] mod tests;",
            "#[doc = \"x\"] #[cfg(all(test, unix))] pub fn f<A, B>() -> A { y }",
            "#[cfg(all(unix, all(feature = \"x\", test,)))] fn f() {}",
            "#[cfg(test)] use a::{b, c};",
            "#[cfg(test)] impl A for B {}",
            "#[cfg(test)] macro_rules! m { () => {} }",
            "#[cfg(test)] m! { x }",
            "#[cfg(test)] const A: B = B { c };",
            "#[cfg(doctest)] struct Readme;",
        ] {
            ships_as(&format!("use x; {item} use y;"), "use x; use y;");
            let inside = |item: &str| format!("mod m {{ {item} fn f() {{ g(); {item} }} }}");
            ships_as(&inside(item), &inside(""));
        }
        ships_as(
            "mod m { #![cfg(test)] fn f() {} }",
            "mod m { #![cfg(test)] }",
        );
        ships_as("#![cfg(test)] fn f() {}", "#![cfg(test)]");
    }

    #[test]
    fn parts_of_items_do_not_ship() {
        let whole =
            "struct A { @a: (u8, u8), b: u8 } struct A { b: u8, @a: u8 } struct A(@u8, u16);
            enum A { @B { x: u8 }, C, @D } enum A { C, B { @x: u8, y: u8 } }
            impl A { @fn f() { x } const C: u8 = 1; } trait A { @fn f(); type B; }
            extern \"C\" { @fn f(); fn g(); } fn f<@A, B>(@a: u8, b: u8) {}
            fn f() -> A {
                @let a = 1; @g(); @{ h } @m!(x); @a += 1; @use b; c;
                match a { @B => c, _ => d }; let A { @b, c } = d; f([@a, b], (@c, d, e), @h);
                i.j(@k, l); A { @b: 1, c }
            }";
        let [test, any] = ["test", "any(test, x)"].map(|cfg| format!("#[cfg({cfg})] "));
        let rest = shipped(syn::parse_file(&whole.replace('@', &test)).unwrap());
        let rest = rest.to_token_stream().to_string();
        assert!(!rest.contains("test"), "{rest}");
        assert!(rest.ends_with("i . j (l) ; A { c } }"), "{rest}");
        ships_as(&whole.replace('@', &any), &whole.replace('@', &any));
    }

    #[test]
    fn code_that_also_ships_is_kept() {
        for kept in [
            "#[cfg(any(test, feature = \"suites\"))] fn f() {}",
            "#[cfg(not(test))] fn f() {}",
            "#[cfg(feature = \"test\")] fn f() {}",
            "#[test] #[cfg_attr(test, x)] fn f() {}",
            "#[cfg] #[cfg()] #[cfg = 1] #[cfg(1, test::x)] fn f() {}",
        ] {
            ships_as(kept, kept);
        }
    }
}
