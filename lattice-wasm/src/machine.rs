//! The state machine of a module.

use std::sync::Arc;

use lattice_backend::backend::{BackendError, Result, Row, RowCursor};
use lattice_backend::machine::manifest::Elements as ElementsOf;
use lattice_backend::machine::{
    Args, CallError, Conversion, DataRead, DataWrite, History, Invalid, Logic, LogicError,
    MachineError, MethodCall, MethodEntry, MethodKind, StateMachine, Step, Value,
};
use lattice_backend::op::{OpKind, OpView};
use lattice_meta::SchemaVersion;

use crate::abi::Export;
use crate::code::Code;
use crate::host::{Data, Each, Gas, Reach, trap};
use crate::instance::Running;

/// Maximum bytes and number of rows whose elements the module returns in one call.
const PAGE_BYTES: usize = 64 << 10;
const PAGE_ROWS: usize = 1_024;
/// Maximum length of a payload's description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 400;

/// A call of a command, by its number, with encoded arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct WasmCommand {
    method: u32,
    args: Vec<u8>,
}

/// Why a module makes no payload from a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WasmRefusal {
    /// The module refuses the command, with a message of its own.
    #[error("{message}")]
    Refused {
        /// The module's message.
        message: String,
    },
    /// The module does not accept an argument.
    #[error(transparent)]
    Argument(CallError),
}

