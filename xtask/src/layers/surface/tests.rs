use super::*;
use crate::finding::lines_of;

fn lines(text: &str) -> Vec<usize> {
    lines_of(&check(&[SourceFile::new(
        "lattice-backend/src/redb/a.rs",
        text,
    )]))
}

#[test]
fn public_signatures_that_show_the_engine_are_seen() {
    for bad in [
        "pub fn f(db: &redb::Database) {}",
        "pub fn f(db: ::redb::Database) {}",
        "use redb::Database; pub fn f() -> Result<Database, ()> {}",
        "use redb::{Database as Db}; pub const fn f(db: Db) {}",
        "pub unsafe extern \"C\" fn f(db: redb::Database) {}",
        "use redb as engine; pub fn f(x: engine::Error) {}",
        "pub fn f<B: redb::StorageBackend>(b: B) {}",
        "pub fn f(b: impl redb::StorageBackend) {}",
        "pub struct S { pub db: redb::Database }",
        "pub struct S(pub Arc<redb::Database>);",
        "pub struct S<T> where T: redb::Value { x: T }",
        "pub enum E { A, B(redb::Error) }",
        "pub trait T { fn f(&self) -> redb::Error; }",
        "pub type D = redb::Database;",
        "pub const X: redb::TableDefinition<A, B> = x;",
        "pub use redb::Database;",
        "pub use redb;",
        "type D = redb::Database; pub fn f(d: D) {}",
    ] {
        assert!(!lines(bad).is_empty(), "{bad}");
    }
}

#[test]
fn private_uses_of_the_engine_pass() {
    for good in [
        "use redb::Database; pub struct S { db: Database, x: Map<u8, redb::Error> }",
        "pub struct S(redb::Database);",
        "pub struct S { pub a: Map<A, B>, db: redb::Database }",
        "pub(crate) fn f(db: redb::Database) {}",
        "pub(super) struct S { pub(super) db: redb::Database }",
        "pub fn f() { redb::Database::open(x) }",
        "pub const X: u8 = redb::X;",
        "fn f(db: redb::Database) {}",
        "enum E { B(redb::Error) }",
        "pub use self::redb::Ours; pub use super::redb::Theirs;",
        "/// redb::Database\npub fn f() {}",
        "#[cfg(test)] pub fn f(db: redb::Database) {}",
        "use redb::ReadableDatabase as _; pub fn f(x: _) {}",
    ] {
        assert!(lines(good).is_empty(), "{good}");
    }
}

#[test]
fn conversions_are_seen() {
    for bad in [
        "impl From<redb::Error> for E {}",
        "impl From<::redb::Error> for E {}",
        "use redb::StorageError; impl From<StorageError> for E {}",
        "impl<T> TryFrom<Wrapped<T, redb::Error>> for E {}",
        "impl From<E> for redb::Error {}",
        "impl AsRef<redb::Database> for S {}",
        "impl Deref for S { type Target = redb::Database; }",
        "impl ReadTx for S { type Tx<'a> = redb::ReadTransaction; }",
    ] {
        assert_eq!(lines(bad).len(), 1, "{bad}");
    }
    for good in [
        "impl From<Other> for E {}",
        "impl redb::StorageBackend for Disk { type X = redb::Y; fn f() -> redb::Error {} }",
        "impl ReadTx for S { fn f(&self) { let x: redb::Error = y; } }",
        "impl S { fn f(x: impl From<u8>) -> redb::Error {} }",
    ] {
        assert!(lines(good).is_empty(), "{good}");
    }
}

#[test]
fn glob_imports_of_the_engine_are_seen() {
    assert_eq!(lines("use redb::*;"), [1]);
    assert_eq!(lines("use redb::{backends::*, Error};"), [1]);
    assert!(lines("use super::*;").is_empty());
}

#[test]
fn names_taken_over_from_a_neighbour_are_seen() {
    let parent = || {
        SourceFile::new(
            "lattice-backend/src/redb.rs",
            "use redb::{Database as Db, Error};",
        )
    };
    let child = |text: &str| SourceFile::new("lattice-backend/src/redb/a.rs", text);
    for bad in [
        "use super::Db; pub fn f(x: Db) {}",
        "use super::*; pub fn f(x: Error) {}",
    ] {
        assert_eq!(check(&[parent(), child(bad)]).len(), 1, "{bad}");
    }
    // The same name of another origin is not the engine's.
    assert!(
        check(&[
            parent(),
            child("use crate::error::Fault as Error; pub fn f(x: Error) {}")
        ])
        .is_empty()
    );
    assert!(check(&[parent(), child("use thing::Error; pub fn f(x: Error) {}")]).is_empty());
}

#[test]
fn only_the_engine_module_is_looked_at() {
    let elsewhere = SourceFile::new("lattice-node/src/a.rs", "use redb::*;");
    assert!(check(&[elsewhere]).is_empty());
}
