//! What a module returns: addresses, answers and texts; and that it keeps no state.

use std::time::Instant;

use lattice_backend::backend::BackendError;
use lattice_backend::machine::{DataRead, Invalid, LogicFault, MachineError, StateMachine, Value};
use lattice_backend::op::OpKind;
use lattice_meta::SchemaVersion;
use lattice_wasm::{WasmMachine, WasmPayload};

use crate::guest::*;

/// The size of the memory of the modules in these tests, in bytes.
const END: u32 = 4 << 16;

fn allocating(body: &str) -> WasmMachine {
    let alloc = format!(r#"(func (export "lattice1_alloc") (param i32) (result i32) {body})"#);
    machine(&manifest(), &alloc)
}

#[track_caller]
fn failed(machine: &WasmMachine, payload: &[u8]) -> LogicFault {
    match machine.decode(payload) {
        Ok(WasmPayload::Failed(BackendError::Fault(fault))) => fault,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn message_of(fault: LogicFault) -> String {
    match fault {
        LogicFault::Trap { message } => message,
        other => panic!("{other}"),
    }
}

#[test]
fn memory_for_an_input_that_is_beyond_the_memory() {
    for (address, len) in [(END, 1), (END - 1, 2), (u32::MAX, 1), (0x8000_0000, 9)] {
        let machine = allocating(&format!("(i32.const {address})"));
        let payload = vec![1; len];
        let expected = format!("`lattice1_alloc` gave address {address} for {len} bytes");
        assert_eq!(message_of(failed(&machine, &payload)), expected);
        // An op has 88 more bytes, in four parts.
        let expected = format!(
            "`lattice1_alloc` gave address {address} for {} bytes",
            len + 88
        );
        let ended = machine.run(
            OpKind::Application,
            &lattice_backend::op::OpView {
                index: lattice_backend::op::ApplyIndex::new(3),
                reference: op_ref(3),
                hlc: lattice_meta::Hlc::from_u64(1),
                payload: &payload,
            },
            Some(WasmPayload::Valid(&payload)),
            &mut MapRows::default(),
            &Ops::new(3),
        );
        assert_eq!(trapped(ended), expected);
    }
    // The last byte is valid. An empty input may be anywhere, also at the end.
    for (address, len) in [(END - 1, 1), (END, 0), (0, 0), (0, 1)] {
        let machine = allocating(&format!("(i32.const {address})"));
        machine.decode(&vec![1; len]).unwrap();
    }
    let machine = allocating("(i32.const -1)");
    let message = message_of(failed(&machine, b""));
    assert_eq!(
        message,
        "`lattice1_alloc` gave address 4294967295 for 0 bytes"
    );
}

#[test]
fn memory_for_an_input_that_is_never_given() {
    for (body, expected) in [
        ("(unreachable)", "wasm `unreachable` instruction executed"),
        ("(call $fail (i32.const 0) (i32.const 0)) (i32.const 0)", ""),
        (
            "(drop (call $count)) (i32.const 0)",
            "`count` is not available in this call",
        ),
    ] {
        let machine = allocating(body);
        assert_eq!(message_of(failed(&machine, b"p")), expected);
    }
    let machine = allocating("(loop (br 0)) (i32.const 0)");
    assert!(matches!(failed(&machine, b"p"), LogicFault::Limit { .. }));
    // The module may grow the memory for the input.
    let machine = allocating("(i32.shl (memory.grow (i32.const 1)) (i32.const 16))");
    machine.decode(&[1; 65_536]).unwrap();
    failed(&machine, &[1; 65_537]);
}

/// The host overwrites the module's own data if the module returns its address, and every engine
/// computes the same result.
#[test]
fn memory_for_an_input_over_another() {
    let body = r#"(data (i32.const 0) "constant")
        (func (export "lattice1_alloc") (param i32) (result i32) (i32.const 0))
        (func (export "lattice1_apply") (param i32 i32)
            (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 90)))"#;
    let rows = run(&machine(&manifest(), body), b"pp").unwrap();
    assert_eq!(rows.0.len(), 1);
    assert_eq!(rows.0.values().next().unwrap()[88..], *b"pp");
}

/// A module with an export that returns this output.
fn giving(export: &str, place: u64, data: &[u8]) -> WasmMachine {
    let params = match export {
        "prepare" | "query" => "i32 i32 i32",
        _ => "i32 i32",
    };
    let escaped: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let other = match export {
        "prepare" => "query",
        _ => "prepare",
    };
    let mut text = format!(
        r#"(data (i32.const 16) "{escaped}")
        (func (export "lattice1_{export}") (param {params}) (result i64) (i64.const {}))
        (func (export "lattice1_{other}") (param i32 i32 i32) (result i64) unreachable)"#,
        place.cast_signed()
    );
    if export != "query" && other != "query" {
        text.push_str(
            r#"(func (export "lattice1_query") (param i32 i32 i32) (result i64) unreachable)"#,
        );
    }
    machine(&methods(), &text)
}

/// A module with an export that returns these bytes.
fn giving_bytes(export: &str, data: &[u8]) -> WasmMachine {
    giving(export, 16 << 32 | u64::try_from(data.len()).unwrap(), data)
}

#[test]
fn outputs_beyond_the_memory() {
    let end = u64::from(END);
    let beyond = "an output is beyond the memory of the module";
    for place in [
        end << 32 | 1,
        (end - 1) << 32 | 2,
        0xffff_ffff_0000_0000,
        u64::MAX,
        u64::from(u32::MAX),
        end + 1,
        0x8000_0000_8000_0000,
    ] {
        assert_eq!(
            message_of(failed(&giving("decode", place, b""), b"p")),
            beyond
        );
        assert_eq!(giving("describe", place, b"").describe(b"p"), "1 bytes");
        for ended in [
            make(&giving("prepare", place, b"")).map(drop),
            ask(&giving("query", place, b"")).map(drop),
        ] {
            match ended {
                Err(MachineError::Backend(error)) => {
                    assert_eq!(trapped::<()>(Err(error)), beyond);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    // The whole memory is a long reason.
    let Err(invalid) = giving("decode", end, b"").decode(b"p") else {
        panic!("the payload is invalid");
    };
    assert!(invalid.reason().len() < 3_000);
}

#[test]
fn malformed_answers() {
    let unknown = "an answer begins with 0, 1 or 2";
    for bytes in [&b""[..], b"\x03", b"\xff\0", b"0"] {
        for ended in [
            make(&giving_bytes("prepare", bytes)).map(drop),
            ask(&giving_bytes("query", bytes)).map(drop),
        ] {
            match ended {
                Err(MachineError::Backend(error)) => {
                    assert_eq!(trapped::<()>(Err(error)), unknown);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(make(&giving_bytes("prepare", b"\0pay")).unwrap(), b"pay");
    assert_eq!(make(&giving_bytes("prepare", b"\0")).unwrap(), b"");
}

/// An answer that is not exactly the encoding of a value is refused.
#[test]
fn answers_that_are_not_values() {
    let null = ask(&giving_bytes("query", b"\0\0")).unwrap();
    assert_eq!(null, Value::Null);
    let nested: Vec<u8> = [6, 1].repeat(40);
    let many = [&[6, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 60]].concat();
    for bytes in [
        &b""[..],
        b"\x08",
        b"\0\0",
        b"\x03",
        b"\x03\x80\x00",
        b"\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x04\x05abcd",
        b"\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x05\x02\xff\xff",
        b"\x06\x02\x00",
        b"\x07\x01\x01a",
        b"\x07\x02\x01b\x00\x01a\x00",
        b"\x07\x02\x01a\x00\x01a\x00",
        &nested,
        &many,
    ] {
        match ask(&giving_bytes("query", &[&[0], bytes].concat())) {
            Err(MachineError::Backend(error)) => {
                let message = trapped::<()>(Err(error));
                let start = "the answer to a query is not the encoding of a value";
                assert!(message.starts_with(start), "{message}");
            }
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
}

/// A text with terminal escapes, several lines, and invalid UTF-8.
const HOSTILE: &[u8] =
    b"\x1b[2J\x1b]0;owned\x07\r\n\t\0\x7f\xc2\x9b31m\xe2\x80\xae\xe2\x80\xa8\xff\xfe";

#[track_caller]
fn assert_one_line(text: &str) {
    assert!(!text.is_empty());
    for character in text.chars() {
        let is_unsafe = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
        assert!(!is_unsafe, "{text:?}");
    }
    assert!(text.len() < 9_000, "{} bytes", text.len());
}

/// Each kind of text of a module: a reason, a description, a refusal, an argument and a fault.
fn texts(text: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    match giving_bytes("decode", text).decode(b"p") {
        Err(invalid) => texts.push(invalid.to_string()),
        Ok(other) => panic!("{other:?}"),
    }
    texts.push(giving_bytes("describe", text).describe(b"p"));
    for tag in [1, 2] {
        let answer = [&[tag], text].concat();
        match make(&giving_bytes("prepare", &answer)) {
            Err(MachineError::Refused(refusal)) => texts.push(refusal),
            other => panic!("{other:?}"),
        }
        match ask(&giving_bytes("query", &answer)) {
            Err(MachineError::Refused(refusal)) => texts.push(refusal),
            other => panic!("{other:?}"),
        }
    }
    let escaped: String = text.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let body = format!(
        r#"(memory (export "memory") 20) (data (i32.const 65536) "{escaped}") {}"#,
        apply(&format!(
            "(call $fail (i32.const 65536) (i32.const {}))",
            text.len()
        ))
    );
    let fault = fault(run(&machine(&manifest(), &body), b"p"));
    texts.push(fault.to_string());
    texts
}

#[test]
fn texts_are_one_line_without_controls() {
    let texts = texts(HOSTILE);
    assert_eq!(texts.len(), 7);
    for text in &texts {
        assert_one_line(text);
        let escaped = "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\r\\n\\t";
        assert!(text.contains(escaped), "{text}");
        assert!(text.ends_with("31m\\u{202e}\\u{2028}\\xff\\xfe"), "{text}");
    }
}

#[test]
fn texts_of_a_mebibyte_are_cut() {
    // As long as a module may be, and all of it needs escapes.
    let long = HOSTILE.repeat(190_000 / HOSTILE.len());
    let begin = Instant::now();
    for text in texts(&long) {
        assert_one_line(&text);
        assert!(text.ends_with("..."), "{text}");
    }
    println!("{:?}", begin.elapsed());
    // 128 MiB, which the module fills at run time.
    let body = r#"(func (export "lattice1_describe") (param i32 i32) (result i64)
        (drop (memory.grow (i32.const 2044)))
        (memory.fill (i32.const 0) (i32.const 27) (i32.const 0x8000000))
        (i64.const 0x8000000))"#;
    let text = machine(&manifest(), body).describe(b"p");
    assert_one_line(&text);
    assert!(text.starts_with("\\u{1b}\\u{1b}") && text.ends_with("..."));
}

/// Names that the validator quotes are texts of the module.
#[test]
fn names_that_a_refusal_quotes() {
    let body = r#"(func (export "first name")) (func (export "other name"))"#;
    let mut wasm = wasm(&manifest(), body);
    let hostile = "\u{1b}[2J\u{202e}\n\u{9b}";
    assert_eq!(hostile.len(), 10);
    for name in ["first name", "other name"] {
        let place = wasm.windows(10).position(|bytes| bytes == name.as_bytes());
        let place = place.unwrap();
        wasm[place..place + 10].copy_from_slice(hostile.as_bytes());
    }
    let error = lattice_wasm::Code::new(&wasm).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("duplicate export name"), "{message}");
    assert_one_line(&message);
    // The same holds for messages about imports and exports.
    for body in [
        r#"(import "lattice1" "a\1b[2J\e2\80\ae\0a" (func))"#,
        r#"(import "a\1b[2J\e2\80\ae\0a" "b" (func))"#,
        r#"(func (export "lattice1_\1b[2J\e2\80\ae\0a"))"#,
    ] {
        assert_one_line(&load(&manifest(), body).unwrap_err().to_string());
    }
}

#[test]
fn an_argument_that_is_refused_names_its_parameter() {
    let refused = |answer: &[u8]| match make(&giving_bytes("prepare", answer)) {
        Err(MachineError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let expected = "method `make`, parameter `arg`: too \\u{1b} long\\u{0}";
    assert_eq!(refused(b"\x02arg\0too \x1b long\0"), expected);
    assert_eq!(refused(b"\x02"), "method `make`, parameter ``: ");
    assert_eq!(refused(b"\x01"), "");
}

/// Counts its calls in a global and in memory, and writes both counts to a row.
const COUNTING: &str = r#"
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 0) "\00\00\00\00\00\00\00\00")
    (func $count_up
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store (i32.const 0) (global.get $calls))
        (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
        (drop (memory.grow (i32.const 1)))
        (i32.store (i32.const 8) (memory.size))
        (drop (table.grow (ref.null func) (i32.const 1)))
        (i32.store (i32.const 12) (table.size))
        (data.drop 0))
    (table 1 funcref)
    (func (export "lattice1_decode") (param i32 i32) (result i64) (call $count_up) (i64.const 0))
    (func (export "lattice1_settle") (param i32 i32 i32)
        (call $put (i32.const 1000) (i32.const 1) (i32.const 0) (i32.const 16)))
    (func (export "lattice1_elements") (param i64 i32 i32)
        (call $count_up)
        (call $element (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 0) (i32.const 0)))
    (func (export "lattice1_query") (param i32 i32 i32) (result i64)
        (call $count_up)
        (i32.store16 (i32.const 97) (i32.const 0x1004))
        (i32.store8 (i32.const 96) (i32.const 0))
        (memory.copy (i32.const 99) (i32.const 0) (i32.const 16))
        (i64.const 0x6000000013))
    (func (export "lattice1_prepare") (param i32 i32 i32) (result i64)
        (call $count_up)
        (memory.copy (i32.const 97) (i32.const 0) (i32.const 16))
        (i64.const 0x6000000011))
    (func (export "lattice1_describe") (param i32 i32) (result i64)
        (call $count_up)
        (i32.store (i32.const 96) (i32.add (i32.const 48) (global.get $calls)))
        (i64.const 0x6000000001))
    (func (export "lattice1_apply") (param i32 i32)
        (call $count_up)
        (call $put (i32.const 999) (i32.const 1) (i32.const 0) (i32.const 16)))"#;

/// The counts after the first call: one call, five pages, two elements of the table.
const FIRST: [u8; 16] = [1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0];
/// The counts in `apply`, which runs after `decode` in the same instance.
const APPLIED: [u8; 16] = [2, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0, 0];

#[test]
fn a_module_keeps_no_state_between_calls() {
    let mut manifest = methods();
    manifest.elements = coded().elements;
    let machine = machine(&manifest, COUNTING);
    let clone = machine.clone();
    for machine in [&machine, &clone, &machine] {
        for _ in 0..3 {
            // `apply` and `settle` run in one instance, so that the count is the same.
            let rows = run(machine, b"p").unwrap();
            assert_eq!(rows.get(&[0]).unwrap().unwrap(), APPLIED);
            assert_eq!(rows.0.len(), 1);
            assert_eq!(elements(machine, 1).unwrap(), [(0, FIRST.to_vec(), vec![])]);
            assert_eq!(ask(machine).unwrap(), Value::Bytes(FIRST.to_vec()));
            assert_eq!(make(machine).unwrap(), FIRST);
            assert_eq!(machine.describe(b"p"), "1");
        }
    }
    // A failed call leaves no state either.
    let failing = COUNTING.replace(
        "(call $put (i32.const 999)",
        "(if (i32.eq (i32.load8_u (local.get 0)) (i32.const 3)) (then (call $count_up)))
         (call $put (i32.const 999)",
    );
    let failing = crate::guest::machine(
        &manifest,
        &failing.replace(
            "(data.drop 0))",
            "(data.drop 0)
            (if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable)))",
        ),
    );
    for _ in 0..3 {
        trapped(run(&failing, b"p"));
        assert_eq!(failing.describe(b"p"), "1");
    }
}

/// Threads share the module, but no instance.
#[test]
fn threads_share_no_state() {
    let mut manifest = methods();
    manifest.elements = coded().elements;
    let machine = &machine(&manifest, COUNTING);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(make(machine).unwrap(), FIRST);
                    assert_eq!(machine.describe(b"p"), "1");
                }
            });
        }
    });
}

/// The host reports a failure to read a payload as a fault: it neither panics nor decides on
/// validity.
#[test]
fn a_payload_whose_reading_fails_is_neither_valid_nor_invalid() {
    for body in ["unreachable", "(loop (br 0)) (i64.const 0)"] {
        let decode =
            format!(r#"(func (export "lattice1_decode") (param i32 i32) (result i64) {body})"#);
        let machine = machine(&manifest(), &decode);
        let decoded: Result<WasmPayload<'_>, Invalid> = machine.decode(b"p");
        let Ok(WasmPayload::Failed(BackendError::Fault(expected))) = decoded else {
            panic!("{decoded:?}");
        };
        assert_eq!(fault(run(&machine, b"p")), expected);
    }
}

/// Unless the manifest says that the code computes elements, the rows are the elements, whatever
/// the module exports.
#[test]
fn rows_are_elements_unless_the_manifest_says_otherwise() {
    let body = r#"(func (export "lattice1_elements") (param i64 i32 i32) unreachable)"#;
    let rows = machine(&manifest(), body);
    let expected: Vec<_> = (0..3_u8)
        .map(|nth| (usize::from(nth), vec![nth], vec![nth]))
        .collect();
    assert_eq!(elements(&rows, 3).unwrap(), expected);
    let mut found = Vec::new();
    let row = lattice_backend::backend::Row {
        key: b"k",
        value: b"v",
    };
    let schema = SchemaVersion::new(1);
    let mut each = |key: &[u8], value: &[u8]| found.push((key.to_vec(), value.to_vec()));
    rows.elements(schema, row, &Ops::new(3), &mut each).unwrap();
    assert_eq!(found, [(b"k".to_vec(), b"v".to_vec())]);
    let coded = machine(&coded(), body);
    let ended = coded.elements(schema, row, &Ops::new(3), &mut |_, _| ());
    assert!(matches!(ended, Err(BackendError::Fault(_))), "{ended:?}");
}
