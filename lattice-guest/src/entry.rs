//! Implements the functions of a module; [`export!`](crate::export) exports them under their names.
//!
//! The host passes the address and the length of an input, which it has written to memory that
//! [`alloc`] returned. An output is one number: the address is its upper half, the length its lower
//! half.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Display;
use core::mem::ManuallyDrop;

use lattice_backend::machine::manifest::{Elements, StoreCode};
use lattice_backend::machine::{
    Args, CallError, MachineError, MethodCall, MethodEntry, StateMachine, Step, Value,
};
use lattice_backend::op::OpKind;
use lattice_meta::SchemaVersion;

use crate::heap;
use crate::host::{Host, element, op_of, row_at};
use crate::panic::fail;

/// The first byte of a result of `prepare` or `query`.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const ARGUMENT: u8 = 2;

/// Allocates memory for an input of this many bytes.
pub fn alloc(len: u32) -> u32 {
    let bytes = Vec::<u8>::with_capacity(usize::try_from(len).unwrap_or(usize::MAX));
    address(bytes.leak().as_ptr())
}

fn address(pointer: *const u8) -> u32 {
    u32::try_from(pointer.addr()).unwrap_or_else(|_| fail(format_args!("an address of 64 bits")))
}

/// # Safety
/// The host has written `len` bytes at `at`; the same holds for all functions of this module.
unsafe fn input<'a>(at: u32, len: u32) -> &'a [u8] {
    let (at, len) = (usize::try_from(at), usize::try_from(len));
    match (at, len) {
        // SAFETY: see the contract of this function.
        (Ok(at), Ok(len)) => unsafe {
            core::slice::from_raw_parts(core::ptr::with_exposed_provenance(at), len)
        },
        _ => fail(format_args!("an input beyond the memory")),
    }
}

fn output(bytes: Vec<u8>) -> u64 {
    let bytes = bytes.leak();
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    u64::from(address(bytes.as_ptr())) << 32 | len
}

/// Returns the value, or ends the module with the error of the state machine.
fn done<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fail(format_args!("{error}")))
}

/// The payload that `decode` has read last, for the `apply` that follows.
pub struct Read<M: StateMachine> {
    bytes: Cell<&'static [u8]>,
    payload: Cell<Option<M::Payload<'static>>>,
}

// SAFETY: a module of this interface has one thread.
unsafe impl<M: StateMachine> Sync for Read<M> {}

impl<M: StateMachine> Read<M> {
    /// Holds no payload yet.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            bytes: Cell::new(&[]),
            payload: Cell::new(None),
        }
    }

    /// Takes the payload, if it was read from these very bytes.
    fn take(&self, bytes: &[u8]) -> Option<M::Payload<'static>> {
        let payload = self.payload.take();
        payload.filter(|_| core::ptr::eq(self.bytes.get(), bytes))
    }
}

/// Reads a payload: 0 if it is valid, otherwise the reason why it is not.
///
/// # Safety
/// See [`input`].
#[allow(clippy::missing_safety_doc)]
pub unsafe fn decode<M: StateMachine>(machine: &M, read: &Read<M>, at: u32, len: u32) -> u64 {
    // SAFETY: the host keeps the contract of this module, and inputs are never freed.
    let bytes: &'static [u8] = unsafe { input(at, len) };
    match machine.decode(bytes) {
        Ok(payload) => {
            read.bytes.set(bytes);
            read.payload.set(Some(payload));
            0
        }
        Err(invalid) => output(format!("{invalid}").into_bytes()),
    }
}

/// Applies an op. The host has called `decode` on its payload before.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn apply<M: StateMachine>(machine: &M, read: &Read<M>, at: u32, len: u32) {
    // SAFETY: as above.
    let op = op_of(unsafe { input(at, len) });
    let payload = read.take(op.payload);
    let payload = payload.unwrap_or_else(|| done(machine.decode(op.payload)));
    done(machine.apply(&op, payload, &mut Host, &Host));
}

/// Settles an op: kind 0 is an application, 1 a merge.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn settle<M: StateMachine>(machine: &M, kind: u32, at: u32, len: u32) {
    let kind = match kind {
        0 => OpKind::Application,
        1 => OpKind::Merge,
        other => fail(format_args!("an op of kind {other}")),
    };
    // SAFETY: as above.
    let op = op_of(unsafe { input(at, len) });
    done(machine.settle(kind, &op, &mut Host));
}

/// Passes the elements of a page of rows to the host.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn elements<M: StoreCode>(machine: &M, schema: u64, at: u32, len: u32) {
    if M::ELEMENTS == Elements::Rows {
        fail(format_args!("the elements are the rows"));
    }
    // SAFETY: as above.
    let page = unsafe { input(at, len) };
    let (mut number, mut next) = (0, 0);
    while next < page.len() {
        let mark = heap::mark();
        let (row, end) = row_at(page, next);
        let mut each = |key: &[u8], value: &[u8]| element(number, key, value);
        done(machine.elements(SchemaVersion::new(schema), row, &Host, &mut each));
        // SAFETY: the machine and the page were made before the mark, and both still exist.
        unsafe { heap::release(mark) };
        (number, next) = (number + 1, end);
    }
}

/// What a call needs of a method. The descriptions are in the manifest, and a module has no second
/// copy of them.
pub struct Call<M: StateMachine> {
    name: &'static str,
    call: MethodCall<M>,
}

