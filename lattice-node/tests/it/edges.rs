//! Every command of the program on stores whose fields are at their edges.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use lattice_backend::backend::{OpenOptions, StateBackend, Table, WriteTx};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{KvMachine, KvStore};
use lattice_logstore::{LogMachine, LogStore};
use lattice_meta::{Genesis, Hlc, Nonce, StoreId};
use lattice_registry::TypedStore;

/// How long a command may take.
const MOST: Duration = Duration::from_secs(30);
/// How long a command that follows a store runs before it is ended.
const FOLLOWED: Duration = Duration::from_millis(500);
/// Commands that end only with an interruption.
const FOLLOWING: [&str; 1] = ["watch"];

const CONTROLS: &str = "\u{1b}[2J\r\n\t\u{202e}\u{0}\u{7f}end";

/// A data directory with one store, and the store's id.
struct Store {
    name: &'static str,
    dir: tempfile::TempDir,
    id: StoreId,
}

impl Store {
    fn file(&self) -> PathBuf {
        let id = self.id.to_string();
        self.dir.path().join("stores").join(id).join("state.db")
    }

    fn new(name: &'static str, kv: bool, created: u64) -> Self {
        let store_type = match kv {
            true => lattice_kvstore::store_type(),
            false => lattice_logstore::store_type(),
        };
        let created = Hlc::from_u64(created);
        let nonce = Nonce::from_bytes([0xff; 16]);
        let genesis = Genesis::new(store_type, secret().public(), nonce, created, None);
        let dir = tempfile::tempdir().unwrap();
        let id = genesis.store_id();
        let store = Self { name, dir, id };
        fs::create_dir_all(store.file().parent().unwrap()).unwrap();
        let backend = RedbBackend::on_files();
        match kv {
            true => Engine::create(&backend, &store.file(), &genesis, &KvMachine::new()),
            false => Engine::create(&backend, &store.file(), &genesis, &LogMachine::new()),
        }
        .unwrap();
        store
    }

    fn request(&self, now_ms: u64) -> OpenRequest {
        let mut request = OpenRequest::new(Arc::new(RedbBackend::on_files()), self.file());
        request.clock = Arc::new(ManualClock::new(now_ms));
        request.identity(Arc::new(secret()))
    }

    fn with_keys(self, now_ms: u64) -> Self {
        let engine = Engine::open(self.request(now_ms), KvMachine::new()).unwrap();
        let kv = KvStore::from_engine(engine);
        kv.put("a", "value").unwrap();
        kv.put(CONTROLS, CONTROLS).unwrap();
        kv.put(vec![0xff; 4096], "").unwrap();
        kv.put("long", vec![0; 300_000]).unwrap();
        kv.delete("a").unwrap();
        kv.close().unwrap();
        self
    }

    fn with_entries(self, now_ms: u64) -> Self {
        let engine = Engine::open(self.request(now_ms), LogMachine::new()).unwrap();
        let log = LogStore::from_engine(engine);
        log.append("").unwrap();
        log.append_many([CONTROLS.as_bytes().to_vec(), vec![0xff; 100_000]])
            .unwrap();
        log.close().unwrap();
        self
    }

    fn edited(self, edit: impl Fn(&mut dyn WriteTx)) -> Self {
        let backend = RedbBackend::on_files();
        let db = backend
            .open(&self.file(), &OpenOptions::read_write())
            .unwrap();
        let mut tx = db.begin_write().unwrap();
        edit(&mut *tx);
        tx.commit().unwrap().wait().unwrap();
        db.close().unwrap();
        self
    }
}

fn secret() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

/// Sets one of the numbers of the ledger: applied, indexed, clock, elements.
fn ledger(tx: &mut dyn WriteTx, place: usize, number: u64) {
    let mut row = tx.get(Table::System, b"ledger").unwrap().unwrap();
    row[place * 8..place * 8 + 8].copy_from_slice(&number.to_le_bytes());
    tx.put(Table::System, b"ledger", &row).unwrap();
}

