//! Compares scans from both ends with a map.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use lattice_backend::backend::{BackendError, Direction};
use lattice_kvstore::{KvStore, Scan};
use proptest::prelude::*;

use crate::support::replica::{On, Replica};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows(
    scan: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), BackendError>>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    scan.map(Result::unwrap).collect()
}

/// More rows than several pages hold, some of them large, with keys that are prefixes of others.
fn filled(on: On) -> (KvStore, Map) {
    let replica = Replica::new(on);
    let kv = replica.kv.clone();
    let mut map = Map::new();
    for number in 0..2000_usize {
        let key = format!("{}{}", ["a", "ab", "b", "b\0"][number % 4], number / 4);
        let len = if number % 500 == 3 {
            100_000
        } else {
            number % 7
        };
        map.insert(key.into_bytes(), vec![7; len]);
    }
    map.extend([
        (b"\xff\xff".to_vec(), vec![1]),
        (b"\xff".to_vec(), vec![2]),
        (vec![0], vec![3]),
    ]);
    let mut batch = kv.batch();
    batch.extend(map.iter());
    batch.commit().unwrap();
    (kv, map)
}

#[test]
fn full_scans_return_every_row_once_in_both_directions() {
    for on in On::EACH {
        let (kv, map) = filled(on);
        let all: Vec<_> = map.clone().into_iter().collect();
        assert_eq!(rows(kv.iter().unwrap()), all);
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(rows(kv.iter().unwrap().rev()), backwards);
        let keys: Vec<_> = kv.iter().unwrap().keys().map(Result::unwrap).collect();
        assert_eq!(keys, map.into_keys().collect::<Vec<_>>());
        let snapshot = kv.snapshot().unwrap();
        let mut visited = Vec::new();
        let mut visit = |direction, most: usize| {
            visited.clear();
            let each = |key: &[u8], value: &[u8]| {
                visited.push((key.to_vec(), value.to_vec()));
                match visited.len() < most {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            snapshot.visit::<&[u8]>(.., direction, each).unwrap();
            visited.clone()
        };
        assert_eq!(visit(Direction::Forward, usize::MAX), all);
        assert_eq!(visit(Direction::Backward, usize::MAX), backwards);
        assert_eq!(visit(Direction::Backward, 3), backwards[..3]);
    }
}

#[test]
fn prefixes_and_limits() {
    for on in On::EACH {
        let (kv, map) = filled(on);
        for prefix in [
            &b""[..],
            b"a",
            b"ab",
            b"ab1",
            b"b\0",
            b"\0",
            b"\xff",
            b"\xff\xff",
            b"zzz",
        ] {
            let expected: Vec<_> = map
                .clone()
                .into_iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .collect();
            assert_eq!(rows(kv.prefix(prefix).unwrap()), expected);
            for limit in [0, 1, 15, 16, 17, 100] {
                let found = rows(kv.prefix(prefix).unwrap().take(limit));
                assert_eq!(found, expected[..limit.min(expected.len())]);
                let found = rows(kv.prefix(prefix).unwrap().rev().take(limit));
                let last: Vec<_> = expected.iter().rev().take(limit).cloned().collect();
                assert_eq!(found, last);
            }
        }
    }
}

#[test]
fn empty_and_reversed_ranges_return_nothing() {
    for on in On::EACH {
        let replica = Replica::new(on);
        let kv = replica.kv.clone();
        assert_eq!(kv.iter().unwrap().count(), 0);
        kv.batch().put("a", "1").put("b", "2").commit().unwrap();
        assert_eq!(rows(kv.scan("b".."a").unwrap()), []);
        assert_eq!(rows(kv.scan("a".."a").unwrap()), []);
        assert_eq!(rows(kv.scan("b"..="a").unwrap().rev()), []);
        assert_eq!(rows(kv.scan("a"..="a").unwrap()).len(), 1);
        assert_eq!(rows(kv.scan(..="a").unwrap()).len(), 1);
        let behind = (Bound::Excluded("a"), Bound::Unbounded);
        assert_eq!(
            rows(kv.scan::<&str>(behind).unwrap()),
            [(b"b".to_vec(), b"2".to_vec())]
        );
        let none = (Bound::Excluded("a"), Bound::Excluded("b"));
        assert_eq!(rows(kv.scan::<&str>(none).unwrap()), []);
    }
}

#[test]
fn a_finished_scan_stays_finished() {
    let replica = Replica::new(On::Memory);
    let kv = replica.kv.clone();
    kv.put("a", "1").unwrap();
    let mut scan = kv.iter().unwrap();
    assert!(scan.next().is_some() && scan.next().is_none() && scan.next_back().is_none());
    assert!(scan.next().is_none());
}

fn step(scan: &mut Scan, back: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    if back { scan.next_back() } else { scan.next() }.map(Result::unwrap)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Both ends alternating, by any pattern, over any range: each row once, in the order of a map.
    #[test]
    fn scans_equal_those_of_a_map(
        keys in proptest::collection::btree_set(proptest::collection::vec(0..4_u8, 1..5), 0..120),
        start in proptest::collection::vec(0..4_u8, 0..4),
        end in proptest::collection::vec(0..4_u8, 0..4),
        kinds in (0..3, 0..3),
        pattern in proptest::collection::vec(any::<bool>(), 1..40),
    ) {
        let replica = Replica::new(On::Memory);
        let kv = replica.kv.clone();
        let map: Map = keys.into_iter().map(|key| (key.clone(), key)).collect();
        if !map.is_empty() {
            let mut batch = kv.batch();
            batch.extend(map.iter());
            batch.commit().unwrap();
        }
        let bound = |kind, key: &Vec<u8>| match kind {
            0 => Bound::Unbounded,
            1 => Bound::Included(key.clone()),
            _ => Bound::Excluded(key.clone()),
        };
        let range = (bound(kinds.0, &start), bound(kinds.1, &end));
        let within = |key: &Vec<u8>| std::ops::RangeBounds::contains(&range, key);
        let rows: Vec<_> = map.iter().filter(|(key, _)| within(key)).collect();
        let mut expected = rows.into_iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut scan = kv.scan::<Vec<u8>>(range.clone()).unwrap();
        for back in pattern.iter().cycle().take(2 * map.len() + 2) {
            let from_map = if *back { expected.next_back() } else { expected.next() };
            prop_assert_eq!(step(&mut scan, *back), from_map);
        }
    }
}

#[test]
fn a_prefix_and_a_range_narrow_each_other() {
    let (kv, map) = filled(On::Memory);
    let snapshot = kv.snapshot().unwrap();
    let keys: [&[u8]; 9] = [
        b"",
        b"a",
        b"ab",
        b"ab1",
        b"ab2",
        b"abz",
        b"b",
        b"\xff",
        b"\xff\xff",
    ];
    let bounds: Vec<Bound<Vec<u8>>> = keys
        .iter()
        .flat_map(|key| [Bound::Included(key.to_vec()), Bound::Excluded(key.to_vec())])
        .chain([Bound::Unbounded])
        .collect();
    for prefix in [&b""[..], b"a", b"ab1", b"\xff"] {
        for start in &bounds {
            for end in &bounds {
                let within = |key: &Vec<u8>| {
                    let after = match start {
                        Bound::Included(start) => key >= start,
                        Bound::Excluded(start) => key > start,
                        Bound::Unbounded => true,
                    };
                    let before = match end {
                        Bound::Included(end) => key <= end,
                        Bound::Excluded(end) => key < end,
                        Bound::Unbounded => true,
                    };
                    after && before && key.starts_with(prefix)
                };
                let expected: Vec<_> = map.keys().filter(|key| within(key)).cloned().collect();
                let scan = snapshot.scan_prefix(prefix, (start.clone(), end.clone()));
                let found: Vec<_> = scan.keys().map(Result::unwrap).collect();
                assert!(found == expected, "{prefix:?} {start:?} {end:?}");
            }
        }
    }
}
