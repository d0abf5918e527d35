//! Times what hostile histories cost a store on a file:
//! `cargo run --release -p lattice-kvstore --example hostile`.
//!
//! The tests count rows and bytes, which do not depend on the machine; this shows the time that
//! they take. Read the growth from line to line, not the times alone.

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_backend::conformance::{CountingBackend, Forge};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::engine::verify::Depth;
use lattice_backend::op::{Op, OpRef, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{Command, KvMachine, store_type};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Store = Engine<KvMachine>;

fn store(dir: &Path, forge: &Forge) -> Outcome<(Store, CountingBackend)> {
    let path = dir.join("state.db");
    let backend = CountingBackend::new(Arc::new(RedbBackend::on_files()));
    Engine::create(&backend, &path, forge.genesis(), &KvMachine::new())?;
    let identity = Arc::new(SecretKey::from_bytes(&[1; 32]));
    let request = OpenRequest::new(Arc::new(backend.clone()), path).identity(identity);
    Ok((Engine::open(request, KvMachine::new())?, backend))
}

/// Takes ops in as one bundle; gives the time.
fn take(store: &Store, ops: &[Op]) -> Outcome<Duration> {
    let began = Instant::now();
    let bytes = ops
        .iter()
        .map(|op| Ok::<_, Infallible>(op.bytes().to_vec()));
    let report = store.ingest(bytes, &Authors::Any)?;
    match report.rejected().next() {
        Some((_, rejection)) => Err(rejection.to_string().into()),
        None => Ok(began.elapsed()),
    }
}

/// A payload of writes, made by a store in memory that has seen nothing.
fn payload(keys: impl IntoIterator<Item = String>, value: Option<&[u8]>) -> Outcome<Vec<u8>> {
    let mut command = Command::new();
    for key in keys {
        match value {
            Some(value) => command.put(key, value),
            None => command.delete(key),
        };
    }
    let scratch = tempfile::tempdir()?;
    let forge = Forge::for_store(store_type());
    let (store, _) = store(scratch.path(), &forge)?;
    let receipt = store.append(command)?;
    let op = store.op_at(receipt.index)?.ok_or("the op is there")?;
    Ok(op.payload().to_vec())
}

fn forks() -> Outcome<()> {
    println!(
        "n ops of one author with sequence number 0, and of n authors; a put and a full verification after"
    );
    for count in [500, 1000, 2000, 4000, 8000] {
        let value = payload(["key".to_owned()], Some(b"value"))?;
        let mut forge = Forge::for_store(store_type());
        let one: Vec<Op> = (0..count).map(|_| forge.op(1, None, &[], &value)).collect();
        let many: Vec<Op> = (0..count)
            .map(|author| forge.op(10 + author, None, &[], &value))
            .collect();
        let dir = tempfile::tempdir()?;
        let (forked, backend) = store(dir.path(), &forge)?;
        let time = take(&forked, &one)?;
        let began = Instant::now();
        let mut command = Command::new();
        command.put("other", "value");
        forked.append(command)?;
        let put = began.elapsed();
        let began = Instant::now();
        let verified = forked.verify(Depth::Full, &backend, &ProgressSink::default())?;
        let verify = began.elapsed();
        if !verified.is_ok() {
            return Err(format!("{:?}", verified.findings).into());
        }
        let other = tempfile::tempdir()?;
        let authors = take(&store(other.path(), &forge)?.0, &many)?;
        println!(
            "  {count:>5}: {time:>10.1?}, {authors:>10.1?}; put {put:.1?}, verify {verify:.1?}"
        );
    }
    Ok(())
}

fn old_fork() -> Outcome<()> {
    println!(
        "an exchange about one author's ops, with a fork at sequence number 1 and nothing to send"
    );
    for count in [3000, 30_000] {
        let value = payload(["key".to_owned()], Some(b"value"))?;
        let mut forge = Forge::for_store(store_type());
        let mut ops: Vec<Op> = (0..count).map(|_| forge.next_op(1, &value)).collect();
        let ours = ops.clone();
        ops.push(forge.op(1, Some(&ops[0]), &[], &value));
        let dir = tempfile::tempdir()?;
        let (here, _) = store(dir.path(), &forge)?;
        take(&here, &ops)?;
        let began = Instant::now();
        let tips = here.branch_tips()?;
        let left = here.ops_after(&tips)?.len();
        println!(
            "  {count:>5} ops: {:.1?}, {left} ops to send",
            began.elapsed()
        );

        // Both sides have what the other lacks: it is ahead of us by one op of the long chain.
        let dir = tempfile::tempdir()?;
        let (behind, _) = store(dir.path(), &forge)?;
        take(&behind, &ours[..ours.len() - 1])?;
        take(&behind, &[forge.op(2, None, &[], &value)])?;
        let after = behind.ops_after(&tips)?;
        let bytes: usize = after.map(|op| op.map_or(0, |op| op.len())).sum();
        println!(
            "  {count:>5} ops: the side that is one op behind sends {bytes} bytes for its new op"
        );
    }
    Ok(())
}

fn marks() -> Outcome<()> {
    println!("n marks, and then the op of one write that they name");
    for count in [49_152, 98_304, 196_608, 393_216] {
        let mut forge = Forge::for_store(store_type());
        let late = forge.op(1, None, &[], &payload(["k 0 0".to_owned()], Some(b"v"))?);
        // Deletes that supersede what `late` puts, 16,384 keys each. They come from another store,
        // where `late` was applied.
        let marking = superseding(&mut forge, &late, count)?;
        let dir = tempfile::tempdir()?;
        let (here, backend) = store(dir.path(), &forge)?;
        let before = take(&here, &marking)?;
        let work = backend.work();
        let time = take(&here, std::slice::from_ref(&late))?;
        let work = backend.work().since(work);
        let rows = work.rows_read + work.rows_written;
        println!("  {count:>6}: {before:.1?} to leave them, then {time:.2?} and {rows} rows");
    }
    Ok(())
}

/// Ops that supersede what an op puts at so many keys. The payload is written by hand, as FORMAT.md
/// describes it.
fn superseding(forge: &mut Forge, late: &Op, keys: usize) -> Outcome<Vec<Op>> {
    const KEYS: usize = 16_384;
    let OpRef { author, seq, id } = late.reference();
    let mut ops = Vec::new();
    for first in (0..keys).step_by(KEYS) {
        let mut names: Vec<String> = (0..KEYS).map(|nth| format!("k {first} {nth}")).collect();
        names.sort_unstable();
        let mut payload = vec![1];
        payload.extend(1_u64.to_le_bytes());
        payload.extend(author.as_bytes());
        payload.extend(seq.to_le_bytes());
        payload.extend(id.as_bytes());
        payload.extend(u64::try_from(names.len())?.to_le_bytes());
        for name in names {
            payload.extend(u64::try_from(name.len())?.to_le_bytes());
            payload.extend(name.as_bytes());
            payload.extend(1_u64.to_le_bytes());
            payload.extend(0_u32.to_le_bytes());
            payload.push(0);
        }
        ops.push(forge.op(100 + u64::try_from(first)?, None, &[], &payload));
    }
    Ok(ops)
}

fn pending() -> Outcome<()> {
    println!("small ops while n ops of 1,024 missing deps are pending");
    for count in [110, 440, 880] {
        let value = payload(["key".to_owned()], Some(b"value"))?;
        let mut forge = Forge::for_store(store_type());
        let parents = (0..1024).map(|nth| forge.op(1_000_000 + nth, None, &[], &value));
        let mut deps: Vec<OpRef> = parents.map(|op| op.reference()).collect();
        deps.sort_unstable();
        let waiting: Vec<Op> = (0..count)
            .map(|nth| forge.op(10 + nth, None, &deps, &value))
            .collect();
        let dir = tempfile::tempdir()?;
        let (here, _) = store(dir.path(), &forge)?;
        take(&here, &waiting)?;
        let mut times = Vec::new();
        for _ in 0..21 {
            times.push(take(&here, &[forge.next_op(1, &value)])?);
        }
        times.sort_unstable();
        println!(
            "  {count:>4} ({} kept): {:.2?} each",
            here.pending_ops(),
            times[10]
        );
    }
    Ok(())
}

fn main() -> Outcome<()> {
    forks()?;
    old_fork()?;
    marks()?;
    pending()?;
    Ok(())
}