fn stores() -> Vec<Store> {
    let now = 1_700_000_000_000;
    let kv = |name, created| Store::new(name, true, created);
    let schema = |version: u64| {
        move |tx: &mut dyn WriteTx| {
            tx.put(Table::Meta, b"schema_version", &version.to_le_bytes())
                .unwrap();
        }
    };
    let mut all = vec![
        kv("empty, created at 0", 0),
        kv("empty, created at the end of time", u64::MAX),
        kv("keys at 0", 0).with_keys(0),
        kv("keys at the end of time", u64::MAX).with_keys(Hlc::MAX_MS),
        kv("keys after the year 9999", now << 16).with_keys(253_402_300_800_000),
        Store::new("entries at 0", false, 0).with_entries(0),
        Store::new("entries at the end of time", false, u64::MAX).with_entries(Hlc::MAX_MS),
        kv("schema 0", 0).with_keys(now).edited(schema(0)),
        kv("the last schema", 0)
            .with_keys(now)
            .edited(schema(u64::MAX)),
        kv("unknown rows", 0).with_keys(now).edited(|tx| {
            for table in Table::ALL {
                tx.put(table, b"unknown \x1b[2J", CONTROLS.as_bytes())
                    .unwrap();
            }
        }),
        kv("other logic", 0).with_keys(now).edited(|tx| {
            tx.put(Table::System, b"logic", &[b'x'; 64]).unwrap();
        }),
    ];
    for place in 0..4 {
        let name = ["applied", "indexed", "clock", "elements"][place];
        let edited = |tx: &mut dyn WriteTx| ledger(tx, place, u64::MAX);
        all.push(kv(name, 0).with_keys(now).edited(edited));
        let edited = |tx: &mut dyn WriteTx| ledger(tx, place, 0);
        all.push(kv(name, 1).with_keys(now).edited(edited));
    }
    let forged = |tx: &mut dyn WriteTx| {
        ledger(tx, 0, u64::MAX);
        ledger(tx, 1, u64::MAX);
    };
    all.push(kv("applied and indexed", 0).with_keys(now).edited(forged));
    all
}

/// The words of each command and its usage, from the program's own help.
fn commands() -> Vec<(Vec<String>, String)> {
    let reference = lattice_node::program::reference();
    let sections = reference.split("\n## lattice ").flat_map(|section| {
        let (name, _) = section.split_once('\n').unwrap();
        let parts: Vec<_> = section.split("\n### lattice ").collect();
        match &parts[..] {
            [only] => vec![(name.to_owned(), (*only).to_owned())],
            [_, parts @ ..] => parts
                .iter()
                .map(|part| {
                    let (name, _) = part.split_once('\n').unwrap();
                    (name.to_owned(), (*part).to_owned())
                })
                .collect(),
            [] => Vec::new(),
        }
    });
    sections
        .skip(1)
        .map(|(name, help)| {
            let words = name.split(' ').map(str::to_owned).collect();
            let usage = help.lines().find(|line| line.starts_with("Usage: "));
            (words, usage.unwrap_or("").to_owned())
        })
        .collect()
}

/// Something for each argument that the usage names, also for an argument with a new name.
fn arguments(usage: &str, store: &str, dir: &Path) -> Vec<String> {
    let names = usage.split(' ').filter_map(|word| {
        let word = word.trim_end_matches("...");
        let word = word
            .trim_start_matches(['<', '['])
            .trim_end_matches(['>', ']']);
        let is_name = word
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '_');
        (is_name && !matches!(word, "" | "OPTIONS" | "COMMAND")).then_some(word)
    });
    names
        .map(|name| match name {
            "STORE" | "WHAT" | "REGISTRY" => store.to_owned(),
            "FILE" => dir.join("file").display().to_string(),
            "TYPE" => "core:kvstore".into(),
            "ALIAS" => "name".into(),
            _ => "a".into(),
        })
        .collect()
}

