//! The commands.

mod batch;
mod bundles;
#[cfg(feature = "wasm")]
mod code;
mod copies;
mod doctor;
mod dynamic;
#[cfg(feature = "sync")]
mod exchange;
mod findings;
#[cfg(feature = "wasm")]
mod garbage;
mod held;
mod history;
mod keys;
mod list;
mod logs;
mod metrics;
mod migrate;
mod names;
mod salvage;
mod stats;
mod stores;
mod upgrade;
mod values;
mod watch;
mod whole;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lattice_backend::clock::Time;

use super::args::Command;
use super::context::Context;
use super::failure::Failure;
use super::{bulk, complete, config, manual, topics, tour};

#[cfg(feature = "fuzzing")]
pub(super) use values::check as check_value;

pub(super) fn run(context: &mut Context<'_>, command: Command) -> Result<(), Failure> {
    match command {
        Command::Tour(args) => tour::run(context, &args),
        Command::Create(args) => stores::create(context, &args),
        Command::List(args) => list::list(context, &args),
        Command::Peek(args) => stores::peek(context, &args.store),
        Command::Info(args) => stores::info(context, &args.store),
        Command::Stats(args) => stats::stats(context, &args),
        Command::Types => dynamic::types(context),
        Command::Describe(args) => dynamic::describe(context, &args.what),
        Command::Call(args) => dynamic::call(context, args),
        Command::Put(args) => keys::put(context, args),
        Command::Get(args) => keys::get(context, args),
        Command::Exists(args) => keys::exists(context, args),
        Command::Batch(args) => batch::batch(context, args),
        Command::Del(args) => keys::delete(context, args),
        Command::Scan(args) => keys::scan(context, args),
        Command::Conflicts(args) => keys::conflicts(context, args),
        Command::Append(args) => logs::append(context, args),
        Command::Tail(args) => logs::tail(context, &args),
        Command::Import(args) => bulk::import(context, &args),
        Command::Export(args) => bulk::export(context, &args),
        Command::Verify(args) => whole::verify(context, &args),
        Command::Upgrade(args) => upgrade::upgrade(context, &args),
        Command::Migrate(args) => migrate::migrate(context, &args),
        Command::Salvage(args) => salvage::salvage(context, &args),
        Command::Rebuild(args) => whole::rebuild(context, &args.store),
        Command::Bundle(args) => bundles::bundle(context, args),
        #[cfg(feature = "sync")]
        Command::Sync(args) => exchange::sync(context, &args),
        #[cfg(feature = "sync")]
        Command::Clone(args) => exchange::clone(context, &args),
        #[cfg(feature = "sync")]
        Command::Serve(args) => exchange::serve(context, &args),
        #[cfg(feature = "sync")]
        Command::Peers(args) => exchange::peers(context, &args),
        #[cfg(feature = "sync")]
        Command::Status => exchange::status(context),
        Command::Compact(args) => whole::compact(context, &args.store),
        Command::Backup(args) => copies::backup(context, &args),
        Command::Restore(args) => copies::restore(context, &args),
        Command::Doctor(args) => doctor::doctor(context, &args),
        Command::Destroy(args) => copies::destroy(context, &args),
        Command::History(args) => history::history(context, &args),
        Command::Watch(args) => watch::watch(context, args),
        Command::Alias(args) => names::alias(context, args),
        #[cfg(feature = "wasm")]
        Command::Code(args) => code::code(context, args.command),
        Command::Identity(args) => names::identity(context, &args),
        #[cfg(feature = "shell")]
        Command::Shell(args) => super::shell::shell(context, &args),
        Command::Completions(args) => complete::completions(context, &args),
        Command::Metrics(args) => metrics::metrics(context, &args),
        Command::Config => config::config(context),
        Command::Man(args) => manual::man(context, &args),
        Command::Help(args) => topics::help(context, &args),
        Command::Complete(args) => complete::complete(context, &args),
    }
}

/// Formats milliseconds since the Unix epoch as RFC 3339 in UTC.
fn timestamp(ms: u64) -> Time {
    Time::from_ms(ms)
}

/// The time of a file, in milliseconds since 1970; a file system may have earlier ones.
fn file_time(time: SystemTime) -> i64 {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    }
}

/// The location of a logic version's module; `None` for native code.
fn code_of(context: &Context<'_>, logic: &str) -> Option<String> {
    #[cfg(feature = "wasm")]
    return code::place_of(context, logic);
    #[cfg(not(feature = "wasm"))]
    {
        let _ = (context, logic);
        None
    }
}
