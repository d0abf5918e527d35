//! Arguments of the commands for stores of any type.

use std::ffi::OsString;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::{Subcommand, ValueEnum};

use super::{Encoding, Mode, Store, Trusting, Writing};
use crate::program::pipes::FileArg;

#[derive(Debug, clap::Args)]
pub(in super::super) struct Create {
    /// The store's type, e.g. core:kvstore or core:logstore; `lattice types` lists all
    #[arg(value_name = "TYPE")]
    pub(in super::super) store_type: String,
    /// A name for the store: letters and digits of any script, `-`, `_` and `.`
    #[arg(long, value_name = "NAME")]
    pub(in super::super) alias: Option<crate::Alias>,
    /// Let the group of the store's file read the store: mode 0640, and 0750 for its directory
    #[arg(long)]
    pub(in super::super) group_readable: bool,
}

/// The order of a list of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum SortBy {
    /// By name; stores without one come last, by id
    Name,
    /// By id
    Id,
    /// By type, then by name
    Type,
    /// The largest first
    Size,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct List {
    /// The order
    #[arg(long, value_name = "BY", default_value = "name")]
    pub(in super::super) sort: SortBy,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Stats {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// What ends a prefix of a key
    #[arg(long, value_name = "BYTES", default_value = "/",
          value_parser = clap::builder::NonEmptyStringValueParser::new().map(OsString::from))]
    pub(in super::super) delimiter: OsString,
    /// The most delimiters in a prefix
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in super::super) depth: usize,
    /// Show the N largest authors and prefixes, and the sum of all others
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(in super::super) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Describe {
    /// A store, or a store type
    #[arg(value_name = "STORE|TYPE")]
    pub(in super::super) what: OsString,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Call {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The method; `lattice describe STORE` lists all
    pub(in super::super) method: String,
    /// Arguments: NAME=TEXT for texts and bytes, NAME:=JSON for any value, NAME=@FILE for the
    /// contents of a file, NAME_b64=BASE64 for bytes in base64
    #[arg(value_name = "NAME=VALUE")]
    pub(in super::super) arguments: Vec<OsString>,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

/// How a file to be imported is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum ImportFormat {
    /// A JSON object on each line, as `export` prints them
    Jsonl,
    /// An array of JSON objects, or objects one after another
    Json,
    /// Values separated by commas, or by --delimiter, below a line of column names
    Csv,
    /// Plain lines: an entry each, or a key, a tab and a value
    Lines,
}

/// The byte between two columns of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Delimiter(pub(in super::super) u8);

/// A text that is no delimiter.
#[derive(Debug, thiserror::Error)]
#[error("expected one ASCII character, not a quote or a line end; \\t is a tab")]
pub(in super::super) struct DelimiterError;

impl FromStr for Delimiter {
    type Err = DelimiterError;

    fn from_str(text: &str) -> Result<Self, DelimiterError> {
        match text.as_bytes() {
            br"\t" => Ok(Self(b'\t')),
            [b'"' | b'\r' | b'\n'] => Err(DelimiterError),
            [byte] if byte.is_ascii() => Ok(Self(*byte)),
            _ => Err(DelimiterError),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Import {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The file, which can be compressed with gzip or zstd; `-` is standard input
    pub(in super::super) file: FileArg,
    /// The format of the file [default: from its extension (.jsonl .ndjson, .json, .csv .tsv, .log
    /// .txt, each also with .gz or .zst); jsonl or json for .json and standard input, as the text
    /// begins]
    #[arg(long)]
    pub(in super::super) format: Option<ImportFormat>,
    /// The character between the columns of a table; \t is a tab [default: a comma; a tab for
    /// .tsv]
    #[arg(long, value_name = "CHAR")]
    pub(in super::super) delimiter: Option<Delimiter>,
    /// The column or JSON field with the key; without --value, the value is the whole row, as a
    /// JSON object
    #[arg(long, value_name = "COLUMN")]
    pub(in super::super) key: Option<String>,
    /// The column or JSON field with the value or the entry
    #[arg(long, value_name = "COLUMN")]
    pub(in super::super) value: Option<String>,
    /// For a log: the column or JSON field with the time of the source, with which each entry then
    /// begins, in UTC
    #[arg(long, value_name = "COLUMN")]
    pub(in super::super) time: Option<String>,
    /// Import all rows or none: an invalid row undoes the rows before it
    #[arg(long)]
    pub(in super::super) atomic: bool,
    /// Leave out rows that cannot be read, and report how many and the first 10; fails only if
    /// all rows are left out, or if the rest of the file cannot be split into rows
    #[arg(long)]
    pub(in super::super) skip_errors: bool,
    /// The most rows in one op
    #[arg(long, value_name = "ROWS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(in super::super) batch: u32,
    #[command(flatten)]
    pub(in super::super) writing: Writing,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Export {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The file to create; an existing file is refused; .gz compresses it; `-`, as without FILE, is
    /// standard output
    pub(in super::super) file: Option<FileArg>,
    /// The format [default: from the extension of FILE (.jsonl, .csv .tsv, each also with .gz);
    /// jsonl for any other and for standard output]
    #[arg(long)]
    pub(in super::super) format: Option<ExportFormat>,
    /// The character between the columns of a table; \t is a tab [default: a comma; a tab for
    /// .tsv]
    #[arg(long, value_name = "CHAR")]
    pub(in super::super) delimiter: Option<Delimiter>,
    /// Export only keys that start with these bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) prefix: Option<OsString>,
    /// Start at this key; for a log at this time, in milliseconds since 1970 or as
    /// 2026-01-31T23:59:59Z
    #[arg(long, value_name = "KEY|TIME", allow_hyphen_values = true)]
    pub(in super::super) from: Option<OsString>,
    /// Stop before this key; for a log before this time
    #[arg(long, value_name = "KEY|TIME", allow_hyphen_values = true)]
    pub(in super::super) to: Option<OsString>,
    /// The permission bits of the file
    #[arg(long, value_name = "OCTAL", default_value = "600")]
    pub(in super::super) mode: Mode,
    #[command(flatten)]
    pub(in super::super) encoding: Encoding,
}

/// How rows are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum ExportFormat {
    /// A JSON object on each line
    Jsonl,
    /// A line of column names, and values separated by commas; bytes are written as they are
    Csv,
}

#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(in super::super) struct Alias {
    #[command(subcommand)]
    pub(in super::super) command: Option<AliasCommand>,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum AliasCommand {
    /// List all aliases
    #[command(after_long_help = "Example: lattice alias list")]
    List,
    /// Give a store of the data directory a name
    #[command(after_long_help = "Example: lattice alias set 3f2a fruit")]
    Set {
        #[command(flatten)]
        store: Store,
        /// The name: letters and digits of any script, `-`, `_` and `.`
        #[arg(value_name = "NAME")]
        alias: crate::Alias,
    },
    /// Remove a name; the store stays
    #[command(after_long_help = "Example: lattice alias remove fruit")]
    Remove {
        /// The name
        #[arg(value_name = "NAME")]
        alias: crate::Alias,
    },
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(in super::super) struct Identity {
    /// Create an identity if none exists; without this, the first command that writes creates it
    #[arg(long)]
    pub(in super::super) create: bool,
    #[command(subcommand)]
    pub(in super::super) command: Option<IdentityCommand>,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum IdentityCommand {
    /// Give this data directory a new identity; the old key is kept in a file beside it
    #[command(after_long_help = super::help::IDENTITY_NEW)]
    New {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Verify {
    /// The store
    #[arg(value_name = "STORE", required_unless_present = "all")]
    pub(in super::super) store: Option<OsString>,
    /// Verify every store of the data directory, and continue after a failure
    #[arg(long, conflicts_with = "store")]
    pub(in super::super) all: bool,
    /// Only count and hash the rows of the state, and compare with the recorded state hash
    #[arg(long)]
    pub(in super::super) quick: bool,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Migrate {
    #[command(flatten)]
    pub(in super::super) store: Store,
    /// The new store's type; the type of the old store makes a copy with a new history
    #[arg(long, value_name = "TYPE", required_unless_present = "keep")]
    pub(in super::super) to: Option<String>,
    #[command(flatten)]
    pub(in super::super) keep: Retention,
    /// A name for the new store
    #[arg(long, value_name = "NAME")]
    pub(in super::super) alias: Option<crate::Alias>,
    #[command(flatten)]
    pub(in super::super) trusting: Trusting,
}

/// Which entries of a log, or keys of a key-value store, a new store of the same type gets.
#[derive(Debug, clap::Args)]
#[group(id = "keep", multiple = false, conflicts_with = "to")]
pub(in super::super) struct Retention {
    /// Make a new store with what was written in this time before the newest entry or key, such as
    /// 30d, 12h or 2w
    #[arg(long = "keep", id = "keep_time", value_name = "TIME")]
    pub(in super::super) time: Option<Span>,
    /// Make a new store with the newest N entries or keys
    #[arg(long = "keep-last", value_name = "N")]
    pub(in super::super) last: Option<u64>,
    /// Make a new store with the newest entries or keys that have at most this size together, such
    /// as 100M
    #[arg(long = "keep-size", value_name = "SIZE")]
    pub(in super::super) size: Option<Size>,
}

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Span(pub(in super::super) u64);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Size(pub(in super::super) u64);

/// A text that is no number with a unit.
#[derive(Debug, thiserror::Error)]
#[error("expected a number with a unit: {0}")]
pub(in super::super) struct UnitError(&'static str);

/// Parses a number that ends in one of the units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor)
    })
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const UNITS: [(&str, u64); 5] = [
            ("s", 1_000),
            ("min", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
        ];
        let span = with_unit(text, &UNITS).map(Self);
        span.ok_or(UnitError("s, min, h, d or w, such as 30d"))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const UNITS: [(&str, u64); 7] = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("K", 1 << 10),
            ("M", 1 << 20),
            ("G", 1 << 30),
            ("", 1),
        ];
        let size = with_unit(text, &UNITS).map(Self);
        size.ok_or(UnitError("bytes, K, M or G, such as 100M"))
    }
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Doctor {
    /// Stores to check; without any, the data directory and all its stores. Directories outside of
    /// it, in which backups, bundles or exports are written, are searched for leftovers
    #[arg(value_name = "STORE|DIR")]
    pub(in super::super) targets: Vec<OsString>,
    /// Verify each store in full, instead of its state hash only
    #[arg(long)]
    pub(in super::super) full: bool,
    /// Mend what loses nothing: remove leftovers, and take away excess permissions
    #[arg(long)]
    pub(in super::super) fix: bool,
}
