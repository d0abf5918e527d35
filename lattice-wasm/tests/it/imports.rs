//! Imports called with invalid arguments, and what they cost.

use lattice_backend::backend::Result;
use lattice_backend::machine::{Limit, LogicFault, StateMachine};
use lattice_backend::op::{ApplyIndex, OpKind, OpView};
use lattice_meta::Hlc;
use lattice_wasm::{WasmPayload, abi};

use crate::guest::*;

/// The size of the memory of the modules in these tests, in bytes.
const END: u32 = 4 << 16;

/// Each import that takes addresses: its arguments, where `A` and `L` stand for an address and its
/// length, and whether it has a result.
const WITH_PLACES: [(&str, &[&str], bool); 11] = [
    ("get", &["A", "L", "0", "0"], true),
    ("get", &["0", "0", "A", "L"], true),
    ("put", &["A", "L", "0", "0"], false),
    ("put", &["0", "0", "A", "L"], false),
    ("remove", &["A", "L"], false),
    ("scan", &["0", "A", "L", "0", "0", "0", "0"], true),
    ("scan", &["0", "0", "0", "A", "L", "0", "0"], true),
    ("scan", &["0", "0", "0", "0", "0", "A", "L"], true),
    ("hash", &["A", "L", "0"], false),
    ("fail", &["A", "L"], false),
    ("log", &["0", "A", "L"], false),
];

/// A call of an import with an address and a length.
fn call(name: &str, arguments: &[&str], has_result: bool, address: u32, len: u32) -> String {
    let argument = |argument: &&str| match *argument {
        "A" => format!("(i32.const {address})"),
        "L" => format!("(i32.const {len})"),
        number => format!("(i32.const {number})"),
    };
    let arguments: String = arguments.iter().map(argument).collect();
    match has_result {
        true => format!("(drop (call ${name} {arguments}))"),
        false => format!("(call ${name} {arguments})"),
    }
}

fn beyond(address: u32, len: u32) -> String {
    format!("{len} bytes at address {address} are beyond the memory")
}

/// Runs an op after three others, on a row `0`.
fn tried(body: &str) -> Result<MapRows> {
    let mut rows = MapRows([(vec![0], vec![5; 300])].into());
    let mut history = Ops::new(3);
    history.payload = vec![9; 300];
    run_on(&applying(body), b"p", &mut rows, &history).map(|()| rows)
}

#[test]
fn places_beyond_the_memory() {
    for (name, arguments, has_result) in WITH_PLACES {
        for (address, len) in [
            (END, 1),
            (END - 1, 2),
            (END + 1, 0),
            (u32::MAX, 0),
            (u32::MAX, 1),
            (u32::MAX, u32::MAX),
            (0, END + 1),
            (0, u32::MAX),
            (1, u32::MAX),
            (0x8000_0000, 0x8000_0000),
        ] {
            let body = call(name, arguments, has_result, address, len);
            assert_eq!(trapped(tried(&body)), beyond(address, len), "{body}");
        }
        // Up to the very end of the memory, and an empty range at the end.
        for (address, len) in [(END - 1, 1), (END, 0)] {
            let body = call(name, arguments, has_result, address, len);
            match name {
                "fail" => drop(trapped(tried(&body))),
                _ => drop(tried(&body).unwrap()),
            }
        }
    }
}

#[test]
fn places_of_a_fixed_length_beyond_the_memory() {
    for (body, len) in [
        ("(drop (call $number (i32.const 0) (i32.const X)))", 8),
        ("(drop (call $number (i32.const X) (i32.const 0)))", 72),
        ("(call $stamp (i64.const 1) (i32.const X))", 80),
        ("(call $hash (i32.const 0) (i32.const 3) (i32.const X))", 32),
        (
            "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
             (call $take (i32.const X))",
            300,
        ),
        (
            "(drop (call $op (i64.const 1) (i32.const 0) (i32.const 80)))
             (call $take (i32.const X))",
            380,
        ),
    ] {
        for address in [END, END - len + 1, u32::MAX, u32::MAX - len + 1] {
            let body = body.replace('X', &address.to_string());
            assert_eq!(trapped(tried(&body)), beyond(address, len), "{body}");
        }
        let last = (END - len).to_string();
        tried(&body.replace('X', &last)).unwrap();
    }
    let op = "(drop (call $op (i64.const 1) (i32.const 1) (i32.const -1)))";
    assert_eq!(trapped(tried(op)), beyond(1, u32::MAX));
}

#[test]
fn places_that_overlap() {
    // Key, value and buffer are the same place; so are both bounds and the page.
    let store = "(i32.store (i32.const 0) (i32.const 0))";
    for body in [
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 400)))",
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 10)))
         (call $take (i32.const 0))",
        "(drop (call $scan (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
            (i32.const 0) (i32.const 400)))",
        "(call $put (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 100))",
        "(drop (call $number (i32.const 0) (i32.const 0)))",
        "(drop (call $number (i32.const 0) (i32.const 65)))",
    ] {
        tried(&format!("{store} {body}")).unwrap();
    }
    // The result is the value, and its first four bytes.
    let body = "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 400)))
        (call $put (i32.const 299) (i32.const 1) (i32.const 0) (i32.const 301))";
    let rows = tried(body).unwrap();
    assert_eq!(rows.0[&[5][..]], [&[5; 300][..], &[0]].concat());
}

