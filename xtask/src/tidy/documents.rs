//! Rules for documents: required files and valid links.

use std::collections::BTreeSet;

use super::prose;
use crate::finding::Finding;

const REQUIRED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "FORMAT.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// The documents that the repository must have at its root.
pub(super) fn required(known: &BTreeSet<&str>) -> Vec<Finding> {
    REQUIRED
        .iter()
        .filter(|path| !known.contains(**path))
        .map(|path| Finding::file(path, "this document is missing"))
        .collect()
}

/// Every crate must have a README that states its audience.
pub(super) fn crate_readme(member: &str, known: &BTreeSet<&str>) -> Option<Finding> {
    let path = format!("{member}/README.md");
    (!known.contains(path.as_str())).then(|| Finding::file(&path, "the crate has no README.md"))
}

/// Relative links must lead to files or directories of the repository.
pub(super) fn links(path: &str, text: &str, known: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose::outside_of_code(text) {
        for target in targets(&without_code_spans(line)) {
            if let Some(message) = broken(path, target, known) {
                findings.push(Finding::new(path, number, message));
            }
        }
    }
    findings
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<&str>>().join("`")
}

/// The targets of `[text](target "title")` and `[label]: target`.
fn targets(line: &str) -> Vec<&str> {
    let mut found: Vec<&str> = line
        .match_indices("](")
        .filter_map(|(at, mark)| line[at + mark.len()..].split([')', ' ']).next())
        .collect();
    if line.starts_with('[')
        && !line.starts_with("[^")
        && let Some((_, target)) = line.split_once("]: ")
    {
        found.extend(target.split_whitespace().next());
    }
    found
        .into_iter()
        .map(|target| target.trim_matches(['<', '>']))
        .collect()
}

/// Why a link is broken, if it is.
fn broken(path: &str, target: &str, known: &BTreeSet<&str>) -> Option<String> {
    let file = target.split(['#', '?']).next().unwrap_or(target);
    if target.starts_with('#') || file.contains(':') {
        return None;
    }
    if file.starts_with('/') {
        return Some(format!("the link to `{target}` is absolute"));
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let Some(resolved) = resolve(directory, file) else {
        return Some(format!("the link to `{target}` leaves the repository"));
    };
    let inside = format!("{resolved}/");
    let exists = resolved.is_empty()
        || known.contains(resolved.as_str())
        || known.iter().any(|path| path.starts_with(&inside));
    (!exists).then(|| format!("the link to `{target}` leads to no file of the repository"))
}

/// Joins two paths with `/`; `None` if the result is outside the root.
fn resolve(directory: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(relative.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    fn known() -> BTreeSet<&'static str> {
        ["README.md", "a/README.md", "a/docs/b.md"].into()
    }

    #[test]
    fn missing_documents_are_seen() {
        assert_eq!(required(&known()).len(), REQUIRED.len() - 1);
        assert!(required(&REQUIRED.iter().copied().collect()).is_empty());
        assert!(crate_readme("a", &known()).is_none());
        assert!(crate_readme("b", &known()).is_some());
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "[a](a/README.md) ![b](./a/docs/b.md#part \"t\") [c](https://x.org/y) [d](#part)\n\
                    [e]: a/docs\n`[f](none.md)`\n```\n[g](none.md)\n```\n[h](mailto:x@y.org)\n";
        assert!(links("README.md", text, &known()).is_empty());
        assert!(links("a/docs/b.md", "[r](../../README.md) [a](..)\n", &known()).is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_seen() {
        let text = "[a](none.md)\nx [b](a/README.md) [c](a/doc)\n[d]: none.md\n[e](/README.md)\n[f](../x.md)\n";
        assert_eq!(
            lines_of(&links("README.md", text, &known())),
            [1, 2, 3, 4, 5]
        );
    }
}
