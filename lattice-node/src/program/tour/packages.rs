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
    source: Option<String>,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

/// The packages as JSON Lines for `import`, in the order of the lock file, and the key of the
/// package `shown`. A lock file can contain several versions of a package, so the key includes the
/// version.
pub(super) fn packages(shown: &str) -> Result<(String, Option<String>), toml::de::Error> {
    let mut lines = String::new();
    let mut found = None;
    for package in toml::from_str::<LockFile>(LOCK_FILE)?.package {
        let key = format!("{}/{}", package.name, package.version);
        let value = match (package.source, package.checksum) {
            (Some(source), checksum) => json!({
                "name": package.name,
                "version": package.version,
                "checksum": checksum,
                "source": source,
            }),
            (None, _) => json!({ "name": package.name, "version": package.version }),
        };
        lines.push_str(&json!({ "key": key, "value": value }).to_string());
        lines.push('\n');
        if package.name == shown {
            found = Some(key);
        }
    }
    Ok((lines, found))
}
