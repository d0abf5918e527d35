//! The data of the tour: the packages that this program was built from.

use serde::Deserialize;
use serde_json::json;

/// The workspace's lock file at build time.
const LOCK_FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

/// One package of a lock file.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    /// Hexadecimal SHA-256 of the source; packages of the workspace have none.
    checksum: Option<String>,
}

impl Package {
    /// Name and version: a lock file can contain several versions of a package.
    fn key(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

fn packages() -> Result<Vec<Package>, toml::de::Error> {
    Ok(toml::from_str::<LockFile>(LOCK_FILE)?.package)
}

/// The packages as JSON Lines for `import`, in the order of the lock file.
pub(super) fn lines() -> Result<String, toml::de::Error> {
    let mut lines = String::new();
    for package in packages()? {
        let value = package.checksum.as_deref().unwrap_or("in this workspace");
        lines.push_str(&json!({ "key": package.key(), "value": value }).to_string());
        lines.push('\n');
    }
    Ok(lines)
}

/// The key of a package, if the lock file contains it.
pub(super) fn key_of(name: &str) -> Result<Option<String>, toml::de::Error> {
    let mut packages = packages()?.into_iter();
    Ok(packages.find(|it| it.name == name).map(|it| it.key()))
}
