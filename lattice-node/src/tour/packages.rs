//! The tour's data: the packages that this program was built from.

use serde::{Deserialize, Serialize};

/// The lock file of the workspace at the time of the build.
const LOCK_FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

/// One package of a lock file.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

impl Package {
    /// The key under which the tour keeps it: several versions of a package can be locked.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

/// The packages in the order of the lock file.
pub(super) fn packages() -> Result<Vec<Package>, toml::de::Error> {
    toml::from_str::<LockFile>(LOCK_FILE).map(|lock_file| lock_file.package)
}
