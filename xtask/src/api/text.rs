//! Formats tokens on one line, as rustfmt would.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// The text of a syntax element on one line.
pub(super) fn text(syntax: impl ToTokens) -> String {
    let mut writer = Writer::default();
    writer.stream(syntax.into_token_stream());
    writer.out
}

/// Tokens of several characters. `>>` is missing: it mostly closes two lists of generics.
const LONG_MARKS: &[&str] = &[
    "::", "->", "=>", "..", "..=", "<<", "==", "!=", "<=", ">=", "&&", "||",
];

#[derive(Default)]
struct Writer {
    out: String,
    /// True if no space precedes the next token.
    tight: bool,
}

impl Writer {
    fn stream(&mut self, stream: TokenStream) {
        let mut mark = String::new();
        for tree in stream {
            if let TokenTree::Punct(punct) = tree {
                let longer = format!("{mark}{punct}");
                if !mark.is_empty() && !LONG_MARKS.contains(&longer.as_str()) {
                    self.mark(&mark);
                    mark.clear();
                }
                mark.push(punct.as_char());
                if punct.spacing() == Spacing::Alone {
                    self.mark(&std::mem::take(&mut mark));
                }
                continue;
            }
            if !mark.is_empty() {
                self.mark(&std::mem::take(&mut mark));
            }
            match tree {
                TokenTree::Group(group) => self.group(&group),
                other => self.word(&other.to_string()),
            }
        }
        if !mark.is_empty() {
            self.mark(&mark);
        }
    }

    fn group(&mut self, group: &proc_macro2::Group) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace => ("{ ", " }"),
            Delimiter::None => ("", ""),
        };
        let after_word = self
            .out
            .ends_with(|c: char| c.is_alphanumeric() || "_>!#".contains(c));
        // `f(x)` and `a[0]`, but `&'a [u8]`, `mut (a, b)` and `-> (a, b)`.
        let word_start = self.out.rfind(|c: char| !(c.is_alphanumeric() || c == '_'));
        let word = &self.out[word_start.map_or(0, |at| at + 1)..];
        let lifetime = word_start.is_some_and(|at| self.out[at..].starts_with('\''));
        let keyword = matches!(word, "mut" | "const" | "dyn" | "in" | "as" | "for");
        let arrow = ["->", "=>"].iter().any(|mark| self.out.ends_with(mark));
        if after_word && open != "{ " && !lifetime && !keyword && !arrow {
            self.tight = true;
        }
        self.word(open);
        self.tight = true;
        self.stream(group.stream());
        // A trailing comma comes from a multi-line list; a tuple of one element keeps its comma.
        if let Some(shorter) = self.out.strip_suffix(',')
            && group.stream().into_iter().count() != 2
        {
            self.out.truncate(shorter.len());
        }
        self.out.push_str(close);
        self.tight = false;
    }

    fn word(&mut self, word: &str) {
        if !self.tight && !self.out.is_empty() && !self.out.ends_with(' ') {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.tight = false;
    }

    fn mark(&mut self, mark: &str) {
        let (before, after) = match mark {
            "," | ";" | ":" => (false, true),
            "::" | "." | ".." | "?" => (false, false),
            "<" => (false, false),
            ">" => (false, true),
            "&" | "'" | "!" | "#" | "*" => (true, false),
            _ => (true, true),
        };
        if !before {
            // `a: ::b` and `+ ?Sized` keep the space after the previous token.
            let leads = matches!(mark, "::" | "?") && self.out.ends_with([':', '+', ',', '=']);
            self.tight = self.tight || !leads;
        }
        self.word(mark);
        self.tight = !after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_read_as_they_are_written() {
        for line in [
            "fn f<'a, T: ?Sized + Into<Vec<u8>>>(&'a mut self, x: &'a [u8; 4]) -> Option<(T, u8)>",
            "fn f(g: impl FnMut(&str) -> bool, h: *const u8) -> Result<(), Box<dyn Error + '_>>",
            "impl<M: a::B<C = D>> From<E<M>> for F<M> where M: 'static, for<'b> M: G<'b>",
            "const A: u64 = 1 << 20",
            "fn f<const N: usize>(x: [u8; N], y: (u8,)) -> N where A: ::a::B",
        ] {
            let stream: TokenStream = line.parse().unwrap();
            assert_eq!(text(stream), line);
        }
        let broken: TokenStream = "fn f(\n    a: A,\n    b: B,\n)".parse().unwrap();
        assert_eq!(text(broken), "fn f(a: A, b: B)");
    }
}
