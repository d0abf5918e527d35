//! Outputs: a new file that appears whole, or standard output.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use lattice_registry::files::{
    FilesError, Partial, create_private, directory_of, finishing, set_mode,
};
use serde_json::Value;

use super::FileArg;
use crate::ManagerError;
use crate::program::args::Mode;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::program::output::json_text;

/// Where a command writes data, and the permission bits of the file that it makes.
#[derive(Debug, Clone, Copy)]
pub(in crate::program) struct Target<'a> {
    pub(in crate::program) file: &'a FileArg,
    pub(in crate::program) mode: Mode,
}

impl Target<'_> {
    pub(in crate::program) fn is_stdout(self) -> bool {
        *self.file == FileArg::Stdio
    }

    /// The name in messages.
    pub(in crate::program) fn name(self) -> String {
        match self.file {
            FileArg::Stdio => "standard output".to_owned(),
            FileArg::Path(path) => path.display().to_string(),
        }
    }

    /// Refuses a mode for standard output.
    pub(in crate::program) fn check_mode(self) -> Result<(), Failure> {
        if self.is_stdout() && self.mode != Mode::PRIVATE {
            return Err(Failure::usage(
                "--mode is for a file, and this goes to standard output; name a file",
            ));
        }
        Ok(())
    }

    /// Refuses to print bytes on a terminal. `what` they are is a noun, and `reader` a command that
    /// reads them from a pipe.
    pub(in crate::program) fn check_terminal(
        self,
        context: &Context<'_>,
        what: &str,
        reader: &str,
    ) -> Result<(), Failure> {
        if self.is_stdout() && context.out.is_terminal() {
            return Err(Failure::usage(format!(
                "{what} is binary and cannot be printed on a terminal; name a file, or pipe it to \
                 {reader}"
            )));
        }
        Ok(())
    }

    /// Writes the data, and returns what `make` returns and how many bytes it wrote. A file appears
    /// whole, and never replaces another one.
    pub(in crate::program) fn write<T>(
        self,
        context: &mut Context<'_>,
        make: impl FnOnce(&mut Sink<'_>) -> Result<T, Failure>,
    ) -> Result<(T, u64), Failure> {
        let FileArg::Path(file) = self.file else {
            let mut sink = Sink::new(context.out.data(), None);
            let made = make(&mut sink)?;
            let bytes = sink.bytes;
            // Before a summary says that it is written.
            context.out.flush()?;
            return Ok((made, bytes));
        };
        make_file(file, self.mode, make)
    }

    /// Prints the summary: on standard error if the data is on standard output.
    pub(in crate::program) fn summarise(
        self,
        context: &mut Context<'_>,
        value: &Value,
        text: &str,
    ) -> Result<(), Failure> {
        match (context.out.is_json(), self.is_stdout()) {
            (true, false) => return context.out.json(value),
            (true, true) => context.out.note(&json_text(value)),
            (false, _) => context.out.note(text),
        }
        Ok(())
    }
}

/// Writes to a [`Target`] and counts the bytes.
pub(in crate::program) struct Sink<'a> {
    out: &'a mut dyn Write,
    /// The file, unless this is standard output.
    file: Option<&'a Path>,
    bytes: u64,
}

impl<'a> Sink<'a> {
    fn new(out: &'a mut dyn Write, file: Option<&'a Path>) -> Self {
        Self {
            out,
            file,
            bytes: 0,
        }
    }

    /// The failure for an error of writing to this sink.
    pub(in crate::program) fn failed(&self, error: io::Error) -> Failure {
        match self.file {
            Some(file) => not_created(file, error),
            None => Failure::output(error),
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn not_created(file: &Path, error: io::Error) -> Failure {
    let file = file.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{file} already exists; name another file"))
        }
        _ => Failure::from(error).within(&format!("cannot create {file}")),
    }
}

/// Creates the file atomically. Never replaces an existing file.
fn make_file<T>(
    file: &Path,
    mode: Mode,
    make: impl FnOnce(&mut Sink<'_>) -> Result<T, Failure>,
) -> Result<(T, u64), Failure> {
    let failed = |error| not_created(file, error);
    let dir = directory_of(file);
    Partial::clear(dir);
    if fs::symlink_metadata(file).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    if !dir.is_dir() {
        let (path, dir) = (file.to_path_buf(), dir.to_path_buf());
        return Err(ManagerError::NoDirectory { path, dir }.into());
    }
    let placing = |error: FilesError| match error {
        FilesError::Io { source, .. } => failed(source),
        error => Failure::of(Kind::Failed, &error),
    };
    let partial = Partial::beside(file).map_err(placing)?;
    let new = create_private(&partial.file()).map_err(failed)?;
    let mut out = BufWriter::new(&new);
    let mut sink = Sink::new(&mut out, Some(file));
    let made = make(&mut sink)?;
    let bytes = sink.bytes;
    out.flush().map_err(failed)?;
    drop(out);
    set_mode(&partial.file(), mode.0).map_err(placing)?;
    new.sync_all().map_err(failed)?;
    // A signal does not end the process between the place of the file and the report of it.
    let finishing = finishing();
    partial.place(file).map_err(placing)?;
    finishing.placed(file);
    Ok((made, bytes))
}
