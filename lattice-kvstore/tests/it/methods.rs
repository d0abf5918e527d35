//! Calls by name.

use lattice_backend::machine::{Args, CallError, MethodCall, MethodKind, StateMachine, Value};
use lattice_kvstore::{Command, Expectation, KvMachine};

use crate::support::host::Host;
use crate::support::op_ref;

fn bytes(text: &str) -> Value {
    Value::Bytes(text.into())
}

fn host() -> Host {
    let mut host = Host::new();
    let mut batch = Command::new();
    for key in ["ab", "a", "b", "abc", "c"] {
        batch.put(key, key.to_uppercase());
    }
    host.run(op_ref(1, 0, 1), 1, &batch).unwrap();
    host
}

fn call<const N: usize>(method: &str, args: [(&str, Value); N]) -> Result<Command, CallError> {
    let machine = KvMachine::new();
    let mut methods = machine.methods().iter();
    let entry = methods.find(|entry| entry.method.name == method).unwrap();
    let MethodCall::Command(command) = entry.call else {
        panic!("{method} is not a command");
    };
    command(
        &machine,
        Args::new(&entry.method, &Value::record(args).to_bytes())?,
    )
}

#[test]
fn every_method_describes_itself_and_its_parameters() {
    for entry in KvMachine::new().methods() {
        let method = &entry.method;
        assert!(!method.doc.is_empty() && method.kind != MethodKind::Stream);
        for param in method.params.iter() {
            assert!(!param.doc.is_empty(), "{}: {}", method.name, param.name);
        }
    }
}

#[test]
fn scans_accept_every_combination_of_bounds() {
    let host = host();
    let scan = |args: &[(&str, Value)]| {
        let all = args
            .iter()
            .cloned()
            .chain([("keys_only", Value::Bool(true))]);
        let Value::List(records) = host.query("scan", all) else {
            panic!("a list")
        };
        let key = |record: Value| match record {
            Value::Record(mut fields) => match fields.remove("key") {
                Some(Value::Bytes(key)) if fields.is_empty() => String::from_utf8(key).unwrap(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        records.into_iter().map(key).collect::<Vec<_>>().join(" ")
    };
    let (prefix, from, to) = (
        |k| ("prefix", bytes(k)),
        |k| ("from", bytes(k)),
        |k| ("to", bytes(k)),
    );
    let (reverse, limit) = (("reverse", Value::Bool(true)), |n: u64| ("limit", n.into()));
    assert_eq!(scan(&[]), "a ab abc b c");
    assert_eq!(scan(&[prefix("a")]), "a ab abc");
    assert_eq!(scan(&[prefix("ab"), reverse.clone()]), "abc ab");
    assert_eq!(scan(&[from("ab"), to("b")]), "ab abc");
    assert_eq!(scan(&[prefix("a"), from("aa")]), "ab abc");
    assert_eq!(scan(&[prefix("a"), to("abc")]), "a ab");
    assert_eq!(scan(&[prefix("a"), from("0"), to("z")]), "a ab abc");
    assert_eq!(scan(&[from("b"), to("a")]), "");
    assert_eq!(scan(&[prefix("x")]), "");
    assert_eq!(scan(&[limit(2)]), "a ab");
    assert_eq!(scan(&[limit(2), reverse]), "c b");
    assert_eq!(scan(&[limit(0)]), "");
    assert_eq!(scan(&[limit(u64::MAX)]), "a ab abc b c");
}

#[test]
fn queries_return_their_results() {
    let host = host();
    let key = |key| [("key", bytes(key))];
    assert_eq!(host.query("get", key("ab")), bytes("AB"));
    assert_eq!(
        host.query("get", [("key", Value::Text("ab".into()))]),
        bytes("AB")
    );
    assert_eq!(host.query("get", key("x")), Value::Null);
    assert_eq!(host.query("get", key("")), Value::Null);
    assert_eq!(host.query("contains", key("ab")), Value::Bool(true));
    assert_eq!(host.query("contains", key("x")), Value::Bool(false));
    assert_eq!(host.query("count", []), Value::Integer(5));
    assert_eq!(
        host.query("count", [("prefix", bytes("a"))]),
        Value::Integer(3)
    );
    let Value::List(records) = host.query("scan", [("limit", 1_u64.into())]) else {
        panic!("a list");
    };
    assert_eq!(
        records,
        [Value::record([("key", bytes("a")), ("value", bytes("A"))])]
    );
}

#[test]
fn commands_are_built_from_arguments() {
    let mut expected = Command::new();
    expected.put("k", "v");
    let kv = [("key", bytes("k")), ("value", bytes("v"))];
    assert_eq!(call("put", kv.clone()).unwrap(), expected);
    let batch = [("writes", Value::List(vec![Value::record(kv)]))];
    assert_eq!(call("batch", batch).unwrap(), expected);

    let mut expected = Command::new();
    expected
        .delete("k")
        .expect("k", Expectation::Value(b"v".to_vec()));
    let k = ("key", Value::Text("k".into()));
    assert_eq!(
        call("delete", [k.clone(), ("expect", bytes("v"))]).unwrap(),
        expected
    );
    let batch = [
        (
            "writes",
            Value::List(vec![Value::record([k.clone(), ("value", Value::Null)])]),
        ),
        (
            "expect",
            Value::List(vec![Value::record([k.clone(), ("value", bytes("v"))])]),
        ),
    ];
    assert_eq!(call("batch", batch).unwrap(), expected);

    let mut expected = Command::new();
    expected.put("k", "").expect("k", Expectation::Absent);
    let put = [
        k.clone(),
        ("value", bytes("")),
        ("expect_absent", Value::Bool(true)),
    ];
    assert_eq!(call("put", put).unwrap(), expected);
    let mut expected = Command::new();
    expected.delete("k").expect("k", Expectation::Present);
    assert_eq!(
        call("delete", [k, ("expect_present", Value::Bool(true))]).unwrap(),
        expected
    );
}

#[test]
fn records_that_a_batch_refuses_are_named() {
    let reason = |record: Value| {
        let good = Value::record([("key", bytes("k"))]);
        match call("batch", [("writes", Value::List(vec![good, record]))]).unwrap_err() {
            CallError::Argument {
                method,
                param,
                reason,
            } => {
                assert_eq!((&*method, &*param), ("batch", "writes"));
                reason
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        reason(Value::Null),
        "record 1: expected a record, found null"
    );
    assert_eq!(
        reason(Value::record([])),
        "record 1: expected a `key`, found none"
    );
    assert_eq!(
        reason(Value::record([("key", 1_u64.into())])),
        "record 1: expected bytes, found integer"
    );
    assert_eq!(
        reason(Value::record([("key", bytes("k")), ("valeu", bytes("v"))])),
        "record 1: expected `key` and `value`, found `valeu`"
    );
}

#[test]
fn a_negative_limit_is_refused() {
    let refused = host()
        .try_query("scan", [("limit", Value::Integer(-1))])
        .unwrap_err();
    assert!(
        matches!(&refused, CallError::Argument { param, .. } if param == "limit"),
        "{refused}"
    );
}
