//! Every command of the program on stores whose fields are at their edges.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lattice_backend::backend::{Table, WriteTx};
use lattice_backend::clock::ManualClock;
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_kvstore::{KvMachine, KvStore};
use lattice_logstore::{LogMachine, LogStore};
use lattice_meta::{Genesis, Hlc, Nonce, StoreId, StoreType};
use lattice_registry::TypedStore;

#[cfg(feature = "wasm")]
use crate::code::{CHAT, module};
use crate::damage::stores::Kind;
#[cfg(feature = "wasm")]
use crate::printed;
use crate::{copy_dir, edit, lattice, state_db};

/// How long a command may take.
const MOST: Duration = Duration::from_secs(30);
/// How long a command that follows a store runs before it is ended.
const FOLLOWED: Duration = Duration::from_millis(500);
/// Commands that end only with an interruption.
const FOLLOWING: [&str; 1] = ["watch"];
/// Commands that read no store. They run once.
const APART: [&str; 17] = [
    "tour",
    "types",
    "completions",
    "config",
    "shell",
    "help",
    "man",
    "alias remove",
    "code add",
    "code show",
    "code remove",
    "code trust",
    "code untrust",
    "code pin",
    "code unpin",
    "identity",
    "identity new",
];
/// How many commands run at a time. Most of them wait for the disk, or for their end.
const WORKERS: usize = 4;

const CONTROLS: &str = "\u{1b}[2J\r\n\t\u{202e}\u{0}\u{7f}end";

/// A data directory with one store, and the store's id.
pub(crate) struct Store {
    name: &'static str,
    pub(crate) dir: tempfile::TempDir,
    /// Files that commands take.
    files: tempfile::TempDir,
    pub(crate) id: StoreId,
    store_type: StoreType,
}

impl Store {
    fn file(&self) -> PathBuf {
        state_db(self.dir.path(), &self.id.to_string())
    }

    /// A store that is to be put into its place.
    fn placed(name: &'static str, store_type: StoreType, id: StoreId) -> Self {
        let store = Self {
            name,
            dir: tempfile::tempdir().unwrap(),
            files: tempfile::tempdir().unwrap(),
            id,
            store_type,
        };
        fs::create_dir_all(store.file().parent().unwrap()).unwrap();
        store
    }

    /// A method of the store's type that reads, and an argument of it.
    fn call(&self) -> [&str; 2] {
        match self.store_type.as_str() {
            lattice_kvstore::STORE_TYPE => ["get", "key=a"],
            lattice_logstore::STORE_TYPE => ["read", "limit:=1"],
            _ => ["read", "room=a"],
        }
    }

    pub(crate) fn new(name: &'static str, kv: bool, created: u64) -> Self {
        let store_type = match kv {
            true => lattice_kvstore::store_type(),
            false => lattice_logstore::store_type(),
        };
        let created = Hlc::from_u64(created);
        let nonce = Nonce::from_bytes([0xff; 16]);
        let owner = secret().public();
        let genesis = Genesis::new(store_type.clone(), owner, nonce, created, None);
        let store = Self::placed(name, store_type, genesis.store_id());
        let backend = RedbBackend::on_files();
        match kv {
            true => Engine::create(&backend, &store.file(), &genesis, &KvMachine::new()),
            false => Engine::create(&backend, &store.file(), &genesis, &LogMachine::new()),
        }
        .unwrap();
        store
    }

    /// Ops of two authors, merges, long values, and an author that has forked.
    fn with_forks(name: &'static str, kind: Kind) -> Self {
        let genesis = kind.genesis();
        let store = Self::placed(name, genesis.store_type().clone(), genesis.store_id());
        let [_, bytes] = kind.make();
        fs::write(store.file(), bytes).unwrap();
        store
    }

