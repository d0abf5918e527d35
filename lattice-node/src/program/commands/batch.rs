//! Many commands from a file or a stream: as one op, or each as its own.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use lattice_backend::engine::read::MethodError;
use lattice_backend::machine::{Fields, MethodKind, StateMachine, Value};
use lattice_backend::op::MAX_OP_BYTES;
use lattice_kvstore::Command;
use lattice_logstore::Append;
use lattice_registry::{Found, TypedStore};
use serde_json::json;

use super::values::{called, field};
use crate::program::args;
use crate::program::bulk::json::object;
use crate::program::bulk::{Bulk, Lines, plural};
use crate::program::context::{Context, close};
use crate::program::failure::{Failure, Kind};
use crate::program::interrupt;
use crate::program::output::echo;
use crate::{Access, KvStore, LogStore, StoreHandle};

const NOUNS: (&str, &str) = ("command", "commands");

/// Without `--each`, the most bytes of lines: the commands of one op are kept in memory.
const MAX_BYTES: usize = 8 * MAX_OP_BYTES;

/// One line of the input.
struct Line {
    number: u64,
    len_bytes: usize,
    method: String,
    args: Value,
}

/// The lines of an input with its name for messages.
struct Input {
    name: String,
    lines: Lines<interrupt::Input>,
    /// Whether a signal has ended the input, perhaps within a line.
    is_cut: Rc<Cell<bool>>,
}

pub(super) fn batch(context: &mut Context<'_>, batch: args::Batch) -> Result<(), Failure> {
    let path = context.path_to_change(&batch.store.store)?;
    let found = context.node.manager().find(&path, Access::ReadWrite)?;
    let store_type = found.meta().store_type.clone();
    let run: Run = match (batch.each, store_type.as_str()) {
        (true, _) => each,
        (false, lattice_kvstore::STORE_TYPE) => one_op::<KvStore>,
        (false, lattice_logstore::STORE_TYPE) => one_op::<LogStore>,
        (false, _) => {
            context.registry().resolve(found.recorded())?;
            return Err(Failure::usage(format!(
                "commands of {store_type} stores cannot be joined to one op; --each makes an op of \
                 each"
            )));
        }
    };
    let input = open(context, &batch.file)?;
    context.allow(batch.writing);
    context.note_use(&path);
    context.node.become_writer()?;
    run(context, found, input)
}

