//! Findings of checks and their locations.

use std::fmt;

use crate::failure::Failure;

/// One violation of a rule at one location. Sorts by location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    /// `line` counts from 1.
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }

    /// A violation that concerns a whole file, or a missing one.
    pub(crate) fn file(path: &str, message: impl Into<String>) -> Self {
        Self::new(path, 1, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Prints all findings, sorted by location; fails if there are any.
pub(crate) fn report(mut findings: Vec<Finding>) -> Result<(), Failure> {
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(Failure::Findings { count }),
    }
}

/// The line numbers of the findings, for the tests of rules.
#[cfg(test)]
pub(crate) fn lines_of(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_path_line_message() {
        assert_eq!(
            Finding::new("a/b.rs", 7, "a tab").to_string(),
            "a/b.rs:7: a tab"
        );
    }

    #[test]
    fn a_report_fails_only_with_findings() {
        assert!(report(Vec::new()).is_ok());
        let twice = vec![
            Finding::file("a", "x"),
            Finding::file("a", "x"),
            Finding::file("b", "x"),
        ];
        assert!(matches!(report(twice), Err(Failure::Findings { count: 2 })));
    }
}
