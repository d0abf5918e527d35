//! Compares `core:kvstore` as a module with the native code, alternating: durable puts, batches of
//! 100 and their replay, loading, and, on Linux, the memory of open stores.
//!
//! ```console
//! $ cargo run --release -p lattice-wasm --example measure
//! ```
//!
//! With a file as argument, it measures that module instead of the built-in one.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::{StateMachine, Value};
use lattice_backend::op::SecretKey;
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::KvMachine;
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_wasm::{Code, WasmMachine, guests};

const ROUNDS: usize = 9;
const PUTS: usize = 300;
const BATCHES: usize = 60;
const STORES: usize = 100;

type Done<T> = Result<T, Box<dyn Error>>;

fn put(key: String) -> Value {
    let value = Value::Bytes(vec![7; 100]);
    Value::record([("key", Value::Text(key)), ("value", value)])
}

/// Times of a store: the least and the median of a put, a batch, and the replay of an op of 100
/// puts.
struct Times {
    put_least: Duration,
    put_median: Duration,
    batch: Duration,
    replay: Duration,
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn run<M: StateMachine + Clone>(dir: &Path, machine: M) -> Done<Times> {
    let backend = Arc::new(RedbBackend::on_files());
    let path = dir.join("state.db");
    let me = Arc::new(SecretKey::from_bytes(&[7; 32]));
    let store_type = machine.logic().store_type().clone();
    let nonce = Nonce::from_bytes([1; 16]);
    let genesis = Genesis::new(store_type, me.public(), nonce, Hlc::ZERO, None);
    Engine::create(&*backend, &path, &genesis, &machine)?;
    let request = OpenRequest::new(backend.clone(), &path).identity(me);
    let engine = Engine::open(request, machine)?;
    let mut puts = Vec::with_capacity(PUTS);
    for n in 0..PUTS {
        let began = Instant::now();
        engine.call("put", put(format!("one/{n:06}")))?;
        puts.push(began.elapsed());
    }
    let began = Instant::now();
    for n in 0..BATCHES {
        let writes = (0..100)
            .map(|m| put(format!("many/{n:06}/{m:03}")))
            .collect();
        engine.call("batch", Value::record([("writes", Value::List(writes))]))?;
    }
    let batch = began.elapsed() / u32::try_from(BATCHES)?;
    let began = Instant::now();
    let verified = engine.verify(Depth::Full, &*backend, &ProgressSink::none())?;
    assert!(verified.is_ok(), "{verified:?}");
    let replay = began.elapsed() / u32::try_from(BATCHES)?;
    engine.close()?;
    Ok(Times {
        put_least: *puts.iter().min().ok_or("no rounds")?,
        put_median: median(&mut puts),
        batch,
        replay,
    })
}

/// Resident memory of the process, in bytes.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(4096 * pages)
}

/// Opens stores that then stay idle; returns the memory of each in KiB, and the stores.
fn idle<M: StateMachine + Clone>(machine: &M) -> Done<(Option<u64>, Vec<Engine<M>>)> {
    let backend = Arc::new(RedbBackend::on_files());
    let me = Arc::new(SecretKey::from_bytes(&[7; 32]));
    let dirs: Vec<_> = (0..STORES)
        .map(|_| tempfile::tempdir())
        .collect::<Result<_, _>>()?;
    for (n, dir) in (0..).zip(&dirs) {
        let store_type = machine.logic().store_type().clone();
        let nonce = Nonce::from_bytes([n; 16]);
        let genesis = Genesis::new(store_type, me.public(), nonce, Hlc::ZERO, None);
        Engine::create(&*backend, &dir.path().join("state.db"), &genesis, machine)?;
    }
    let before = resident();
    let mut open = Vec::new();
    for dir in &dirs {
        let request = OpenRequest::new(backend.clone(), dir.path().join("state.db"));
        let request = request.identity(me.clone()).cache_bytes(64 << 10);
        let engine = Engine::open(request, machine.clone())?;
        engine.call("put", put("key".into()))?;
        open.push(engine);
    }
    let after = resident();
    let more = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before));
    let stores = u64::try_from(STORES)?;
    Ok((more.map(|bytes| bytes / stores / 1024), open))
}

fn shown(name: &str, mut native: Vec<Duration>, mut wasm: Vec<Duration>) {
    let (native, wasm) = (median(&mut native), median(&mut wasm));
    println!(
        "{name:<40} native {native:>10.1?}, module {wasm:>10.1?}, difference {:>9.1?}, ratio {:.2}",
        wasm.saturating_sub(native),
        native.as_secs_f64() / wasm.as_secs_f64(),
    );
}

fn main() -> Done<()> {
    let wasm = match std::env::args_os().nth(1) {
        Some(file) => std::fs::read(file)?,
        None => guests::KVSTORE.to_vec(),
    };
    let mut loads = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        Code::new(&wasm)?;
        loads.push(began.elapsed());
    }
    println!("loading {} bytes: {:.2?}", wasm.len(), median(&mut loads));
    let code = Code::new(&wasm)?;
    let (mut natives, mut modules) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        natives.push(run(tempfile::tempdir()?.path(), KvMachine::new())?);
        let machine = WasmMachine::new(code.clone(), &[])?;
        modules.push(run(tempfile::tempdir()?.path(), machine)?);
    }
    let of = |times: &[Times], what: fn(&Times) -> Duration| times.iter().map(what).collect();
    let show = |name, what: fn(&Times) -> Duration| {
        shown(name, of(&natives, what), of(&modules, what));
    };
    show("a durable put, least", |times| times.put_least);
    show("a durable put, median", |times| times.put_median);
    show("a batch of 100 puts", |times| times.batch);
    show("verify, for each batch of 100 puts", |times| times.replay);
    // All stores stay open: freed memory would be reused. The first stores reuse memory that is
    // already free, so their figure is not printed.
    let warm = idle(&KvMachine::new())?;
    let native = idle(&KvMachine::new())?;
    let module = idle(&WasmMachine::new(code, &[])?)?;
    if let (Some(native), Some(module)) = (native.0, module.0) {
        println!(
            "an open store                            native {native} KiB, module {module} KiB"
        );
    }
    drop((warm, native.1, module.1));
    Ok(())
}
