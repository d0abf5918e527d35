//! Calls by name.

use lattice_backend::machine::{
    Args, CallError, MachineError, MethodCall, MethodKind, StateMachine, Value,
};
use lattice_code::releases::{ReleaseCommand, ReleaseMachine};
use proptest::prelude::*;

use super::support::{CHAT, CHAT_V2, MapData, cid, publish, withdraw};

fn command(method: &str, fields: Value) -> Result<ReleaseCommand, CallError> {
    let machine = ReleaseMachine::new();
    let mut methods = machine.methods().iter();
    let entry = methods.find(|entry| entry.method.name == method).unwrap();
    let MethodCall::Command(command) = entry.call else {
        panic!("{method} is not a command");
    };
    command(&machine, Args::new(&entry.method, &fields.to_bytes())?)
}

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn release_1() -> [(&'static str, Value); 7] {
    [
        ("type", text(CHAT)),
        ("release", 1.into()),
        ("cid", text(cid(1))),
        ("length", 1000.into()),
        ("abi", 1.into()),
        ("first_schema", 1.into()),
        ("schema", 2.into()),
    ]
}

#[test]
fn methods_are_described() {
    let machine = ReleaseMachine::new();
    let described: Vec<_> = machine
        .methods()
        .iter()
        .map(|entry| (&*entry.method.name, entry.method.kind))
        .collect();
    let expected = [
        ("publish", MethodKind::Command),
        ("withdraw", MethodKind::Command),
        ("releases", MethodKind::Query),
        ("release", MethodKind::Query),
        ("types", MethodKind::Query),
    ];
    assert_eq!(described, expected);
}

#[test]
fn commands_are_made_of_their_arguments() {
    let mut expected = publish(CHAT, 1, 1);
    expected.notes.clear();
    assert_eq!(
        command("publish", Value::record(release_1())),
        Ok(ReleaseCommand::Publish(expected.clone()))
    );
    let Value::Record(mut fields) = Value::record(release_1()) else {
        panic!("a record was made");
    };
    fields.insert("replaces", text(cid(2)));
    fields.insert("notes", text("ö"));
    expected.replaces = Some(cid(2));
    expected.notes = "ö".into();
    assert_eq!(
        command("publish", Value::Record(fields)),
        Ok(ReleaseCommand::Publish(expected))
    );
    let fields = [("cid", text(cid(1))), ("reason", text("why"))];
    assert_eq!(
        command("withdraw", Value::record(fields)),
        Ok(ReleaseCommand::Withdraw(withdraw(1, "why")))
    );
}

#[test]
fn wrong_arguments_are_named() {
    for (param, wrong) in [
        ("type", text("chat")),
        ("release", Value::Integer(-1)),
        ("cid", text("bafk")),
        ("length", (1_u64 << 32).into()),
        ("abi", (1_u64 << 16).into()),
        ("first_schema", Value::Integer(-1)),
        ("schema", Value::Integer(1 << 64)),
        ("replaces", text("")),
    ] {
        let Value::Record(mut fields) = Value::record(release_1()) else {
            panic!("a record was made");
        };
        fields.insert(param, wrong);
        let refusal = command("publish", Value::Record(fields)).unwrap_err();
        assert!(
            matches!(&refusal, CallError::Argument { param: named, .. } if named == param),
            "{param}: {refusal:?}"
        );
    }
    for left_out in release_1().map(|(name, _)| name) {
        let Value::Record(mut fields) = Value::record(release_1()) else {
            panic!("a record was made");
        };
        fields.remove(left_out);
        let refusal = command("publish", Value::Record(fields)).unwrap_err();
        assert!(
            matches!(&refusal, CallError::MissingParam { param, .. } if param == left_out),
            "{left_out}: {refusal:?}"
        );
    }
    for (method, param) in [
        ("releases", "type"),
        ("releases", "publisher"),
        ("release", "cid"),
    ] {
        let asked = Value::record([(param, text("no such thing"))]);
        let refusal = MapData::default().query(method, asked);
        assert!(
            matches!(
                &refusal,
                Err(MachineError::Refused(CallError::Argument { param: named, .. })) if named == param
            ),
            "{refusal:?}"
        );
    }
    let length = Value::record([("length", (1_u64 << 32).into())]);
    let Value::Record(length) = length else {
        panic!("a record was made");
    };
    let Value::Record(mut fields) = Value::record(release_1()) else {
        panic!("a record was made");
    };
    fields.extend(length);
    let refusal = command("publish", Value::Record(fields)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "method `publish`, parameter `length`: expected 0 to 4294967295, found 4294967296"
    );
}

#[test]
fn a_release_is_a_record() {
    let mut data = MapData::default();
    let mut first = publish(CHAT, 7, 1);
    first.replaces = Some(cid(2));
    data.apply(0xaa, 5 << 16 | 3, 0xbb, ReleaseCommand::Publish(first));
    let expected = |withdrawn: Value| {
        Value::record([
            ("type", text(CHAT)),
            ("release", 7.into()),
            ("cid", text(cid(1))),
            ("length", 1000.into()),
            ("abi", 1.into()),
            ("first_schema", 1.into()),
            ("schema", 2.into()),
            ("replaces", text(cid(2))),
            ("notes", text("module 1")),
            ("publisher", text("aa".repeat(32))),
            ("op", text("bb".repeat(32))),
            ("time_ms", 5.into()),
            ("withdrawn", withdrawn),
            ("conflict", Value::Bool(false)),
        ])
    };
    assert_eq!(data.list("releases", Value::Null), [expected(Value::Null)]);
    data.apply(0xaa, 9, 1, ReleaseCommand::Withdraw(withdraw(1, "")));
    assert_eq!(data.list("releases", Value::Null), [expected(text(""))]);
}

fn field<'a>(record: &'a Value, name: &str) -> &'a Value {
    match record {
        Value::Record(fields) => &fields[name],
        other => panic!("{other:?}"),
    }
}