type Run = fn(&mut Context<'_>, Found, Input) -> Result<(), Failure>;

/// Commands that can be joined to one.
trait Join: Sized {
    fn none() -> Self;
    fn join(&mut self, other: Self);
}

impl Join for Command {
    fn none() -> Self {
        Self::new()
    }

    fn join(&mut self, other: Self) {
        Command::join(self, other);
    }
}

impl Join for Append {
    fn none() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    fn join(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }
}

/// Joins all commands and appends them as one op.
fn one_op<T>(context: &mut Context<'_>, found: Found, mut input: Input) -> Result<(), Failure>
where
    T: TypedStore<Machine: StateMachine<Command: Join>>,
{
    let store: T = context.open_typed(found, Access::ReadWrite)?;
    let mut bulk = Bulk::start(context, NOUNS);
    bulk.promise_all();
    let mut joined = <T::Machine as StateMachine>::Command::none();
    let (mut commands, mut len_bytes) = (0, 0);
    while let Some(line) = input.next().transpose()? {
        commands += 1;
        len_bytes += line.len_bytes;
        if len_bytes > MAX_BYTES {
            return Err(Failure::failed(format!(
                "{}, line {}: the commands of one op take at most {MAX_BYTES} bytes of lines; \
                 nothing was written; --each makes an op of each",
                input.name, line.number
            )));
        }
        let command = store.engine().command(&line.method, line.args);
        joined.join(command.map_err(|error| input.failure(line.number, error.into()))?);
    }
    // A signal ends the input, perhaps before its end.
    bulk.check()?;
    if commands == 0 {
        return Err(Failure::failed(format!(
            "{} has no commands; nothing was written",
            input.name
        )));
    }
    bulk.commit(commands, || store.engine().append(joined))
        .map_err(|error| Failure::from(error).and("nothing was written"))?;
    let (commands, ops) = bulk.finish();
    close(&store)?;
    summary(context, &input.name, &store, commands, ops)
}

/// Appends each command as an op of its own.
fn each(context: &mut Context<'_>, found: Found, mut input: Input) -> Result<(), Failure> {
    let store = context
        .node
        .manager()
        .open_found(found, Access::ReadWrite)?;
    let mut bulk = Bulk::start(context, NOUNS);
    context
        .interruption
        .retell(|story| (story.next, story.does) = (None, ""));
    let outcome = each_line(context, &mut bulk, &*store, &mut input);
    let (commands, ops) = bulk.finish();
    let closed = store.close();
    outcome?;
    closed?;
    match context.out.is_json() {
        true => Ok(()),
        false => summary(context, &input.name, &*store, commands, ops),
    }
}

fn each_line(
    context: &mut Context<'_>,
    bulk: &mut Bulk,
    store: &dyn StoreHandle,
    input: &mut Input,
) -> Result<(), Failure> {
    let methods = store.methods();
    let commit = |method: String, args| {
        let found = methods.iter().find(|known| known.name == method);
        match found.map(|method| method.kind) {
            // The store reports a method that it does not have.
            Some(MethodKind::Command) | None => store.call(&method, args),
            Some(kind) => Err(MethodError::NotACommand { method, kind }),
        }
    };
    while let Some(line) = input
        .next()
        .transpose()
        .map_err(|error| bulk.failure(error))?
    {
        let Line {
            number,
            method,
            args,
            ..
        } = line;
        let receipt = bulk
            .commit(1, || commit(method, args))
            .map_err(|error| bulk.failure(input.failure(number, error.into())))?;
        if context.out.is_json() {
            let mut object = called(&receipt);
            object["line"] = number.into();
            context.out.json(&object)?;
        }
    }
    bulk.check()
}

fn summary(
    context: &mut Context<'_>,
    name: &str,
    store: &dyn StoreHandle,
    commands: u64,
    ops: u64,
) -> Result<(), Failure> {
    if context.out.is_json() {
        let value = json!({ "store_id": store.store_id(), "commands": commands, "ops": ops });
        return context.out.json(&value);
    }
    context.out.note(&format!(
        "wrote {} in {} from {name}",
        plural(commands, NOUNS),
        plural(ops, ("op", "ops"))
    ));
    Ok(())
}

fn open(context: &Context<'_>, file: &Path) -> Result<Input, Failure> {
    let (name, reader): (_, Box<dyn Read + Send>) = if file == Path::new("-") {
        context.check_stdin("FILE")?;
        ("standard input".to_owned(), Box::new(io::stdin()))
    } else {
        let opened = File::open(file).map_err(|error| Failure::file(file, error))?;
        (file.display().to_string(), Box::new(opened))
    };
    let reader = interrupt::Input::new(&context.interruption, reader);
    let is_cut = reader.is_cut();
    let lines = Lines::new(reader);
    Ok(Input {
        name,
        lines,
        is_cut,
    })
}

impl Input {
    /// The next command; blank lines are skipped. A signal ends the commands.
    fn next(&mut self) -> Option<Result<Line, Failure>> {
        loop {
            let next = self.lines.next()?;
            if self.is_cut.get() {
                return None;
            }
            let (number, bytes) = match next {
                Ok((_, bytes)) if bytes.trim_ascii().is_empty() => continue,
                Ok(line) => line,
                Err(stop) => return Some(Err(stop.into_failure(&self.name))),
            };
            let line = parse(number, &bytes).map_err(|reason| {
                Failure::failed(format!("{}, line {number}: {reason}", self.name))
            });
            return Some(line);
        }
    }

    /// The failure of a line. A wrong call is a fault of the input, not of the command line.
    fn failure(&self, line: u64, failure: Failure) -> Failure {
        let failure = failure.within(&format!("{}, line {line}", self.name));
        match failure.kind() {
            Kind::Usage => Failure::failed(failure.message()),
            _ => failure,
        }
    }
}

/// Parses `{"METHOD": {"PARAM": VALUE}}`.
fn parse(number: u64, bytes: &[u8]) -> Result<Line, String> {
    let mut outer = object(bytes)?;
    let Some((method, params)) = outer.take_only() else {
        return Err(format!(
            "expected an object with one field, the name of a method, found {} fields",
            outer.len()
        ));
    };
    let mut params = object(params.get().as_bytes())
        .map_err(|reason| format!("{}: {reason}", echo(method.as_bytes())))?;
    let mut args = Fields::new();
    while let Some((name, value)) = params.take_first() {
        let value = serde_json::from_str(value.get())
            .map_err(|error| format!("{}: {error}", echo(name.as_bytes())))?;
        let (name, value) = field(name, value)?;
        if args.insert(name.clone(), value).is_some() {
            return Err(format!(
                "{} is given twice, as text and in base64",
                echo(name.as_bytes())
            ));
        }
    }
    Ok(Line {
        number,
        len_bytes: bytes.len(),
        method,
        args: Value::Record(args),
    })
}
