//! The table of settings.

use clap::ValueEnum;

use crate::program::args::Color;
use crate::program::log;
use crate::program::suggest::did_you_mean;

/// The value of `verify` by which commands take stores unverified.
pub(super) const TRUST: &str = "trust";

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Key {
    Wait,
    Color,
    Pager,
    Log,
    Verify,
    CodePolicy,
}

/// What a setting is called, and what values it takes.
pub(super) struct Spec {
    pub(super) key: Key,
    pub(super) name: &'static str,
    /// The environment variables that set it, the first one first.
    pub(super) variables: &'static [&'static str],
    pub(super) default: &'static str,
    pub(super) expected: &'static str,
    /// Whether it is a number in the file, and not a text.
    pub(super) is_number: bool,
    pub(super) fits: fn(&str) -> bool,
}

/// All settings, in the order in which they are shown.
pub(super) const KEYS: [Spec; 6] = [
    Spec {
        key: Key::Wait,
        name: "wait",
        variables: &["LATTICE_WAIT"],
        default: "10",
        expected: "a number of seconds, as 10; 0 does not wait",
        is_number: true,
        fits: |text| text.parse::<u32>().is_ok(),
    },
    Spec {
        key: Key::Color,
        name: "color",
        variables: &["LATTICE_COLOR"],
        default: "auto",
        expected: "\"auto\", \"always\" or \"never\"",
        is_number: false,
        fits: |text| Color::from_str(text, false).is_ok(),
    },
    Spec {
        key: Key::Pager,
        name: "pager",
        variables: &["LATTICE_PAGER", "PAGER"],
        default: "less",
        expected: "a command, as \"less\", or \"\" for no pager",
        is_number: false,
        fits: |text| !text.chars().any(char::is_control),
    },
    Spec {
        key: Key::Log,
        name: "log",
        variables: &["LATTICE_LOG"],
        default: log::OFF,
        expected: "a level (off, error, warn, info, debug, trace), or levels of modules as \
                   lattice_backend=debug, with commas between them",
        is_number: false,
        fits: log::fits,
    },
    Spec {
        key: Key::Verify,
        name: "verify",
        variables: &["LATTICE_VERIFY"],
        default: "full",
        expected: "\"full\" or \"trust\"",
        is_number: false,
        fits: |text| ["full", TRUST].contains(&text),
    },
    Spec {
        key: Key::CodePolicy,
        name: "code_policy",
        variables: &["LATTICE_CODE_POLICY"],
        default: "ask",
        expected: "\"ask\" or \"follow\"",
        is_number: false,
        fits: |text| ["ask", "follow"].contains(&text),
    },
];

/// The place of a setting in the table.
pub(super) fn place(key: Key) -> usize {
    let place = KEYS.iter().position(|spec| spec.key == key);
    place.expect("every key is in the table")
}

/// What an unknown key may mean.
pub(super) fn meant(key: &str) -> String {
    let names = KEYS.map(|spec| spec.name);
    did_you_mean(key, names).unwrap_or_else(|| format!("expected one of {}", names.join(", ")))
}

/// A value that its key has accepted.
pub(super) fn parsed<T: ValueEnum>(text: &str) -> T {
    T::from_str(text, false).expect("the key accepts only values of its type")
}

/// The name of a value.
pub(super) fn name_of(value: impl ValueEnum) -> String {
    let value = value.to_possible_value().expect("no value is hidden");
    value.get_name().to_owned()
}
