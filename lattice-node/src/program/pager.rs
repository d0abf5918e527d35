//! Long texts on a terminal, shown by the user's pager.
//!
//! Ctrl-C is the pager's while it runs: the program ends when the user leaves the pager. A pager
//! that does not start is no error: the text is printed.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use console::Term;

use super::context::{Context, Host};
use super::failure::Failure;
use super::interrupt::{self, Left};

/// Prints a text, through the pager if it is longer than the terminal.
pub(super) fn print(context: &mut Context<'_>, text: &str) -> Result<(), Failure> {
    show(context);
    context.out.line(text)
}

/// Shows what the command prints from now on by the pager, once that is longer than the terminal.
pub(super) fn show(context: &mut Context<'_>) {
    let is_shown = context.host == Host::Process && context.out.is_terminal();
    let pager = context.settings.pager().filter(|_| is_shown);
    if let Some(pager) = pager.filter(|_| !context.out.is_json()) {
        let paged = Paged::new(pager);
        context.out.set_data(paged);
    }
}

/// Standard output, by the pager once there is more of it than the terminal shows.
pub(super) struct Paged {
    pager: String,
    /// What fits the terminal, and is not printed yet.
    begun: Vec<u8>,
    rows: usize,
    running: Option<Running>,
}

struct Running {
    child: Child,
    _left: Left,
}

impl Paged {
    pub(super) fn new(pager: &str) -> Self {
        Self {
            pager: pager.to_owned(),
            begun: Vec::new(),
            // The prompt of the shell has a row, too.
            rows: usize::from(Term::stdout().size().0).saturating_sub(1),
            running: None,
        }
    }

    fn is_long(&self) -> bool {
        let ends = self.begun.iter().filter(|byte| **byte == b'\n');
        ends.count() > self.rows
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(running) = &mut self.running {
            return running
                .child
                .stdin
                .as_mut()
                .map_or(Ok(0), |all| all.write(bytes));
        }
        self.begun.extend_from_slice(bytes);
        if self.is_long() {
            let begun = std::mem::take(&mut self.begun);
            match start(&self.pager) {
                Ok(running) => {
                    let stdin = self.running.insert(running).child.stdin.as_mut();
                    stdin.map_or(Ok(()), |stdin| stdin.write_all(&begun))?;
                }
                Err(_) => {
                    self.rows = usize::MAX;
                    io::stdout().write_all(&begun)?;
                }
            }
        }
        Ok(bytes.len())
    }

    /// What fits the terminal is printed at the end.
    fn flush(&mut self) -> io::Result<()> {
        let stdin = self
            .running
            .as_mut()
            .and_then(|running| running.child.stdin.as_mut());
        stdin.map_or(Ok(()), Write::flush)
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        // The user can leave the pager before the end.
        let mut stdout = io::stdout();
        let _ = stdout.write_all(&self.begun).and_then(|()| stdout.flush());
        if let Some(mut running) = self.running.take() {
            drop(running.child.stdin.take());
            let _ = running.child.wait();
        }
    }
}

/// Starts the pager. A shell that does not find it prints the text.
fn start(pager: &str) -> io::Result<Running> {
    let mut command = match cfg!(windows) {
        true => Command::new(pager),
        false => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{pager}\n[ $? -ne 127 ] || exec cat")]);
            shell
        }
    };
    if env::var_os("LESS").is_none() {
        // Quit if the text fits, keep colours, leave the text on the screen.
        command.env("LESS", "FRX");
    }
    let left = interrupt::installed().leave();
    let child = command.stdin(Stdio::piped()).spawn()?;
    Ok(Running { child, _left: left })
}
