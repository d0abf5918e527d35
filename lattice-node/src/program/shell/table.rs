//! Objects as rows of a table, or of comma-separated values.

use std::io::Write;

use console::{measure_text_width, truncate_str};
use serde_json::{Map, Value};

use crate::program::failure::Failure;
use crate::program::output::escape_text;

/// The objects that decide about the columns of a table; more are printed below in further tables.
const PAGE: usize = 1000;
/// The widest cell on a terminal.
const MAX_CELL: usize = 60;

/// Collects objects of one command.
pub(super) struct Rows {
    is_table: bool,
    is_terminal: bool,
    objects: Vec<Map<String, Value>>,
    /// The columns of CSV, once they are printed.
    columns: Option<Vec<String>>,
}

impl Rows {
    pub(super) fn new(is_table: bool, is_terminal: bool) -> Self {
        Self {
            is_table,
            is_terminal,
            objects: Vec::new(),
            columns: None,
        }
    }

    /// Adds an object.
    pub(super) fn push(
        &mut self,
        object: Map<String, Value>,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        self.objects.push(object);
        match self.objects.len() {
            PAGE => self.print(out),
            _ => Ok(()),
        }
    }

    /// Adds a value that is no object, as one with the field `value`.
    pub(super) fn push_value(&mut self, value: Value, out: &mut impl Write) -> Result<(), Failure> {
        self.push(Map::from_iter([("value".to_owned(), value)]), out)
    }

    /// Prints what is left.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        match self.objects.is_empty() {
            true => Ok(()),
            false => self.print(out),
        }
    }

    fn print(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        let objects = std::mem::take(&mut self.objects);
        match self.is_table {
            true => self.print_table(&objects, out),
            false => self.print_csv(&objects, out),
        }
    }

    fn print_table(
        &self,
        objects: &[Map<String, Value>],
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let columns = columns(objects);
        let cell = |object: &Map<String, Value>, name: &str| {
            let text = object.get(name).map_or_else(String::new, shown);
            let text = escape_text(&text);
            match self.is_terminal {
                true => truncate_str(&text, MAX_CELL, "...").into_owned(),
                false => text,
            }
        };
        let mut lines: Vec<Vec<String>> = vec![columns.clone()];
        lines.extend(objects.iter().map(|object| {
            let cells = columns.iter().map(|name| cell(object, name));
            cells.collect()
        }));
        let width = |nth: usize| {
            let cells = lines.iter().map(|line| measure_text_width(&line[nth]));
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        lines.insert(1, rule);
        for line in &lines {
            let mut text = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                let space = width - measure_text_width(cell);
                text.push_str(cell);
                text.push_str(&" ".repeat(space + 2));
            }
            writeln!(out, "{}", text.trim_end()).map_err(Failure::output)?;
        }
        Ok(())
    }

    fn print_csv(
        &mut self,
        objects: &[Map<String, Value>],
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let is_first = self.columns.is_none();
        let columns = self.columns.get_or_insert_with(|| columns(objects));
        let mut writer = csv::Writer::from_writer(out);
        let failed = |error: csv::Error| Failure::output(error.into());
        if is_first {
            writer.write_record(&*columns).map_err(failed)?;
        }
        for object in objects {
            if let Some(more) = object.keys().find(|name| !columns.contains(name)) {
                let text = format!("a row has the field {more}, which the first rows lack");
                return Err(Failure::failed(text).and("`.mode json` prints all fields"));
            }
            let cells = columns.iter().map(|name| object.get(name));
            let cells = cells.map(|cell| cell.map_or_else(String::new, shown));
            writer.write_record(cells).map_err(failed)?;
        }
        writer.flush().map_err(Failure::output)
    }
}

/// The fields of objects, in the order in which they appear.
fn columns(objects: &[Map<String, Value>]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for name in objects.iter().flat_map(Map::keys) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

/// A text as it is, other values as JSON, null as nothing.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Rows;

    fn printed(is_table: bool, values: &[serde_json::Value]) -> String {
        let (mut rows, mut out) = (Rows::new(is_table, false), Vec::new());
        for value in values {
            match value.as_object() {
                Some(object) => rows.push(object.clone(), &mut out).unwrap(),
                None => rows.push_value(value.clone(), &mut out).unwrap(),
            }
        }
        rows.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_become_rows() {
        let rows = [
            json!({ "key": "apple", "value": "grün" }),
            json!({ "key": "a,\"b\"\u{1b}", "n": 2, "value": null }),
        ];
        let table = "key        value  n\n\
                     ---------  -----  -\n\
                     apple      grün\n\
                     a,\"b\"\\x1b         2\n";
        assert_eq!(printed(true, &rows), table);
        let csv = "key,value,n\napple,grün,\n\"a,\"\"b\"\"\u{1b}\",,2\n";
        assert_eq!(printed(false, &rows), csv);
        assert_eq!(printed(true, &[json!(5)]), "value\n-----\n5\n");
        assert_eq!(printed(true, &[]), "");
    }

    #[test]
    fn many_rows_are_printed_in_parts() {
        let rows: Vec<_> = (0..2500).map(|n| json!({ "n": n })).collect();
        assert_eq!(printed(false, &rows).lines().count(), 2501);
        assert_eq!(printed(true, &rows).lines().count(), 2500 + 3 * 2);
    }
}
