//! The walk of one node: making stores, and finding out what they are.

use std::path::PathBuf;

use lattice_meta::StoreId;
use lattice_node::{Access, KvStore, LogStore, Node};
use lattice_registry::StoreHandle;

use super::guide::Guide;
use super::packages::{Package, packages};
use crate::program::{Failure, escape};

/// The stores that the tour has made.
pub(super) struct Stores {
    pub(super) kv_id: StoreId,
    pub(super) kv_path: PathBuf,
    pub(super) log_path: PathBuf,
    pub(super) sample: Package,
}

/// Makes a key-value store and a log store, fills both, and closes everything.
pub(super) fn make(guide: &mut Guide) -> Result<Stores, Failure> {
    guide.heading("Alice makes two stores")?;
    let node = Node::open(guide.node_dir("alice"))?;
    let mut create = |store_type: &str| -> Result<StoreId, Failure> {
        guide.typed(&format!("lattice --data-dir alice create {store_type}"))?;
        let id = node.manager().create(
            &store_type
                .parse()
                .map_err(|error| Failure::usage(format!("{store_type}: {error}")))?,
        )?;
        guide.result(&id.to_string())?;
        Ok(id)
    };
    let (kv_id, log_id) = (create("core:kvstore")?, create("core:logstore")?);

    guide.heading("She loads the packages that this program was built from")?;
    let packages = packages().map_err(|error| Failure::usage(error.to_string()))?;
    let kv = node.open_as::<KvStore>(kv_id, Access::ReadWrite)?;
    guide.called("kv.batch().put(\"name/version\", package)...commit()?  // one signed op")?;
    let mut batch = kv.batch();
    for package in &packages {
        batch = batch.put(package.key(), json(package)?);
    }
    let receipt = batch.commit()?;
    guide.result(&format!(
        "{} packages of Cargo.lock in op {:.16}..., state hash {:.16}...",
        packages.len(),
        receipt.op.id,
        kv.state_hash()?
    ))?;

    let log = node.open_as::<LogStore>(log_id, Access::ReadWrite)?;
    guide.called("log.append_many(steps_so_far)?")?;
    let steps = guide.take_steps();
    let count = steps.len();
    log.append_many(steps)?;
    guide.result(&format!("{count} steps of this walk in the log store"))?;

    guide.called("node.manager().close_all()?")?;
    node.manager().close_all()?;
    guide.result("both files are released")?;
    let sample = packages
        .into_iter()
        .find(|package| package.name == "redb")
        .ok_or_else(|| Failure::not_found("redb is not among the packages of the lock file"))?;
    let path = |id| node.manager().store_path(id);
    Ok(Stores {
        kv_id,
        kv_path: path(kv_id),
        log_path: path(log_id),
        sample,
    })
}

fn json(package: &Package) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(package).map_err(|error| Failure::from(std::io::Error::from(error)))
}

/// A node that knows nothing peeks at the files, resolves their types, and opens them.
pub(super) fn rediscover(guide: &mut Guide, stores: &Stores) -> Result<(), Failure> {
    guide.heading("Somebody finds two files and is not told what they are")?;
    let node = Node::reader(guide.node_dir("nobody"))?;
    for path in [&stores.kv_path, &stores.log_path] {
        guide.typed(&format!("lattice peek {}", guide.shown(path)))?;
        let meta = node.manager().peek_path(path)?;
        guide.result(&format!(
            "store {}, of type {}",
            meta.store_id, meta.store_type
        ))?;
        for (author, tip) in &meta.tips {
            guide.result(&format!("tip of {author:.16}...: {tip:.16}..."))?;
        }
        guide.called("let opener = registry.resolve(&meta.store_type)?")?;
        node.manager()
            .registry()
            .resolve(&meta.store_type)
            .map_err(lattice_node::ManagerError::from)?;
        guide.called("let store = manager.open_path(path, Access::ReadOnly)?")?;
        let store = node.manager().open_path(path, Access::ReadOnly)?;
        let methods: Vec<_> = store.methods().iter().map(|method| method.name).collect();
        guide.result(&format!("it has the methods {}", methods.join(", ")))?;
        guide.result(&format!("state hash {}", store.state_hash()?))?;
    }
    let key = stores.sample.key();
    guide.typed(&format!(
        "lattice get {} {key}",
        guide.shown(&stores.kv_path)
    ))?;
    let kv = node.open_path_as::<KvStore>(&stores.kv_path, Access::ReadOnly)?;
    let value = kv.get(&key)?;
    let value = value.ok_or_else(|| Failure::not_found(format!("no key {key}")))?;
    guide.result(&escape(&value))?;
    guide.called("kv.count()?")?;
    guide.result(&format!("{} keys", kv.count()?))?;
    guide.typed(&format!(
        "lattice tail {} -n 2",
        guide.shown(&stores.log_path)
    ))?;
    let log = node.open_path_as::<LogStore>(&stores.log_path, Access::ReadOnly)?;
    for entry in log.tail(2)? {
        guide.result(&escape(&entry.content))?;
    }
    node.manager().close_all()?;
    Ok(())
}

/// The rest of the walk goes into the log, which is read once more from its beginning.
pub(super) fn look_back(guide: &mut Guide, stores: &Stores) -> Result<(), Failure> {
    guide.heading("The log has kept the walk")?;
    let node = Node::open(guide.node_dir("alice"))?;
    let log = node.open_path_as::<LogStore>(&stores.log_path, Access::ReadWrite)?;
    guide.called("log.append_many(steps_since)?")?;
    log.append_many(guide.take_steps())?;
    guide.typed(&format!(
        "lattice tail {} -n 3",
        guide.shown(&stores.log_path)
    ))?;
    for entry in log.tail(3)? {
        guide.result(&format!("{:.8}  {}", entry.author, escape(&entry.content)))?;
    }
    guide.result(&format!("{} entries in all", log.len()?))?;
    node.manager().close_all()?;
    Ok(())
}
