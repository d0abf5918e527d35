//! `docs/json.md` against the JSON in the recorded sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use serde_json::{Map, Value};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
const SESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli");

/// What prints values that the page cannot list: results of methods, a file's format, the tour.
const FREE: [&str; 3] = ["call", "bundle tips", "tour"];

/// An object of the page: the names of its fields, and whether each is always there.
type Shape = BTreeMap<String, bool>;

#[derive(Default)]
struct Page {
    /// The type of each field.
    fields: BTreeMap<String, String>,
    /// The objects of each command.
    commands: BTreeMap<String, Vec<Shape>>,
    /// The objects in fields.
    nested: BTreeMap<String, Shape>,
    kinds: BTreeSet<String>,
}

impl Page {
    fn read() -> Self {
        let text = fs::read_to_string(PAGE).unwrap();
        let code = Regex::new("`([^`]*)`([?]?)").unwrap();
        let mut page = Self::default();
        let mut section = "";
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                section = heading;
            }
            let Some(row) = line.strip_prefix("| `") else {
                continue;
            };
            let row = format!("`{row}");
            let cells: Vec<&str> = row
                .split(" | ")
                .map(|cell| cell.trim_end_matches(" |"))
                .collect();
            let named: Vec<String> = code
                .captures_iter(cells[0])
                .map(|found| found[1].to_owned())
                .filter(|name| !name.starts_with("--"))
                .collect();
            let shape = || -> Shape {
                let found = code.captures_iter(cells[1]);
                found
                    .map(|found| (found[1].to_owned(), found[2].is_empty()))
                    .collect()
            };
            match section {
                "Kinds of errors" => page.kinds.extend(named),
                "Objects" => {
                    for command in named {
                        page.commands.entry(command).or_default().push(shape());
                    }
                }
                "Objects in fields" => {
                    page.nested.insert(named[0].clone(), shape());
                }
                "Fields" => {
                    let known = page.fields.insert(named[0].clone(), cells[1].to_owned());
                    assert_eq!(known, None, "{} stands there twice", named[0]);
                }
                other => panic!("a table in section {other}"),
            }
        }
        page
    }
}

/// The objects that a session records, each with the words of the command that printed it.
fn recorded() -> Vec<(String, Map<String, Value>)> {
    let varying = Regex::new(":<(time|bytes)>").unwrap();
    let of_two_words = ["alias", "bundle", "code", "identity"];
    let mut objects = Vec::new();
    let entries = fs::read_dir(SESSIONS).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let mut command = String::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(line) = line.strip_prefix("$ ") {
                // Of a pipeline the last command prints.
                let mut parts = line.rsplit(" | ");
                let words = parts.find_map(|part| Some(part.split_once("lattice ")?.1));
                let words = words.unwrap_or("");
                let mut words = words.split(' ');
                let mut named = Vec::new();
                while let Some(word) = words.next() {
                    match word {
                        "--data-dir" | "--code" => drop(words.next()),
                        word if word.starts_with('-') => {}
                        word => named.push(word),
                    }
                }
                let long = named
                    .first()
                    .is_some_and(|word| of_two_words.contains(word));
                command = match (&named[..], long) {
                    ([first, second, ..], true) => format!("{first} {second}"),
                    ([first, ..], _) => (*first).to_owned(),
                    ([], _) => String::new(),
                };
                continue;
            }
            let line = varying.replace_all(line, ":0");
            // Other programs print files of JSON.
            if let Ok(Value::Object(object)) = serde_json::from_str(&line)
                && !command.is_empty()
            {
                objects.push((command.clone(), object));
            }
        }
    }
    objects
}

struct Check {
    page: Page,
    /// What was seen: commands with the place of the object, and fields of it.
    seen: BTreeSet<String>,
}

impl Check {
    /// Whether an object has a shape. The names of bytes in base64 end in `_b64`.
    fn has(&self, object: &Map<String, Value>, shape: &Shape) -> bool {
        let names: BTreeSet<&str> = object.keys().map(|name| self.plain(name)).collect();
        let all_known = names.iter().all(|name| shape.contains_key(*name));
        let required = shape.iter().filter(|(_, required)| **required);
        all_known
            && required
                .into_iter()
                .all(|(name, _)| names.contains(&**name))
    }

