//! The methods that can be called by name.

mod command;
mod query;

use alloc::vec;
use alloc::vec::Vec;

use lattice_backend::machine::{MethodEntry, Param, ValueType};

use crate::KvMachine;

fn key() -> Param {
    Param::required("key", ValueType::Bytes, "the key, 1 to 4,096 bytes")
}
fn prefix() -> Param {
    Param::optional(
        "prefix",
        ValueType::Bytes,
        "only keys that start with these bytes",
    )
}
fn from() -> Param {
    Param::optional(
        "from",
        ValueType::Bytes,
        "only this key and those behind it",
    )
}
fn to() -> Param {
    Param::optional("to", ValueType::Bytes, "only keys in front of this one")
}
fn limit() -> Param {
    Param::optional(
        "limit",
        ValueType::Integer,
        "at most this many; all if not given",
    )
}
fn expect() -> Param {
    Param::optional(
        "expect",
        ValueType::Bytes,
        "refuse unless the key has this value",
    )
}
fn expect_absent() -> Param {
    Param::optional(
        "expect_absent",
        ValueType::Bool,
        "refuse if the key has a value",
    )
}
fn expect_present() -> Param {
    Param::optional(
        "expect_present",
        ValueType::Bool,
        "refuse unless the key has a value",
    )
}

/// What can be called.
pub(crate) fn methods() -> Vec<MethodEntry<KvMachine>> {
    vec![
        MethodEntry::query(
            "get",
            "the value of a key, or null; of concurrent values the one put last",
            vec![key()],
            ValueType::Bytes,
            query::get,
        ),
        MethodEntry::query(
            "contains",
            "whether a key has a value",
            vec![key()],
            ValueType::Bool,
            query::contains,
        ),
        MethodEntry::query(
            "scan",
            "records of key and value, in the order of keys",
            vec![
                prefix(),
                from(),
                to(),
                limit(),
                Param::optional(
                    "reverse",
                    ValueType::Bool,
                    "from the greatest key to the least",
                ),
                Param::optional("keys_only", ValueType::Bool, "records of the key alone"),
            ],
            ValueType::List,
            query::scan,
        ),
        MethodEntry::query(
            "count",
            "how many keys have a value; reads them all",
            vec![prefix(), from(), to()],
            ValueType::Integer,
            query::count,
        ),
        MethodEntry::query(
            "conflicts",
            "all concurrent values of a key and the ops that put them, the winner first",
            vec![key()],
            ValueType::List,
            query::conflicts,
        ),
        MethodEntry::query(
            "conflicted_keys",
            "keys with more than one value, the shorter ones first",
            vec![limit()],
            ValueType::List,
            query::conflicted_keys,
        ),
        MethodEntry::command(
            "put",
            "gives a key a value, in place of all values it has",
            vec![
                key(),
                Param::required(
                    "value",
                    ValueType::Bytes,
                    "the value; an empty one is a value",
                ),
                expect(),
                expect_absent(),
                expect_present(),
            ],
            command::put,
        ),
        MethodEntry::command(
            "delete",
            "removes all values of a key; one that has none is left as it is",
            vec![key(), expect(), expect_present()],
            command::delete,
        ),
        MethodEntry::command(
            "batch",
            "puts and deletes that happen together or, if an expectation fails, not at all",
            vec![
                Param::required(
                    "writes",
                    ValueType::List,
                    "records of a key and a value; without a value, or with null, the key is deleted",
                ),
                Param::optional(
                    "expect",
                    ValueType::List,
                    "records of a key and its value; without a value, or with null, it has none",
                ),
            ],
            command::batch,
        ),
    ]
}