/// A payload after decoding by the module.
#[derive(Debug)]
pub enum WasmPayload<'a> {
    /// The payload is valid.
    Valid(&'a [u8]),
    /// The module's `prepare` has made the payload, and its `decode` reads it when the op is
    /// applied.
    Own(&'a [u8]),
    /// The module or its host failed.
    Failed(BackendError),
}

/// The state machine of a module. Each op runs in an instance of its own.
#[derive(Debug, Clone)]
pub struct WasmMachine {
    code: Code,
    logic: Logic,
    methods: Arc<[MethodEntry<Self>]>,
}

impl WasmMachine {
    /// The state machine of a module. Its logic version is the module's content id.
    ///
    /// # Errors
    /// [`LogicError`] for an invalid version in `equal_to`.
    pub fn new(code: Code, equal_to: &[&str]) -> Result<Self, LogicError> {
        let manifest = code.manifest();
        let logic = Logic::new(manifest.store_type.as_str(), &code.cid().to_string())?;
        let mut logic = logic.schemas(manifest.schemas.clone());
        for version in equal_to {
            logic = logic.equal_to(version)?;
        }
        let methods = manifest.methods.iter().map(|method| MethodEntry {
            method: method.clone(),
            call: match method.kind {
                MethodKind::Command => MethodCall::Command(command),
                MethodKind::Query => MethodCall::Query(query),
                MethodKind::Stream => MethodCall::Stream,
            },
        });
        let methods = methods.collect();
        Ok(Self {
            code,
            logic,
            methods,
        })
    }

    /// The module.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// Makes one step of the conversion of a store of an old type.
    ///
    /// # Errors
    /// [`BackendError::Fault`] if the module returns no answer, or one that is not a conversion.
    pub fn convert(&self, step: Step) -> Result<Conversion> {
        if !self.code.has(Export::Convert) {
            return Err(trap("the module converts no stores"));
        }
        let answer = self.pure(Export::Convert, &Value::from(step).to_bytes())?;
        let answer = answer.ok_or_else(|| trap("the module gave no conversion"))?;
        let value = Value::from_bytes(&answer).map_err(|error| trap(error.to_string()))?;
        Conversion::try_from(value).map_err(|error| trap(error.to_string()))
    }

    fn number_of(&self, name: &str) -> u32 {
        let number = self
            .methods
            .iter()
            .position(|entry| entry.method.name == name);
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.expect("the call is of one of these methods")
    }

    /// Calls an export that sees only its input; returns its output, if any.
    fn pure(&self, export: Export, input: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut running = Running::start(&self.code, Gas::new(input.len()))?;
        let place = running.input(&[input], Reach::default())?;
        let output = match running.call(export, (place.at, place.len), Reach::default())? {
            0_u64 => None,
            output => Some(running.output(output)?.to_vec()),
        };
        self.code.discard(running);
        Ok(output)
    }

    /// Calls a method: returns the module's answer without its tag, or the error of an argument.
    fn answer(
        &self,
        export: Export,
        method: u32,
        args: &[u8],
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Result<Vec<u8>, WasmRefusal>> {
        let reach = || Reach {
            data: Data::Read(data),
            history: Some(history),
            each: None,
        };
        let mut running = Running::start(&self.code, Gas::new(args.len()))?;
        let place = running.input(&[args], reach())?;
        let output = running.call(export, (method, place.at, place.len), reach())?;
        let answer = match running.output(output)?.split_first() {
            Some((0, answer)) => Ok(answer.to_vec()),
            Some((1, message)) => Err(WasmRefusal::Refused {
                message: text(message),
            }),
            Some((2, message)) => Err(WasmRefusal::Argument(self.argument(method, message))),
            _ => return Err(trap("an answer begins with 0, 1 or 2")),
        };
        self.code.discard(running);
        Ok(answer)
    }

    /// Parses the parameter's name, a zero byte, and the reason why its argument is refused.
    fn argument(&self, method: u32, message: &[u8]) -> CallError {
        let mut parts = message.splitn(2, |byte| *byte == 0);
        match (parts.next().unwrap_or(b""), parts.next()) {
            (param, Some(reason)) => self.argument_error(method, text(param), text(reason)),
            (reason, None) => self.argument_error(method, String::new(), text(reason)),
        }
    }

    fn argument_error(&self, method: u32, param: String, reason: String) -> CallError {
        let method = usize::try_from(method).ok();
        let method = method.and_then(|method| self.methods.get(method));
        CallError::Argument {
            method: method.map_or_else(String::new, |entry| entry.method.name.to_string()),
            param,
            reason,
        }
    }
}

/// A text of the module, for display: one line without control characters.
fn text(bytes: &[u8]) -> String {
    crate::text::text(bytes, MAX_DESCRIPTION_BYTES)
}

fn command(machine: &WasmMachine, args: Args<'_>) -> Result<WasmCommand, CallError> {
    Ok(WasmCommand {
        method: machine.number_of(args.method()),
        args: args.to_bytes(),
    })
}

fn query(
    machine: &WasmMachine,
    args: Args<'_>,
    data: &dyn DataRead,
    history: &dyn History,
) -> Result<Value, MachineError<CallError>> {
    let method = machine.number_of(args.method());
    let args = args.to_bytes();
    match machine.answer(Export::Query, method, &args, data, history)? {
        Ok(answer) => Value::from_bytes(&answer)
            .map_err(|error| trap(format!("the answer to a query is {error}")).into()),
        Err(WasmRefusal::Argument(error)) => Err(MachineError::Refused(error)),
        Err(WasmRefusal::Refused { message }) => {
            let error = machine.argument_error(method, String::new(), message);
            Err(MachineError::Refused(error))
        }
    }
}

impl StateMachine for WasmMachine {
    type Command = WasmCommand;
    type Refusal = WasmRefusal;
    type Payload<'a> = WasmPayload<'a>;

    fn logic(&self) -> &Logic {
        &self.logic
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<WasmPayload<'a>, Invalid> {
        match self.pure(Export::Decode, payload) {
            Ok(None) => Ok(WasmPayload::Valid(payload)),
            Ok(Some(reason)) => Err(Invalid::new(text(&reason))),
            Err(error) => Ok(WasmPayload::Failed(error)),
        }
    }

    fn decode_own<'a>(&self, payload: &'a [u8]) -> Result<WasmPayload<'a>, Invalid> {
        Ok(WasmPayload::Own(payload))
    }

    fn prepare(
        &self,
        command: &WasmCommand,
        data: &dyn DataRead,
        history: &dyn History,
    ) -> Result<Vec<u8>, MachineError<WasmRefusal>> {
        let WasmCommand { method, args } = command;
        let answer = self.answer(Export::Prepare, *method, args, data, history)?;
        answer.map_err(MachineError::Refused)
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        payload: WasmPayload<'_>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        check(payload)?;
        let steps = Steps {
            apply: true,
            settle: false,
        };
        self.enter(steps, OpKind::Application, op, data, Some(history))
    }

    fn settle(&self, kind: OpKind, op: &OpView<'_>, data: &mut dyn DataWrite) -> Result<()> {
        let steps = Steps {
            apply: false,
            settle: true,
        };
        self.enter(steps, kind, op, data, None)
    }

    fn elements(
        &self,
        schema: SchemaVersion,
        row: Row<'_>,
        history: &dyn History,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        if self.code.manifest().elements == ElementsOf::Rows {
            each(row.key, row.value);
            return Ok(());
        }
        let mut page = Page::default();
        page.push(row);
        self.page(schema, &page, history, &mut |_, key, value| {
            each(key, value)
        })
    }

    fn migrate(
        &self,
        from: SchemaVersion,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        if !self.code.has(Export::Migrate) {
            return Ok(());
        }
        let reach = Reach {
            data: Data::Write(data),
            history: Some(history),
            each: None,
        };
        let mut running = Running::start(&self.code, Gas::new(0))?;
        running.call(Export::Migrate, from.get(), reach)
    }

    fn describe(&self, payload: &[u8]) -> String {
        let length = || format!("{} bytes", payload.len());
        if !self.code.has(Export::Describe) {
            return length();
        }
        match self.pure(Export::Describe, payload) {
            Ok(description) => text(description.as_deref().unwrap_or(b"")),
            Err(_) => length(),
        }
    }

    fn methods(&self) -> &[MethodEntry<Self>] {
        &self.methods
    }

    fn run(
        &self,
        kind: OpKind,
        op: &OpView<'_>,
        payload: Option<WasmPayload<'_>>,
        data: &mut dyn DataWrite,
        history: &dyn History,
    ) -> Result<()> {
        let steps = Steps {
            apply: payload.is_some(),
            settle: true,
        };
        payload.map_or(Ok(()), check)?;
        self.enter(steps, kind, op, data, Some(history))
    }

    fn elements_of(
        &self,
        schema: SchemaVersion,
        rows: &mut dyn RowCursor,
        history: &dyn History,
        each: &mut dyn FnMut(usize, &[u8], &[u8]),
    ) -> Result<()> {
        let mut first = 0;
        if self.code.manifest().elements == ElementsOf::Rows {
            while let Some(row) = rows.next()? {
                each(first, row.key, row.value);
                first += 1;
            }
            return Ok(());
        }
        let mut page = Page::default();
        while page.fill(rows)? {
            self.page(schema, &page, history, &mut |row, key, value| {
                let row = usize::try_from(row).expect("a page has few rows");
                each(first + row, key, value);
            })?;
            first += page.rows;
        }
        Ok(())
    }
}