impl<M: StateMachine> Clone for Call<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: StateMachine> Copy for Call<M> {}

/// The methods of a state machine, in the order of its table.
pub const fn calls<M: StoreCode, const COUNT: usize>() -> [Call<M>; COUNT] {
    let none = Call {
        name: "",
        call: MethodCall::Stream,
    };
    let (mut calls, mut number) = ([none; COUNT], 0);
    while number < COUNT {
        let MethodEntry { method, call } = &M::METHODS[number];
        let Cow::Borrowed(name) = method.name else {
            panic!("the names of methods are constants");
        };
        calls[number] = Call { name, call: *call };
        number += 1;
    }
    calls
}

/// The method with this number, and its arguments.
fn call<M: StateMachine>(
    calls: &[Call<M>],
    method: u32,
    args: &'static [u8],
) -> (Call<M>, Result<Args<'static>, CallError>) {
    let number = usize::try_from(method).ok();
    let call = number.and_then(|number| calls.get(number));
    let call = *call.unwrap_or_else(|| fail(format_args!("no method has the number {method}")));
    (call, Args::from_checked(call.name, args))
}

fn answer(result: Result<Vec<u8>, (u8, String)>) -> u64 {
    let (tag, bytes) = match result {
        Ok(bytes) => (DONE, bytes),
        Err((tag, text)) => (tag, text.into_bytes()),
    };
    let mut answer = Vec::with_capacity(1 + bytes.len());
    answer.push(tag);
    answer.extend_from_slice(&bytes);
    output(answer)
}

/// Encodes an argument error: the parameter's name, a zero byte, and the reason.
fn argument(error: &CallError) -> (u8, String) {
    match error {
        CallError::Argument { param, reason, .. } => (ARGUMENT, format!("{param}\0{reason}")),
        CallError::MissingParam { param, .. } => {
            (ARGUMENT, format!("{param}\0expected one, found none"))
        }
        CallError::ParamType {
            param,
            expected,
            found,
            ..
        } => (
            ARGUMENT,
            format!("{param}\0expected {expected}, found {found}"),
        ),
        CallError::Encoding(error) => fail(format_args!("{error}")),
        CallError::UnknownParam { param, .. } => {
            (ARGUMENT, format!("{param}\0expected no such argument"))
        }
        _ => (ARGUMENT, "\0the arguments are not accepted".into()),
    }
}

/// Makes a payload from a call: byte 0 and the payload, 1 and the reason of a refusal, or 2 and the
/// error of an argument.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn prepare<M: StateMachine>(
    machine: &M,
    calls: &[Call<M>],
    method: u32,
    at: u32,
    len: u32,
) -> u64 {
    // SAFETY: as above.
    let (call, args) = call(calls, method, unsafe { input(at, len) });
    let MethodCall::Command(command) = call.call else {
        fail(format_args!("method {} is no command", call.name));
    };
    let command = args.and_then(|args| command(machine, args));
    answer(match command {
        // Nothing here is dropped, to save the work: the host drops the whole memory at once.
        Err(error) => Err(argument(&ManuallyDrop::new(error))),
        Ok(command) => match machine.prepare(&ManuallyDrop::new(command), &Host, &Host) {
            Ok(payload) => Ok(payload),
            Err(MachineError::Refused(refusal)) => {
                Err((REFUSED, format!("{}", *ManuallyDrop::new(refusal))))
            }
            Err(error) => fail(format_args!("{error}")),
        },
    })
}

/// Answers a query: byte 0 and the value, or 2 and the error of an argument.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn query<M: StateMachine>(
    machine: &M,
    calls: &[Call<M>],
    method: u32,
    at: u32,
    len: u32,
) -> u64 {
    // SAFETY: as above.
    let (call, args) = call(calls, method, unsafe { input(at, len) });
    let MethodCall::Query(query) = call.call else {
        fail(format_args!("method {} is no query", call.name));
    };
    answer(match args.map(|args| query(machine, args, &Host, &Host)) {
        Ok(Ok(value)) => Ok(ManuallyDrop::new(value).to_bytes()),
        Err(error) | Ok(Err(MachineError::Refused(error))) => {
            Err(argument(&ManuallyDrop::new(error)))
        }
        Ok(Err(error)) => fail(format_args!("{error}")),
    })
}

/// Describes what a payload does.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn describe<M: StateMachine>(machine: &M, at: u32, len: u32) -> u64 {
    // SAFETY: as above.
    let payload = unsafe { input(at, len) };
    output(machine.describe(payload).into_bytes())
}

/// Migrates the rows of one schema to the next.
pub fn migrate<M: StoreCode>(machine: &M, from: u64) {
    if M::SCHEMAS.0 == M::SCHEMAS.1 {
        fail(format_args!("there is one schema"));
    }
    done(machine.migrate(SchemaVersion::new(from), &mut Host, &Host));
}

/// Makes one step of a conversion; input and output are encoded values.
#[allow(clippy::missing_safety_doc)]
pub unsafe fn convert<M: StoreCode>(machine: &M, at: u32, len: u32) -> u64 {
    if M::CONVERTS.is_empty() {
        fail(format_args!("no type is converted"));
    }
    // SAFETY: as above.
    let step = done(Value::from_bytes(unsafe { input(at, len) }));
    let step = done(Step::try_from(step));
    output(Value::from(done(machine.convert(step))).to_bytes())
}
