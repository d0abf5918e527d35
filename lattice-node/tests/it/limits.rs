//! The limits of docs/limits.md that are visible through a node: at each limit, and one past it.

use std::convert::Infallible;
use std::error::Error;
use std::process::Command;
use std::time::Instant;

use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::write::AppendError;
use lattice_backend::op::{MAX_PAYLOAD_BYTES, OpDraft, OpKind, SecretKey};
use lattice_kvstore::{KvRefusal, MAX_BATCH, MAX_KEY_BYTES};
use lattice_meta::OpId;
use lattice_node::{Access, Depth, KvStore, LogStore, ManagerError, Node};
use lattice_registry::TypedStore;

struct Site {
    node: Node,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            node: Node::open(dir.path()).unwrap(),
            _dir: dir,
        }
    }

    fn make<T: TypedStore>(&self, store_type: &str) -> T {
        let id = self
            .node
            .manager()
            .create(&store_type.parse().unwrap())
            .unwrap();
        self.node.open_as(id, Access::ReadWrite).unwrap()
    }

    fn assert_whole(&self, path: &std::path::Path) {
        let verified = self.node.manager().verify_path(path, Depth::Full);
        assert_eq!(verified.unwrap().findings, []);
    }
}

#[test]
fn keys_have_a_maximum_length() {
    let site = Site::new();
    let kv: KvStore = site.make("core:kvstore");
    let (longest, longer) = (vec![0xff; MAX_KEY_BYTES], vec![0xff; MAX_KEY_BYTES + 1]);
    kv.put(&longest, "value").unwrap();
    assert_eq!(kv.get(&longest).unwrap().unwrap(), b"value");
    let refused = kv.put(&longer, "value").unwrap_err();
    assert!(
        matches!(refused, AppendError::Refused(KvRefusal::KeyTooLong { len }) if len == longer.len()),
        "{refused}"
    );
    // Lookups of impossible keys succeed and find nothing.
    assert_eq!(kv.get(&longer).unwrap(), None);
    assert_eq!(kv.get("").unwrap(), None);
    assert_eq!(kv.prefix(&longer).unwrap().count(), 0);
    assert_eq!(kv.prefix(&longest).unwrap().count(), 1);
    kv.delete(&longest).unwrap();
    assert_eq!(kv.count().unwrap(), 0);
}

#[test]
fn values_are_limited_by_the_length_of_an_op() {
    let site = Site::new();
    let kv: KvStore = site.make("core:kvstore");
    let refused = kv.put("key", vec![7; MAX_PAYLOAD_BYTES]).unwrap_err();
    let AppendError::Refused(KvRefusal::TooLarge { len }) = refused else {
        panic!("{refused}");
    };
    let most = MAX_PAYLOAD_BYTES - (len - MAX_PAYLOAD_BYTES);
    let refused = kv.put("key", vec![7; most + 1]).unwrap_err();
    assert!(
        matches!(refused, AppendError::Refused(KvRefusal::TooLarge { len }) if len == MAX_PAYLOAD_BYTES + 1),
        "{refused}"
    );
    kv.put("key", vec![7; most]).unwrap();
    assert!(kv.get("key").unwrap().unwrap() == vec![7; most]);
    let path = lattice_registry::StoreHandle::path(&kv).to_path_buf();
    site.assert_whole(&path);
}

#[test]
fn entries_are_limited_by_the_length_of_an_op() {
    let site = Site::new();
    let log: LogStore = site.make("core:logstore");
    let refused = log.append(vec![7; MAX_PAYLOAD_BYTES]).unwrap_err();
    let AppendError::TooLong { limit, found } = refused else {
        panic!("{refused}");
    };
    assert_eq!(limit, MAX_PAYLOAD_BYTES);
    let most = MAX_PAYLOAD_BYTES - (found - MAX_PAYLOAD_BYTES);
    let refused = log.append(vec![7; most + 1]).unwrap_err();
    assert!(
        matches!(refused, AppendError::TooLong { found, .. } if found == MAX_PAYLOAD_BYTES + 1),
        "{refused}"
    );
    log.append(vec![7; most]).unwrap();
    assert!(log.tail(1).unwrap()[0].content == vec![7; most]);
    let path = lattice_registry::StoreHandle::path(&log).to_path_buf();
    site.assert_whole(&path);
}

#[test]
fn batches_have_a_maximum_length() {
    let site = Site::new();
    let kv: KvStore = site.make("core:kvstore");
    let batch = |keys: usize| {
        (0..keys).fold(kv.batch(), |batch, nth| {
            batch.put(nth.to_be_bytes(), "value")
        })
    };
    let refused = batch(MAX_BATCH + 1).commit().unwrap_err();
    assert!(
        matches!(refused, AppendError::Refused(KvRefusal::TooManyWrites { found }) if found == MAX_BATCH + 1),
        "{refused}"
    );
    batch(MAX_BATCH).commit().unwrap();
    assert_eq!(kv.count().unwrap(), u64::try_from(MAX_BATCH).unwrap());
}

