//! No type of the engine is public, and no conversion from or to one exists.
//!
//! Inside the backend's engine module the names that come from redb are collected: imported ones,
//! aliases of them, and those a file takes over from a neighbour. Then every `pub` signature, every
//! conversion and every associated type is looked through for them. This follows names, not types:
//! a glob import would blind it and is a finding of its own.

mod uses;

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::layers::names::in_engine_module;
use crate::lexer::{Kind, Token};
use crate::source::SourceFile;
use uses::{Import, imports};

const ENGINE: &str = "redb";
const OWN_ROOTS: &[&str] = &["crate", "self", "super"];
const CONVERSIONS: &[&str] = &[
    "From", "Into", "TryFrom", "TryInto", "AsRef", "AsMut", "Borrow", "Deref",
];

/// All rules of this module.
pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    let module: Vec<&SourceFile> = sources
        .iter()
        .filter(|source| in_engine_module(source))
        .collect();
    let everywhere: BTreeSet<String> = module
        .iter()
        .flat_map(|source| own_names(&source.shipped))
        .collect();
    let mut findings = Vec::new();
    for source in module {
        let tokens = source.shipped.as_slice();
        let engine = EngineNames::of(tokens, &everywhere);
        let mut at_line =
            |line, message: &str| findings.push(Finding::new(&source.path, line, message));
        for line in glob_imports(tokens) {
            at_line(
                line,
                "a glob import of redb hides what this module publishes",
            );
        }
        for line in public_leaks(tokens, &engine) {
            at_line(line, "a public item shows a type of redb");
        }
        for line in impl_leaks(tokens, &engine) {
            at_line(
                line,
                "a conversion or an associated type shows a type of redb",
            );
        }
    }
    findings
}

/// The names by which one file knows the engine's items.
struct EngineNames(BTreeSet<String>);

impl EngineNames {
    /// `everywhere` are the names that any file of the module has from the engine.
    fn of(tokens: &[Token], everywhere: &BTreeSet<String>) -> Self {
        let mut names = own_names(tokens);
        for import in imports(tokens)
            .iter()
            .filter(|import| OWN_ROOTS.contains(&import.root()))
        {
            if import.glob {
                names.extend(everywhere.iter().cloned());
            } else if everywhere.contains(import.last()) {
                names.insert(import.name.clone());
            }
        }
        Self(names)
    }

    /// True if any of the tokens names the engine or an item of it.
    fn in_tokens(&self, tokens: &[Token]) -> bool {
        (0..tokens.len()).any(|at| is_engine_root(tokens, at) || self.is_name(&tokens[at]))
    }

    fn is_name(&self, token: &Token) -> bool {
        token.kind == Kind::Ident && self.0.contains(&token.text)
    }
}

/// Names imported from the engine, and aliases of what has such a name.
fn own_names(tokens: &[Token]) -> BTreeSet<String> {
    let mut names = EngineNames(
        imports(tokens)
            .into_iter()
            .filter(Import::is_engine)
            .map(|import| import.name)
            .collect(),
    );
    for at in 0..tokens.len() {
        let aliases = tokens[at].is_ident("type") && names.in_tokens(until(&tokens[at..], &[";"]));
        if let (true, Some(alias)) = (aliases && !in_impl(tokens, at), tokens.get(at + 1)) {
            names.0.insert(alias.text.clone());
        }
    }
    names.0
}

fn glob_imports(tokens: &[Token]) -> Vec<usize> {
    imports(tokens)
        .into_iter()
        .filter(|import| import.is_engine() && import.glob)
        .map(|import| import.line)
        .collect()
}

/// True at a `redb` that is the crate: not `self::redb`, not a module's or a function's own name.
fn is_engine_root(tokens: &[Token], at: usize) -> bool {
    if !tokens[at].is_ident(ENGINE) {
        return false;
    }
    let before = &tokens[..at];
    let declared = before
        .last()
        .is_some_and(|token| token.is_ident("mod") || token.is_ident("fn"));
    let below = match before {
        [.., parent, a, b] => {
            a.is_punct(":") && b.is_punct(":") && OWN_ROOTS.iter().any(|root| parent.is_ident(root))
        }
        _ => false,
    };
    !declared && !below
}

