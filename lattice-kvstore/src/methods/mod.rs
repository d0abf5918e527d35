//! The methods that can be called by name.

mod command;
mod query;

use lattice_backend::machine::{CallError, Method, MethodKind, Param, ValueType};

pub(crate) use command::command;
pub(crate) use query::query;

const KEY: Param = required("key", ValueType::Bytes, "the key, 1 to 4,096 bytes");
const PREFIX: Param = optional(
    "prefix",
    ValueType::Bytes,
    "only keys that start with these bytes",
);
const FROM: Param = optional(
    "from",
    ValueType::Bytes,
    "only this key and those behind it",
);
const TO: Param = optional("to", ValueType::Bytes, "only keys in front of this one");
const LIMIT: Param = optional(
    "limit",
    ValueType::Integer,
    "at most this many; all if not given",
);
const EXPECT: Param = optional(
    "expect",
    ValueType::Bytes,
    "refuse unless the key has this value",
);
const EXPECT_ABSENT: Param = optional(
    "expect_absent",
    ValueType::Bool,
    "refuse if the key has a value",
);
const EXPECT_PRESENT: Param = optional(
    "expect_present",
    ValueType::Bool,
    "refuse unless the key has a value",
);

/// What can be called.
pub(crate) const METHODS: &[Method] = &[
    Method {
        name: "get",
        kind: MethodKind::Query,
        doc: "the value of a key, or null; of concurrent values the one put last",
        params: &[KEY],
        result: ValueType::Bytes,
    },
    Method {
        name: "contains",
        kind: MethodKind::Query,
        doc: "whether a key has a value",
        params: &[KEY],
        result: ValueType::Bool,
    },
    Method {
        name: "scan",
        kind: MethodKind::Query,
        doc: "records of key and value, in the order of keys",
        params: &[
            PREFIX,
            FROM,
            TO,
            LIMIT,
            optional(
                "reverse",
                ValueType::Bool,
                "from the greatest key to the least",
            ),
            optional("keys_only", ValueType::Bool, "records of the key alone"),
        ],
        result: ValueType::List,
    },
    Method {
        name: "count",
        kind: MethodKind::Query,
        doc: "how many keys have a value; reads them all",
        params: &[PREFIX, FROM, TO],
        result: ValueType::Integer,
    },
    Method {
        name: "conflicts",
        kind: MethodKind::Query,
        doc: "all concurrent values of a key and the ops that put them, the winner first",
        params: &[KEY],
        result: ValueType::List,
    },
    Method {
        name: "conflicted_keys",
        kind: MethodKind::Query,
        doc: "keys with more than one value, the shorter ones first",
        params: &[LIMIT],
        result: ValueType::List,
    },
    Method {
        name: "put",
        kind: MethodKind::Command,
        doc: "gives a key a value, in place of all values it has",
        params: &[
            KEY,
            required(
                "value",
                ValueType::Bytes,
                "the value; an empty one is a value",
            ),
            EXPECT,
            EXPECT_ABSENT,
            EXPECT_PRESENT,
        ],
        result: ValueType::Record,
    },
    Method {
        name: "delete",
        kind: MethodKind::Command,
        doc: "removes all values of a key; one that has none is left as it is",
        params: &[KEY, EXPECT, EXPECT_PRESENT],
        result: ValueType::Record,
    },
    Method {
        name: "batch",
        kind: MethodKind::Command,
        doc: "puts and deletes that happen together or, if an expectation fails, not at all",
        params: &[
            required(
                "writes",
                ValueType::List,
                "records of a key and a value; without a value, or with null, the key is deleted",
            ),
            optional(
                "expect",
                ValueType::List,
                "records of a key and its value; without a value, or with null, it has none",
            ),
        ],
        result: ValueType::Record,
    },
];

const fn required(name: &'static str, value_type: ValueType, doc: &'static str) -> Param {
    Param {
        name,
        value_type,
        required: true,
        doc,
    }
}

const fn optional(name: &'static str, value_type: ValueType, doc: &'static str) -> Param {
    Param {
        name,
        value_type,
        required: false,
        doc,
    }
}

/// The error for a method of another kind or another store type.
fn unknown(method: &Method, kind: MethodKind) -> CallError {
    CallError::UnknownMethod {
        store_type: crate::store_type(),
        method: method.name.into(),
        known: METHODS
            .iter()
            .filter(|method| method.kind == kind)
            .map(|m| m.name)
            .collect(),
    }
}
