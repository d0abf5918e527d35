//! The grammar of store types.

use lattice_meta::{MAX_STORE_TYPE_BYTES, StoreType, StoreTypeError};
use proptest::prelude::*;

fn refusal(text: impl AsRef<[u8]>) -> StoreTypeError {
    let text = text.as_ref();
    StoreType::from_bytes(text).expect_err(&format!("{:?} was accepted", text.escape_ascii()))
}

#[test]
fn names_of_the_design_are_accepted() {
    for text in [
        "core:kvstore",
        "core:logstore",
        "org.example.chat",
        "my.app.v2",
        "acme.tools:board",
    ] {
        let parsed = StoreType::new(text).unwrap();
        assert_eq!(parsed.as_str(), text);
        assert_eq!(parsed.to_string(), text);
        assert_eq!(text.parse::<StoreType>().unwrap(), parsed);
        assert_eq!(StoreType::try_from(text.to_owned()).unwrap(), parsed);
        assert_eq!(StoreType::from_bytes(text.as_bytes()).unwrap(), parsed);
    }
}

#[test]
fn edges_of_the_grammar_are_accepted() {
    for text in [
        "a.b",
        "a:b",
        "0.0",
        "a-.b_",
        "a--b.c__d",
        "a:b.c",
        "a.b:c.d",
        "9z.z9",
    ] {
        assert!(StoreType::new(text).is_ok(), "{text} was refused");
    }
}

#[test]
fn only_core_with_a_colon_is_reserved() {
    for (text, core) in [
        ("core:kvstore", true),
        ("core.kvstore", false),
        ("core-:x", false),
        ("hardcore:x", false),
    ] {
        assert_eq!(StoreType::new(text).unwrap().is_core(), core, "{text}");
    }
}

/// A constant has the same grammar, and is equal to a name that was parsed.
#[test]
fn store_types_can_be_constants() {
    use std::collections::HashSet;
    use std::panic::catch_unwind;

    for text in [
        "a.b",
        "core:kvstore",
        "a-.b_",
        "ab",
        "a",
        "a..b",
        "a:b:c",
        "a.",
        "A.b",
        "a.ä",
    ] {
        let constant = catch_unwind(|| StoreType::constant(text));
        let parsed = StoreType::new(text);
        assert_eq!(constant.is_ok(), parsed.is_ok(), "{text}");
        if let (Ok(constant), Ok(parsed)) = (constant, parsed) {
            assert_eq!(constant, parsed);
            assert_eq!(constant.cmp(&parsed), std::cmp::Ordering::Equal);
            assert!(HashSet::from([constant]).contains(&parsed));
        }
    }
}

#[test]
fn length_is_3_to_128_bytes() {
    let longest = format!("a.{}", "b".repeat(MAX_STORE_TYPE_BYTES - 2));
    assert_eq!(longest.len(), 128);
    assert!(StoreType::new(&longest).is_ok());
    for (text, found) in [
        (String::new(), 0),
        ("ab".into(), 2),
        (format!("{longest}b"), 129),
    ] {
        assert_eq!(refusal(&text), StoreTypeError::Length { found });
        assert_eq!(StoreType::new(&text), Err(StoreTypeError::Length { found }));
    }
}

#[test]
fn one_segment_is_refused() {
    for text in ["abc", "kvstore", "a-b_c"] {
        assert_eq!(refusal(text), StoreTypeError::OneSegment);
    }
}

#[test]
fn a_character_outside_the_grammar_is_named_with_its_offset() {
    for (text, found, offset) in [
        ("Core:kvstore", 'C', 0),
        ("core:kvStore", 'S', 7),
        ("core:kv\0store", '\0', 7),
        ("core:kvstore\n", '\n', 12),
        ("core:\u{7f}kv", '\u{7f}', 5),
        ("core kvstore", ' ', 4),
        ("core/kvstore", '/', 4),
        ("core:kvstöre", 'ö', 9),
        ("cöre:K", 'ö', 1),
        ("core:ｋv", 'ｋ', 5),
        // Separators and marks where a segment has to begin.
        (".core", '.', 0),
        (":core", ':', 0),
        ("a..b", '.', 2),
        ("a.:b", ':', 2),
        ("a:.b", '.', 2),
        ("a::b", ':', 2),
        ("-a.b", '-', 0),
        ("a._b", '_', 2),
    ] {
        assert_eq!(
            refusal(text),
            StoreTypeError::Character { found, offset },
            "{text:?}"
        );
    }
}

