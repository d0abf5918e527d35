//! The lines of a recording.

use std::fmt::Write;

use data_encoding::HEXLOWER;

/// A field of a line.
pub(crate) enum Field<'a> {
    Number(u64),
    /// A byte string.
    Hex(&'a [u8]),
    /// A name without quotes or backslashes.
    Name(&'a str),
    Null,
}

/// How a call of the module ended.
pub(crate) enum Outcome {
    /// The module returned an answer.
    Answer(Vec<u8>),
    /// The module refused: a parameter, or an empty name, and the reason.
    Refused(String, String),
    /// The module trapped.
    Fault,
}

#[derive(Default)]
pub(crate) struct Tape(String);

impl Tape {
    pub(crate) fn line(&mut self, kind: &str, fields: &[(&str, Field<'_>)]) {
        let out = &mut self.0;
        write!(out, "{{\"line\":\"{kind}\"").expect("a string takes all text");
        for (name, field) in fields {
            let wrote = match field {
                Field::Number(number) => write!(out, ",\"{name}\":{number}"),
                Field::Hex(bytes) => write!(out, ",\"{name}\":\"{}\"", HEXLOWER.encode(bytes)),
                Field::Name(text) => write!(out, ",\"{name}\":\"{text}\""),
                Field::Null => write!(out, ",\"{name}\":null"),
            };
            wrote.expect("a string takes all text");
        }
        out.push_str("}\n");
    }

    /// A call of a method, or a step of a conversion.
    pub(crate) fn call(&mut self, kind: &str, method: u64, input: &[u8], outcome: &Outcome) {
        let (method, input) = (Field::Number(method), Field::Hex(input));
        let start = [("method", method), ("input", input)];
        let end = match outcome {
            Outcome::Answer(answer) => vec![("answer", Field::Hex(answer))],
            Outcome::Refused(param, reason) => vec![
                ("param", Field::Hex(param.as_bytes())),
                ("reason", Field::Hex(reason.as_bytes())),
            ],
            Outcome::Fault => vec![("fault", Field::Number(1))],
        };
        let fields: Vec<_> = start.into_iter().chain(end).collect();
        self.line(kind, &fields);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}
