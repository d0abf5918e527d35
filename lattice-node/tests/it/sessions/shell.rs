//! Runs command lines, and replaces output that varies between runs by names.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use regex::{Captures, Regex};

/// What separates the outputs of commands on a terminal.
const END: &str = "<the end of a command>";

pub(super) struct Shell {
    dir: PathBuf,
    fixtures: PathBuf,
    path: OsString,
    ids: Regex,
    /// Patterns and the replacements of their matches.
    varying: Vec<(Regex, &'static str)>,
    /// The name of each id, numbered in order of appearance.
    seen: HashMap<String, String>,
}

impl Shell {
    pub(super) fn new(dir: &Path, fixtures: &Path) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_lattice"));
        let mut path = OsString::from(program.parent().unwrap());
        path.push(":");
        path.push(env::var_os("PATH").unwrap());
        let pattern = |text, name| (Regex::new(text).unwrap(), name);
        Self {
            dir: dir.to_path_buf(),
            fixtures: fixtures.to_path_buf(),
            path,
            ids: Regex::new(
                "[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|bafk[a-z2-7]{55}",
            )
            .unwrap(),
            varying: vec![
                pattern(
                    "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{12}Z  [0-9a-f]{8}",
                    "<time>  <author>",
                ),
                pattern("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{12}Z", "<time>"),
                pattern("[0-9a-f]{8}  <time>", "<op>  <time>"),
                pattern("[.](db|inc) [(][0-9,]+ bytes", ".$1 (<bytes> bytes"),
                pattern("from [0-9,]+ bytes to [0-9,]+ bytes", "from <bytes> bytes to <bytes> bytes"),
                pattern("\"before\":[0-9]+", "\"before\":<bytes>"),
                pattern("\"(time|time_ms|created|last_used)\":[0-9]{13}", "\"$1\":<time>"),
                pattern("org.example.chat(.v2)?, [0-9,]+ bytes", "org.example.chat$1, <bytes> bytes"),
                pattern("([0-9]+ files?), [0-9,]+ bytes", "$1, <bytes> bytes"),
                pattern("[0-9a-f]{8}#([0-9]+)/[0-9a-f]{8}", "<author>#$1/<op>"),
                pattern("([0-9]+ leftovers?), [0-9,]+ bytes", "$1, <bytes> bytes"),
                pattern(
                    "(?m)^(partial|migration|creation|copy|restore|removal|before-re[a-z]+) +[0-9]+ (s|min) +[0-9,]+ bytes",
                    "$1  <age>  <bytes> bytes",
                ),
                pattern("\"(last_op_ms)\":[0-9]{13}", "\"$1\":<time>"),
                pattern("(last_op_ms[{].*) [0-9]{13}", "$1 <time>"),
                pattern("(store_bytes[{].*) [0-9]+", "$1 <bytes>"),
                pattern("\"bytes\":[0-9]+", "\"bytes\":<bytes>"),
                // How much of a pipe is read before the first look at it varies.
                pattern("a file of [0-9]{5,6} bytes", "a file of <bytes> bytes"),
                pattern("(?m)^bytes( +)[0-9]+$", "bytes$1<bytes>"),
                pattern("\"([a-z]+)_bytes\":[0-9]+", "\"${1}_bytes\":<bytes>"),
                pattern("(?m)^size( +)[0-9.]+ KiB [(][0-9,]+ bytes[)]$", "size$1<bytes>"),
                pattern("(?m)^(file|state|history|records|unused) +[0-9.]+ (bytes|KiB)", "$1  <bytes>"),
                pattern("(core|org[.]example):([a-z]+) +[0-9]{5,}", "$1:$2  <bytes>"),
            ],
            seen: HashMap::new(),
        }
    }

    /// `sh` with the program and its stores.
    fn shell(&self, line: &[&str]) -> Output {
        let (name, arguments) = line.split_first().unwrap();
        Command::new(name)
            .args(arguments)
            .current_dir(&self.dir)
            .env("PATH", &self.path)
            .env("LATTICE_DATA_DIR", "data")
            .env("STORES", &self.fixtures)
            .env("LC_ALL", "C")
            .env_remove("NO_COLOR")
            .env_remove("PAGER")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What command lines print on a terminal of 80 columns, in this order. They cannot read it.
    pub(super) fn run_on_terminal(&self, commands: &[&str]) -> Vec<String> {
        let lines = commands
            .iter()
            .map(|command| format!("({command}\n) < /dev/null\n"));
        let script = lines.collect::<Vec<_>>().join(&format!("echo '{END}'\n"));
        fs::write(self.dir.join("commands.sh"), script).unwrap();
        let line = "stty cols 80 rows 24; LATTICE_PAGER=cat sh commands.sh";
        let output = self.shell(&["script", "-qec", line, "/dev/null"]);
        let printed = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        printed
            .split(&format!("{END}\n"))
            .map(str::to_owned)
            .collect()
    }

    /// The output of a command line on both streams, and its exit code if it is not 0.
    pub(super) fn run(&mut self, command: &str) -> String {
        let output = self.shell(&["sh", "-c", &format!("exec 2>&1\n{command}")]);
        let mut text = String::from_utf8(output.stdout).expect("the program prints text");
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str("<no line end>\n");
        }
        let mut text = self.name(&text);
        match output.status.code() {
            Some(0) => {}
            code => text.push_str(&format!("? {}\n", code.unwrap())),
        }
        text
    }

    fn name(&mut self, text: &str) -> String {
        let fixtures = format!("{}/", self.fixtures.display());
        let here = format!("{}/", self.dir.display());
        let mut text = text.replace(&fixtures, "$STORES/").replace(&here, "$PWD/");
        for (pattern, name) in &self.varying {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        let seen = &mut self.seen;
        let named = self.ids.replace_all(&text, |found: &Captures<'_>| {
            let id = &found[0];
            // Ids that a session makes up are not replaced.
            if id.starts_with("00000000") || id.starts_with("abcd0000") {
                return id.to_owned();
            }
            let kind = match id.len() {
                64 => "hash",
                59 => "code",
                _ => "store",
            };
            let number = seen
                .values()
                .filter(|name| name[1..].starts_with(kind))
                .count()
                + 1;
            let name = || format!("<{kind} {number}>");
            seen.entry(id.to_owned()).or_insert_with(name).clone()
        });
        named.into_owned()
    }
}
