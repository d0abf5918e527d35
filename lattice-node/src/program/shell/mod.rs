//! `lattice shell`: commands and methods of stores, one a line.
//!
//! Each line is a command of the program, in a process of its own: it has the options, the output
//! and the signals of that command, and the shell keeps no store open. Other processes can write
//! the stores at the same time.

mod editor;
mod statement;
mod table;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use lattice_backend::machine::Method;
use serde_json::Value;

use self::statement::{Mode, Statement};
use self::table::Rows;
use super::args::Prompt;
use super::context::Context;
use super::failure::{Failure, Kind};
use super::interrupt::Signal;
use super::output::{escape, escape_text};
use crate::Access;

/// Scripts that read each other are read to this depth.
const MAX_DEPTH: usize = 16;

const HELP: &str = "\
use STORE        work on a store: its methods are commands then
METHOD ...       call a method: values in the order of its parameters, or NAME=VALUE as in `call`
COMMAND ...      run a command of lattice; a STORE that it lacks is the one in use
.methods         describe the methods of the store in use
.mode MODE       print as text, table, json or csv
.timing on|off   print how long each line takes
.read FILE       run the lines of a file; the first one that fails ends it
.help            this text; `help` lists the commands and topics of lattice
.quit            leave, as Ctrl-D does

Words are quoted as in a shell: 'a b', \"a b\", a\\ b. A line that begins with # is a comment.";

/// The store in use.
#[derive(Debug, Clone)]
struct Store {
    name: String,
    methods: Vec<Method>,
}

/// What lines of a shell share.
struct Session<'a, 'b> {
    context: &'a mut Context<'b>,
    program: PathBuf,
    /// The options of the shell, which its commands get.
    options: Vec<OsString>,
    /// The settings that are options of the shell, as variables: options of a line override them.
    variables: Vec<(&'static str, String)>,
    store: Option<Store>,
    mode: Mode,
    times: bool,
    /// Whether there was a Ctrl-C.
    interrupted: Arc<AtomicBool>,
    /// Whether commands can read the terminal.
    is_terminal: bool,
}

/// How a line ended.
enum Ended {
    Next,
    Quit,
}

pub(super) fn shell(context: &mut Context<'_>, args: &Prompt) -> Result<(), Failure> {
    // A signal of the terminal ends the command that runs, and not the shell.
    let interrupted = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    let mode = match context.out.is_json() {
        true => Mode::Json,
        false => Mode::Text,
    };
    let mut session = Session {
        program: env::current_exe()?,
        options: options(context),
        variables: context.settings.options(),
        store: None,
        mode,
        times: false,
        interrupted,
        is_terminal: io::stdin().is_terminal(),
        context,
    };
    if let Some(store) = &args.store {
        session.enter(store.clone())?;
    }
    match session.is_terminal {
        true => editor::run(&mut session),
        false => session
            .read("standard input", &mut io::stdin().lock(), 0)
            .map(drop),
    }
}

/// The options that say where stores and code are, and that notes are not printed.
fn options(context: &Context<'_>) -> Vec<OsString> {
    let dir = context.data_dir.clone().into_os_string();
    let options = ["--data-dir".into(), dir];
    #[cfg(feature = "wasm")]
    let files = context.code_files.iter().cloned();
    #[cfg(not(feature = "wasm"))]
    let files = std::iter::empty::<PathBuf>();
    let code = files.flat_map(|file| ["--code".into(), file.into_os_string()]);
    let quiet = context.out.is_quiet().then(|| "--quiet".into());
    options.into_iter().chain(code).chain(quiet).collect()
}

impl Session<'_, '_> {
    /// Runs the lines of a script, up to the first that fails.
    fn read(
        &mut self,
        name: &str,
        lines: &mut dyn BufRead,
        depth: usize,
    ) -> Result<Ended, Failure> {
        for (nth, line) in (1_u64..).zip(lines.lines()) {
            let line = line.map_err(|error| Failure::from(error).within(name))?;
            let place = format!("{name}, line {nth}");
            let ended = match self.interrupted.load(Ordering::Relaxed) {
                false => self.line(&line, depth),
                true => Err(Failure::interrupted(Signal::Int)),
            };
            match ended.map_err(|failure| failure.in_script(&place))? {
                Ended::Next => {}
                Ended::Quit => return Ok(Ended::Quit),
            }
        }
        Ok(Ended::Next)
    }

    /// Runs a line of the user, who may have interrupted the one before.
    fn typed(&mut self, line: &str) -> Result<Ended, Failure> {
        self.interrupted.store(false, Ordering::Relaxed);
        self.line(line, 0)
    }

    /// Runs a line.
    fn line(&mut self, line: &str, depth: usize) -> Result<Ended, Failure> {
        let began = Instant::now();
        let done = self.statement(Statement::parse(line)?, depth);
        if self.times && !line.trim_start().starts_with('.') {
            let millis = began.elapsed().as_millis();
            self.context.out.note(&format!("{millis} ms"));
        }
        done
    }

