//! A disk that damages a store: what a user sees, command by command, until the data are back.
//!
//! By default a sample of the places is damaged. `LATTICE_DAMAGED_PLACES=100 cargo test -p
//! lattice-node --test it disk` damages so many places of each file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use lattice_node::{Access, KvStore, Node};
use serde_json::Value;

use crate::{copy_dir, lattice, printed, state_db};

const PLACES: &str = "LATTICE_DAMAGED_PLACES";
const KEYS: u32 = 300;

type Rows = BTreeMap<String, String>;

/// A damage of some bytes.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Bit,
    Zeros,
    Page,
}

impl Damage {
    fn of(nth: usize) -> Self {
        [Self::Bit, Self::Zeros, Self::Page][nth % 3]
    }

    fn does(self, bytes: &mut [u8], at: usize) {
        let range = match self {
            Self::Bit => return bytes[at] ^= 0x10,
            Self::Zeros => at..(at + 64).min(bytes.len()),
            Self::Page => {
                let page = at / 4096 * 4096;
                page..(page + 4096).min(bytes.len())
            }
        };
        bytes[range].fill(0);
    }
}

/// How the data came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// No command finds anything, and nothing is lost.
    Harmless,
    /// The last write before the crash is gone, as if it had not returned.
    OneBack,
    Rebuilt,
    /// Rebuilt without what only the journal had.
    GivenUp,
    Restored,
}

/// A data directory whose store is damaged again and again, with backups of the store.
struct Home {
    dir: tempfile::TempDir,
    id: String,
    /// The store's rows when it was backed up, and later.
    backed_up: Rows,
    rows: Rows,
    /// The states that its history has been through since then, in order.
    states: Vec<Rows>,
    whole: PathBuf,
}

fn value_of(nth: u32) -> String {
    format!("value {nth} ").repeat(usize::try_from(nth % 7).unwrap() + 1)
}

fn rows(dir: &Path) -> Rows {
    parse(&printed(dir, &["export", "kv"]))
}

fn parse(text: &str) -> Rows {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("key"), text("value"))
    };
    text.lines().map(row).collect()
}

impl Home {
    /// A store with a few hundred keys and two backups. Its last writer has closed it, or was
    /// killed and left a journal.
    fn new(is_crashed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (live, whole) = (dir.path().join("live"), dir.path().join("whole"));
        let id = printed(&live, &["create", "core:kvstore", "--alias", "kv"]);
        let row = |nth: u32| {
            format!(
                "{{\"key\":\"key {nth:03}\",\"value\":\"{}\"}}\n",
                value_of(nth)
            )
        };
        let file = dir.path().join("rows.jsonl");
        fs::write(&file, (0..KEYS).map(row).collect::<String>()).unwrap();
        printed(
            &live,
            &["import", "kv", file.to_str().unwrap(), "--batch", "25"],
        );
        printed(
            &live,
            &["backup", "kv", dir.path().join("full.db").to_str().unwrap()],
        );
        printed(&live, &["put", "kv", "key 000", "later"]);
        let [full, inc] = ["full.db", "later.inc"].map(|name| dir.path().join(name));
        let words = [inc.to_str().unwrap(), "--since", full.to_str().unwrap()];
        printed(&live, &[&["backup", "kv"], &words[..]].concat());
        let backed_up = rows(&live);
        let mut states = vec![backed_up.clone()];
        let mut rows = backed_up.clone();
        {
            let node = Node::open(&live).unwrap();
            let id = id.trim().parse().unwrap();
            let kv: KvStore = node.open_as(id, Access::ReadWrite).unwrap();
            for nth in 0..40_u32 {
                let (key, value) = (format!("key {:03}", nth * 7), format!("last {nth}"));
                kv.put(&key, &value).unwrap();
                rows.insert(key, value);
                states.push(rows.clone());
            }
            if is_crashed {
                copy_dir(&live, &whole);
            }
            node.manager().close_all().unwrap();
        }
        if !is_crashed {
            fs::rename(&live, &whole).unwrap();
        }
        let id = id.trim().to_owned();
        Self {
            dir,
            id,
            backed_up,
            rows,
            states,
            whole,
        }
    }