/// No op is applied with a payload that the module failed to read.
fn check(payload: WasmPayload<'_>) -> Result<()> {
    match payload {
        WasmPayload::Valid(_) | WasmPayload::Own(_) => Ok(()),
        WasmPayload::Failed(error) => Err(error),
    }
}

/// The steps for an op in one instance.
#[derive(Clone, Copy)]
struct Steps {
    apply: bool,
    settle: bool,
}

/// Rows in the encoding that a module reads: key length and value length (u32, little endian), key,
/// value.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    rows: usize,
}

impl Page {
    fn push(&mut self, row: Row<'_>) {
        for part in [row.key, row.value] {
            let len = u32::try_from(part.len()).expect("a row is shorter than 4 GiB");
            self.bytes.extend_from_slice(&len.to_le_bytes());
        }
        self.bytes.extend_from_slice(row.key);
        self.bytes.extend_from_slice(row.value);
        self.rows += 1;
    }

    /// Reads the next rows; returns whether there were any.
    fn fill(&mut self, rows: &mut dyn RowCursor) -> Result<bool> {
        self.bytes.clear();
        self.rows = 0;
        while self.rows < PAGE_ROWS && self.bytes.len() < PAGE_BYTES {
            match rows.next()? {
                Some(row) => self.push(row),
                None => break,
            }
        }
        Ok(self.rows > 0)
    }
}

impl WasmMachine {
    fn enter(
        &self,
        steps: Steps,
        kind: OpKind,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        history: Option<&dyn History>,
    ) -> Result<()> {
        let settle = steps.settle && self.code.has(Export::Settle);
        if !steps.apply && !settle {
            return Ok(());
        }
        let mut running = Running::start(&self.code, Gas::new(op.payload.len()))?;
        let index = op.index.get().to_le_bytes();
        let hlc = op.hlc.to_u64().to_le_bytes();
        let parts = [&index[..], &hlc, &op.reference.to_key(), op.payload];
        let place = running.input(&parts, Reach::default())?;
        if steps.apply {
            // `decode` sees only the payload, as when the host checked its validity.
            let payload = place.last(op.payload.len());
            let payload = (payload.at, payload.len);
            match running.call(Export::Decode, payload, Reach::default())? {
                0_u64 => {}
                reason => {
                    let reason = text(running.output(reason)?);
                    return Err(trap(format!(
                        "`decode` refuses the payload that is to be applied: {reason}"
                    )));
                }
            }
            let reach = Reach {
                data: Data::Write(data),
                history,
                each: None,
            };
            running.call::<_, ()>(Export::Apply, (place.at, place.len), reach)?;
        }
        if settle {
            let kind: u32 = match kind {
                OpKind::Application => 0,
                OpKind::Merge => 1,
                _ => return Err(trap("an op of a kind that is not known here")),
            };
            let reach = Reach {
                data: Data::Write(data),
                ..Reach::default()
            };
            running.call::<_, ()>(Export::Settle, (kind, place.at, place.len), reach)?;
        }
        self.code.discard(running);
        Ok(())
    }

    /// Requests the elements of a page of rows.
    fn page(
        &self,
        schema: SchemaVersion,
        page: &Page,
        history: &dyn History,
        each: Each<'_>,
    ) -> Result<()> {
        let mut gas = Gas::new(page.bytes.len());
        for nth in 1..=page.rows {
            gas.earn(u64::try_from(nth).unwrap_or(u64::MAX), 0);
        }
        let reach = |each| Reach {
            data: Data::None,
            history: Some(history),
            each,
        };
        let mut running = Running::start(&self.code, gas)?;
        running.context().elements.rows = u32::try_from(page.rows).expect("a page has few rows");
        let place = running.input(&[&page.bytes], reach(None))?;
        let params = (schema.get(), place.at, place.len);
        running.call::<_, ()>(Export::Elements, params, reach(Some(each)))?;
        self.code.discard(running);
        Ok(())
    }
}
