//! The results as Markdown.

use std::fmt::Write;

use crate::lines::beside::Beside;
use crate::lines::growth::Growth;
use crate::measure::{Line, Wanted, number, time};
use crate::plan::Plan;

/// The conditions of the measurement.
pub fn head(plan: &Plan) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let size = match plan.shrink {
        1 => String::new(),
        shrink => {
            format!("A quick run: sizes are a {shrink}th of the real ones, and say little.\n\n")
        }
    };
    format!(
        "\
# Benchmarks

`cargo xtask bench` wrote this page on {cores} cores; do not edit it. Values have 100 bytes, keys 16
random ones. Every commit is durable, stores are files, and caches hold what is read. What is
compared is measured in turns in one run, on files that grow alike. A figure is the median of the
ratios of all rounds ({}), with the least and the greatest. Raw redb runs in the same mode: one
writer, readers in other processes, two-phase commits, unless a line says `exclusive`. {}

{size}",
        plan.rounds,
        match plan.long {
            true => "Puts ran\nfor ten minutes, and on files of 1 GB.",
            false => "`--long`\nadds ten minutes of puts, and files of 1 GB.",
        }
    )
}

/// The table of lines.
pub fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| what | Lattice | against | median | from to | wanted | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for line in lines {
        let (least, most) = spread(&line.figures);
        let unit = match line.unit {
            "" => String::new(),
            unit => format!(" {unit}"),
        };
        let wanted = match line.wanted {
            Wanted::AtLeast(least) => format!("at least {least}"),
            Wanted::AtMost(most) => format!("at most {}", number(most)),
            Wanted::AsBefore => "as before".to_owned(),
            Wanted::Shown => String::new(),
        };
        let reached = match line.is_reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        };
        let spread = match line.figures.len() {
            1 => String::new(),
            _ => format!("{} to {}", number(least), number(most)),
        };
        let median = number(line.median());
        let Line {
            what,
            lattice,
            against,
            ..
        } = line;
        writeln!(
            text,
            "| {what} | {lattice} | {against} | {median}{unit} | {spread} | {wanted} | {reached} |"
        )
        .expect("text takes text");
    }
    text
}

/// The table of all stores.
pub fn beside(beside: &Beside) -> String {
    let names = beside.stores.join(" | ");
    let rule = "--- | ".repeat(beside.stores.len());
    let mut text = format!("| what | {names} |\n| --- | {}\n", rule.trim_end());
    for (what, results) in &beside.rows {
        let results = results.join(" | ");
        writeln!(text, "| {what} | {results} |").expect("text takes text");
    }
    text
}

/// What the stores of the first table do for their time.
pub const WHAT_THEY_DO: &str = "\
| store | what a durable commit does | what it does not do |
| --- | --- | --- |
| Lattice | one signed op with its hash and place in the history, the rows, the state hash; all in one transaction; other processes can read | |
| raw redb | the rows, by a two-phase commit; other processes can read | no history, no signature, no hash of the state |
| SQLite | the rows in a write-ahead log that is synced (WAL, FULL); other processes can read and write | no history, no signature, no hash of the state |
| fjall | the rows in a journal that is synced; one process | no history, no signature, no hash of the state, no other process |
| iroh-docs | an entry with two signatures, by a one-phase commit; one process | no value (100 bytes less a key), no history, no hash of the state, no other process |
| append and sync | as many bytes as the rows of Lattice's commit, in a preallocated file | nothing can be read: it is what the disk allows |
";

/// A table of lines without goals.
pub fn shown(lines: &[Line]) -> String {
    let mut text = String::from(
        "| what | rate | against | median | from to |\n| --- | --- | --- | --- | --- |\n",
    );
    for line in lines {
        let (least, most) = spread(&line.figures);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} to {} |",
            line.what,
            line.lattice,
            line.against,
            number(line.median()),
            number(least),
            number(most)
        )
        .expect("text takes text");
    }
    text
}

/// The table of growth.
pub fn growth(growths: &[Growth]) -> String {
    let mut text = String::from("| what | with | at | growth |\n| --- | --- | --- | --- |\n");
    for growth in growths {
        let points: Vec<String> = growth
            .points
            .iter()
            .map(|(size, seconds)| format!("{}: {}", number(*size as f64), time(*seconds)))
            .collect();
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            growth.what,
            growth.with,
            points.join(", "),
            growth.name()
        )
        .expect("text takes text");
    }
    text
}

fn spread(figures: &[f64]) -> (f64, f64) {
    figures
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), figure| {
            (least.min(*figure), most.max(*figure))
        })
}
