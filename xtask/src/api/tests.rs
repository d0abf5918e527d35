use super::*;

const LIB: &str = "
    #[cfg(feature = \"std\")] pub mod store;
    mod hidden;
    pub use hidden::{Kept, Fault as Trouble};
    pub use lattice_meta::{Id, ids::*};
    pub mod views { pub use crate::store::Store as Again; }
    hidden::ids! { Made, 4 }
    #[cfg(test)] pub mod only_tests;
";
const STORE: &str = "
    use crate::hidden::{Fault, Private};
    use lattice_meta::Id as Key;
    #[derive(Debug, Clone)] #[non_exhaustive]
    pub struct Store<T: Copy> { pub key: Key, inner: T }
    impl<T: Copy> Store<T> {
        pub fn open(mut key: &Key, _: u8) -> Result<Self, Fault> { todo!() }
        #[cfg(unix)] pub fn raw(&self) {}
        fn private(&self) {}
    }
    impl<T: Copy> Iterator for Store<T> { type Item = Fault; fn next(&mut self) {} }
    impl<T: Copy> From<Private> for Store<T> {}
    pub trait Machine: Send { const N: u8; type Op; fn apply(&self); fn settle(&self) {} }
";
const HIDDEN: &str = "
    pub struct Kept;
    pub struct Unreached;
    pub(crate) struct Private;
    #[non_exhaustive] pub enum Fault { A, B { at: u64 }, #[cfg(unix)] C(#[from] std::io::Error) }
    impl std::fmt::Display for Fault {}
    macro_rules! ids { ($name:ident, $len:literal) => {
        pub struct $name([u8; $len]);
        impl $name { pub const LEN: usize = $len; }
    } }
    pub(crate) use ids;
";

/// The lines of a crate, with one text replaced by another.
fn lines(from: &str, to: &str) -> Vec<String> {
    let read = |path: &str| {
        let text = match path {
            "lattice-x/src/lib.rs" => LIB,
            "lattice-x/src/store.rs" => STORE,
            "lattice-x/src/hidden/mod.rs" => HIDDEN,
            "lattice-meta/src/lib.rs" => "pub struct Id; pub mod ids;",
            "lattice-meta/src/ids.rs" => "pub struct One; struct Two; pub fn three() {}",
            _ => return None,
        };
        Some(text.replace(from, to))
    };
    let crates = ["lattice-meta", "lattice-x"].map(|name| Crate::read(name, &read).unwrap());
    let text = snapshot(&crates[1], &crates);
    text.lines().skip(1).map(str::to_owned).collect()
}

/// The lines that a change removes and adds.
fn change(from: &str, to: &str) -> Vec<String> {
    assert!([LIB, STORE, HIDDEN].iter().any(|text| text.contains(from)));
    differences(&lines("", "").join("\n"), &lines(from, to).join("\n"))
}

#[test]
fn an_api_reads_like_its_sources() {
    let expected = [
        "pub use Id = lattice_meta::Id",
        "pub struct Kept;",
        "pub struct Made(_)",
        "pub const Made::LEN: usize = 4",
        "pub use One = lattice_meta::ids::One",
        "#[non_exhaustive] pub enum Trouble",
        "Trouble::A",
        "Trouble::B { at: u64 }",
        "Trouble::C(#[from] std::io::Error)  // unix",
        "impl std::fmt::Display for Trouble",
        "pub mod store  // feature = \"std\"",
        "pub trait store::Machine: Send",
        "const store::Machine::N: u8;",
        "type store::Machine::Op;",
        "fn store::Machine::apply(&self);",
        "fn store::Machine::settle(&self) { .. }",
        "#[non_exhaustive] #[derive(Clone, Debug)] pub struct store::Store<T: Copy> { .. }",
        "pub store::Store::key: lattice_meta::Id",
        "pub fn store::Store<T>::open(key: &lattice_meta::Id, _: u8) -> Result<Self, Trouble> where T: Copy",
        "pub fn store::Store<T>::raw(&self) where T: Copy  // unix",
        "impl<T: Copy> Iterator for store::Store<T> { type Item = Trouble; }",
        "pub use three = lattice_meta::ids::three",
        "pub mod views",
        "pub use views::Again = store::Store  // feature = \"std\"",
    ];
    assert_eq!(lines("", ""), expected);
}

#[test]
fn changes_that_callers_notice_change_the_text() {
    assert_eq!(
        change("fn private(&self)", "pub fn count(&self) -> u64"),
        ["+ pub fn store::Store<T>::count(&self) -> u64 where T: Copy"]
    );
    assert_eq!(change("_: u8", "_: u16").len(), 2);
    assert_eq!(change("A, B", "B"), ["- Trouble::A"]);
    assert_eq!(change("Kept, Fault", "Fault"), ["- pub struct Kept;"]);
    let unreached = change("pub mod store", "mod store");
    assert!(unreached.contains(&"- pub trait store::Machine: Send".to_owned()));
    assert!(unreached.contains(&"+ pub views::Again::key: lattice_meta::Id".to_owned()));
    assert_eq!(
        change("#[derive(Debug, Clone)]", "#[derive(Debug)]").len(),
        2
    );
    assert_eq!(change("const N: u8", "const N: u8 = 1").len(), 2);
    assert_eq!(change("fn apply(&self);", "fn apply(&self) {}").len(), 2);
    assert_eq!(change("type Item = Fault", "type Item = Key").len(), 2);
    assert_eq!(change("#[cfg(feature = \"std\")]", "").len(), 4);
    assert_eq!(change("pub key: Key", "key: Key").len(), 1);
    assert_eq!(change("Made, 4", "Made, 8").len(), 2);
}

#[test]
fn changes_that_callers_do_not_notice_keep_the_text() {
    for (from, to) in [
        ("mut key", "key"),
        ("{ todo!() }", "{ loop {} }"),
        ("inner: T", "within: T"),
        ("struct Private;", "struct Private(u8);"),
        ("pub struct Unreached;", ""),
    ] {
        assert!(change(from, to).is_empty(), "{from}");
    }
}

#[test]
fn a_file_that_is_missing_or_not_rust_is_named() {
    let missing = Crate::read("lattice-x", &|path| {
        path.ends_with("lib.rs").then(|| "mod gone;".to_owned())
    });
    assert!(matches!(missing, Err(ApiError::NoFile { path }) if path.ends_with("gone/mod.rs")));
    let broken = Crate::read("lattice-x", &|_| Some("\nstruct 3;".to_owned()));
    let message = broken.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("line 2, is not understood"), "{message}");
}
