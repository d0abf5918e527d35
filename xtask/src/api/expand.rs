//! Expands `macro_rules!` with one arm: items that such a macro defines are part of the API.

use std::collections::BTreeMap;

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};

use crate::source::shipped;

/// The arm of each macro of a crate, by name.
#[derive(Debug, Default)]
pub(super) struct Macros(BTreeMap<String, TokenStream>);

/// The binding of a macro variable: one piece, or one piece per repetition.
#[derive(Clone)]
enum Bound {
    One(TokenStream),
    Many(Vec<TokenStream>),
}

type Bindings = BTreeMap<String, Bound>;

impl Macros {
    pub(super) fn define(&mut self, item: &syn::ItemMacro) {
        if let Some(name) = &item.ident {
            self.0.insert(name.to_string(), item.mac.tokens.clone());
        }
    }

    /// The items that a call expands to; `None` for a macro of another crate.
    ///
    /// # Errors
    ///
    /// The macro has several arms or nested repetitions, or the call does not match it.
    pub(super) fn expand(&self, call: &syn::Macro) -> syn::Result<Option<Vec<syn::Item>>> {
        let Some(arm) = call
            .path
            .segments
            .last()
            .and_then(|name| self.0.get(&name.ident.to_string()))
        else {
            return Ok(None);
        };
        let trees: Vec<TokenTree> = arm.clone().into_iter().collect();
        let [
            TokenTree::Group(pattern),
            TokenTree::Punct(_),
            TokenTree::Punct(_),
            TokenTree::Group(body),
            rest @ ..,
        ] = trees.as_slice()
        else {
            return Err(unknown(arm, "this macro's arm is not understood"));
        };
        if rest.len() > 1 {
            return Err(unknown(arm, "a macro with several arms is not expanded"));
        }
        let mut bindings = Bindings::new();
        let read = |input: ParseStream<'_>| read(pattern.stream(), input, &mut bindings);
        read.parse2(call.tokens.clone())?;
        let made = write(body.stream(), &bindings)?;
        Ok(Some(shipped(syn::parse2(made)?).items))
    }
}

fn unknown(at: impl ToTokens, message: &str) -> syn::Error {
    syn::Error::new_spanned(at, message)
}

/// A piece of a pattern or of a body.
enum Piece {
    /// `$name:kind`, or `$name` in a body.
    Variable(String),
    /// `$( inner ) separator *`.
    Repeated(TokenStream, Option<TokenTree>),
    Tree(TokenTree),
}

/// Splits a pattern or a body into pieces; in a pattern each variable has its kind.
fn pieces(stream: TokenStream, with_kinds: bool) -> syn::Result<Vec<(Piece, String)>> {
    let mut trees = stream.into_iter().peekable();
    let mut found = Vec::new();
    while let Some(tree) = trees.next() {
        let is_variable = matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == '$');
        if !is_variable {
            found.push((Piece::Tree(tree), String::new()));
            continue;
        }
        match trees.next() {
            Some(TokenTree::Ident(name)) if name == "crate" => {
                let word = format_ident!("crate", span = name.span());
                found.push((Piece::Tree(word.into()), String::new()));
            }
            Some(TokenTree::Ident(name)) => {
                let mut kind = String::new();
                if with_kinds {
                    trees.next();
                    kind = trees.next().map_or(kind, |tree| tree.to_string());
                }
                found.push((Piece::Variable(name.to_string()), kind));
            }
            Some(TokenTree::Group(inner)) => {
                let is_count = |tree: &TokenTree| matches!(tree, TokenTree::Punct(mark) if "*+?".contains(mark.as_char()));
                let mut next = trees.next();
                let separator = next.take_if(|tree| !is_count(tree));
                if separator.is_some() {
                    trees.next();
                }
                found.push((Piece::Repeated(inner.stream(), separator), String::new()));
            }
            other => return Err(unknown(other, "this variable is not understood")),
        }
    }
    Ok(found)
}

/// Matches a call against a pattern.
fn read(pattern: TokenStream, input: ParseStream<'_>, bound: &mut Bindings) -> syn::Result<()> {
    for (piece, kind) in pieces(pattern, true)? {
        match piece {
            Piece::Variable(name) => {
                bound.insert(name, Bound::One(fragment(&kind, input)?));
            }
            Piece::Repeated(inner, separator) => repeated(inner, separator, input, bound)?,
            Piece::Tree(TokenTree::Group(group)) => {
                let TokenTree::Group(given) = input.parse()? else {
                    return Err(input.error("expected a bracket"));
                };
                let inner = |input: ParseStream<'_>| read(group.stream(), input, bound);
                inner.parse2(given.stream())?;
            }
            Piece::Tree(tree) => literally(&tree, input)?,
        }
    }
    Ok(())
}

fn literally(wanted: &TokenTree, input: ParseStream<'_>) -> syn::Result<()> {
    let found: TokenTree = input.parse()?;
    if found.to_string() == wanted.to_string() {
        Ok(())
    } else {
        Err(unknown(found, &format!("expected `{wanted}`")))
    }
}

