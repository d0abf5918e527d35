//! The names and strings of a syntax tree.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Meta, UseTree};

/// A name or a string, and the line it starts on, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The name without `r#`, or the value of the string.
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) role: Role,
}

impl Word {
    /// True for this name, and false for a string.
    pub(crate) fn is_name(&self, name: &str) -> bool {
        self.role != Role::Text && self.text == name
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A name alone, or the first of a path.
    First,
    /// The name after `self::` or `crate::`.
    Own,
    /// A name after others, after a leading `::` or after `extern crate`.
    Inner,
    /// A string or byte string.
    Text,
}

impl Role {
    fn at_start(leading_colon: Option<syn::Token![::]>) -> Self {
        leading_colon.map_or(Self::First, |_| Self::Inner)
    }

    /// The role of the name after `name::`.
    fn after(self, name: &Ident) -> Self {
        match self {
            Self::First if name == "self" || name == "crate" => Self::Own,
            _ => Self::Inner,
        }
    }
}

/// All names and strings of a file, also in attributes and in the tokens of macros.
pub(super) fn words(file: &syn::File) -> Vec<Word> {
    let mut reader = Reader(Vec::new());
    reader.visit_file(file);
    reader.0
}

struct Reader(Vec<Word>);

impl Reader {
    fn push(&mut self, text: String, span: Span, role: Role) {
        let line = span.start().line;
        self.0.push(Word { text, line, role });
    }

    fn name(&mut self, name: &Ident, role: Role) {
        self.push(name.unraw().to_string(), name.span(), role);
    }

    fn uses(&mut self, tree: &UseTree, role: Role) {
        match tree {
            UseTree::Path(path) => {
                self.name(&path.ident, role);
                self.uses(&path.tree, role.after(&path.ident));
            }
            UseTree::Name(last) => self.name(&last.ident, role),
            UseTree::Rename(last) => {
                self.name(&last.ident, role);
                self.name(&last.rename, Role::First);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.uses(tree, role)),
            UseTree::Glob(_) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_ident(&mut self, name: &'ast Ident) {
        self.name(name, Role::First);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut role = Role::at_start(path.leading_colon);
        for segment in &path.segments {
            self.name(&segment.ident, role);
            self.visit_path_arguments(&segment.arguments);
            role = role.after(&segment.ident);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        item.attrs.iter().for_each(|it| self.visit_attribute(it));
        self.visit_visibility(&item.vis);
        self.uses(&item.tree, Role::at_start(item.leading_colon));
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        item.attrs.iter().for_each(|it| self.visit_attribute(it));
        self.name(&item.ident, Role::Inner);
        if let Some((_, name)) = &item.rename {
            self.name(name, Role::First);
        }
    }

    fn visit_lit_str(&mut self, string: &'ast syn::LitStr) {
        self.push(string.value(), string.span(), Role::Text);
    }

    fn visit_lit_byte_str(&mut self, string: &'ast syn::LitByteStr) {
        let text = String::from_utf8_lossy(&string.value()).into_owned();
        self.push(text, string.span(), Role::Text);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if !is_doc(&attribute.meta) {
            visit::visit_attribute(self, attribute);
        }
    }

    /// Tokens of a macro or an attribute. Every name after `::` counts as [`Role::Inner`].
    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        let mut role = Role::First;
        for tree in tokens.clone() {
            let is_colon = matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == ':');
            match tree {
                TokenTree::Ident(name) => self.name(&name, role),
                TokenTree::Literal(literal) => self.visit_lit(&syn::Lit::new(literal)),
                TokenTree::Group(group) if is_doc_group(&group) => {}
                TokenTree::Group(group) => self.visit_token_stream(&group.stream()),
                TokenTree::Punct(_) => {}
            }
            role = if is_colon { Role::Inner } else { Role::First };
        }
    }
}

fn is_doc(meta: &Meta) -> bool {
    matches!(meta, Meta::NameValue(pair) if pair.path.is_ident("doc"))
}

/// True for the brackets of a doc comment in a macro.
fn is_doc_group(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket
        && syn::parse2(group.stream()).is_ok_and(|meta| is_doc(&meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(source: &str) -> Vec<(String, usize, Role)> {
        words(&syn::parse_file(source).unwrap())
            .into_iter()
            .map(|word| (word.text, word.line, word.role))
            .collect()
    }

    #[test]
    fn comments_vanish_and_lines_are_kept() {
        let source = "//! Doc.\nfn a() // x\n{ /* y\n */ b(\n\"c\") }\n/// doc\n#[doc = \"x\"]\nfn d() { m!(\n/** doc */ e) }";
        let lines: Vec<(String, usize)> = seen(source)
            .into_iter()
            .map(|(text, line, _)| (text, line))
            .collect();
        let expected = [("a", 2), ("b", 4), ("c", 5), ("d", 8), ("m", 8), ("e", 9)];
        assert_eq!(lines, expected.map(|(text, line)| (text.to_owned(), line)));
    }

    /// `X` stands in every place that can have a name or a string.
    const PLACES: &str = r##"
        #![a(X)] use a::{b::X, c}; use a::X as b; use a as X; extern crate X; extern crate a as X;
        mod X; fn X() {} fn f<X, 'X, Y: X>(a: &X, b: a::B<X>) -> impl a::X<B = X> where A: X {}
        struct A { X: u8 } enum A { X, B { X: u8 } } union A { a: X } static X: u8 = { X };
        impl X for A { type X = X; } trait A: X { const X: u8; } macro_rules! X { () => { X } }
        macro_rules! m { ($a:ident) => { fn f() { $a::X } } } pub(in X) fn f() {}
        #[X] #[a(b, X)] #[a = "X"] #[cfg(feature = "X")] fn f() {
            let x = a.X; a.X(); a::<X>(); <A as X>::b(); X { a: 1 }; if let X(a) = b {}
            m!(a [b { X }]); m!(r#X "X"); "X"; r#"X"#; b"X"; match a { X::B => c } || X; 'X: loop {}
        }"##;

    #[test]
    fn every_place_of_a_name_is_visited() {
        let lines = |words: Vec<(String, usize, Role)>| -> Vec<usize> {
            let found = words.into_iter().filter(|(text, ..)| text == "X");
            found.map(|(_, line, _)| line).collect()
        };
        let expected = PLACES.lines().zip(1..);
        let expected = expected.flat_map(|(text, line)| text.matches('X').map(move |_| line));
        assert_eq!(lines(seen(PLACES)), expected.collect::<Vec<usize>>());
        assert_eq!(seen("fn f() { 'X'; 7; b'X' }").len(), 1);
    }

    #[test]
    fn roles_follow_the_path() {
        use Role::{First, Inner, Own, Text};
        for (source, role) in [
            ("use X::a;", First),
            ("use {X::a, b};", First),
            ("use a as X;", First),
            ("use self::X;", Own),
            ("use crate::{X::a, b};", Own),
            ("use crate::a::X;", Inner),
            ("use ::X::a;", Inner),
            ("use super::{a, X};", Inner),
            ("extern crate X;", Inner),
            ("mod X {}", First),
            ("fn f(a: X::A) {}", First),
            ("fn f(a: ::X::A) {}", Inner),
            ("fn f(a: b::C<crate::X>) {}", Own),
            ("fn f() { m!(X) }", First),
            ("fn f() { m!(a::X) }", Inner),
            ("fn f() { \"X\" }", Text),
        ] {
            let found = seen(source).into_iter().find(|(text, ..)| text == "X");
            assert_eq!(found.unwrap().2, role, "{source}");
        }
    }
}
