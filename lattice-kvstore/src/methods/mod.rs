//! The methods that callers can call by name.

mod command;
mod query;

use lattice_backend::machine::{MethodEntry, Param, ValueType};
use lattice_backend::params;

use crate::KvMachine;

const KEY: Param = Param::required("key", ValueType::Bytes, "the key, 1 to 4,096 bytes");
const PREFIX: Param = Param::optional(
    "prefix",
    ValueType::Bytes,
    "only keys that start with these bytes",
);
const FROM: Param = Param::optional("from", ValueType::Bytes, "only this key and those after it");
const TO: Param = Param::optional("to", ValueType::Bytes, "only keys before this one");
const LIMIT: Param = Param::optional(
    "limit",
    ValueType::Integer,
    "at most this many; all if not given",
);
const EXPECT: Param = Param::optional(
    "expect",
    ValueType::Bytes,
    "refuse unless the key has this value",
);
const EXPECT_ABSENT: Param = Param::optional(
    "expect_absent",
    ValueType::Bool,
    "refuse if the key has a value",
);
const EXPECT_PRESENT: Param = Param::optional(
    "expect_present",
    ValueType::Bool,
    "refuse unless the key has a value",
);

/// The methods of the store type.
pub(crate) const METHODS: &[MethodEntry<KvMachine>] = &[
    MethodEntry::query(
        "get",
        "the value of a key, or null; of concurrent values the one put last",
        params![KEY],
        ValueType::Bytes,
        query::get,
    ),
    MethodEntry::query(
        "contains",
        "whether a key has a value",
        params![KEY],
        ValueType::Bool,
        query::contains,
    ),
    MethodEntry::query(
        "scan",
        "records of key and value, in the order of keys",
        params![
            PREFIX,
            FROM,
            TO,
            LIMIT,
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
        params![PREFIX, FROM, TO],
        ValueType::Integer,
        query::count,
    ),
    MethodEntry::query(
        "conflicts",
        "all concurrent values of a key and the ops that put them, the winner first",
        params![KEY],
        ValueType::List,
        query::conflicts,
    ),
    MethodEntry::query(
        "conflicted_keys",
        "keys with more than one value, the shorter ones first",
        params![LIMIT],
        ValueType::List,
        query::conflicted_keys,
    ),
    MethodEntry::command(
        "put",
        "gives a key a value, in place of all values it has",
        params![
            KEY,
            Param::required(
                "value",
                ValueType::Bytes,
                "the value; an empty one is a value",
            ),
            EXPECT,
            EXPECT_ABSENT,
            EXPECT_PRESENT,
        ],
        command::put,
    ),
    MethodEntry::command(
        "delete",
        "removes all values of a key; one that has none is left as it is",
        params![KEY, EXPECT, EXPECT_PRESENT],
        command::delete,
    ),
    MethodEntry::command(
        "batch",
        "puts and deletes that happen together or, if an expectation fails, not at all",
        params![
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
];
