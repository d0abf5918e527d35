//! The releases that the registries of a data directory announce.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lattice_backend::backend::Cause;
use lattice_code::releases::{self, Filter, Release, ReleaseStore, release_opener};
use lattice_code::{Announced, Catalogue};
use lattice_meta::{Cid, MetaInfo, PubKey, StoreType};
use lattice_registry::{Access, ManagerOptions, Registry, StoreManager};

/// Reads the registries of a data directory, once for each type: all steps of a command see the
/// releases of one moment, and peek at all stores once. It has a manager of its own, which can open
/// nothing but registries.
#[derive(Debug)]
pub(crate) struct LocalReleases {
    manager: StoreManager,
    /// Held while registries are read. ARCHITECTURE.md has its place among the locks.
    known: Mutex<BTreeMap<StoreType, Announced>>,
}

impl LocalReleases {
    pub(crate) fn new(data_dir: &Path) -> Self {
        let mut registry = Registry::new();
        registry.replace(releases::store_type(), release_opener());
        let backend = lattice_backend::file_backend();
        let options = ManagerOptions::reader();
        Self {
            manager: StoreManager::new(data_dir, backend, registry, options),
            known: Mutex::default(),
        }
    }
}

impl Catalogue for LocalReleases {
    fn releases(&self, store_type: &StoreType) -> Result<Announced, Cause> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(announced) = known.get(store_type) {
            return Ok(announced.clone());
        }
        let announced = self.read_all(store_type)?;
        known.insert(store_type.clone(), announced.clone());
        Ok(announced)
    }
}

impl LocalReleases {
    fn read_all(&self, store_type: &StoreType) -> Result<Announced, Cause> {
        let filter = Filter {
            store_type: Some(store_type.clone()),
            ..Filter::default()
        };
        let mut announced = Announced::default();
        for listed in self.manager.list()? {
            let is_other = |meta: &MetaInfo| meta.store_type != releases::store_type();
            if listed.meta.as_ref().is_ok_and(is_other) {
                continue;
            }
            // A store that cannot be peeked at may be a registry.
            match self.read(&listed.path, &filter) {
                Ok(found) => announced.releases.extend(found),
                Err(error) => {
                    let path = listed.path.display();
                    announced.unreadable.push(format!("{path} ({error})"));
                }
            }
        }
        announced.releases = merged(announced.releases);
        Ok(announced)
    }

    fn read(&self, path: &Path, filter: &Filter) -> Result<Vec<Release>, Cause> {
        let store = self.manager.open_path(path, Access::ReadOnly)?;
        let registry = store.downcast_ref::<ReleaseStore>();
        let found = registry.map(|registry| registry.releases(filter));
        let closed = self.manager.close(store.store_id());
        let found = found.transpose()?;
        closed?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Makes conflicts and withdrawals hold for all registries: a publisher may have announced one
/// module in one of them and another in the next, and withdrawn a module in only one.
fn merged(mut releases: Vec<Release>) -> Vec<Release> {
    let mut modules: BTreeMap<(PubKey, u64), BTreeSet<Cid>> = BTreeMap::new();
    let mut withdrawn: BTreeMap<(PubKey, Cid), String> = BTreeMap::new();
    for release in &releases {
        let (published, publisher) = (&release.published, release.publisher);
        let same = modules.entry((publisher, published.release)).or_default();
        same.insert(published.cid);
        if let Some(reason) = &release.withdrawn {
            withdrawn.insert((publisher, published.cid), reason.clone());
        }
    }
    for release in &mut releases {
        let (published, publisher) = (&release.published, release.publisher);
        release.is_conflicting = modules[&(publisher, published.release)].len() > 1;
        release.withdrawn = withdrawn.get(&(publisher, published.cid)).cloned();
    }
    releases
}