fn repeated(
    inner: TokenStream,
    separator: Option<TokenTree>,
    input: ParseStream<'_>,
    bound: &mut Bindings,
) -> syn::Result<()> {
    for (piece, _) in pieces(inner.clone(), true)? {
        if let Piece::Variable(name) = piece {
            bound.insert(name, Bound::Many(Vec::new()));
        }
    }
    for name in variables(inner.clone()) {
        bound.entry(name).or_insert(Bound::Many(Vec::new()));
    }
    while !input.is_empty() {
        let fork = input.fork();
        let mut once = Bindings::new();
        if read(inner.clone(), &fork, &mut once).is_err() {
            return Ok(());
        }
        input.advance_to(&fork);
        for (name, piece) in once {
            match (bound.get_mut(&name), piece) {
                (Some(Bound::Many(all)), Bound::One(piece)) => all.push(piece),
                _ => return Err(input.error("repetitions in one another are not expanded")),
            }
        }
        if let (Some(separator), false) = (&separator, input.is_empty()) {
            literally(separator, input)?;
        }
    }
    Ok(())
}

/// The names after a `$`, at any depth.
fn variables(stream: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut after_dollar = false;
    for tree in stream {
        match &tree {
            TokenTree::Ident(name) if after_dollar => names.push(name.to_string()),
            TokenTree::Group(group) => names.extend(variables(group.stream())),
            _ => {}
        }
        after_dollar = matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == '$');
    }
    names
}

fn fragment(kind: &str, input: ParseStream<'_>) -> syn::Result<TokenStream> {
    fn take<T: Parse + ToTokens>(input: ParseStream<'_>) -> syn::Result<TokenStream> {
        Ok(input.parse::<T>()?.into_token_stream())
    }
    match kind {
        "ident" => Ok(Ident::parse_any(input)?.into_token_stream()),
        "literal" => take::<syn::Lit>(input),
        "ty" => take::<syn::Type>(input),
        "expr" => take::<syn::Expr>(input),
        "meta" => take::<syn::Meta>(input),
        "path" => take::<syn::Path>(input),
        "vis" => take::<syn::Visibility>(input),
        "tt" => take::<TokenTree>(input),
        other => Err(input.error(format!("a variable of kind `{other}` is not expanded"))),
    }
}

/// Substitutes the variables of a body.
fn write(body: TokenStream, bound: &Bindings) -> syn::Result<TokenStream> {
    let mut made = TokenStream::new();
    for (piece, _) in pieces(body, false)? {
        match piece {
            Piece::Variable(name) => match bound.get(&name) {
                Some(Bound::One(piece)) => made.extend(piece.clone()),
                _ => return Err(unknown(name, "a variable without a value")),
            },
            Piece::Repeated(inner, separator) => {
                let names = variables(inner.clone());
                let counts = names.iter().filter_map(|name| match bound.get(name) {
                    Some(Bound::Many(all)) => Some(all.len()),
                    _ => None,
                });
                for turn in 0..counts.min().unwrap_or(0) {
                    let mut once = bound.clone();
                    for piece in once.values_mut() {
                        if let Bound::Many(all) = piece
                            && let Some(one) = all.get(turn)
                        {
                            *piece = Bound::One(one.clone());
                        }
                    }
                    if turn > 0 {
                        made.extend(separator.clone());
                    }
                    made.extend(write(inner.clone(), &once)?);
                }
            }
            Piece::Tree(TokenTree::Group(group)) => {
                let inner = write(group.stream(), bound)?;
                made.extend([TokenTree::from(Group::new(group.delimiter(), inner))]);
            }
            Piece::Tree(tree) => made.extend([tree]),
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::text::text;

    fn expanded(definition: &str, call: &str) -> syn::Result<Option<String>> {
        let mut macros = Macros::default();
        macros.define(&syn::parse_str(definition).unwrap());
        let items = macros.expand(&syn::parse_str(call).unwrap())?;
        Ok(items.map(|items| items.iter().map(text).collect::<Vec<String>>().join(" ")))
    }

    #[test]
    fn variables_and_repetitions_are_filled_in() {
        let made = expanded(
            "macro_rules! ids { ($(#[$doc:meta])* $name:ident, $($len:literal);*) => { \
             $(#[$doc])* pub struct $name; $(pub fn f(x: [u8; $len]) -> $crate::A {})* } }",
            "ids! { #[a] #[b] Id, 1; 2 }",
        );
        assert_eq!(
            made.unwrap().unwrap(),
            "#[a] #[b] pub struct Id; pub fn f(x: [u8; 1]) -> crate::A {  } \
             pub fn f(x: [u8; 2]) -> crate::A {  }"
        );
    }

    #[test]
    fn unexpanded_macros_are_an_error_and_foreign_ones_are_kept() {
        let two = "macro_rules! m { () => {}; (a) => {} }";
        assert!(expanded(two, "m!()").is_err());
        assert!(expanded("macro_rules! m { (a) => {} }", "m!(b)").is_err());
        assert!(expanded(two, "proptest! { x }").unwrap().is_none());
    }
}