    /// A store of a module, which fails on an op of another version of the module.
    #[cfg(feature = "wasm")]
    fn with_held_ops(name: &'static str) -> Self {
        let theirs = tempfile::tempdir().unwrap();
        let theirs = theirs.path();
        printed(theirs, &["code", "add", &module("chat")]);
        let id = printed(theirs, &["create", CHAT]);
        let store = Self::placed(name, CHAT.parse().unwrap(), id.trim().parse().unwrap());
        fs::remove_dir(store.file().parent().unwrap()).unwrap();
        for text in ["text=a", "text=", "text=b"] {
            printed(theirs, &["call", id.trim(), "post", "room=a", text]);
        }
        let bundle = theirs.join("bundle").display().to_string();
        printed(theirs, &["bundle", "create", id.trim(), &bundle]);
        let ours = store.dir.path();
        printed(ours, &["code", "add", &module("chat_broken")]);
        let applied = lattice(ours, &["bundle", "apply", &bundle]);
        let noted = String::from_utf8(applied.stderr).unwrap();
        assert!(noted.contains("2 ops held"), "{noted}");
        store
    }

    fn request(&self, now_ms: u64) -> OpenRequest {
        let mut request = OpenRequest::new(Arc::new(RedbBackend::on_files()), self.file());
        request.clock = Arc::new(ManualClock::new(now_ms));
        request.identity(Arc::new(secret()))
    }

    pub(crate) fn with_keys(self, now_ms: u64) -> Self {
        let engine = Engine::open(self.request(now_ms), KvMachine::new()).unwrap();
        let kv = KvStore::from_engine(engine);
        kv.put("a", "value").unwrap();
        kv.put(CONTROLS, CONTROLS).unwrap();
        kv.put(vec![0xff; 4096], "").unwrap();
        kv.put("long", vec![0; 70_000]).unwrap();
        kv.delete("a").unwrap();
        kv.close().unwrap();
        self
    }

    fn with_entries(self, now_ms: u64) -> Self {
        let engine = Engine::open(self.request(now_ms), LogMachine::new()).unwrap();
        let log = LogStore::from_engine(engine);
        log.append("").unwrap();
        log.append_many([CONTROLS.as_bytes().to_vec(), vec![0xff; 70_000]])
            .unwrap();
        log.close().unwrap();
        self
    }

    fn edited(self, change: impl Fn(&mut dyn WriteTx)) -> Self {
        edit(&self.file(), change);
        self
    }

