//! The journals of `tests/golden/journal_cases.txt`, and the structures of `journal.txt`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Word, lines};

/// A journal, and what opening it must find.
#[derive(Debug, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) verdict: String,
    /// The row `journal` of `system`.
    pub(crate) row: Option<Vec<u8>>,
    pub(crate) segments: [Option<Vec<u8>>; 2],
    pub(crate) end: Option<End>,
    /// The table's byte, key and value of each changed row.
    pub(crate) changes: Vec<(u8, Vec<u8>, Option<Vec<u8>>)>,
}

/// Where the chain of records ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    pub(crate) chain: [u8; 16],
}

const VERDICTS: [&str; 8] = [
    "recovered",
    "damaged_later",
    "damaged_prev",
    "damaged_rows",
    "damaged_published",
    "missing",
    "no_session",
    "bad_row",
];

fn number(word: &Word) -> u64 {
    let bytes = word.as_deref().expect("a number");
    u64::from_le_bytes(bytes.try_into().expect("a number has 8 bytes"))
}

/// A file that is zero outside of the given parts.
fn segment(words: &[Word]) -> Option<Vec<u8>> {
    let (length, parts) = words.split_first().expect("a length");
    length.as_ref()?;
    let mut bytes = vec![0; usize::try_from(number(length)).unwrap()];
    for part in parts.chunks_exact(2) {
        let start = usize::try_from(number(&part[0])).unwrap();
        let content = part[1].as_deref().expect("bytes");
        bytes[start..start + content.len()].copy_from_slice(content);
    }
    Some(bytes)
}

/// All cases, in the order of the file.
pub(crate) fn cases() -> Vec<Case> {
    let text = String::from_utf8(super::read("journal_cases.txt")).unwrap();
    let mut cases = Vec::<Case>::new();
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("case ") {
            let (name, verdict) = names.split_once(' ').expect("a name and a verdict");
            cases.push(Case {
                name: name.to_owned(),
                verdict: verdict.to_owned(),
                ..Case::default()
            });
            continue;
        }
        let (name, words) = super::line(line);
        let case = cases.last_mut().expect("a case comes first");
        match name.as_str() {
            "row" => case.row.clone_from(&words[0]),
            "segment_0" => case.segments[0] = segment(&words),
            "segment_1" => case.segments[1] = segment(&words),
            "end" => {
                case.end = Some(End {
                    generation: number(&words[0]),
                    offset: number(&words[1]),
                    seq: number(&words[2]),
                    chain: words[3].as_deref().unwrap().try_into().unwrap(),
                });
            }
            "change" => {
                let [Some(table), Some(key), value] = words.as_slice() else {
                    panic!("a change has a table, a key and a value")
                };
                case.changes.push((table[0], key.clone(), value.clone()));
            }
            other => panic!("a line of an unknown name: {other}"),
        }
    }
    cases
}

/// A program that reads the cases reads all of them: each verdict occurs, and a case that has an
/// end has files that reach it.
#[test]
fn golden_journal_cases_are_complete() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names.len(), cases.len(), "each name is given once");
    let mut count = BTreeMap::<&str, usize>::new();
    for case in &cases {
        *count.entry(&case.verdict).or_default() += 1;
        let is_walked = case.verdict == "recovered" || case.verdict.starts_with("damaged");
        assert_eq!(case.end.is_some(), is_walked, "{}", case.name);
        let Some(end) = &case.end else {
            assert!(case.changes.is_empty(), "{}", case.name);
            continue;
        };
        let row = case.row.as_deref().expect("a session has a row");
        assert_eq!((row.len(), row[1]), (56, 1), "{}", case.name);
        let folded = u64::from_le_bytes(row[24..32].try_into().unwrap());
        assert!((folded + 1..=folded + 2).contains(&end.generation));
        let file = usize::try_from(end.generation % 2).unwrap();
        let segment = case.segments[file].as_deref().expect("the file of the end");
        let end_at = usize::try_from(end.offset).unwrap();
        assert!(end_at >= 12288 && end_at <= segment.len() && end_at % 16 == 0);
        let keys = case.changes.iter().map(|(table, key, _)| (*table, key));
        assert!(keys.is_sorted_by(|a, b| a < b), "{}", case.name);
    }
    let known: BTreeSet<&str> = VERDICTS.into();
    assert_eq!(count.keys().copied().collect::<BTreeSet<_>>(), known);
    assert!(count["recovered"] > 40 && cases.len() > 110, "{count:?}");
}

/// The keys and checksums of the structures, computed with the hash function alone.
#[test]
fn golden_journal_structures() {
    let lines = lines("journal.txt");
    let of = |name: &str| -> Vec<Vec<&[u8]>> {
        lines
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, words)| words.iter().map(|word| word.as_deref().unwrap()).collect())
            .collect()
    };
    let first = |name: &str| of(name)[0][0];
    let key = blake3::derive_key("lattice journal v1", first("salt"));
    assert_eq!(key, first("key"));
    let keyed = |bytes: &[u8]| *blake3::keyed_hash(&key, bytes).as_bytes();
    for words in of("header") {
        let header = words.last().unwrap();
        let (content, check) = header.split_at(48);
        assert_eq!(&blake3::hash(content).as_bytes()[..16], check);
    }
    for words in of("published") {
        let (content, check) = words.last().unwrap().split_at(56);
        assert_eq!(&blake3::hash(content).as_bytes()[..8], check);
    }
    for words in of("record") {
        let (record, chain) = (words[3], words[4]);
        assert_eq!(
            record[..4],
            u32::try_from(record.len()).unwrap().to_le_bytes()
        );
        assert_eq!(
            [&record[8..16], &record[16..24], &record[24..40]],
            words[..3]
        );
        assert_eq!(keyed(&record[64..])[..16], record[40..56]);
        assert_eq!(keyed(&record[..56])[..8], record[56..64]);
        assert_eq!(&keyed(&record[..64])[..16], chain);
    }
    let direct = &of("direct")[0];
    let hashed = [b"direct", direct[0], direct[1], direct[2]].concat();
    assert_eq!(&keyed(&hashed)[..16], direct[3]);
    assert_eq!((of("header").len(), of("record").len()), (5, 4));
}