/// Only the author of a release withdraws it, and only the earliest reason counts. A withdrawal of
/// a module counts for all its releases, also for those before it.
#[test]
fn a_withdrawal_counts_from_the_publisher_alone() {
    let mut data = MapData::default();
    data.apply(1, 10, 1, ReleaseCommand::Publish(publish(CHAT, 1, 1)));
    data.apply(1, 10, 2, ReleaseCommand::Publish(publish(CHAT_V2, 1, 1)));
    data.apply(1, 10, 3, ReleaseCommand::Publish(publish(CHAT, 2, 2)));
    data.apply(2, 10, 4, ReleaseCommand::Publish(publish(CHAT, 1, 1)));
    let withdrawn = |data: &MapData| -> Vec<Value> {
        let releases = data.list("releases", Value::Null);
        let all = releases.iter().map(|record| field(record, "withdrawn"));
        all.cloned().collect()
    };
    data.apply(3, 20, 5, ReleaseCommand::Withdraw(withdraw(1, "stranger")));
    assert_eq!(withdrawn(&data), [const { Value::Null }; 4]);
    data.apply(1, 40, 6, ReleaseCommand::Withdraw(withdraw(1, "later")));
    data.apply(1, 30, 8, ReleaseCommand::Withdraw(withdraw(1, "same time")));
    data.apply(1, 30, 7, ReleaseCommand::Withdraw(withdraw(1, "first")));
    let expected = [text("first"), Value::Null, Value::Null, text("first")];
    assert_eq!(withdrawn(&data), expected);
}

#[test]
fn different_modules_of_one_release_are_kept_and_in_conflict() {
    let mut data = MapData::default();
    // The same module twice is no conflict; neither are other publishers, types and numbers.
    data.apply(1, 10, 1, ReleaseCommand::Publish(publish(CHAT, 1, 1)));
    data.apply(1, 10, 2, ReleaseCommand::Publish(publish(CHAT, 1, 1)));
    data.apply(1, 10, 3, ReleaseCommand::Publish(publish(CHAT, 2, 2)));
    data.apply(2, 10, 4, ReleaseCommand::Publish(publish(CHAT, 1, 2)));
    data.apply(1, 10, 5, ReleaseCommand::Publish(publish(CHAT_V2, 1, 2)));
    let conflicts = |method: &str, args: Value, data: &MapData| -> Vec<bool> {
        let releases = data.list(method, args);
        let conflict = |record| *field(record, "conflict") == Value::Bool(true);
        releases.iter().map(conflict).collect()
    };
    assert_eq!(conflicts("releases", Value::Null, &data), [false; 5]);
    data.apply(1, 10, 6, ReleaseCommand::Publish(publish(CHAT, 1, 3)));
    let of_chat = || Value::record([("type", text(CHAT))]);
    assert_eq!(
        conflicts("releases", of_chat(), &data),
        [true, true, true, false, false]
    );
    let of_module = Value::record([("cid", text(cid(1)))]);
    assert_eq!(conflicts("release", of_module, &data), [true, true]);
    // A limit does not hide a conflict with a release after it.
    let first = Value::record([("limit", 1.into())]);
    assert_eq!(conflicts("releases", first, &data), [true]);
}

