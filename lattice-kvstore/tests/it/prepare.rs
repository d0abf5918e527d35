//! The payloads of commands, and the reasons for refusals.

use lattice_backend::machine::Value;
use lattice_backend::op::{MAX_OP_BYTES, MAX_PAYLOAD_BYTES, OpRef};
use lattice_kvstore::{Command, Expectation, Found, KvRefusal, MAX_BATCH, MAX_KEY_BYTES};

use crate::support::bytes::{TestWrite, payload};
use crate::support::host::{Host, TestOp};
use crate::support::{numbered, op_ref};

fn put(key: &[u8], value: &[u8]) -> Command {
    let mut command = Command::new();
    command.put(key, value);
    command
}

fn expecting(key: &[u8], expectation: Expectation) -> Command {
    let mut command = put(b"other", b"value");
    command.expect(key, expectation);
    command
}

/// A key with concurrent values, the last one current.
fn with_siblings(key: &[u8], count: u16) -> (Host, Vec<OpRef>) {
    let mut host = Host::new();
    let ops: Vec<OpRef> = (0..count).map(|number| numbered(1, number)).collect();
    for reference in &ops {
        let write = TestWrite::put(key, &[], &reference.seq.to_be_bytes());
        host.record(&TestOp::new(*reference, 1 + reference.seq, &[write]));
    }
    (host, ops)
}

#[test]
fn a_payload_names_the_values_it_replaces_once_each() {
    let mut host = Host::new();
    let first = op_ref(1, 0, 1);
    let mut batch = put(b"b", b"1");
    batch.put("a", "1");
    host.run(first, 1, &batch).unwrap();
    let mut batch = put(b"a", b"2");
    batch.delete("b").put("c", "");
    let write = |key: &[u8], supersedes: &[OpRef], value: Option<&[u8]>| TestWrite {
        key: key.to_vec(),
        supersedes: supersedes.iter().copied().collect(),
        value: value.map(<[u8]>::to_vec),
    };
    let expected = payload(&[
        write(b"a", &[first], Some(b"2")),
        write(b"b", &[first], None),
        write(b"c", &[], Some(b"")),
    ]);
    assert_eq!(host.prepare(&batch).unwrap(), expected);
}

#[test]
fn the_last_write_to_a_key_counts() {
    let host = Host::new();
    let mut batch = put(b"a", b"1");
    batch.delete("a").put("a", "2");
    assert_eq!(host.prepare(&batch), host.prepare(&put(b"a", b"2")));
    assert_eq!((batch.len(), batch.is_empty()), (1, false));
}

#[test]
fn malformed_batches_are_refused() {
    let host = Host::new();
    let refusal = |command: &Command| host.prepare(command).unwrap_err();
    assert_eq!(refusal(&Command::new()), KvRefusal::EmptyBatch);
    assert_eq!(refusal(&put(b"", b"1")), KvRefusal::EmptyKey);
    assert_eq!(
        refusal(&expecting(b"", Expectation::Absent)),
        KvRefusal::EmptyKey
    );
    assert!(host.prepare(&put(&[1; MAX_KEY_BYTES], b"")).is_ok());
    let len = MAX_KEY_BYTES + 1;
    assert_eq!(
        refusal(&put(&vec![1; len], b"")),
        KvRefusal::KeyTooLong { len }
    );
    let mut batch = Command::new();
    for number in 0..MAX_BATCH {
        batch.put(number.to_be_bytes(), "");
    }
    assert!(host.prepare(&batch).is_ok());
    batch.delete("one more");
    assert_eq!(
        refusal(&batch),
        KvRefusal::TooManyWrites {
            found: MAX_BATCH + 1
        }
    );
    let refused = refusal(&put(b"a", &vec![0; MAX_OP_BYTES]));
    assert!(
        matches!(refused, KvRefusal::TooLarge { len } if len > MAX_OP_BYTES),
        "{refused}"
    );
}

