//! Long texts on a terminal, shown by the user's pager.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

use super::context::Context;
use super::failure::Failure;

/// Prints a text; if it is longer than the terminal, through the pager. A pager that does not start
/// is no error.
pub(super) fn print(context: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    let rows = usize::from(console::Term::stdout().size().0);
    let is_long = context.out.is_terminal() && text.lines().count() + 1 > rows;
    match context.settings.pager().filter(|_| is_long) {
        Some(pager) if show(pager, text).is_some() => Ok(()),
        _ => context.out.line(text),
    }
}

/// Runs the pager on a text. `None` if it cannot be run.
fn show(pager: &str, text: &str) -> Option<()> {
    let mut command = match cfg!(windows) {
        true => Command::new(pager),
        false => {
            let mut shell = Command::new("sh");
            shell.args(["-c", pager]);
            shell
        }
    };
    if env::var_os("LESS").is_none() {
        // Quit if the text fits, keep colours, leave the text on the screen.
        command.env("LESS", "FRX");
    }
    let mut running = command.stdin(Stdio::piped()).spawn().ok()?;
    let mut stdin = running.stdin.take()?;
    // The user can leave the pager before the end of the text.
    let _ = stdin
        .write_all(text.as_bytes())
        .and_then(|()| stdin.write_all(b"\n"));
    drop(stdin);
    // A shell that does not find the pager ends with 127.
    running
        .wait()
        .ok()
        .filter(|status| status.code() != Some(127))
        .map(drop)
}
