//! Compares selections with a sorted list that is filtered.

use lattice_backend::machine::Value;
use lattice_logstore::{Position, encode_payload};
use lattice_meta::{Hlc, OpId};
use proptest::prelude::*;

use crate::support::{FakeOp, Host};

/// A caller's request; `None` for a bound that is not given.
#[derive(Debug, Clone)]
struct Question {
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    from: Option<Position>,
    after: Option<Position>,
    before: Option<Position>,
    reverse: bool,
    limit: Option<u64>,
}

impl Question {
    fn answer(&self, log: &[Position]) -> Vec<Position> {
        let holds = |position: &&Position| {
            self.from_ms.is_none_or(|ms| position.hlc.ms() >= ms)
                && self.until_ms.is_none_or(|ms| position.hlc.ms() < ms)
                && self.from.is_none_or(|from| **position >= from)
                && self.after.is_none_or(|after| **position > after)
                && self.before.is_none_or(|before| **position < before)
        };
        let mut found: Vec<Position> = log.iter().filter(holds).copied().collect();
        if self.reverse {
            found.reverse();
        }
        found.truncate(usize::try_from(self.limit.unwrap_or(1000)).unwrap());
        found
    }

    fn call(&self) -> Value {
        let integer = |number: Option<u64>| number.map_or(Value::Null, Value::from);
        let position = |position: Option<Position>| {
            position.map_or(Value::Null, |position| Value::Text(position.to_string()))
        };
        Value::record([
            ("from_ms", integer(self.from_ms)),
            ("until_ms", integer(self.until_ms)),
            ("from", position(self.from)),
            ("after", position(self.after)),
            ("before", position(self.before)),
            ("reverse", Value::Bool(self.reverse)),
            ("limit", integer(self.limit)),
        ])
    }
}

/// Timestamps of few milliseconds and counters, and the greatest ones.
fn hlcs() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..5_u64, 0..3_u64).prop_map(|(ms, counter)| ms << 16 | counter),
        Just(u64::MAX),
    ]
}

fn positions() -> impl Strategy<Value = Position> {
    (hlcs(), 0..6_u8, 0..4_u32).prop_map(|(hlc, op, index)| Position {
        hlc: Hlc::from_u64(hlc),
        op: OpId::from_bytes([op; 32]),
        index,
    })
}

fn questions() -> impl Strategy<Value = Question> {
    let ms = || prop::option::of(prop_oneof![0..6_u64, Just(Hlc::MAX_MS), Just(u64::MAX)]);
    let position = || prop::option::of(positions());
    (
        ms(),
        ms(),
        position(),
        position(),
        position(),
        any::<bool>(),
        prop::option::of(prop_oneof![0..5_u64, Just(500)]),
    )
        .prop_map(
            |(from_ms, until_ms, from, after, before, reverse, limit)| Question {
                from_ms,
                until_ms,
                from,
                after,
                before,
                reverse,
                limit,
            },
        )
}

/// A log of up to ten ops with one to four entries each, and their positions in order.
fn logs() -> impl Strategy<Value = (Host, Vec<Position>)> {
    prop::collection::btree_map(0..10_u8, (hlcs(), 1..5_usize), 0..10).prop_map(|ops| {
        let mut host = Host::default();
        for (id, (hlc, entries)) in ops {
            let payload = encode_payload(&vec![b"x"; entries]).unwrap();
            host.apply(
                &FakeOp {
                    author: id,
                    hlc,
                    id: [id; 32],
                    payload,
                }
                .view(),
            );
        }
        let elements = host.elements().into_iter();
        let log = elements
            .map(|(key, _)| Position::from_key(&key).unwrap())
            .collect();
        (host, log)
    })
}

pub(crate) fn positions_of(answer: &Value) -> Vec<Position> {
    let Value::List(entries) = answer else {
        panic!("expected a list, found {answer:?}")
    };
    let position = |entry: &Value| match entry {
        Value::Record(fields) => match &fields["position"] {
            Value::Text(text) => text.parse().unwrap(),
            other => panic!("expected a position, found {other:?}"),
        },
        other => panic!("expected an entry, found {other:?}"),
    };
    entries.iter().map(position).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn reads_equal_a_filtered_list((host, log) in logs(), question in questions()) {
        let answer = host.query("read", question.call()).unwrap();
        prop_assert_eq!(positions_of(&answer), question.answer(&log));
    }

    #[test]
    fn tails_agree_with_a_list((host, log) in logs(), count in prop_oneof![0..50_u64, Just(u64::MAX)]) {
        let answer = host.query("tail", Value::record([("n", count.into())])).unwrap();
        let skipped = log.len().saturating_sub(usize::try_from(count).unwrap());
        prop_assert_eq!(positions_of(&answer), &log[skipped..]);
    }

    #[test]
    fn lengths_agree_with_a_list((host, log) in logs()) {
        let answer = host.query("len", Value::Null).unwrap();
        prop_assert_eq!(answer, Value::from(u64::try_from(log.len()).unwrap()));
    }
}
