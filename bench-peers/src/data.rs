//! Keys and values, and Lattice stores of them.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{MemoryBackend, Sharing, StateBackend};
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::{OpDraft, OpHasher, OpKind, SecretKey};
use lattice_kvstore::{Command, KvMachine, KvStore, store_type};
use lattice_logstore::{LogMachine, LogStore};
use lattice_meta::{Genesis, Hlc, Nonce, OpId, StoreType};
use lattice_registry::TypedStore;

/// The cache of every store, in bytes: all data that is read fits.
pub const CACHE_BYTES: usize = 1 << 30;
/// The value of every key.
pub const VALUE: [u8; 100] = [0x5a; 100];

/// Reads every byte of a value, as a real reader would; returns its length.
pub fn look(value: &[u8]) -> usize {
    let sum: u64 = value.iter().map(|byte| u64::from(*byte)).sum();
    std::hint::black_box(sum);
    value.len()
}

/// A key.
pub type Key = [u8; 16];

/// A source of random keys (xorshift).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A random index below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("it fits");
        usize::try_from(self.next() % count).expect("it is below what fits")
    }

    /// A new key.
    pub fn key(&mut self) -> Key {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.next().to_be_bytes());
        key[8..].copy_from_slice(&self.next().to_be_bytes());
        key
    }

    /// Keys for `commits` commits of `batch` keys each.
    pub fn batches(&mut self, commits: usize, batch: usize) -> Vec<Vec<Key>> {
        (0..commits)
            .map(|_| (0..batch).map(|_| self.key()).collect())
            .collect()
    }
}

fn secret(author: u8) -> Arc<SecretKey> {
    Arc::new(SecretKey::from_bytes(&[author; 32]))
}

fn genesis(store_type: StoreType) -> Genesis {
    let owner = secret(1).public();
    Genesis::new(
        store_type,
        owner,
        Nonce::from_bytes([1; 16]),
        Hlc::ZERO,
        None,
    )
}

/// Signs the same op at each call.
pub fn signer() -> impl FnMut() {
    let hasher = OpHasher::new(&genesis(store_type()).hash());
    let secret = secret(1);
    move || {
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::ZERO,
            deps: Vec::new(),
            payload: &VALUE,
        };
        std::hint::black_box(draft.sign(&hasher, &secret).expect("it is an op"));
    }
}

fn request(
    backend: Arc<dyn StateBackend>,
    path: &Path,
    author: u8,
    sharing: Sharing,
) -> OpenRequest {
    OpenRequest::new(backend, path)
        .identity(secret(author))
        .sharing(sharing)
        .cache_bytes(CACHE_BYTES)
}

/// Opens an existing key-value store.
pub fn open_kv(path: &Path, sharing: Sharing) -> KvStore {
    let request = request(lattice_backend::file_backend(), path, 1, sharing);
    KvStore::from_engine(Engine::open(request, KvMachine::new()).expect("the store opens"))
}

/// Creates a key-value store.
pub fn make_kv(path: &Path, sharing: Sharing) -> KvStore {
    let backend = lattice_backend::file_backend();
    Engine::create(&*backend, path, &genesis(store_type()), &KvMachine::new()).expect("it is new");
    open_kv(path, sharing)
}

/// Creates a key-value store in memory.
pub fn make_memory_kv() -> KvStore {
    let backend = Arc::new(MemoryBackend::new());
    let genesis = genesis(store_type());
    Engine::create(&*backend, "kv".as_ref(), &genesis, &KvMachine::new()).expect("it is new");
    let request = request(backend, "kv".as_ref(), 1, Sharing::SingleWriter);
    KvStore::from_engine(Engine::open(request, KvMachine::new()).expect("the store opens"))
}

/// How many batches [`fill_overlay`] puts, and the keys of each: about 3 MiB of rows, less than
/// what is folded.
const OVERLAY_BATCHES: usize = 80;
const OVERLAY_KEYS: usize = 100;

/// Fills the journal of a store that has just been opened, and with it the overlay that every read
/// goes through, without making a fold due. It writes keys that exist. A reader must follow within
/// a second: an idle journal is folded. Without a journal, the rows are in the file.
pub fn fill_overlay(kv: &KvStore, keys: &[Key], random: &mut Random) {
    let batches: Vec<Vec<Key>> = (0..OVERLAY_BATCHES)
        .map(|_| {
            let pick = (0..OVERLAY_KEYS).map(|_| keys[random.below(keys.len())]);
            pick.collect()
        })
        .collect();
    put(kv, &batches);
}

/// Creates a log store.
pub fn make_log(path: &Path) -> LogStore {
    let backend = lattice_backend::file_backend();
    let genesis = genesis(lattice_logstore::store_type());
    Engine::create(&*backend, path, &genesis, &LogMachine::new()).expect("it is new");
    let request = request(backend, path, 1, Sharing::SingleWriter);
    LogStore::from_engine(Engine::open(request, LogMachine::new()).expect("the store opens"))
}

/// Puts keys, each batch in one op.
pub fn put(kv: &KvStore, batches: &[Vec<Key>]) {
    for keys in batches {
        let batch = keys
            .iter()
            .fold(kv.batch(), |batch, key| batch.put(key, VALUE));
        batch.commit().expect("a batch is written");
    }
}

/// Puts each key in an op of its own, all in one transaction: the fast way to many ops.
pub fn put_ops(kv: &KvStore, keys: impl Iterator<Item = Key>) {
    let commands = keys.map(|key| {
        let mut command = Command::new();
        command.put(key, VALUE);
        Ok::<_, std::convert::Infallible>(command)
    });
    kv.engine().append_all(commands).expect("all are written");
}

/// Single puts of new keys by authors that have not seen each other's ops, interleaved.
pub fn foreign_ops(authors: u16, each: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let streams: Vec<Vec<Vec<u8>>> = (0..authors)
        .map(|author| {
            let backend = Arc::new(MemoryBackend::new());
            let genesis = genesis(store_type());
            Engine::create(&*backend, "kv".as_ref(), &genesis, &KvMachine::new()).expect("new");
            let mut seed = [9; 32];
            seed[..2].copy_from_slice(&author.to_le_bytes());
            let request =
                OpenRequest::new(backend, "kv").identity(Arc::new(SecretKey::from_bytes(&seed)));
            let engine = Engine::open(request, KvMachine::new()).expect("it opens");
            let kv = KvStore::from_engine(engine);
            put_ops(&kv, (0..each).map(|_| random.key()));
            let ops = kv
                .engine()
                .ops_after(&lattice_backend::op::BranchTips::default());
            ops.expect("memory").map(|op| op.expect("memory")).collect()
        })
        .collect();
    let turn = |nth: usize| streams.iter().map(move |stream| stream[nth].clone());
    (0..each).flat_map(turn).collect()
}