    fn statement(&mut self, statement: Statement, depth: usize) -> Result<Ended, Failure> {
        match statement {
            Statement::Empty => {}
            Statement::Quit => return Ok(Ended::Quit),
            Statement::Use(store) => self.enter(store.into())?,
            Statement::Mode(mode) => self.mode = mode,
            Statement::Timing(times) => self.times = times,
            Statement::Help => self.print(HELP)?,
            Statement::Methods => {
                let store = self.store.as_ref().map(|store| store.name.clone());
                let store = store.ok_or_else(no_store)?;
                self.run(&["describe".to_owned(), store])?;
            }
            Statement::Read(_) if depth == MAX_DEPTH => {
                let text = format!("scripts read each other more than {MAX_DEPTH} deep");
                return Err(Failure::usage(text));
            }
            Statement::Read(file) => {
                let path = Path::new(&file);
                let opened = fs::File::open(path).map_err(|error| Failure::file(path, error))?;
                return self.read(&file, &mut BufReader::new(opened), depth + 1);
            }
            Statement::Command(words) => {
                let words = self.command(words);
                self.run(&words)?;
            }
        }
        Ok(Ended::Next)
    }

    /// The command line of words: a method of the store in use, or a command, perhaps without its
    /// store.
    fn command(&self, words: Vec<String>) -> Vec<String> {
        match &self.store {
            Some(store) => statement::command_line(words, &store.name, &store.methods),
            None => words,
        }
    }

    /// Uses a store from now on.
    fn enter(&mut self, name: OsString) -> Result<(), Failure> {
        let path = self.context.path(&name)?;
        let found = self.context.node.manager().find(&path, Access::ReadOnly)?;
        let methods = self.context.registry().resolve(found.recorded())?.methods();
        self.store = Some(Store {
            name: name.display().to_string(),
            methods: methods.to_vec(),
        });
        Ok(())
    }

    fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.context.out.prose(text)?;
        self.context.out.flush()
    }

    /// Runs a command of the program, and prints what it prints in the mode of the shell.
    fn run(&mut self, words: &[String]) -> Result<(), Failure> {
        self.context.out.flush()?;
        let mut process = Process::new(&self.program);
        process.args(&self.options);
        process.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.mode != Mode::Text {
            process.arg("--json");
        }
        process.args(words);
        if !self.is_terminal {
            // The lines of the script are not for its commands.
            process.stdin(Stdio::null());
        }
        let status = match self.mode {
            Mode::Text | Mode::Json if self.context.out.is_terminal() => process.status()?,
            Mode::Text | Mode::Json => self.pass(process.stdout(Stdio::piped()).spawn()?)?,
            Mode::Table | Mode::Csv => {
                process.stdout(Stdio::piped()).stderr(Stdio::piped());
                self.tabulate(process.spawn()?)?
            }
        };
        ended(status)
    }

    /// Prints what a command prints. A value that has no line end gets one: the next line follows.
    fn pass(&mut self, mut child: Child) -> Result<ExitStatus, Failure> {
        let mut stdout = child.stdout.take().expect("it was piped");
        let (mut bytes, mut last) = (vec![0; 64 << 10], b'\n');
        loop {
            let count = stdout.read(&mut bytes)?;
            let Some(end) = bytes[..count].last() else {
                break;
            };
            last = *end;
            let out = self.context.out.data();
            out.write_all(&bytes[..count]).map_err(Failure::output)?;
            self.context.out.flush()?;
        }
        if last != b'\n' {
            self.context.out.line("")?;
        }
        self.context.out.flush()?;
        Ok(child.wait()?)
    }

    /// Prints the objects of a command as rows.
    fn tabulate(&mut self, mut child: Child) -> Result<ExitStatus, Failure> {
        let stdout = child.stdout.take().expect("it was piped");
        let mut stderr = child.stderr.take().expect("it was piped");
        let noted = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let is_table = self.mode == Mode::Table;
        let mut rows = Rows::new(is_table, self.context.out.is_terminal());
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            match serde_json::from_slice(&line) {
                Ok(Value::Object(object)) => rows.push(object, self.context.out.data())?,
                Ok(value) => rows.push_value(value, self.context.out.data())?,
                Err(_) => {
                    // No row, as the text of `--help`.
                    rows.finish(self.context.out.data())?;
                    self.context.out.line(&escape(&line))?;
                }
            }
        }
        rows.finish(self.context.out.data())?;
        self.context.out.flush()?;
        let status = child.wait()?;
        let noted = noted.join().unwrap_or_else(|_| String::new());
        for line in noted.lines() {
            let error = serde_json::from_str::<Value>(line).ok();
            let message = error
                .as_ref()
                .and_then(|error| error["error"]["message"].as_str());
            // The lines below the first one of a usage error are texts as they are.
            let mut lines = message.unwrap_or(line).lines();
            if let Some(first) = lines.next().filter(|_| message.is_some()) {
                Failure::failed(first).print(false);
                lines.for_each(|line| print_text(&escape_text(line)));
            } else {
                print_text(line);
            }
        }
        Ok(status)
    }
}

fn print_text(line: &str) {
    // A failed write is ignored: standard error has no reader.
    let _ = writeln!(io::stderr(), "{line}");
}

fn no_store() -> Failure {
    Failure::usage("no store is in use; `use STORE` chooses one, and `list` lists all")
}

/// The failure of a command that has printed its error.
fn ended(status: ExitStatus) -> Result<(), Failure> {
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::printed(
            Kind::all().find(|kind| Some(i32::from(kind.code())) == code),
        )),
    }
}
