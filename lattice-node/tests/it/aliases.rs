//! Names of stores.

use std::fs;

use lattice_meta::StoreId;
use lattice_node::{ALIASES_FILE, Alias, AliasError, Aliases, MAX_ALIAS_BYTES};

fn alias(text: &str) -> Alias {
    text.parse().unwrap()
}

fn id(byte: u8) -> StoreId {
    StoreId::from_bytes([byte; 16])
}

#[test]
fn names_that_are_not_valid_aliases_are_refused() {
    let longest = "x".repeat(MAX_ALIAS_BYTES);
    for good in [
        "fruit",
        "Früchte",
        "g",
        "a-b_c",
        "2024-log",
        "beefy",
        "feed",
        "cafe",
        "2024",
        "12-34",
        "my.store",
        "v1.",
        "_x",
        "フィード",
        "лента",
        "हिन्दी",
        "תוכן",
        &longest,
    ] {
        assert_eq!(alias(good).as_str(), good);
    }
    let too_long = "x".repeat(MAX_ALIAS_BYTES + 1);
    let bad = [
        "",
        ".",
        "..",
        ".hidden",
        "01010101-0101-8101-8101-010101010101",
        "01010101010181018101010101010101",
        "\u{301}e",
        "a\u{3164}b",
        "a\u{fe0f}",
        "a\u{200d}b",
        "a:b",
        "a/b",
        "../x",
        "-x",
        "a b",
        "a\nb",
        "\u{1b}[1m",
        "\0",
        &too_long,
    ];
    for bad in bad {
        let refused = bad.parse::<Alias>();
        assert!(matches!(refused, Err(AliasError::Form { .. })), "{bad:?}");
    }
}

#[test]
fn names_that_look_the_same_are_one_name() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    assert_eq!(alias(decomposed).as_str(), composed);
    let dir = tempfile::tempdir().unwrap();
    Aliases::set(dir.path(), &alias(decomposed), id(1)).unwrap();
    let aliases = Aliases::load(dir.path()).unwrap();
    assert_eq!(aliases.store(composed), Some(id(1)));
    assert_eq!(aliases.store(decomposed), Some(id(1)));
    // 64 bytes composed, 96 decomposed.
    assert!("e\u{301}".repeat(32).parse::<Alias>().is_ok());
    assert!("e\u{301}".repeat(33).parse::<Alias>().is_err());
}

#[test]
fn aliases_are_stored_and_each_names_one_store() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Aliases::load(dir.path()).unwrap(), Aliases::none());
    Aliases::set(dir.path(), &alias("fruit"), id(1)).unwrap();
    Aliases::set(dir.path(), &alias("obst"), id(1)).unwrap();
    Aliases::set(dir.path(), &alias("events"), id(2)).unwrap();
    Aliases::set(dir.path(), &alias("events"), id(2)).unwrap();
    let taken = Aliases::set(dir.path(), &alias("events"), id(1));
    assert!(matches!(taken, Err(AliasError::Taken { store_id, .. }) if store_id == id(2)));
    let aliases = Aliases::load(dir.path()).unwrap();
    let all: Vec<_> = aliases
        .iter()
        .map(|(name, id)| (name.as_str(), id))
        .collect();
    assert_eq!(all, [("events", id(2)), ("fruit", id(1)), ("obst", id(1))]);
    assert_eq!(aliases.alias_of(id(1)), Some(&alias("fruit")));
    assert_eq!(aliases.store("obst"), Some(id(1)));
    assert_eq!(aliases.store("nuts"), None);
    assert_eq!(Aliases::remove(dir.path(), &alias("fruit")).unwrap(), id(1));
    let gone = Aliases::remove(dir.path(), &alias("fruit"));
    assert!(matches!(gone, Err(AliasError::NotFound { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn all_aliases_of_a_store_move_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for (name, byte) in [("obst", 1), ("fruit", 1), ("events", 2)] {
        Aliases::set(dir.path(), &alias(name), id(byte)).unwrap();
    }
    let moved = Aliases::move_all(dir.path(), id(1), id(3)).unwrap();
    assert_eq!(moved, [alias("fruit"), alias("obst")]);
    let aliases = Aliases::load(dir.path()).unwrap();
    let named = ["fruit", "obst", "events"].map(|name| aliases.store(name));
    assert_eq!(named, [3, 3, 2].map(|byte| Some(id(byte))));
    assert_eq!(Aliases::move_all(dir.path(), id(1), id(3)).unwrap(), []);
}

/// These bytes are frozen.
#[test]
fn the_format_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    Aliases::set(dir.path(), &alias("fruit"), id(1)).unwrap();
    Aliases::set(dir.path(), &alias("früh"), id(2)).unwrap();
    let text = fs::read_to_string(dir.path().join(ALIASES_FILE)).unwrap();
    let expected = "# Names of stores, for people. Losing this file loses no data.\n[aliases]\n\
                    fruit = \"01010101-0101-0101-0101-010101010101\"\n\
                    \"früh\" = \"02020202-0202-0202-0202-020202020202\"\n";
    assert_eq!(text, expected);
}

#[test]
fn an_invalid_alias_file_is_an_error_and_is_unchanged() {
    for text in [
        "aliases = 1",
        "[aliases]\nfruit = \"no id\"",
        "[aliases]\n\".x\" = \"01010101-0101-0101-0101-010101010101\"",
        "[aliases]\n[more]",
        "\u{1b}",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ALIASES_FILE);
        fs::write(&path, text).unwrap();
        let refused = Aliases::load(dir.path());
        assert!(
            matches!(refused, Err(AliasError::NotAliases { .. })),
            "{text:?}"
        );
        Aliases::set(dir.path(), &alias("x"), id(1)).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn concurrent_changes_of_aliases_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let dir = dir.path();
            scope.spawn(move || {
                for nth in 0..10 {
                    let name = format!("name-{thread}-{nth}");
                    Aliases::set(dir, &alias(&name), id(thread)).unwrap();
                }
            });
        }
    });
    assert_eq!(Aliases::load(dir.path()).unwrap().iter().count(), 80);
}