#[test]
fn expectations_hold_or_report_what_was_found() {
    let (host, ops) = with_siblings(b"a", 3);
    let winner = ops[2].seq.to_be_bytes().to_vec();
    let value = || Expectation::Value(winner.clone());
    let backwards: Vec<OpRef> = ops.iter().rev().copied().collect();
    for good in [
        Expectation::Present,
        value(),
        Expectation::Siblings(backwards.clone()),
    ] {
        assert!(host.prepare(&expecting(b"a", good)).is_ok());
    }
    for good in [Expectation::Absent, Expectation::Siblings(Vec::new())] {
        assert!(host.prepare(&expecting(b"b", good)).is_ok());
    }
    // The current value comes first.
    let siblings = || Found::Siblings(backwards.clone());
    let failing = [
        (&b"a"[..], Expectation::Absent, Found::Value(winner.clone())),
        (
            b"a",
            Expectation::Value(b"1".to_vec()),
            Found::Value(winner.clone()),
        ),
        (b"a", Expectation::Siblings(ops[..2].to_vec()), siblings()),
        (b"a", Expectation::Siblings(Vec::new()), siblings()),
        (b"b", Expectation::Present, Found::Absent),
        (b"b", Expectation::Value(Vec::new()), Found::Absent),
        (
            b"b",
            Expectation::Siblings(ops),
            Found::Siblings(Vec::new()),
        ),
    ];
    for (key, expected, found) in failing {
        let refused = host.prepare(&expecting(key, expected.clone())).unwrap_err();
        assert_eq!(
            refused,
            KvRefusal::Expectation {
                key: key.to_vec(),
                expected,
                found
            }
        );
    }
}

#[test]
fn refusals_shorten_long_keys_and_values() {
    let refusal = KvRefusal::Expectation {
        key: b"k\n".to_vec(),
        expected: Expectation::Siblings(vec![op_ref(1, 2, 3); 10_000]),
        found: Found::Value(vec![b'v'; 1 << 20]),
    };
    let shown = refusal.to_string();
    assert!(
        shown.starts_with("expected key \"k\\n\" to have 10000 siblings: 01010101#2/03030303, ")
    );
    assert!(
        shown.ends_with("vvv\"... (1048576 bytes)") && shown.len() < 250,
        "{shown}"
    );
}

/// Long keys with values of the same ops: the prepared payload is valid, and each put leaves fewer
/// values.
#[test]
fn long_keys_with_many_shared_values_stay_writable() {
    let mut host = Host::new();
    let keys: Vec<Vec<u8>> = (b'a'..=b'h').map(|byte| vec![byte; 4096]).collect();
    for number in 0..300 {
        let write = |key: &Vec<u8>| TestWrite::put(key, &[], b"value");
        let writes: Vec<TestWrite> = keys.iter().map(write).collect();
        let reference = numbered(1, number);
        host.record(&TestOp::new(reference, 1 + reference.seq, &writes));
    }
    let mut delete = Command::new();
    let mut put = Command::new();
    for key in &keys {
        delete.delete(key.clone());
        put.put(key.clone(), "settled");
    }
    let refused = host.prepare(&delete).unwrap_err();
    assert!(
        matches!(refused, KvRefusal::TooManySiblings { .. }),
        "{refused}"
    );
    let values = |host: &Host| {
        let count =
            |key: &Vec<u8>| match host.query("conflicts", [("key", Value::Bytes(key.clone()))]) {
                Value::List(values) => values.len(),
                other => panic!("{other:?}"),
            };
        keys.iter().map(count).sum::<usize>()
    };
    let (mut left, mut number) = (values(&host), 1000);
    while left > keys.len() {
        host.run(numbered(1, number), 10_000 + u64::from(number), &put)
            .unwrap();
        assert!(values(&host) < left, "{left} values");
        (left, number) = (values(&host), number + 1);
        assert!(number < 1010, "{left} values are left");
    }
}

/// A key with more values than fit in the rest of an op must stay writable.
#[test]
fn more_values_than_one_op_replaces_shrink_with_every_put() {
    let (mut host, ops) = with_siblings(b"key", 2500);
    // Beside its value, an op has room for 1,000 references and places.
    let fixed = 17 + 25 + 3;
    let value = vec![7; MAX_PAYLOAD_BYTES - fixed - 1000 * (OpRef::KEY_LEN + 4)];
    let mut delete = Command::new();
    delete.delete("key").put("other", &value[100..]);
    let refused = KvRefusal::TooManySiblings {
        key: b"key".to_vec(),
        siblings: ops.len(),
    };
    assert_eq!(host.prepare(&delete).unwrap_err(), refused);
    let mut seq = 0;
    for left in [1501, 502, 1] {
        let payload = host.run(op_ref(99, seq, 99), 100_000 + seq, &put(b"key", &value));
        assert!(payload.unwrap().len() <= MAX_PAYLOAD_BYTES);
        // The remaining values, a new one, and their cell.
        let rows = if left > 1 { 2 * left + 1 } else { 2 };
        assert_eq!(host.rows().len(), rows, "op {seq}");
        assert_eq!(host.elements().len(), left);
        seq += 1;
    }
    host.run(op_ref(99, seq, 100), 200_000, &delete).unwrap();
    assert_eq!(host.elements().len(), 1, "the other key's");
    assert_eq!(host.rows().len(), 2);
}
