//! The program shows the texts of a module, but a terminal must not act on them.

use std::fs;
use std::path::Path;

use lattice_backend::machine::manifest::{ABI, Elements, Manifest, SECTION};
use lattice_backend::machine::{Method, MethodKind, Param, Value, ValueType};
use lattice_meta::SchemaVersion;

use crate::{lattice, printed};

/// Clears the screen, sets the window title, starts a line, reverses the direction of text.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\0\u{7f}\u{9b}31m\u{202e}\u{2028}";

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A module that returns hostile text wherever it can.
fn module() -> Vec<u8> {
    let method = |name: &'static str, kind| Method {
        name: name.into(),
        kind,
        doc: "For tests.".into(),
        params: vec![Param::optional("arg", ValueType::Text, "anything")].into(),
        result: ValueType::Record,
    };
    let methods = [
        ("make", MethodKind::Command),
        ("ask", MethodKind::Query),
        ("refuse", MethodKind::Command),
        ("reject", MethodKind::Query),
        ("fail", MethodKind::Query),
    ];
    let first = SchemaVersion::new(1);
    let manifest = Manifest {
        abi: ABI,
        store_type: "org.example.loud".parse().unwrap(),
        schemas: first..=first,
        elements: Elements::Rows,
        methods: methods.map(|(name, kind)| method(name, kind)).into(),
        converts: Vec::new(),
    };
    let answer = Value::record([
        (HOSTILE, Value::Text(HOSTILE.into())),
        ("bytes", Value::Bytes(HOSTILE.as_bytes().to_vec())),
        (
            "list",
            Value::List(vec![
                Value::Text(HOSTILE.into()),
                Value::record([(HOSTILE, Value::Null)]),
            ]),
        ),
    ]);
    let answer = [&[0], &answer.to_bytes()[..]].concat();
    let refusal = [b"\x01", HOSTILE.as_bytes()].concat();
    let argument = [b"\x02arg\0", HOSTILE.as_bytes()].concat();
    let texts = [b"\0p", &answer[..], &refusal, &argument, HOSTILE.as_bytes()];
    let mut data = String::new();
    let mut places = Vec::new();
    for (nth, text) in (1_u64..).zip(texts) {
        let at = nth << 12;
        data.push_str(&format!(r#"(data (i32.const {at}) "{}")"#, escaped(text)));
        places.push(at << 32 | u64::try_from(text.len()).unwrap());
    }
    let [payload, answer, refusal, argument, text] = places[..] else {
        panic!("there are five texts");
    };
    let (at, len) = (text >> 32, text & 0xffff_ffff);
    let text = format!(
        r#"(module
            (import "lattice1" "fail" (func $fail (param i32 i32)))
            (memory (export "memory") 2) {data}
            (func (export "lattice1_alloc") (param i32) (result i32) (i32.const 0x10000))
            (func (export "lattice1_decode") (param i32 i32) (result i64) (i64.const 0))
            (func (export "lattice1_apply") (param i32 i32))
            (func (export "lattice1_prepare") (param i32 i32 i32) (result i64)
                (select (i64.const {refusal}) (i64.const {payload}) (local.get 0)))
            (func (export "lattice1_query") (param i32 i32 i32) (result i64)
                (if (i32.eq (local.get 0) (i32.const 4))
                    (then (call $fail (i32.const {at}) (i32.const {len}))))
                (select (i64.const {argument}) (i64.const {answer})
                    (i32.eq (local.get 0) (i32.const 3))))
            (func (export "lattice1_describe") (param i32 i32) (result i64) (i64.const {text}))
            (@custom "{SECTION}" "{}"))"#,
        escaped(&manifest.encode())
    );
    wat::parse_str(text).unwrap()
}

/// Runs a command and checks every character that it prints.
#[track_caller]
fn shown(dir: &Path, arguments: &[&str]) -> String {
    let output = lattice(dir, arguments);
    let printed = [&output.stdout[..], &output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    for character in printed
        .chars()
        .filter(|found| !['\n', '\t'].contains(found))
    {
        let acts = character.is_control() || ['\u{202e}', '\u{2028}'].contains(&character);
        assert!(!acts, "{arguments:?}: {character:?} in {printed:?}");
    }
    printed
}

#[test]
fn texts_of_a_module_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = dir.join("loud.wasm");
    fs::write(&file, module()).unwrap();
    printed(dir, &["code", "add", file.to_str().unwrap()]);
    printed(dir, &["create", "org.example.loud", "--alias", "loud"]);
    for (arguments, says) in [
        (&["call", "loud", "make"][..], ""),
        (&["call", "loud", "ask"], "31m"),
        (&["call", "loud", "refuse"], "31m"),
        (&["call", "loud", "reject"], "31m"),
        (&["call", "loud", "fail"], "31m"),
        (&["history", "loud"], "31m"),
        (&["describe", "loud"], "reject"),
        (&["verify", "loud"], "ok"),
    ] {
        let text = shown(dir, arguments);
        assert!(text.contains(says), "{arguments:?}: {text}");
        let json = shown(dir, &[&["--json"], arguments].concat());
        assert!(json.contains(says), "{arguments:?}: {json}");
    }
}
