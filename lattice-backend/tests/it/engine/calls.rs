//! Calls by name.

use super::*;

fn pair(key: &str, value: &str) -> Value {
    Value::record([
        ("key", Value::Text(key.into())),
        ("value", Value::Bytes(value.into())),
    ])
}

#[test]
fn by_name_write_and_read() {
    let store = replica(1);
    let Value::Record(receipt) = store.call("set", pair("key", "value")).unwrap() else {
        panic!("a receipt is a record");
    };
    let op = store.op_at(at(0)).unwrap().unwrap().reference();
    assert_eq!(receipt["apply_index"], Value::Integer(0));
    assert_eq!(receipt["seq"], Value::Integer(0));
    assert_eq!(receipt["op"], Value::Text(op.id.to_string()));
    assert_eq!(receipt["author"], Value::Text(op.author.to_string()));
    let key = Value::record([("key", Value::Text("key".into()))]);
    let found = store.call("get", key).unwrap();
    assert_eq!(found, Value::Bytes(b"value".to_vec()));
}

#[test]
fn that_are_wrong_say_how() {
    let store = replica(1);
    let error = |method: &str, args| match store.call(method, args).unwrap_err() {
        MethodError::Call(error) => error,
        other => panic!("{other:?}"),
    };
    let unknown = error("sett", Value::Null);
    assert_eq!(
        unknown.to_string(),
        "org.example.registers has no method `sett`; it has set, get, follow"
    );
    assert!(matches!(
        error("get", Value::Null),
        CallError::MissingParam { param, .. } if param == "key"
    ));
    assert!(matches!(
        error("get", pair("key", "value")),
        CallError::UnknownParam { .. }
    ));
    assert!(matches!(
        error("get", Value::record([("key", Value::Integer(1))])),
        CallError::ParamType { .. }
    ));
    let stream = store.call("follow", Value::Null).unwrap_err();
    assert!(matches!(stream, MethodError::Stream { method } if method == "follow"));
    // An empty key makes an invalid payload: the store refuses it, not the call.
    let refused = store.call("set", pair("", "value")).unwrap_err();
    assert!(matches!(refused, MethodError::Append(_)), "{refused:?}");
    assert_eq!(
        Registers::default().logic.newest_schema(),
        store.schema_version()
    );
}
