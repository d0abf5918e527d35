//! Crash test: kills a writer at random moments and checks its stores.
//!
//! ```console
//! $ cargo run --release --example crash -- --rounds 1000
//! ```
//!
//! Each round starts a worker, kills it, and checks what it left. The worker notes each step before
//! it begins and after it is acknowledged. Acknowledged steps must exist; the step in progress must
//! exist in full or not at all. One worker in four folds its journal every few commits, and is
//! killed while it does. On a failure the program prints the seed and keeps the files. The seed
//! repeats the steps, but not the moment of the kill.

mod aim;
mod check;
mod model;
mod notes;
mod script;
mod site;
mod work;

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use check::Checker;
use script::Random;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rounds on the same stores; the cost of a check grows with their history.
const ROUNDS_A_PLACE: u64 = 25;
const USAGE: &str = "usage: crash [--rounds N | --seconds N] [--seed N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["work", dir, seed, first] => work(Path::new(dir), seed, first),
        _ => match Plan::parse(&words) {
            Some(plan) => plan.run(),
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(dir: &Path, seed: &str, first: &str) -> Outcome<()> {
    work::work(dir, seed.parse()?, first.parse()?)
}

/// When the test ends.
#[derive(Debug, Clone, Copy)]
enum Until {
    Rounds(u64),
    Time(Duration),
}

#[derive(Debug)]
struct Plan {
    until: Until,
    seed: u64,
}

impl Plan {
    fn parse(words: &[&str]) -> Option<Self> {
        let mut plan = Self {
            until: Until::Rounds(100),
            seed: u64::from(std::process::id()) << 20,
        };
        let pairs = words.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        for pair in pairs {
            let number = pair[1].parse().ok()?;
            match pair[0] {
                "--rounds" => plan.until = Until::Rounds(number),
                "--seconds" => plan.until = Until::Time(Duration::from_secs(number)),
                "--seed" => plan.seed = number,
                _ => return None,
            }
        }
        Some(plan)
    }

    fn run(&self) -> Outcome<()> {
        println!("crash: seed {}", self.seed);
        let started = Instant::now();
        let mut random = Random::new(self.seed);
        let mut totals = check::Totals::default();
        let mut rounds = 0;
        let goes_on = |rounds| match self.until {
            Until::Rounds(wanted) => rounds < wanted,
            Until::Time(time) => started.elapsed() < time,
        };
        while goes_on(rounds) {
            let place = tempfile::tempdir()?;
            let mut checker = Checker::begin(place.path())?;
            for _ in 0..ROUNDS_A_PLACE {
                if !goes_on(rounds) {
                    break;
                }
                let seed = random.next();
                let checked = round(place.path(), &mut checker, seed, &mut random);
                if let Err(error) = checked {
                    let kept = place.keep();
                    return Err(format!(
                        "round {rounds} (seed {}, worker's seed {seed}): {error}; the files are in {}",
                        self.seed,
                        kept.display()
                    )
                    .into());
                }
                rounds += 1;
                if rounds % 100 == 0 {
                    println!("{rounds} rounds, {:.0} s", started.elapsed().as_secs_f64());
                }
            }
            totals.add(checker.totals());
        }
        println!(
            "{rounds} rounds without a failure in {:.0} s; {totals}",
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// Starts a worker, kills it and checks what it left.
fn round(dir: &Path, checker: &mut Checker, seed: u64, random: &mut Random) -> Outcome<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("work")
        .arg(dir)
        .args([seed.to_string(), checker.next_step().to_string()])
        .stdin(Stdio::null())
        .spawn()?;
    // Kill one in eight workers while it opens the stores and repairs what its predecessor left.
    let most_us = if random.below(8) == 0 { 8_000 } else { 120_000 };
    std::thread::sleep(Duration::from_micros(random.below(most_us)));
    if aim::is_at_folds(seed) && aim::wait_for_fold(dir, random)? {
        checker.note_fold();
    }
    kill(&mut child)?;
    checker.check(seed)
}

/// A worker runs until it is killed, so one that has already exited has failed.
fn kill(child: &mut Child) -> Outcome<()> {
    let ended = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    match ended {
        None => Ok(()),
        Some(status) => Err(format!("the worker ended by itself: {status}").into()),
    }
}