#[test]
fn a_buffer_that_is_too_short_is_unchanged() {
    let keep = "(i32.store (i32.const 0) (i32.const 0x01020300))
        (drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 299)))
        (drop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 308)))
        (drop (call $op (i64.const 1) (i32.const 0) (i32.const 379)))
        (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0))";
    assert!(tried(keep).unwrap().0.contains_key(&[0, 3, 2, 1][..]));
}

#[test]
fn take_without_a_parked_value() {
    let nothing = "`take` has nothing to give";
    let take = "(call $take (i32.const 0))";
    let get = "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))";
    let fits = "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 300)))";
    let none = "(drop (call $get (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 0)))";
    assert_eq!(trapped(tried(take)), nothing);
    assert_eq!(trapped(tried(&format!("{get} {take} {take}"))), nothing);
    assert_eq!(trapped(tried(&format!("{fits} {take}"))), nothing);
    assert_eq!(trapped(tried(&format!("{none} {take}"))), nothing);
    // A parked result is gone after the next call.
    assert_eq!(trapped(tried(&format!("{get} {none} {take}"))), nothing);
    tried(&format!("{get} {take}")).unwrap();
}

#[test]
fn flags_of_a_range() {
    let scan = |flags: u32| {
        tried(&format!(
            "(i64.store (i32.const 0) (call $scan (i32.const {flags}) (i32.const 100) (i32.const 1)
                (i32.const 101) (i32.const 1) (i32.const 8) (i32.const 400)))
             (call $put (i32.const 50000) (i32.const 2) (i32.const 0) (i32.const 8))"
        ))
    };
    for flags in 0..64_u32 {
        let is_known = flags < 32 && flags & 3 < 3 && flags >> 2 & 3 < 3;
        match is_known {
            // Both bounds are the key of the row.
            true => {
                let is_in = flags & 3 < 2 && flags >> 2 & 3 < 2;
                let expected: i64 = if is_in { 309 } else { 0 };
                let rows = scan(flags).unwrap();
                let found = &rows.0[&[0, 0][..]];
                assert_eq!(found[..], (expected | 1 << 62).to_le_bytes(), "{flags}");
            }
            false => {
                let message = trapped(scan(flags));
                assert!(message.contains("range"), "{message}");
            }
        }
    }
    for flags in [1 << 5, 1 << 31, u32::MAX] {
        assert_eq!(trapped(scan(flags)), "the flags of a range have 5 bits");
    }
}

/// A range that starts after its end is empty, whatever the backend does with such bounds.
#[test]
fn a_range_that_ends_before_it_begins_is_empty() {
    let mut rows = MapRows([(vec![0], vec![5])].into());
    let body = "(i32.store8 (i32.const 100) (i32.const 7))
        (if (i64.ne (i64.const 0x4000000000000000)
                (call $scan (i32.const 5) (i32.const 100) (i32.const 1) (i32.const 101)
                    (i32.const 1) (i32.const 8) (i32.const 400)))
            (then unreachable))";
    run_on(&applying(body), b"p", &mut rows, &Ops::new(3)).unwrap();
}

#[test]
fn apply_indexes_without_an_op() {
    for index in [4, 5, 1 << 32, i64::MAX, -1, i64::MIN] {
        let expected = format!("no op has the apply index {}", index.cast_unsigned());
        for body in [
            "(call $stamp (i64.const X) (i32.const 0))",
            "(drop (call $op (i64.const X) (i32.const 0) (i32.const 80)))",
        ] {
            let body = body.replace('X', &index.to_string());
            assert_eq!(trapped(tried(&body)), expected);
        }
    }
    // The op that is being applied has a stamp.
    for index in 0..4 {
        tried(&format!("(call $stamp (i64.const {index}) (i32.const 0))")).unwrap();
    }
}

/// A damaged history is a storage error, not a fault of the code.
#[test]
fn an_op_missing_from_history_is_not_a_fault_of_the_code() {
    struct Lost(Ops);
    impl lattice_backend::machine::History for Lost {
        fn count(&self) -> Result<u64> {
            Ok(9)
        }
        fn index_of(&self, _: &lattice_backend::op::OpRef) -> Result<Option<ApplyIndex>> {
            Ok(None)
        }
        fn stamp(&self, index: ApplyIndex) -> Result<lattice_backend::op::Stamp> {
            self.0.stamp(index)
        }
        fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
            self.0.show(index, see)
        }
    }
    for body in [
        "(call $stamp (i64.const 8) (i32.const 0))",
        "(drop (call $op (i64.const 8) (i32.const 0) (i32.const 80)))",
    ] {
        let machine = applying(body);
        let ended = machine.run(
            OpKind::Application,
            &view(b"p"),
            Some(WasmPayload::Valid(b"p")),
            &mut MapRows::default(),
            &Lost(Ops::new(3)),
        );
        assert!(
            matches!(
                ended,
                Err(lattice_backend::backend::BackendError::Row { .. })
            ),
            "{ended:?}"
        );
    }
}

