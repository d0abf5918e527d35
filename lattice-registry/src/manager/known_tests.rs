//! Lines of `known.toml`.

use super::*;

fn mark(byte: u8, ops: u64) -> StoreMark {
    StoreMark {
        store_id: StoreId::from_bytes([byte; 16]),
        ops,
        newest: (ops > 0).then(|| OpId::from_slice(&[byte; 32]).unwrap()),
        state_hash: StateHash::from_bytes([byte; 32]),
    }
}

fn set(dir: &Path, key: &Key, mark: &StoreMark) {
    update(dir, |_, lines| lines.set(key, mark, How::Verified)).unwrap();
}

#[test]
fn an_entry_is_one_line_and_is_found_by_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert!(!Known::load(dir).unwrap().is_there());
    let keys = [
        Key::Store(StoreId::from_bytes([2; 16])),
        Key::Store(StoreId::from_bytes([1; 16])),
        Key::File("/a/\"quoted\" = { \\ line\nbreak/state.db".into()),
        Key::File("/a/stores/01010101-0101-0101-0101-010101010101".into()),
    ];
    for (byte, key) in (1..).zip(&keys) {
        let mark = match key {
            Key::Store(store_id) => StoreMark {
                store_id: *store_id,
                ..mark(byte, u64::from(byte) - 1)
            },
            Key::File(_) => mark(byte, u64::from(byte) - 1),
        };
        set(dir, key, &mark);
        assert_eq!(Known::load(dir).unwrap().mark(key), Some(mark), "{key:?}");
    }
    let text = fs::read_to_string(dir.join(KNOWN_FILE)).unwrap();
    // Two lines of comment, two headers, four entries.
    assert_eq!(text.lines().count(), 8, "{text}");
    let is_sorted = text.find("0101-").unwrap() < text.find("0202-").unwrap();
    assert!(is_sorted, "{text}");
    update(dir, |_, lines| lines.remove(&keys[0])).unwrap();
    let known = Known::load(dir).unwrap();
    assert_eq!(known.mark(&keys[0]), None);
    assert!(known.mark(&keys[1]).is_some() && known.mark(&keys[2]).is_some());
}

#[test]
fn a_line_that_cannot_be_read_vouches_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, key) = (dir.path(), Key::Store(StoreId::from_bytes([7; 16])));
    set(dir, &key, &mark(7, 3));
    let file = dir.join(KNOWN_FILE);
    let whole = fs::read_to_string(&file).unwrap();
    for (part, by) in [
        ("ops = 3", "ops = 0"),
        ("verified", "believed"),
        ("newest", "oldest"),
        (" }", ""),
    ] {
        let text = whole.replace(part, by);
        assert_ne!(text, whole);
        fs::write(&file, text).unwrap();
        assert_eq!(Known::load(dir).unwrap().mark(&key), None, "{part} -> {by}");
    }
}
