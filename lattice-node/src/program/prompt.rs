//! Questions on the terminal.

use std::io::{self, IsTerminal, Write};

use super::output::{columns_of, escape_text};
use super::prose;

/// Whether a user can answer.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question on standard error. Everything but a yes is a no.
pub(super) fn is_yes(question: &str) -> io::Result<bool> {
    let question = format!("{} [y/N]", escape_text(question));
    let question = match columns_of(&console::Term::stderr()) {
        // The answer has room on the last line.
        Some(columns) => prose::fitted(&question, columns.saturating_sub(4)).into_owned(),
        None => question,
    };
    let mut stderr = io::stderr();
    write!(stderr, "{question} ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(["y", "yes"].contains(&&*answer))
}