fn copy(store: &Store) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("stores").join(store.id.to_string());
    fs::create_dir_all(&to).unwrap();
    fs::copy(store.file(), to.join("state.db")).unwrap();
    dir
}

/// Runs a command; returns its exit code, unless it was ended, and what it printed.
fn run(dir: &Path, words: &[impl AsRef<OsStr>], most: Duration) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .args(words)
        .env("LATTICE_DATA_DIR", dir)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (done, ended) = channel();
    let text = std::thread::scope(|scope| {
        // Both pipes are read at once: a full one would stop the command.
        let printed = scope.spawn(|| {
            let mut text = Vec::new();
            drop(out.read_to_end(&mut text));
            let _ = done.send(());
            text
        });
        let noted = scope.spawn(|| {
            let mut text = Vec::new();
            drop(errors.read_to_end(&mut text));
            text
        });
        let in_time = ended.recv_timeout(most).is_ok();
        if !in_time {
            child.kill().unwrap();
        }
        let texts = [noted.join().unwrap(), printed.join().unwrap()].concat();
        (in_time, String::from_utf8_lossy(&texts).into_owned())
    });
    let (in_time, text) = text;
    let status = child.wait().unwrap();
    (
        if in_time {
            status.code().or(Some(-1))
        } else {
            None
        },
        text,
    )
}

#[test]
fn every_command_ends_without_a_panic_on_stores_at_the_edges() {
    let commands = commands();
    assert!(commands.len() > 35, "{commands:?}");
    let mut wrong = Vec::new();
    let mut codes = std::collections::BTreeMap::<i32, u32>::new();
    for store in stores() {
        for (words, usage) in &commands {
            if words[0] == "tour" {
                continue;
            }
            for more in [&[][..], &["--json"]] {
                let dir = copy(&store);
                let mut all = words.clone();
                all.extend(arguments(usage, &store.id.to_string(), dir.path()));
                all.extend(more.iter().map(|word| (*word).to_owned()));
                if matches!(&*words[0], "destroy" | "restore") {
                    all.push("--yes".into());
                }
                let follows = FOLLOWING.contains(&&*words[0]);
                let most = if follows { FOLLOWED } else { MOST };
                let (code, text) = run(dir.path(), &all, most);
                *codes.entry(code.unwrap_or(-2)).or_default() += 1;
                let is_sound = matches!(code, Some(0..=6)) || (follows && code.is_none());
                let has_panicked = ["panicked", "internal error", "please report"]
                    .iter()
                    .any(|word| text.contains(word));
                if !is_sound || has_panicked {
                    wrong.push(format!("{}: {all:?}: {code:?} {text:.300}", store.name));
                }
            }
        }
    }
    eprintln!("exit codes: {codes:?}");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(codes[&0] > 200, "{codes:?}");
}

/// The ways to print a time, over the whole range of timestamps.
#[test]
fn times_after_the_year_9999_are_printed() {
    for store in [
        Store::new("keys", true, u64::MAX).with_keys(Hlc::MAX_MS),
        Store::new("entries", false, u64::MAX).with_entries(Hlc::MAX_MS),
    ] {
        let id = store.id.to_string();
        let printed = |words: &[&str]| {
            let all = [words, &[&id]].concat();
            let (code, text) = run(store.dir.path(), &all, MOST);
            assert_eq!(code, Some(0), "{all:?}: {text}");
            text
        };
        assert!(printed(&["info"]).contains("+10889-08-02T05:31:50.655Z"));
        for format in [&["history"][..], &["history", "--graph"]] {
            assert!(printed(format).contains("+10889-08-02T05:31:50.655Z"));
        }
        for format in ["dot", "mermaid"] {
            assert!(printed(&["history", "--format", format]).contains("+10889-08-02"));
        }
        printed(&["verify"]);
    }
}
