//! A replica: a data directory with its manager.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::Sharing;
use lattice_backend::journal::{JournaledBackend, Tuning};
use lattice_backend::redb::{FileDisk, RedbBackend};
use lattice_meta::StoreId;
use lattice_node::{ManagerOptions, StoreManager, core_registry, load_or_create_identity};

use crate::Outcome;
use crate::script::{Kind, Side};

/// The ids of the two stores, which are the same on both replicas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stores {
    pub(crate) kv: StoreId,
    pub(crate) log: StoreId,
}

impl Stores {
    pub(crate) const fn of(&self, kind: Kind) -> StoreId {
        match kind {
            Kind::Kv => self.kv,
            Kind::Log => self.log,
        }
    }

    /// Saves the ids for the workers.
    pub(crate) fn write(&self, dir: &Path) -> Outcome<()> {
        Ok(std::fs::write(
            dir.join("ids"),
            format!("{} {}", self.kv, self.log),
        )?)
    }

    pub(crate) fn read(dir: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(dir.join("ids"))?;
        let (kv, log) = text.split_once(' ').ok_or("two ids")?;
        Ok(Self {
            kv: kv.parse()?,
            log: log.parse()?,
        })
    }
}

pub(crate) fn manager(
    dir: &Path,
    side: Side,
    sharing: Sharing,
    tuning: Tuning,
) -> Outcome<StoreManager> {
    let dir = dir.join(side.name());
    std::fs::create_dir_all(&dir)?;
    let options = ManagerOptions::new(load_or_create_identity(&dir)?).sharing(sharing);
    let backend = JournaledBackend::over(RedbBackend::on_files(), FileDisk).tuned(tuning);
    let backend = Arc::new(backend);
    Ok(StoreManager::new(dir, backend, core_registry()?, options))
}

/// The path of the backup that a step makes.
pub(crate) fn backup_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("backup-{number}.db"))
}