fn view(payload: &[u8]) -> OpView<'_> {
    OpView {
        index: ApplyIndex::new(3),
        reference: op_ref(3),
        hlc: Hlc::from_u64(1),
        payload,
    }
}

#[test]
fn elements_out_of_order() {
    let gives = |rows: &[u32]| {
        let element = |row: &u32| {
            format!(
                "(call $element (i32.const {row}) (i32.const 0) (i32.const 1) (i32.const 0)
                    (i32.const 2))"
            )
        };
        let body: String = rows.iter().map(element).collect();
        let body = format!(r#"(func (export "lattice1_elements") (param i64 i32 i32) {body})"#);
        elements(&machine(&coded(), &body), 3)
    };
    let found = gives(&[0, 0, 2]).unwrap();
    let rows: Vec<usize> = found.iter().map(|(row, ..)| *row).collect();
    assert_eq!(rows, [0, 0, 2]);
    for rows in [&[1, 0][..], &[3], &[0, u32::MAX], &[2, 1], &[0x8000_0000]] {
        let row = rows.last().unwrap();
        assert_eq!(
            trapped(gives(rows)),
            format!("an element of row {row}, out of order or of 3 rows")
        );
    }
    let places = "(call $element (i32.const 0) (i32.const -1) (i32.const 2) (i32.const 0)
        (i32.const 0))";
    for body in [
        places,
        &places.replace("-1", "0").replace("const 2", "const -1"),
    ] {
        let body = format!(r#"(func (export "lattice1_elements") (param i64 i32 i32) {body})"#);
        let message = trapped(elements(&machine(&coded(), &body), 3));
        assert!(message.contains("beyond the memory"), "{message}");
    }
}

/// A module may export an import: the host calls it as any function.
#[test]
fn an_import_that_is_exported() {
    let body = r#"(export "lattice1_apply" (func $remove)) (export "lattice1_settle" (func $log))"#;
    run(&machine(&manifest(), body), b"p").unwrap();
    let body = r#"(export "lattice1_apply" (func $fail))"#;
    // The message is the input: an op of 89 bytes.
    assert!(trapped(run(&machine(&manifest(), body), b"p")).starts_with("\\u{3}"));
}

/// How many host calls an op makes before it runs out of gas.
fn calls(body: &str) -> u64 {
    let history = Ops::new(3);
    let body = format!("(local $spin i32) (loop (drop (call $count)) {body} (br 0))");
    let machine = machine(
        &manifest(),
        &format!("(memory (export \"memory\") 256) {}", apply(&body)),
    );
    let mut rows = MapRows([(vec![0], vec![5; 1 << 20])].into());
    let ended = fault(run_on(&machine, b"p", &mut rows, &history));
    assert!(
        matches!(
            ended,
            LogicFault::Limit {
                limit: Limit::Gas,
                ..
            }
        ),
        "{ended}"
    );
    history.calls.get()
}

/// A call of the host is one instruction. Without a price of its own, calls with keys of 8 MiB
/// would copy for an hour at the gas of a quarter of a second.
#[test]
fn calls_of_the_host_are_priced_by_what_they_handle() {
    let gas = abi::BASE_GAS + abi::GAS_PER_BYTE;
    let plain = calls("");
    assert!((gas / 120..gas / 100).contains(&plain), "{plain}");
    // Each handles 8 MiB, which costs half a million gas.
    for body in [
        "(drop (call $get (i32.const 0) (i32.const 0x800000) (i32.const 0) (i32.const 0)))",
        "(call $remove (i32.const 0) (i32.const 0x800000))",
        "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0x7fffff))",
        "(drop (call $scan (i32.const 5) (i32.const 0) (i32.const 0x400000) (i32.const 0)
            (i32.const 0x400000) (i32.const 0) (i32.const 0)))",
    ] {
        let found = calls(body);
        let expected = gas / ((8 << 20) / 16);
        assert!(
            (expected - 1..=expected + 1).contains(&found),
            "{found}, {expected}: {body}"
        );
    }
}

/// Each read copies a long row; the reads earn gas for 256 MiB only.
#[test]
fn long_rows_that_are_read_again_and_again() {
    // The row has 1 MiB. Each of the first 256 reads earns 64 Mi gas, less the price of the copy.
    for body in [
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))",
        "(drop (call $get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
         (call $take (i32.const 0))",
    ] {
        let found = calls(&format!("{SPIN} {body}"));
        assert!(found < 2_000, "{found}");
    }
}

/// Uses up 64 Mi gas, by filling memory.
const SPIN: &str = "(local.set $spin (i32.const 64))
    (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x1000000))
        (br_if 0 (local.tee $spin (i32.sub (local.get $spin) (i32.const 1)))))";
