//! No type of redb is public, and no conversion from or to one exists: no line of the backend's API
//! names the crate.

use crate::api::{Crate, list};
use crate::finding::Finding;

const BACKEND: &str = "lattice_backend";
const ENGINE: &str = "redb";

/// Checks the API of the backend.
pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    let backend = crates.iter().filter(|krate| krate.name == BACKEND);
    backend
        .flat_map(|backend| {
            let lines = list(backend, crates).into_iter();
            let leaks = lines
                .filter(|line| line.crates.iter().any(|name| name == ENGINE))
                .map(|line| format!("the public API shows a type of redb: {}", line.text));
            let glob = backend
                .has_globs_of(ENGINE)
                .then(|| "a glob import of redb hides what is published of it".to_owned());
            leaks.chain(glob).collect::<Vec<String>>()
        })
        .map(|message| Finding::file("lattice-backend/src/lib.rs", message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of findings for a backend whose module `redb` has this source.
    fn seen(module: &str) -> usize {
        let read = |path: &str| match path {
            "lattice-backend/src/lib.rs" => Some("pub mod redb; pub struct Own;".to_owned()),
            "lattice-backend/src/redb/mod.rs" => Some(format!(
                "mod db; use redb::Database as Db; pub struct S; struct Hidden; {module}"
            )),
            "lattice-backend/src/redb/db.rs" => {
                Some("pub(super) type Alias = redb::Error; pub struct Deep;".to_owned())
            }
            _ => None,
        };
        check(&[Crate::read("lattice-backend", &read).unwrap()]).len()
    }

    #[test]
    fn an_api_that_shows_the_engine_is_seen() {
        for bad in [
            "pub fn f(db: &redb::Database) {}",
            "pub fn f(db: ::redb::Database) {}",
            "pub fn f() -> Result<Db, ()> {}",
            "pub fn f<B: redb::StorageBackend>(b: B) {}",
            "pub fn f(b: impl redb::StorageBackend) {}",
            "pub struct T { pub db: Db }",
            "pub struct T(pub Db);",
            "pub struct T<X>(X) where X: redb::Key;",
            "pub enum E { A(u8, Db) }",
            "pub enum E { A { db: Db } }",
            "pub trait T { type A; fn f(&self) -> Db; }",
            "pub trait T: redb::Key {}",
            "pub type T = Db;",
            "pub const C: Option<Db> = None;",
            "pub use redb::Database;",
            "use redb as engine; pub use engine::Error;",
            "use redb::*;",
            "use db::Alias; pub fn f(e: Alias) {}",
            "impl S { pub fn f(&self) -> Db {} }",
            "impl From<redb::Error> for S {}",
            "impl TryFrom<S> for redb::Error {}",
            "impl AsRef<Db> for S {}",
            "impl std::ops::Deref for S { type Target = Db; }",
            "pub use db::Deep; impl From<Db> for Deep {}",
        ] {
            assert!(seen(bad) >= 1, "{bad}");
        }
    }

    #[test]
    fn an_api_that_hides_the_engine_is_not_reported() {
        for good in [
            "pub struct T { db: Db }",
            "pub struct T(Db);",
            "pub(crate) fn f(db: Db) {}",
            "fn f(db: redb::Database) {}",
            "pub fn f() { let db: redb::Database; }",
            "impl From<redb::Error> for Hidden {}",
            "impl redb::StorageBackend for Hidden { type A = Db; }",
            "impl S { fn f(&self) -> Db {} }",
            "pub fn redb() {}",
            "pub fn f(x: crate::redb::S) {}",
            "pub fn f(x: crate::Own) {}",
            "#[cfg(test)] pub fn f(db: Db) {}",
        ] {
            assert_eq!(seen(good), 0, "{good}");
        }
    }
}
