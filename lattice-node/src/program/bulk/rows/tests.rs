//! Parsing of valid and invalid files of rows.

use std::io::Cursor;

use super::{KvRow, LogRow, Row, Shape};
use crate::program::bulk::source::Layout;
use crate::program::bulk::{Stop, read};

fn rows<R: Row>(
    layout: Layout,
    key: Option<&str>,
    value: Option<&str>,
    text: &[u8],
) -> Result<Vec<(u64, R)>, String> {
    let shape = Shape {
        key: key.map(str::to_owned),
        value: value.map(str::to_owned),
        time: None,
    };
    let told = |stop: Stop| stop.to_string();
    read::<R>(layout, Cursor::new(text.to_vec()), shape)
        .map_err(told)?
        .map(|row| row.map_err(told))
        .collect()
}

type Pairs = Vec<(u64, Vec<u8>, Vec<u8>)>;

fn pairs(
    layout: Layout,
    key: Option<&str>,
    value: Option<&str>,
    text: impl AsRef<[u8]>,
) -> Result<Pairs, String> {
    let rows = rows::<KvRow>(layout, key, value, text.as_ref())?;
    Ok(rows
        .into_iter()
        .map(|(line, row)| (line, row.key, row.value))
        .collect())
}

fn pair(line: u64, key: &str, value: &str) -> (u64, Vec<u8>, Vec<u8>) {
    (line, key.into(), value.into())
}

mod json {
    use super::*;

    const JSONL: Layout = Layout::JsonLines;

    #[test]
    fn keys_and_values_are_read_unchanged() {
        let text = "\u{feff}{\"key\": \"a\", \"value\": \"1\"}\r\n\n  \n\
                    {\"value_b64\": \"/wA=\", \"key_b64\": \"AA==\"}\n\
                    {\"key\": \"\\u00fc\\n\", \"value\": {\"x\": [1.50, null]}}\n\
                    {\"key\": 7, \"value\": 1e3}";
        let expected = vec![
            pair(1, "a", "1"),
            (4, vec![0], vec![255, 0]),
            pair(5, "ü\n", "{\"x\": [1.50, null]}"),
            pair(6, "7", "1e3"),
        ];
        assert_eq!(pairs(JSONL, None, None, text), Ok(expected));
    }