#[test]
fn types_are_listed_once_in_order() {
    let mut data = MapData::default();
    assert_eq!(data.list("types", Value::Null), []);
    let all = ["a:b", CHAT, "org.example.chat-2", CHAT_V2, "z.z"];
    for (id, store_type) in (0_u8..).zip(all.iter().rev()) {
        for publisher in [0, 0xff] {
            let publish = publish(store_type, u64::MAX, id);
            data.apply(
                publisher,
                1,
                2 * id + u8::from(publisher > 0),
                ReleaseCommand::Publish(publish),
            );
        }
    }
    data.apply(1, 1, 99, ReleaseCommand::Withdraw(withdraw(1, "")));
    assert_eq!(data.list("types", Value::Null), all.map(text));
    let two = Value::record([("limit", 2.into())]);
    assert_eq!(
        data.list("types", two),
        all[..2].iter().map(text).collect::<Vec<_>>()
    );
}

#[test]
fn a_caller_can_limit_the_length_of_a_result() {
    let mut data = MapData::default();
    for release in 0..1200 {
        data.apply(
            1,
            release,
            1,
            ReleaseCommand::Publish(publish(CHAT, release, 1)),
        );
    }
    for (method, param) in [
        ("releases", ("type", text(CHAT))),
        ("release", ("cid", text(cid(1)))),
    ] {
        let count = |limit: Option<u64>| {
            let limit = limit.map_or(Value::Null, Value::from);
            data.list(method, Value::record([param.clone(), ("limit", limit)]))
                .len()
        };
        assert_eq!(count(None), 1000);
        assert_eq!(count(Some(0)), 0);
        assert_eq!(count(Some(7)), 7);
        assert_eq!(count(Some(u64::MAX)), 1200);
    }
}

type Published = (u8, u8, u64, u8);

proptest! {
    /// The queries against a naive selection from a list of what was published.
    #[test]
    fn queries_select_what_a_list_would(
        published in prop::collection::vec((0..3_u8, 0..3_u8, 0..3_u64, 0..3_u8), 0..20),
        asked in (proptest::option::of(0..4_u8), proptest::option::of(0..4_u8), proptest::option::of(0..4_u64)),
        module in 0..3_u8,
    ) {
        let types = [CHAT, CHAT_V2, "a:b", "none.such"];
        let mut data = MapData::default();
        for (id, (publisher, of, release, module)) in (0_u8..).zip(&published) {
            let publish = publish(types[usize::from(*of)], *release, *module);
            data.apply(*publisher, 1, id, ReleaseCommand::Publish(publish));
        }
        let listed = |keeps: &dyn Fn(&Published) -> bool| {
            let numbered = (0_u8..).zip(&published);
            let kept = numbered.filter(|(_, published)| keeps(published));
            let mut kept: Vec<_> = kept.map(|(id, (publisher, of, release, module))| {
                (types[usize::from(*of)], *publisher, *release, id, *module)
            }).collect();
            kept.sort_unstable();
            kept.into_iter().map(|(of, publisher, release, id, module)| {
                let conflict = published.iter().any(|other| {
                    let (by, their_type, number, other) = *other;
                    (by, types[usize::from(their_type)], number) == (publisher, of, release)
                        && other != module
                });
                (text(of), text(format!("{publisher:02x}").repeat(32)), Value::from(release),
                 text(format!("{id:02x}").repeat(32)), text(cid(module)), Value::Bool(conflict))
            }).collect::<Vec<_>>()
        };
        let found = |method: &str, args: Value| -> Vec<_> {
            let names = ["type", "publisher", "release", "op", "cid", "conflict"];
            data.list(method, args).iter().map(|record| {
                let [of, publisher, release, op, cid, conflict] =
                    names.map(|name| field(record, name).clone());
                (of, publisher, release, op, cid, conflict)
            }).collect()
        };
        let (of, publisher, release) = asked;
        let args = Value::record([
            ("type", of.map_or(Value::Null, |of| text(types[usize::from(of)]))),
            ("publisher", publisher.map_or(Value::Null, |publisher| {
                text(format!("{publisher:02x}").repeat(32))
            })),
            ("release", release.map_or(Value::Null, Value::from)),
        ]);
        prop_assert_eq!(found("releases", args), listed(&|published| {
            of.is_none_or(|of| of == published.1)
                && publisher.is_none_or(|publisher| publisher == published.0)
                && release.is_none_or(|release| release == published.2)
        }));
        let args = Value::record([("cid", text(cid(module)))]);
        prop_assert_eq!(found("release", args), listed(&|published| published.3 == module));
    }
}
