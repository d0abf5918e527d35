//! Rules for lines of text files.

use crate::finding::Finding;

/// First directories of paths that exist on one machine only. They are written without slashes, so
/// that this file passes its own rule.
const MACHINE_DIRECTORIES: &[&str] = &["home", "work", "root"];

/// The maximum number of lines of a source file.
const MAX_SOURCE_LINES: usize = 500;

/// All rules of this module.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = machine_paths(path, text);
    if !is_exact(path) {
        findings.extend(trailing_whitespace(path, text));
        findings.extend(final_newline(path, text));
    }
    if path.ends_with(".rs") {
        findings.extend(long_source(path, text));
    }
    findings
}

/// True for files in which every byte is expected output: data of golden tests, recorded output and
/// recorded sessions.
fn is_exact(path: &str) -> bool {
    let golden = path.contains("/golden/")
        && ![".rs", ".py", ".md"]
            .iter()
            .any(|ending| path.ends_with(ending));
    let kept = path.starts_with("fuzz/corpus/");
    kept || golden
        || path.contains("/tests/cli/")
        || [".stdout", ".stderr", ".stdin"]
            .iter()
            .any(|ending| path.ends_with(ending))
}

fn trailing_whitespace(path: &str, text: &str) -> Vec<Finding> {
    numbered(text)
        .filter(|(_, line)| line.ends_with(char::is_whitespace))
        .map(|(number, _)| Finding::new(path, number, "trailing whitespace"))
        .collect()
}

fn final_newline(path: &str, text: &str) -> Option<Finding> {
    let message = if text.is_empty() {
        return None;
    } else if !text.ends_with('\n') {
        "the file does not end with a newline"
    } else if text == "\n" || text.ends_with("\n\n") {
        "the file ends with an empty line"
    } else {
        return None;
    };
    Some(Finding::new(path, text.lines().count(), message))
}

fn long_source(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let in_src = path.split('/').any(|part| part == "src");
    (in_src && lines > MAX_SOURCE_LINES).then(|| {
        let message =
            format!("{lines} lines, more than {MAX_SOURCE_LINES}: this file has several jobs");
        Finding::new(path, MAX_SOURCE_LINES + 1, message)
    })
}

fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    numbered(text)
        .filter_map(|(number, line)| {
            let directory = MACHINE_DIRECTORIES
                .iter()
                .find(|name| names_directory(line, name))?;
            let message = format!("a path below `/{directory}`, which only one machine has");
            Some(Finding::new(path, number, message))
        })
        .collect()
}

/// True if the line contains an absolute path below the directory; `a/home/b` and `~/home/b` are
/// relative.
fn names_directory(line: &str, name: &str) -> bool {
    let needle = format!("/{name}/");
    line.match_indices(&needle).any(|(at, _)| {
        !line[..at].ends_with(|c: char| {
            c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | ')' | '}' | '*')
        })
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // `lines` would hide a carriage return before the newline.
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.split('\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    #[test]
    fn trailing_whitespace_is_seen() {
        assert_eq!(
            lines_of(&trailing_whitespace("a", "a \nb\nc\t\nd\r\n")),
            [1, 3, 4]
        );
        assert!(trailing_whitespace("a", " a\n\nb\n").is_empty());
    }

    #[test]
    fn files_end_with_one_newline() {
        for bad in ["a", "a\n\n", "\n"] {
            assert!(final_newline("a", bad).is_some(), "{bad:?}");
        }
        for good in ["", "a\n", "a\n\nb\n"] {
            assert!(final_newline("a", good).is_none(), "{good:?}");
        }
    }

    #[test]
    fn long_sources_are_seen() {
        assert!(long_source("a/src/b.rs", &"x\n".repeat(MAX_SOURCE_LINES)).is_none());
        assert!(long_source("a/src/b.rs", &"x\n".repeat(MAX_SOURCE_LINES + 1)).is_some());
        assert!(long_source("a/tests/b.rs", &"x\n".repeat(MAX_SOURCE_LINES + 1)).is_none());
    }

    #[test]
    fn machine_paths_are_seen() {
        for name in MACHINE_DIRECTORIES {
            for start in ["", "see `", "file://", "x \"", "="] {
                let line = format!("{start}/{name}/x\n");
                assert_eq!(lines_of(&machine_paths("a", &line)), [1], "{line}");
            }
            for start in ["a", "..", "~", "{x}", "https://example.org"] {
                let line = format!("{start}/{name}/x\n");
                assert!(machine_paths("a", &line).is_empty(), "{line}");
            }
        }
        assert!(machine_paths("a", "/homework/x /tmp/x\n").is_empty());
    }

    #[test]
    fn exact_files_keep_their_bytes() {
        assert!(check("a/tests/golden/x.hex", "a \n\n").is_empty());
        assert!(check("a/tests/cmd/x.stdout", "a ").is_empty());
        assert!(check("a/tests/cli/x.md", "a ").is_empty());
        assert!(!check("a/tests/golden/generate.py", "a \n").is_empty());
        assert!(check("fuzz/corpus/meta/x", "a \n\n").is_empty());
    }
}