    #[test]
    fn options_select_the_fields() {
        let line = "{\"id\": 12345678901234567890123, \"name\": \"x\", \"tags\": [\"a\"]}";
        let id = "12345678901234567890123";
        assert_eq!(
            pairs(JSONL, Some("id"), None, line),
            Ok(vec![pair(1, id, line)])
        );
        assert_eq!(
            pairs(JSONL, Some("name"), Some("tags"), line),
            Ok(vec![pair(1, "x", "[\"a\"]")])
        );
        for (key, value, said) in [
            (
                "none",
                None,
                "expected a field `none`, found id, name, tags",
            ),
            ("name", Some("none"), "expected a field `none`"),
            (
                "tags",
                None,
                "expected a string or a number as the key, found [\"a\"]",
            ),
        ] {
            let error = pairs(JSONL, Some(key), value, line).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_invalid_row_is_reported_with_its_line() {
        let good = "{\"key\": \"a\", \"value\": \"1\"}\n";
        for (bad, said) in [
            ("[1]", "expected a JSON object"),
            ("{\"key\": \"a\"", "expected a JSON object, found EOF"),
            (
                "{\"key\": \"a\", \"value\": \"1\"} {}",
                "trailing characters",
            ),
            (
                "{\"key\": \"a\", \"key\": \"b\", \"value\": \"1\"}",
                "the field `key` twice",
            ),
            ("{\"key\": \"a\", \"value\": null}", "found null"),
            (
                "{\"key\": \"a\", \"value\": \"1\", \"x\": 1}",
                "found key, value, x",
            ),
            (
                "{\"key\": \"a\", \"key_b64\": \"\", \"value\": \"1\"}",
                "found both",
            ),
            (
                "{\"key_b64\": \"!\", \"value\": \"1\"}",
                "`key_b64`: expected padded base64",
            ),
            (
                "{\"key_b64\": 1, \"value\": \"1\"}",
                "expected a string in base64, found 1",
            ),
            (
                "{\"key\": \"\", \"value\": \"1\"}",
                "a key of 1 to 4096 bytes, found 0",
            ),
            ("{\"key\": \"\\ud800\", \"value\": \"1\"}", "`key`"),
            ("plain text", "is it another --format?"),
        ] {
            let error = pairs(JSONL, None, None, format!("{good}\n{bad}\n{good}")).unwrap_err();
            assert!(
                error.starts_with("line 3: ") && error.contains(said),
                "{bad}: {error}"
            );
        }
        let long = format!("{{\"key\": \"{}\", \"value\": \"\"}}", "k".repeat(4097));
        assert!(
            pairs(JSONL, None, None, long)
                .unwrap_err()
                .contains("found 4097")
        );
        let deep = format!(
            "{{\"key\": \"a\", \"value\": {}1{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        pairs(JSONL, None, None, deep).unwrap();
    }

    #[test]
    fn entries_are_read_from_the_output_of_export() {
        let read = |value, text: &str| {
            let rows = rows::<LogRow>(JSONL, None, value, text.as_bytes())?;
            Ok::<_, String>(
                rows.into_iter()
                    .map(|(_, LogRow(content))| content)
                    .collect::<Vec<_>>(),
            )
        };
        let exported = "{\"index\":0,\"time\":1,\"author\":\"x\",\"content\":\"one\"}\n{\"content_b64\":\"/w==\"}";
        assert_eq!(read(None, exported), Ok(vec![b"one".to_vec(), vec![255]]));
        assert_eq!(
            read(Some("author"), "{\"author\": \"x\"}"),
            Ok(vec![b"x".to_vec()])
        );
        assert!(
            read(None, "{\"content\":\"one\",\"more\":1}")
                .unwrap_err()
                .contains("--value")
        );
        assert!(read(None, "{}").unwrap_err().contains("content"));
    }
}

mod tables {
    use super::*;

    const CSV: Layout = Layout::Table { delimiter: b',' };

    #[test]
    fn quotes_and_line_breaks_are_part_of_cells() {
        let text = "\u{feff}id,text\r\n1,\"a \"\"b\"\", c\"\r\n2,\"x\ny\n\"\n\n3,\n";
        let expected = vec![
            pair(2, "1", "a \"b\", c"),
            pair(3, "2", "x\ny\n"),
            pair(7, "3", ""),
        ];
        assert_eq!(pairs(CSV, Some("id"), Some("text"), text), Ok(expected));
        let whole = pairs(CSV, Some("id"), None, text).unwrap();
        assert_eq!(whole[1].2, br#"{"id":"2","text":"x\ny\n"}"#);
    }

    #[test]
    fn a_quote_inside_an_unquoted_cell_is_literal() {
        let expected = vec![pair(2, "1", "5\" disk"), pair(3, "2", "")];
        let text = "id,x\n1,5\" disk\n2,\"\"";
        assert_eq!(pairs(CSV, Some("id"), Some("x"), text), Ok(expected));
    }

    #[test]
    fn columns_named_key_and_value_need_no_options() {
        assert_eq!(
            pairs(CSV, None, None, "value,x,key\n1,2,3"),
            Ok(vec![pair(2, "3", "1")])
        );
        let error = pairs(CSV, None, None, "id,value\n1,2").unwrap_err();
        assert!(error.contains("found id, value; --key"), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_read_as_a_value_but_not_as_json() {
        let text = b"id,raw\n1,\xff\n";
        let expected = vec![(2, b"1".to_vec(), vec![255])];
        assert_eq!(pairs(CSV, Some("id"), Some("raw"), text), Ok(expected));
        let error = pairs(CSV, Some("id"), None, text).unwrap_err();
        assert!(
            error.contains("line 2: expected UTF-8 in column `raw`"),
            "{error}"
        );
    }

    #[test]
    fn an_invalid_row_is_reported_with_its_line() {
        for (text, said) in [
            ("", "line 1: expected column names"),
            (
                "id,id\n1,2\n",
                "line 1: expected different column names, found `id` twice",
            ),
            ("id,x\n1,2\n3\n", "line 3: expected 2 columns, found 1"),
            (
                "id,x\n\"1\n\",2\n3,4,5\n",
                "line 4: expected 2 columns, found 3",
            ),
            ("id,x\n1,2\n,2\n", "line 3: expected a key of 1 to"),
            (
                "name,x\n1,2\n",
                "line 1: expected a column `id`, found name, x",
            ),
        ] {
            let error = pairs(CSV, Some("id"), None, text).unwrap_err();
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn records_become_entries() {
        let rows = rows::<LogRow>(CSV, None, None, b"a,b\n1,2\n").unwrap();
        assert_eq!(rows[0].1.0, br#"{"a":"1","b":"2"}"#);
    }
}

#[test]
fn plain_lines_are_keys_and_values_or_entries() {
    let lines = Layout::Lines;
    let expected = vec![pair(1, "a", "1\tx"), pair(2, "b", "")];
    assert_eq!(pairs(lines, None, None, "a\t1\tx\nb\t"), Ok(expected));
    let error = pairs(lines, None, None, "a\t1\nno tab\n").unwrap_err();
    assert!(
        error.starts_with("line 2: expected a key, a tab and a value"),
        "{error}"
    );
    let entries = rows::<LogRow>(lines, None, None, b"one\n\n\xff\r\n").unwrap();
    let contents: Vec<_> = entries.iter().map(|(_, row)| row.0.as_slice()).collect();
    assert_eq!(contents, [&b"one"[..], b"", b"\xff"]);
}
