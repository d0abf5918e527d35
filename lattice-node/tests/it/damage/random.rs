//! Hundreds of random cases of damage, or thousands on request, in child processes with bounded
//! memory and a watchdog.
//!
//! `LATTICE_DAMAGE_COUNT=5000 cargo test --release -p lattice-node --test it damage` runs
//! thousands; `LATTICE_DAMAGE_SEED` selects other cases.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::case::{Original, run};

/// The range of cases that a child runs: `from..to`.
const CASES: &str = "LATTICE_DAMAGE_CASES";
/// The number of cases.
const COUNT: &str = "LATTICE_DAMAGE_COUNT";
/// The seed of the damage.
const SEED: &str = "LATTICE_DAMAGE_SEED";
/// The maximum address space of a child, in KiB: caches, threads and a hundred times its files.
const MAX_KIB: u64 = 1 << 20;
/// How long a child may print nothing.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// Runs the cases of a child; does nothing as an ordinary test.
#[test]
fn child() {
    let Ok(cases) = std::env::var(CASES) else {
        return;
    };
    let (from, to) = cases.split_once("..").unwrap();
    let cases: Range<u64> = from.parse().unwrap()..to.parse().unwrap();
    let seed: u64 = std::env::var(SEED).map_or(0, |seed| seed.parse().unwrap());
    // The library converts the backend's panics to errors, so they are not printed.
    std::panic::set_hook(Box::new(|_| {}));
    let originals = Original::all();
    let dir = tempfile::tempdir().unwrap();
    for case in cases {
        say(&format!("case {case}"));
        let one = || run(&originals, (seed << 32) + case, dir.path());
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(one)) {
            Ok(outcome) => say(&format!("outcome {outcome}")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
                say(&format!("panic {}", text.unwrap().replace('\n', " ")));
            }
        }
    }
    say("end");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
}

/// A child process that runs cases.
struct Cases {
    process: Child,
    lines: Receiver<String>,
}

impl Cases {
    fn start(cases: &Range<u64>) -> Self {
        let limited = format!("ulimit -v {MAX_KIB} && exec \"$0\" \"$@\"");
        let mut process = Command::new("sh")
            .args(["-c", &limited])
            .arg(std::env::current_exe().unwrap())
            .args([
                "damage::random::child",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CASES, format!("{}..{}", cases.start, cases.end))
            // Each allocator arena reserves address space that stays unused.
            .env("MALLOC_ARENA_MAX", "2")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }

    /// The outcomes of all cases that ran, and the failures.
    fn finish(mut self) -> (Vec<String>, Vec<String>) {
        let (mut outcomes, mut wrong) = (Vec::new(), Vec::new());
        let mut case = "before the first case".to_owned();
        loop {
            match self.lines.recv_timeout(MAX_SILENCE) {
                Ok(line) if line == "end" => break,
                Ok(line) => {
                    if line.starts_with("case ") {
                        case = line;
                    } else if let Some(outcome) = line.strip_prefix("outcome ") {
                        outcomes.push(outcome.to_owned());
                    } else if let Some(panic) = line.strip_prefix("panic ") {
                        wrong.push(format!("{case}: {panic}"));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    wrong.push(format!("{case}: it goes on for ever"));
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.process.wait();
                    wrong.push(format!("{case}: the process ended, {status:?}"));
                    break;
                }
            }
        }
        (outcomes, wrong)
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn every_case(count: u64) {
    let children = [0..count / 2, count / 2..count].map(|cases| Cases::start(&cases));
    let (mut outcomes, mut wrong) = (Vec::new(), Vec::new());
    for child in children {
        let (more, bad) = child.finish();
        outcomes.extend(more);
        wrong.extend(bad);
    }
    let mut table = BTreeMap::<(&str, &str), BTreeMap<&str, u64>>::new();
    let mut sums = BTreeMap::<&str, u64>::new();
    for outcome in &outcomes {
        let mut words = outcome.split(' ');
        let mut word = || words.next().unwrap();
        let (kind, damage, live, found, replay, wrote) =
            (word(), word(), word(), word(), word(), word());
        let row = table.entry((kind, damage)).or_default();
        for (what, counts) in [
            (live, true),
            ("found", found == "true"),
            ("found by replay", replay == "found"),
            ("not found by replay", replay == "clean" && live != "Same"),
            (
                "found though rows are the same",
                found == "true" && live == "Same",
            ),
            ("written on", wrote == "true"),
        ] {
            *row.entry(what).or_default() += u64::from(counts);
            *sums.entry(what).or_default() += u64::from(counts);
        }
    }
    for ((kind, damage), row) in &table {
        eprintln!("{kind} {damage}: {row:?}");
    }
    eprintln!("of {} cases: {sums:?}", outcomes.len());
    assert!(
        wrong.is_empty(),
        "{} went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(u64::try_from(outcomes.len()).unwrap(), count);
    let changed = sums["Changed"] + sums["Unreadable"];
    assert!(changed > count / 4, "only {changed} changed a row");
}

#[test]
fn causes_only_errors_and_is_always_found() {
    let count = std::env::var(COUNT).map_or(200, |count| count.parse().unwrap());
    every_case(count);
}