    pub(crate) fn with_files(self) -> Self {
        fs::copy(self.file(), self.files.path().join("copy.db")).unwrap();
        fs::write(self.files.path().join("rows.csv"), "key,value\na,b\n").unwrap();
        let command = "{\"put\":{\"key\":\"a\",\"value\":\"b\"}}\n";
        fs::write(self.files.path().join("commands.jsonl"), command).unwrap();
        let bundle = self.files.path().join("bundle").display().to_string();
        let words = ["bundle", "create", &self.id.to_string(), &bundle];
        if !lattice(self.dir.path(), &words).status.success() {
            // A damaged store is in no bundle.
            fs::write(&bundle, b"no bundle").unwrap();
        }
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
    all.push(Store::with_forks("forked keys", Kind::Kv));
    all.push(Store::with_forks("forked entries", Kind::Log));
    #[cfg(feature = "wasm")]
    all.push(Store::with_held_ops("held ops"));
    all.into_iter().map(Store::with_files).collect()
}

/// The words of a command line, with something for each value that it names.
pub(crate) fn words_of(line: &[String], store: &Store, dir: &Path) -> Vec<String> {
    let file = |name: &str| store.files.path().join(name).display().to_string();
    let word = |word: &String| {
        let Some(name) = word.strip_prefix('<') else {
            return word.clone();
        };
        match (name.trim_end_matches('>'), line[0].as_str()) {
            ("STORE" | "STORE|TYPE", _) => store.id.to_string(),
            ("TOPIC", _) => "stores".into(),
            ("METHOD", _) => store.call()[0].into(),
            ("NAME=VALUE", _) => store.call()[1].into(),
            ("PEER", _) => peer(store, dir),
            ("PEER/STORE", _) => format!("{}/{}", peer(store, dir), store.id),
            ("KEY", "code") => "00".repeat(32),
            ("KEY" | "VALUE" | "TEXT", _) => "a".into(),
            ("NAME", _) => "name".into(),
            ("TYPE", "migrate") => store.store_type.to_string(),
            ("TYPE", _) => "core:kvstore".into(),
            ("FILE", "import") => file("rows.csv"),
            ("FILE", "restore") => file("copy.db"),
            ("LATER", "restore") => file("bundle"),
            ("FILE", "batch") => file("commands.jsonl"),
            ("STORE|DIR", "doctor") => store.id.to_string(),
            ("FILE", "bundle") if line[1] != "create" => file("bundle"),
            ("FILE", "bundle" | "backup" | "export" | "salvage") => {
                dir.join("new").display().to_string()
            }
            ("FILE" | "CID|FILE" | "CID|FILE|TYPE", "code") => chat(),
            ("CODE" | "CID|FILE|native", "code" | "upgrade") => "native".into(),
            (name, command) => panic!("what is {name} of `lattice {command}`?"),
        }
    };
    line.iter().map(word).collect()
}

/// Another data directory with the store.
fn peer(store: &Store, dir: &Path) -> String {
    let peer = dir.join("peer");
    copy_dir(store.dir.path(), &peer);
    peer.display().to_string()
}

#[cfg(feature = "wasm")]
fn chat() -> String {
    module("chat")
}

#[cfg(not(feature = "wasm"))]
fn chat() -> String {
    unreachable!("no command takes a module")
}

/// A command line, and the words that name its command.
pub(crate) struct Line {
    pub(crate) command: String,
    pub(crate) words: Vec<String>,
}

/// A line for each command of the program.
pub(crate) fn lines() -> Vec<Line> {
    let lines = lattice_node::program::command_lines();
    let line = |mut words: Vec<String>| {
        let named = words
            .iter()
            .take_while(|word| !word.starts_with(['<', '-']));
        let command = named.map(String::as_str).collect::<Vec<_>>().join(" ");
        // Without it, the ops of the store are not printed.
        words.extend((command == "watch").then(|| "--all".to_owned()));
        // Or one of the options that keep a part of a log.
        let to = ["--to", "<TYPE>"].map(str::to_owned);
        words.extend((command == "migrate").then_some(to).into_iter().flatten());
        // One of the streams.
        words.extend((command == "serve").then(|| "--stdio".to_owned()));
        Line { command, words }
    };
    lines.into_iter().map(line).collect()
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

/// What came of a command.
struct Ended {
    code: Option<i32>,
    wrong: Option<String>,
}

fn end(store: &Store, line: &Line, is_json: bool) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(store.dir.path(), dir.path());
    let mut words = words_of(&line.words, store, dir.path());
    words.extend(is_json.then(|| "--json".to_owned()));
    let follows = FOLLOWING.contains(&&*line.command);
    let most = if follows { FOLLOWED } else { MOST };
    let (code, text) = run(dir.path(), &words, most);
    let is_sound = matches!(code, Some(0..=6)) || (follows && code.is_none());
    // Held ops are printed with the panic of their module.
    let text = text.replace("code trapped: panicked", "");
    // The last is how clap ends usage errors.
    let has_failed = [
        "panicked",
        "internal error",
        "please report",
        "try '--help'",
    ]
    .iter()
    .any(|word| text.contains(word));
    let wrong = (!is_sound || has_failed)
        .then(|| format!("{}: {words:?}: {code:?} {text:.300}", store.name));
    Ended { code, wrong }
}

#[test]
fn every_command_ends_without_a_panic_on_stores_at_the_edges() {
    let (stores, lines) = (stores(), lines());
    assert!(lines.len() > 35, "{} commands", lines.len());
    let mut runs = Vec::new();
    for (nth, store) in stores.iter().enumerate() {
        let lines = lines.iter().filter(|line| {
            let is_apart = APART.contains(&&*line.command);
            line.command != "tour" && (nth == 0 || !is_apart)
        });
        runs.extend(lines.flat_map(|line| [(store, line, false), (store, line, true)]));
    }
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((store, line, is_json)) =
                    runs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let one = end(store, line, *is_json);
                    ended.lock().unwrap().push(one);
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    assert_eq!(ended.len(), runs.len());
    let mut codes = BTreeMap::<Option<i32>, usize>::new();
    for one in &ended {
        *codes.entry(one.code).or_default() += 1;
    }
    let wrong: Vec<_> = ended.into_iter().filter_map(|one| one.wrong).collect();
    eprintln!("exit codes of {} runs: {codes:?}", runs.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(codes[&Some(0)] > runs.len() / 2, "{codes:?}");
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