    /// The data directory with the damaged file.
    fn damaged(&self) -> PathBuf {
        self.dir.path().join("damaged")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command of which every end is accounted for; returns its output and its exit code.
    fn run(&self, words: &[&str]) -> (Output, i32) {
        let output = lattice(&self.damaged(), words);
        let said = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 3 | 4)),
            "{words:?}: {code:?}: {said}"
        );
        for text in ["panicked", "internal error"] {
            assert!(!said.contains(text), "{words:?}: {said}");
        }
        (output, code.unwrap())
    }

    /// Damages a file of the store, and walks from command to command.
    fn walk(&self, name: &str, damage: Damage, at: usize) -> Way {
        let _ = fs::remove_dir_all(self.damaged());
        copy_dir(&self.whole, &self.damaged());
        let file = state_db(&self.damaged(), &self.id).with_file_name(name);
        let mut bytes = fs::read(&file).unwrap();
        damage.does(&mut bytes, at);
        fs::write(&file, &bytes).unwrap();

        let (doctor, doctor_code) = self.run(&["doctor", "--full"]);
        let (verified, code) = self.run(&["verify", "kv"]);
        let said = String::from_utf8(verified.stderr).unwrap();
        assert_eq!(
            doctor_code == 0,
            code == 0,
            "doctor: {doctor:?}, verify: {said}"
        );
        if code == 0 {
            return self.unharmed();
        }
        let told = String::from_utf8(doctor.stdout).unwrap();
        assert!(told.contains("\n  lattice "), "no way on: {told}");
        // Each command names the next one.
        assert!(said.contains("`lattice re"), "no way on: {said}");
        if said.contains("`lattice rebuild ") {
            let (rebuilt, code) = self.run(&["rebuild", "kv"]);
            if code == 0 {
                printed(&self.damaged(), &["verify", "kv"]);
                let rows = rows(&self.damaged());
                assert!(self.states.contains(&rows), "rebuilt another state");
                let said = String::from_utf8(rebuilt.stderr).unwrap();
                let is_told = said.contains("writes that only it had are lost");
                assert_eq!(is_told, name.contains("journal"), "{said}");
                return match rows == self.rows {
                    true => Way::Rebuilt,
                    false => Way::GivenUp,
                };
            }
            let said = String::from_utf8(rebuilt.stderr).unwrap();
            assert!(said.contains("`lattice restore "), "no way on: {said}");
        }
        self.salvage();
        let words = ["restore", &self.path("full.db"), &self.path("later.inc")];
        let (restored, code) = self.run(&[&words[..], &["--yes", "--alias", "kv"]].concat());
        assert_eq!(code, 0, "{restored:?}");
        printed(&self.damaged(), &["verify", "kv"]);
        assert!(rows(&self.damaged()) == self.backed_up);
        Way::Restored
    }

    fn unharmed(&self) -> Way {
        let rows = rows(&self.damaged());
        let mut states = self.states.iter().rev().take(2);
        assert!(
            states.any(|state| *state == rows),
            "writes are lost, and nothing is found"
        );
        // It can be written.
        printed(&self.damaged(), &["put", "kv", "new", "value"]);
        printed(&self.damaged(), &["verify", "kv"]);
        match rows == self.rows {
            true => Way::Harmless,
            false => Way::OneBack,
        }
    }

    /// What `salvage` takes for intact is right.
    fn salvage(&self) {
        let (salvaged, code) = self.run(&["salvage", "kv"]);
        let said = String::from_utf8(salvaged.stderr).unwrap();
        assert!(code == 0 || said.contains("`lattice "), "no way on: {said}");
        for line in String::from_utf8(salvaged.stdout).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            if row["doubt"].is_null() {
                let right = self.rows.get(row["key"].as_str().unwrap());
                assert_eq!(row["value"].as_str(), right.map(String::as_str), "{line}");
            }
        }
    }

    /// Damages places all over a file, and returns how often each way led to the data.
    fn walks(&self, name: &str, places: usize) -> BTreeMap<Way, usize> {
        let file = state_db(&self.whole, &self.id).with_file_name(name);
        let length = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        let mut ways = BTreeMap::new();
        for nth in 0..places {
            // Not at the same place of each page.
            let at = (length / places * nth + nth * 389 % 4096).min(length - 1);
            let way = self.walk(name, Damage::of(nth), at);
            *ways.entry(way).or_insert(0) += 1;
        }
        eprintln!("{name}, {places} of {length} bytes: {ways:?}");
        ways
    }
}

fn places(sample: usize) -> usize {
    std::env::var(PLACES).map_or(sample, |places| places.parse().unwrap())
}

#[test]
fn every_damage_of_a_closed_store_is_found_and_leads_to_the_data() {
    let ways = Home::new(false).walks("state.db", places(12));
    assert_eq!(
        (ways.get(&Way::OneBack), ways.get(&Way::GivenUp)),
        (None, None)
    );
    assert!(
        ways.contains_key(&Way::Restored) && ways.contains_key(&Way::Rebuilt),
        "{ways:?}"
    );
}

#[test]
fn every_damage_of_a_crashed_store_is_found_and_leads_to_the_data() {
    let home = Home::new(true);
    let dir = state_db(&home.whole, &home.id);
    for name in ["state.db", "state.db.journal-0", "state.db.journal-1"] {
        assert!(dir.with_file_name(name).exists(), "{name}");
        home.walks(name, places(6));
    }
}
