//! Records the host's calls of modules, for the oracles in `lattice-wasm/oracles`: other engines
//! replay the recording and compare. A fixed seed determines everything.
//!
//! ```console
//! $ cargo run --release -p lattice-wasm --example record -- DIR
//! ```
//!
//! Writes `NAME.wasm` and `NAME.jsonl` for each module that ships, and for `probe`, which calls
//! imports with arguments that are mostly invalid. `oracles/README.md` describes the lines.

mod probe;
mod replica;
mod session;
mod subjects;
mod tape;

use std::error::Error;
use std::path::Path;

use lattice_backend::machine::Value;

use crate::session::Session;
use crate::subjects::{CHAT, CHAT_V2, COUNTER, KVSTORE, LOGSTORE};

type Done<T> = Result<T, Box<dyn Error>>;

fn finish(session: Session<'_>, name: &str, wasm: &[u8], dir: &Path) -> Done<()> {
    let (lines, counts) = session.finish()?;
    std::fs::write(dir.join(format!("{name}.wasm")), wasm)?;
    std::fs::write(dir.join(format!("{name}.jsonl")), lines)?;
    println!("{name}: {counts}");
    Ok(())
}

fn main() -> Done<()> {
    let dir = std::env::args().nth(1);
    let dir = dir.ok_or("usage: record DIR")?;
    let dir = Path::new(&dir);
    std::fs::create_dir_all(dir)?;
    for subject in [&KVSTORE, &LOGSTORE, &COUNTER] {
        let mut session = Session::new(subject)?;
        session.play()?;
        finish(session, subject.name, subject.wasm, dir)?;
    }

    let mut chat = Session::new(&CHAT)?;
    chat.play()?;
    let mut successor = Session::new(&CHAT_V2)?;
    successor.play()?;
    successor.convert(&chat)?;
    // A step that the module refuses.
    successor.convert_step(
        &chat,
        Value::Null,
        Value::record([("messages", Value::Null)]),
    )?;
    finish(chat, CHAT.name, CHAT.wasm, dir)?;
    finish(successor, CHAT_V2.name, CHAT_V2.wasm, dir)?;

    let wasm = probe::wasm()?;
    let subject = probe::subject(&wasm);
    let mut session = Session::new(&subject)?;
    session.probe()?;
    finish(session, subject.name, &wasm, dir)
}