/// The environment variable that names the data directory whose stores a child process opens.
const STORES: &str = "LATTICE_LIMITS_STORES";

/// Does nothing unless the test below starts it, in a process that may open few files.
#[test]
fn opens_as_many_as_it_may() {
    let Some(dir) = std::env::var_os(STORES) else {
        return;
    };
    let node = Node::open(dir).unwrap();
    let manager = node.manager();
    let listed = manager.list().unwrap();
    let ids: Vec<_> = listed
        .into_iter()
        .map(|listed| listed.meta.unwrap().store_id)
        .collect();
    let mut open = Vec::new();
    let error = ids
        .iter()
        .find_map(|id| match manager.open(*id, Access::ReadWrite) {
            Ok(store) => {
                open.push(store);
                None
            }
            Err(error) => Some(error),
        })
        .unwrap();
    assert!(open.len() > 5, "{} stores were opened", open.len());
    assert!(
        matches!(
            error,
            ManagerError::Peek(_) | ManagerError::Open(_) | ManagerError::Files(_)
        ),
        "{error:?}"
    );
    let mut cause: Option<&dyn Error> = Some(&error);
    let mut text = String::new();
    while let Some(error) = cause {
        text.push_str(&error.to_string());
        text.push_str(": ");
        cause = error.source();
    }
    assert!(text.contains("Too many open files"), "{text}");
    // The open stores continue to work, and closing one makes room for another.
    let first = open.remove(0);
    let kv = first.downcast_ref::<KvStore>().unwrap();
    kv.put("still", "works").unwrap();
    manager.close(first.store_id()).unwrap();
    manager
        .open(ids[open.len() + 1], Access::ReadWrite)
        .unwrap();
}

#[test]
#[cfg(unix)]
fn open_stores_are_limited_by_the_system_alone() {
    let site = Site::new();
    for _ in 0..40 {
        site.make::<KvStore>("core:kvstore");
    }
    site.node.manager().close_all().unwrap();
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 30 && exec \"$0\" \"$@\""])
        .arg(this)
        .args(["--exact", "limits::opens_as_many_as_it_may"])
        .env(STORES, site.node.manager().dir())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
}

/// Authors are not limited: ten thousand of them put one key concurrently.
#[test]
fn ten_thousand_authors_cost_ten_thousand_rows() {
    const AUTHORS: u64 = 10_000;
    let site = Site::new();
    let kv: KvStore = site.make("core:kvstore");
    let path = lattice_registry::StoreHandle::path(&kv).to_path_buf();
    let receipt = kv.put("key", "value").unwrap();
    let engine = kv.engine();
    let first = engine.op_at(receipt.index).unwrap().unwrap();
    let op = |nth: u64| {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&nth.to_le_bytes());
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: first.hlc(),
            deps: Vec::new(),
            payload: first.payload(),
        };
        let signed = draft.sign(engine.hasher(), &SecretKey::from_bytes(&seed));
        signed.unwrap().bytes().to_vec()
    };
    let bytes = || std::fs::metadata(&path).unwrap().len();
    let (before, started) = (bytes(), Instant::now());
    let report = engine.ingest((0..AUTHORS).map(op).map(Ok::<_, Infallible>), &Authors::Any);
    assert_eq!(report.unwrap().applied(), usize::try_from(AUTHORS).unwrap());
    println!(
        "taken in after {:?}, {} bytes an author",
        started.elapsed(),
        (bytes() - before) / AUTHORS
    );
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        println!("{what}: {:?}", started.elapsed());
    };
    timed("peek", &mut || {
        let meta = site.node.manager().peek_path(&path).unwrap();
        assert_eq!(u64::try_from(meta.tips.len()).unwrap(), AUTHORS + 1);
    });
    timed("get", &mut || {
        assert_eq!(kv.get("key").unwrap().unwrap(), b"value")
    });
    timed("conflicts", &mut || {
        let siblings = kv.conflicts("key").unwrap().len();
        assert_eq!(u64::try_from(siblings).unwrap(), AUTHORS + 1);
    });
    timed("the next put", &mut || {
        assert!(kv.put("key", "all").is_ok())
    });
    timed("the put after it", &mut || {
        assert!(kv.put("key", "done").is_ok())
    });
    assert_eq!(kv.conflicts("key").unwrap().len(), 1);
    assert_eq!(kv.engine().frontier().unwrap().len(), 1);
}
