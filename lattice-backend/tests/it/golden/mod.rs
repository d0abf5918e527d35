//! The committed bytes of ops and state hashes, made by an independent implementation
//! (`tests/golden/generate.py`), and published vectors of other projects.

pub(crate) mod journal;
mod machine;
mod ops;
mod state;
mod tables;

use std::collections::BTreeMap;

use lattice_backend::op::{OpHasher, OpRef};
use lattice_meta::{Genesis, GenesisHash, OpId, PubKey};

/// A byte string of a line; `None` where the file has `none`.
type Word = Option<Vec<u8>>;

fn read(file: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a golden file: a name and its byte strings.
fn lines(file: &str) -> Vec<(String, Vec<Word>)> {
    let text = String::from_utf8(read(file)).unwrap();
    text.lines().map(line).collect()
}

/// A line: a name and its byte strings.
fn line(line: &str) -> (String, Vec<Word>) {
    let word = |word: &str| match word {
        "none" => None,
        "empty" => Some(Vec::new()),
        digits => Some(data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()),
    };
    let mut words = line.split(' ');
    (words.next().unwrap().to_owned(), words.map(word).collect())
}

/// The lines of a golden file, grouped by name.
struct Fields(BTreeMap<String, Vec<Vec<Word>>>);

impl Fields {
    fn read(file: &str) -> Self {
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for (name, words) in lines(file) {
            fields.entry(name).or_default().push(words);
        }
        Self(fields)
    }

    fn bytes(&self, name: &str) -> &[u8] {
        match self.0[name].as_slice() {
            [words] => words[0].as_deref().unwrap(),
            several => panic!("{} lines of {name}", several.len()),
        }
    }

    fn number(&self, name: &str) -> u64 {
        u64::from_le_bytes(self.bytes(name).try_into().unwrap())
    }
}

fn genesis(name: &str) -> GenesisHash {
    Genesis::decode(Fields::read("op_stores.txt").bytes(name))
        .unwrap()
        .hash()
}

fn hasher() -> OpHasher {
    OpHasher::new(&genesis("genesis"))
}

fn op_ref(words: &[Word]) -> OpRef {
    let [Some(author), Some(seq), Some(id)] = words else {
        panic!("a dep has three parts")
    };
    OpRef {
        author: PubKey::from_slice(author).unwrap(),
        seq: u64::from_le_bytes(seq.as_slice().try_into().unwrap()),
        id: OpId::from_slice(id).unwrap(),
    }
}

#[test]
fn golden_stores() {
    let stores = Fields::read("op_stores.txt");
    assert_eq!(genesis("genesis").as_bytes(), stores.bytes("genesis_hash"));
    assert_eq!(hasher().store_id().as_bytes(), stores.bytes("store_id"));
    assert_ne!(genesis("genesis"), genesis("other_genesis"));
}
