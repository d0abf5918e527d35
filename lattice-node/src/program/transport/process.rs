//! Peers behind a child process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Serving;
use super::peer::Ssh;
use super::pump::Ending;
use crate::program::failure::{Failure, Kind};
use crate::program::interrupt::quoted;
use crate::sync::Stream;

/// Names the program that is run for `ssh://`.
const SSH_VARIABLE: &str = "LATTICE_SSH";
/// A longer line on standard error is cut.
const MAX_LINE_BYTES: u64 = 4096;
/// How often a process that ends is looked for.
const POLL: Duration = Duration::from_millis(5);
/// How long its last lines are waited for: a process that it has left behind can keep them open.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Gets each line that the process prints on standard error.
pub(in crate::program) type Say = Box<dyn Fn(&str) + Send>;

/// A child process that leads to a peer. It is ended with this value.
pub(in crate::program) struct Process {
    child: Child,
    /// The command, as a shell reads it.
    line: String,
    last: Arc<Mutex<String>>,
    is_silent: Receiver<()>,
}

/// How a process has ended.
#[derive(Debug)]
pub(in crate::program) struct Ended {
    /// The command.
    pub(in crate::program) line: String,
    /// `None` if it had to be killed.
    pub(in crate::program) status: Option<ExitStatus>,
    /// The last line that it has printed on standard error.
    pub(in crate::program) said: String,
}

/// This program, for another data directory.
pub(super) fn serving(dir: &Path, serving: &Serving) -> Result<Command, Failure> {
    let found = dir.metadata();
    let found = found.map_err(|error| Failure::file(dir, error))?;
    if !found.is_dir() {
        let dir = dir.display();
        return Err(Failure::usage(format!(
            "{dir} is no directory, and so no data directory"
        )));
    }
    let program = env::current_exe();
    let program =
        program.map_err(|error| Failure::from(error).within("cannot find this program"))?;
    let mut command = Command::new(program);
    command.arg(joined("--data-dir=", dir.as_os_str()));
    let files = serving.code.iter();
    command.args(files.map(|file| joined("--code=", file.as_os_str())));
    command.args(&serving.words);
    Ok(command)
}

/// An option with its value, which can begin with `-`.
fn joined(option: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(option);
    word.push(value);
    word
}

pub(super) fn ssh(ssh: &Ssh, serving: &Serving) -> Command {
    let program = env::var_os(SSH_VARIABLE).filter(|program| !program.is_empty());
    let mut command = Command::new(program.unwrap_or_else(|| "ssh".into()));
    command.args(ssh.words(&serving.words));
    command
}

/// A command line of the user, for the shell.
pub(super) fn shell(line: &OsStr) -> Command {
    let (shell, option) = match cfg!(windows) {
        true => ("cmd", "/C"),
        false => ("sh", "-c"),
    };
    let mut command = Command::new(shell);
    command.arg(option).arg(line);
    command
}

/// Starts a command, whose standard input and output are the stream.
pub(super) fn start(mut command: Command, say: Say) -> Result<(Stream, Process), Failure> {
    let line = shown(&command);
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| {
        let name = command.get_program().display();
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Failed,
        };
        Failure::of(kind, &error).within(&format!("cannot start {name}"))
    })?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        unreachable!("all three were asked for");
    };
    let last = Arc::<Mutex<String>>::default();
    let (ended, is_silent) = channel();
    let process = Process {
        child,
        line,
        last: Arc::clone(&last),
        is_silent,
    };
    let mut ending = Ending::default();
    let read = ending.reader("peer", stdout)?;
    let write = ending.writer("to peer", stdin)?;
    let listening = thread::Builder::new().name("peer errors".into());
    listening.spawn(move || {
        listen(stderr, &last, &say);
        // The process may have been given up.
        let _ = ended.send(());
    })?;
    let end = Box::new(move || ending.end());
    Ok((Stream { read, write, end }, process))
}

fn listen(stderr: impl Read, last: &Mutex<String>, say: &Say) {
    let mut lines = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line);
        if !matches!(read, Ok(count) if count > 0) {
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if !line.is_empty() {
            say(line);
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            line.clone_into(&mut last);
        }
    }
}

impl Process {
    /// Waits for the end of the process, and kills it if that does not come.
    pub(in crate::program) fn finish(mut self, patience: Duration) -> Ended {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if begun.elapsed() < patience => thread::sleep(POLL),
                Ok(status) => break status,
                Err(_) => break None,
            }
        };
        self.stop();
        let _ = self.is_silent.recv_timeout(LAST_LINES);
        let said = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Ended {
            line: self.line.clone(),
            status,
            said: said.clone(),
        }
    }

    /// Kills the process, unless it has ended.
    fn stop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command as a shell reads it.
fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let word = |word: &OsStr| quoted(word).unwrap_or_else(|| word.display().to_string());
    words.map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use super::*;

    fn run(line: &str) -> (Stream, Process, mpsc::Receiver<String>) {
        let (send, said) = mpsc::channel();
        let say = Box::new(move |line: &str| send.send(line.to_owned()).unwrap());
        let (stream, process) = start(shell(OsStr::new(line)), say).unwrap();
        (stream, process, said)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn bytes_go_through_a_process_and_its_errors_are_passed_on() {
        let (mut stream, process, said) = run("echo one >&2; echo two >&2; cat; exit 3");
        stream.write.write_all(b"bytes").unwrap();
        drop(stream.write);
        let mut bytes = Vec::new();
        stream.read.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"bytes");
        let ended = process.finish(LONG);
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert_eq!(said.iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(ended.said, "two");
        assert!(ended.line.starts_with("sh -c 'echo one"));
    }

    /// A process that has been left behind keeps the pipes open.
    #[test]
    fn what_waits_returns_when_it_is_ended() {
        let (stream, process, _said) = run("sleep 1000 & exec sleep 1000");
        let Stream {
            mut read,
            write: _write,
            mut end,
        } = stream;
        let waiting = thread::spawn(move || read.read(&mut [0; 8]).unwrap());
        end();
        assert_eq!(waiting.join().unwrap(), 0);
        let pid = process.child.id();
        let ended = process.finish(Duration::ZERO);
        assert!(ended.status.is_none());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let say = Box::new(|_: &str| ());
        let failure = start(Command::new("/no/ssh"), say).err().unwrap();
        assert_eq!(failure.code(), 3);
        assert!(failure.message().starts_with("cannot start /no/ssh: "));
    }
}