#[test]
fn a_second_colon_is_refused() {
    assert_eq!(refusal("a:b:c"), StoreTypeError::SecondColon { offset: 3 });
    assert_eq!(
        refusal("a:b.c:d"),
        StoreTypeError::SecondColon { offset: 5 }
    );
    assert_eq!(refusal("a:b:"), StoreTypeError::SecondColon { offset: 3 });
}

#[test]
fn a_trailing_separator_is_refused() {
    for text in ["core:", "org.example.", "a:b."] {
        assert_eq!(refusal(text), StoreTypeError::TrailingSeparator, "{text}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for (bytes, offset) in [
        (&b"\xff\xfe\xfd"[..], 0),
        (b"core:kv\xc3", 7),
        (b"core:\xed\xa0\x80", 5),
    ] {
        assert_eq!(refusal(bytes), StoreTypeError::Encoding { offset });
    }
}

/// The grammar as a sentence, one clause a line, without the parser's single pass.
fn obeys_the_grammar(bytes: &[u8]) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'.' | b':');
    let segments: Vec<&[u8]> = bytes.split(is_separator).collect();
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=128).contains(&bytes.len())
        && bytes.iter().filter(|&&byte| byte == b':').count() <= 1
        && segments.len() >= 2
        && segments.iter().all(|segment| {
            segment.first().is_some_and(|&byte| first(byte))
                && segment
                    .iter()
                    .all(|&byte| first(byte) || matches!(byte, b'-' | b'_'))
        })
}

/// Store types: two to eight segments, one of the separators perhaps a colon.
fn store_types() -> impl Strategy<Value = String> {
    (
        prop::collection::vec("[a-z0-9][a-z0-9_-]{0,14}", 2..=8),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(segments, colon, has_colon)| {
            let colon = colon.index(segments.len() - 1) + 1;
            let mut text = segments[0].clone();
            for (place, segment) in segments.iter().enumerate().skip(1) {
                text.push(if has_colon && place == colon {
                    ':'
                } else {
                    '.'
                });
                text.push_str(segment);
            }
            text
        })
}

proptest! {
    #[test]
    fn every_generated_name_is_accepted(text in store_types()) {
        prop_assert!(obeys_the_grammar(text.as_bytes()));
        let parsed = StoreType::new(&text).unwrap();
        prop_assert_eq!(parsed.as_str(), text.as_str());
        prop_assert_eq!(StoreType::from_bytes(text.as_bytes()).unwrap(), parsed);
    }

    #[test]
    fn results_for_near_misses_agree_with_the_reference(text in "[ab0_.:A-]{0,9}") {
        prop_assert_eq!(StoreType::new(&text).is_ok(), obeys_the_grammar(text.as_bytes()), "{}", text);
    }

    #[test]
    fn results_for_long_names_agree_with_the_reference(text in "[a-z]{60,66}[.:][a-z]{58,66}") {
        prop_assert_eq!(StoreType::new(&text).is_ok(), obeys_the_grammar(text.as_bytes()), "{}", text);
    }

    #[test]
    fn results_for_any_text_agree_with_the_reference(text in any::<String>()) {
        prop_assert_eq!(StoreType::new(&text).is_ok(), obeys_the_grammar(text.as_bytes()));
    }

    #[test]
    fn results_for_mutated_names_agree_with_the_reference(
        text in store_types(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assert_eq!(StoreType::from_bytes(&bytes).is_ok(), obeys_the_grammar(&bytes));
    }

    #[test]
    fn types_sort_like_their_texts(a in store_types(), b in store_types()) {
        prop_assert_eq!(
            StoreType::new(&a).unwrap().cmp(&StoreType::new(&b).unwrap()),
            a.cmp(&b)
        );
    }
}