    fn plain<'a>(&self, name: &'a str) -> &'a str {
        match name.strip_suffix("_b64") {
            Some(plain) if self.page.fields.contains_key(plain) => plain,
            _ => name,
        }
    }

    /// Checks the fields of an object whose shape is `named`.
    fn fields(&mut self, named: &str, object: &Map<String, Value>) {
        for (name, value) in object {
            let plain = self.plain(name).to_owned();
            self.seen.insert(format!("{named}.{plain}"));
            self.seen.insert(format!("field {plain}"));
            let Some(expected) = self.page.fields.get(&plain).cloned() else {
                panic!("{named}: the page does not explain `{plain}`");
            };
            let is_b64 = *name != plain;
            let fits = expected.split(" or ").any(|kind| match (kind, value) {
                ("text" | "bytes", Value::String(_)) => kind == "bytes" || !is_b64,
                ("number", Value::Number(_))
                | ("bool", Value::Bool(_))
                | ("object" | "map", Value::Object(_))
                | ("null", Value::Null) => true,
                ("list of text", Value::Array(all)) => all.iter().all(Value::is_string),
                ("list of objects", Value::Array(all)) => all.iter().all(Value::is_object),
                _ => false,
            });
            assert!(
                fits,
                "{named}: `{name}` is {expected} in the page, found {value}"
            );
            if expected.contains("object") {
                let parts = match value {
                    Value::Array(parts) => parts.clone(),
                    Value::Null => Vec::new(),
                    one => vec![one.clone()],
                };
                for part in parts {
                    self.nested(&plain, part.as_object().unwrap());
                }
            }
        }
    }

    fn nested(&mut self, field: &str, object: &Map<String, Value>) {
        let Some(shape) = self.page.nested.get(field) else {
            panic!("the page does not say what is in `{field}`");
        };
        assert!(
            self.has(object, shape),
            "`{field}` has {object:?}, in the page {shape:?}"
        );
        if field == "error" {
            let kind = object["kind"].as_str().unwrap();
            assert!(
                self.page.kinds.contains(kind),
                "the page lacks the kind {kind}"
            );
        }
        self.fields(field, object);
    }

    fn object(&mut self, command: &str, object: &Map<String, Value>) {
        if object.len() == 1 && object.contains_key("error") {
            return self.nested("error", object["error"].as_object().unwrap());
        }
        if FREE.contains(&command) {
            return;
        }
        let Some(shapes) = self.page.commands.get(command) else {
            panic!("the page lacks `{command}`, which prints {object:?}");
        };
        let Some(place) = shapes.iter().position(|shape| self.has(object, shape)) else {
            panic!("`{command}` prints {object:?}, in the page {shapes:?}");
        };
        self.seen.insert(format!("{command} {place}"));
        self.fields(&format!("{command} {place}"), object);
    }
}

#[test]
fn the_page_describes_what_the_sessions_record_and_nothing_else() {
    let mut check = Check {
        page: Page::read(),
        seen: BTreeSet::new(),
    };
    for (command, object) in recorded() {
        // Words after an alias or after `identity` may be no commands.
        let known = check.page.commands.contains_key(&command) || FREE.contains(&&*command);
        let first = command.split(' ').next().unwrap();
        let command = if known { &command } else { first };
        check.object(command, &object);
    }
    let mut missing = Vec::new();
    for (command, shapes) in &check.page.commands {
        if FREE.contains(&&**command) {
            continue;
        }
        for (place, shape) in shapes.iter().enumerate() {
            let named = format!("{command} {place}");
            let fields = shape.keys().map(|name| format!("{named}.{name}"));
            missing.extend(fields.filter(|field| !check.seen.contains(field)));
        }
    }
    for (field, shape) in &check.page.nested {
        let fields = shape.keys().map(|name| format!("{field}.{name}"));
        missing.extend(fields.filter(|field| !check.seen.contains(field)));
    }
    let fields = check.page.fields.keys().map(|name| format!("field {name}"));
    missing.extend(fields.filter(|field| !check.seen.contains(field)));
    assert!(missing.is_empty(), "no session records {missing:#?}");
}