/// The lines of public items whose signature names the engine. `pub(crate)` and the like are not
/// public; a struct's private fields are not part of its signature, an enum's and a trait's body is.
fn public_leaks(tokens: &[Token], engine: &EngineNames) -> Vec<usize> {
    (0..tokens.len())
        .filter(|at| tokens[*at].is_ident("pub"))
        .filter(|at| !tokens.get(at + 1).is_some_and(|token| token.is_punct("(")))
        .filter(|at| engine.in_tokens(signature(&tokens[at + 1..])))
        .map(|at| tokens[at].line)
        .collect()
}

/// The public part of the item that follows a `pub`.
fn signature(tokens: &[Token]) -> &[Token] {
    let modifiers = tokens
        .iter()
        .take_while(|token| {
            token.kind == Kind::Str
                || ["async", "unsafe", "extern", "default"]
                    .iter()
                    .any(|word| token.is_ident(word))
        })
        .count();
    let word = match &tokens[modifiers..] {
        [first, second, ..] if first.is_ident("const") && second.is_ident("fn") => "fn",
        [first, ..] => first.text.as_str(),
        [] => "",
    };
    match word {
        "fn" | "mod" | "crate" => until(tokens, &["{", ";"]),
        "const" | "static" => until(tokens, &["=", ";"]),
        "struct" | "union" => until(tokens, &["{", "(", ";"]),
        "enum" | "trait" => through_block(tokens),
        "type" | "use" => until(tokens, &[";"]),
        _ => field(tokens),
    }
}

/// The tokens before the first of the marks; brackets other than the marks are passed over whole.
fn until<'a>(tokens: &'a [Token], marks: &[&str]) -> &'a [Token] {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        if depth == 0 && marks.iter().any(|mark| token.is_punct(mark)) {
            return &tokens[..at];
        }
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
        }
    }
    tokens
}

/// The tokens up to the end of the first block.
fn through_block(tokens: &[Token]) -> &[Token] {
    let head = until(tokens, &["{"]).len();
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(head) {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return &tokens[..at + 1];
            }
        }
    }
    tokens
}

/// A field's type: up to its comma or its parent's end, commas of generics not counted.
fn field(tokens: &[Token]) -> &[Token] {
    let mut brackets = 0usize;
    let mut angles = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        let arrow = at > 0 && tokens[at - 1].is_punct("-");
        if token.opens() {
            brackets += 1;
        } else if token.closes() {
            if brackets == 0 {
                return &tokens[..at];
            }
            brackets -= 1;
        } else if token.is_punct("<") {
            angles += 1;
        } else if token.is_punct(">") && !arrow {
            angles = angles.saturating_sub(1);
        } else if token.is_punct(",") && brackets == 0 && angles == 0 {
            return &tokens[..at];
        }
    }
    tokens
}

/// The lines of `impl From<redb::...>` and its like, and of associated types that are the engine's.
fn impl_leaks(tokens: &[Token], engine: &EngineNames) -> Vec<usize> {
    let mut lines = Vec::new();
    for at in (0..tokens.len()).filter(|at| is_impl_block(tokens, *at)) {
        let block = through_block(&tokens[at..]);
        let header = until(block, &["{"]);
        let named = engine.in_tokens(header);
        if named
            && header
                .iter()
                .any(|token| CONVERSIONS.iter().any(|name| token.is_ident(name)))
        {
            lines.push(tokens[at].line);
        }
        // The engine's own traits may be implemented with the engine's own types.
        if !named {
            let body = &block[header.len()..];
            lines.extend(
                (0..body.len())
                    .filter(|at| {
                        body[*at].is_ident("type") && engine.in_tokens(until(&body[*at..], &[";"]))
                    })
                    .map(|at| body[at].line),
            );
        }
    }
    lines
}

/// True at an `impl` that begins an item, not a type such as `impl Trait`.
fn is_impl_block(tokens: &[Token], at: usize) -> bool {
    let begins_item = match at.checked_sub(1).map(|before| &tokens[before]) {
        None => true,
        Some(before) => {
            ["}", ";", "]", "{"]
                .iter()
                .any(|mark| before.is_punct(mark))
                || before.is_ident("unsafe")
        }
    };
    tokens[at].is_ident("impl") && begins_item
}

/// True if the token at this place stands inside an `impl` block.
fn in_impl(tokens: &[Token], at: usize) -> bool {
    (0..at)
        .any(|from| is_impl_block(tokens, from) && from + through_block(&tokens[from..]).len() > at)
}

#[cfg(test)]
mod tests;
