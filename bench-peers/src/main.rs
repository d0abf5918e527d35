//! Compares Lattice with raw redb, SQLite, fjall and iroh-docs: same keys, values and durability,
//! in alternation, in one process. `cargo xtask bench` builds and runs this program.

mod data;
mod lines;
mod measure;
mod plan;
mod plot;
mod report;
mod subjects;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lines::growth::Growth;
use measure::Line;
use plan::Plan;

const USAGE: &str = "usage: bench-peers [--rounds N] [--quick] [--long] [--dir DIR] [--program LATTICE] \
                     [--report ROOT] [GROUP]...";

/// A function that measures some lines.
type Measure = fn(&Plan) -> Vec<Line>;

/// Lines that need the same data are measured together.
const GROUPS: [(&str, Measure); 12] = [
    ("costs", lines::costs::lines),
    ("pauses", lines::pauses::lines),
    ("writes", lines::writes::lines),
    ("threads", lines::threads::lines),
    ("ingest", lines::ingest::lines),
    ("reads", lines::reads::lines),
    ("peek", lines::peek::lines),
    ("list", lines::peek::list),
    ("open", lines::open::lines),
    ("reopen", lines::reopen::lines),
    ("disk", lines::disk::lines),
    ("memory", lines::memory::lines),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--write", file, writes] => {
            let writes = writes.parse().expect("a number");
            lines::peek::write_for_ever(Path::new(file), writes);
        }
        ["--memory", dir, stores, keys] => {
            let number = |text: &str| text.parse().expect("a number");
            lines::memory::measure(Path::new(dir), number(stores), number(keys));
        }
        _ => {
            let Some((plan, report)) = parse(&words) else {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            };
            return measure(&plan, report.as_deref());
        }
    }
    ExitCode::SUCCESS
}

fn parse(words: &[&str]) -> Option<(Plan, Option<PathBuf>)> {
    let mut plan = Plan {
        rounds: 9,
        shrink: 1,
        long: false,
        only: Vec::new(),
        program: None,
        dir: std::env::temp_dir(),
    };
    let mut report = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--rounds" => plan.rounds = words.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--quick" => (plan.rounds, plan.shrink) = (3, 50),
            "--long" => plan.long = true,
            "--dir" => plan.dir = words.next()?.into(),
            "--program" => plan.program = Some(words.next()?.into()),
            "--report" => report = Some(words.next()?.into()),
            group if !group.starts_with('-') => plan.only.push(group.to_owned()),
            _ => return None,
        }
    }
    let known = |only: &String| {
        let more = ["process", "limits", "beside", "growth"];
        GROUPS.iter().any(|(name, _)| name == only) || more.contains(&only.as_str())
    };
    plan.only.iter().all(known).then_some((plan, report))
}

fn measure(plan: &Plan, report: Option<&Path>) -> ExitCode {
    let mut text = report::head(plan);
    let mut measured = Vec::new();
    if plan.wants("beside") {
        eprintln!("beside ...");
        let beside = lines::beside::all(plan);
        eprint!(
            "{}{}",
            report::beside(&beside),
            report::table(&beside.lines)
        );
        text.push_str(&format!(
            "## Beside others\n\n{}\n{}\n",
            report::beside(&beside),
            report::WHAT_THEY_DO
        ));
        measured.extend(beside.lines);
    }
    for (name, lines) in GROUPS {
        if plan.wants(name) {
            eprintln!("{name} ...");
            let lines = lines(plan);
            eprint!("{}", report::table(&lines));
            measured.extend(lines);
        }
    }
    if plan.wants("process") {
        measured.extend(lines::process::lines(plan));
    }
    if !measured.is_empty() {
        text.push_str(&format!(
            "## Lattice and its engine\n\n{}\n",
            report::table(&measured)
        ));
    }
    if plan.wants("limits") {
        eprintln!("limits ...");
        let limits = report::shown(&lines::limits::lines(plan));
        text.push_str(&format!("## What redb allows\n\n{limits}\n"));
    }
    if plan.wants("growth") {
        eprintln!("growth ...");
        let growths = lines::growth::all(plan);
        text.push_str(&format!(
            "## How cost grows\n\n{}\n",
            report::growth(&growths)
        ));
        if let Some(root) = report
            && let Err(error) = draw(root, &growths, &mut text)
        {
            eprintln!("bench-peers: {error}");
            return ExitCode::FAILURE;
        }
    }
    println!("{text}");
    if let Some(root) = report
        && let Err(error) = write(root, &mut text)
    {
        eprintln!("bench-peers: cannot write the report: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Writes the report, followed by the notes on it.
fn write(root: &Path, text: &mut String) -> std::io::Result<()> {
    text.push('\n');
    text.push_str(&std::fs::read_to_string(root.join("bench-peers/notes.md"))?);
    std::fs::write(root.join("BENCHMARKS.md"), text)
}

/// Draws a plot for each quantity, next to the report.
fn draw(
    root: &Path,
    growths: &[Growth],
    text: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let dir = root.join("bench-peers/plots");
    std::fs::create_dir_all(&dir)?;
    for (with, file) in [
        ("keys and ops", "growth-keys.svg"),
        ("authors", "growth-authors.svg"),
        ("stores", "growth-stores.svg"),
    ] {
        let curves: Vec<&Growth> = growths
            .iter()
            .filter(|growth| growth.with == with)
            .collect();
        plot::draw(&dir.join(file), with, &curves)?;
        text.push_str(&format!("![cost with {with}](bench-peers/plots/{file})\n"));
    }
    Ok(())
}
