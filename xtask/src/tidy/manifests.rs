//! Rules for `Cargo.toml` files.

use toml::{Table, Value};

use crate::finding::Finding;
use crate::workspace::WorkspaceError;

const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Parses a manifest.
pub(super) fn parse(path: &str, text: &str) -> Result<Table, WorkspaceError> {
    text.parse().map_err(|source| WorkspaceError::Toml {
        path: path.to_owned(),
        source,
    })
}

/// The directories of the workspace's members.
pub(super) fn members(root: &Table) -> Vec<String> {
    root.get("workspace")
        .and_then(|workspace| workspace.get("members"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

/// The crates with unsafe code, which declare their own lints.
const UNSAFE: &[&str] = &[
    "lattice-guest/Cargo.toml",
    "guests/chat/Cargo.toml",
    "guests/kvstore/Cargo.toml",
    "guests/logstore/Cargo.toml",
    "guests/poll/Cargo.toml",
    "guests/tally/Cargo.toml",
];

/// Every crate must inherit its lints and its edition from the workspace.
pub(super) fn inherited_settings(path: &str, manifest: &Table) -> Vec<Finding> {
    let inherits = |table: &str, key: Option<&str>| {
        let table = manifest.get(table)?;
        let value = match key {
            Some(key) => table.get(key)?,
            None => table,
        };
        value.get("workspace")?.as_bool()
    };
    let mut findings = Vec::new();
    let declares = || manifest.get("lints").is_some();
    let has_lints = inherits("lints", None) == Some(true) || UNSAFE.contains(&path) && declares();
    if !has_lints {
        findings.push(Finding::file(path, "`[lints]` lacks `workspace = true`"));
    }
    if inherits("package", Some("edition")) != Some(true) {
        findings.push(Finding::file(
            path,
            "the package lacks `edition.workspace = true`",
        ));
    }
    findings
}

/// Versions, sources and their reasons are declared once, in the root manifest. A crate whose tests
/// depend on the crate itself with other features specifies neither version nor source.
pub(super) fn inherited_dependencies(path: &str, manifest: &Table) -> Vec<Finding> {
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| DEPENDENCY_TABLES.iter().filter_map(|name| table.get(*name)))
        .filter_map(Value::as_table)
        .flatten()
        .filter(|(_, spec)| spec.get("path").and_then(Value::as_str) != Some("."))
        .filter(|(_, spec)| spec.get("workspace").and_then(Value::as_bool) != Some(true))
        .map(|(name, _)| {
            Finding::file(
                path,
                format!("dependency `{name}` lacks `workspace = true`"),
            )
        })
        .collect()
}

/// Every third-party dependency of the workspace must follow a comment that states its purpose; a
/// comment applies up to the next empty line.
pub(super) fn uncommented_dependencies(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut inside = false;
    let mut commented = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end() == "[workspace.dependencies]";
            commented = false;
        } else if line.starts_with('#') {
            commented = true;
        } else if line.trim().is_empty() {
            commented = false;
        } else if inside
            && !commented
            && let Some(name) = third_party_entry(line)
        {
            let message = format!("dependency `{name}` has no comment above that says why");
            findings.push(Finding::new(path, index + 1, message));
        }
    }
    findings
}

/// The name of the third-party dependency that the line declares, if it declares one.
fn third_party_entry(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    let indented = line.starts_with(char::is_whitespace);
    let is_path = value.contains("path =") || value.contains("path=");
    (!indented && !is_path).then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    fn table(text: &str) -> Table {
        parse("Cargo.toml", text).unwrap()
    }

    #[test]
    fn invalid_toml_is_an_error() {
        assert!(parse("Cargo.toml", "[package").is_err());
    }

    #[test]
    fn members_are_listed() {
        assert_eq!(
            members(&table("[workspace]\nmembers = [\"a\", \"b\"]")),
            ["a", "b"]
        );
    }

    #[test]
    fn settings_must_be_inherited() {
        let good = table("[package]\nedition.workspace = true\n[lints]\nworkspace = true");
        assert!(inherited_settings("a", &good).is_empty());
        let bad = table("[package]\nedition = \"2024\"\n[lints.rust]\nunsafe_code = \"warn\"");
        assert_eq!(inherited_settings("a", &bad).len(), 2);
        assert_eq!(inherited_settings("a", &table("")).len(), 2);
    }

    #[test]
    fn dependencies_must_be_inherited() {
        let good = table(
            "[dependencies]\na.workspace = true\nb = { workspace = true, optional = true }\n[dev-dependencies]\nc = { path = \".\", features = [\"x\"] }",
        );
        assert!(inherited_dependencies("a", &good).is_empty());
        let bad = table(
            "[dependencies]\na = \"1\"\n[dev-dependencies]\nb = { version = \"1\" }\n\
             [build-dependencies]\nc = { path = \"c\" }\n[target.'cfg(unix)'.dependencies]\nd = \"1\"",
        );
        assert_eq!(inherited_dependencies("a", &bad).len(), 4);
    }

    #[test]
    fn dependencies_want_a_reason() {
        let text = "[workspace.dependencies]\nown = { path = \"own\" }\n\n# Why.\na = \"1\"\nb = \"1\"\n\n\
                    c = \"1\"\n# Why.\nd = { version = \"1\", features = [\n    \"e\",\n] }\n\n[profile.dev]\nf = 1\n";
        assert_eq!(lines_of(&uncommented_dependencies("Cargo.toml", text)), [8]);
    }
}
