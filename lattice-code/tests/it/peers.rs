//! Sources that are added to a library: what they supply, and how they fail.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::backend::Cause;
use lattice_code::{CodeLibrary, CodeSource, LibraryError, Offer, Place, SourceError};
use lattice_meta::Cid;
use lattice_registry::{Access, Registry};
use lattice_wasm::abi::MAX_CODE_BYTES;
use lattice_wasm::guests;

use crate::support::{self, CHAT, of, post, texts};

fn chat() -> Cid {
    Cid::of(guests::CHAT)
}

/// What a peer does with a request.
#[derive(Debug, Clone, Copy)]
enum Conduct {
    Has(&'static [u8]),
    HasNothing,
    Truncated,
    Extended,
    /// The offered length includes the additional byte.
    ExtendedHonestly,
    Flipped,
    Endless,
    Length(u64),
    FailsInTheMiddle,
    Refuses,
    OneByteARead,
}

#[derive(Debug)]
struct Peer {
    name: &'static str,
    conduct: Conduct,
    /// Bytes that the library has read.
    sent: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

fn peer(name: &'static str, conduct: Conduct) -> Peer {
    Peer {
        name,
        conduct,
        sent: Arc::default(),
        asked: Arc::default(),
    }
}

/// Counts what is read from it.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1
            .fetch_add(u64::try_from(read).unwrap(), Ordering::SeqCst);
        Ok(read)
    }
}

struct OneByteARead(&'static [u8]);

impl Read for OneByteARead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(1);
        self.0.read(&mut into[..most])
    }
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(
            io::ErrorKind::ConnectionReset,
            "the line is dead",
        ))
    }
}

impl CodeSource for Peer {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn open(&self, _: &Cid) -> Result<Option<Offer>, Cause> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let wasm = guests::CHAT;
        let length = u64::try_from(wasm.len()).unwrap();
        let half = &wasm[..wasm.len() / 2];
        let (length, bytes): (u64, Box<dyn Read + Send>) = match self.conduct {
            Conduct::Has(wasm) => (u64::try_from(wasm.len()).unwrap(), Box::new(wasm)),
            Conduct::HasNothing => return Ok(None),
            Conduct::Truncated => (length, Box::new(&wasm[..wasm.len() - 1])),
            Conduct::Extended => (length, Box::new(wasm.chain(&b"\0"[..]))),
            Conduct::ExtendedHonestly => (length + 1, Box::new(wasm.chain(&b"\0"[..]))),
            Conduct::Flipped => {
                let mut wasm = wasm.to_vec();
                *wasm.last_mut().unwrap() ^= 1;
                (length, Box::new(io::Cursor::new(wasm)))
            }
            Conduct::Endless => (length, Box::new(wasm.chain(io::repeat(0)))),
            Conduct::Length(length) => (length, Box::new(wasm)),
            Conduct::FailsInTheMiddle => (length, Box::new(half.chain(Failing))),
            Conduct::Refuses => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer").into());
            }
            Conduct::OneByteARead => (length, Box::new(OneByteARead(wasm))),
        };
        let sent = Arc::clone(&self.sent);
        Ok(Some(Offer::new(length, Counted(bytes, sent))))
    }
}

/// The names of the files in the cache.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("wasm")).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn failures(library: &CodeLibrary) -> Vec<(String, SourceError)> {
    match library.find(&chat()).unwrap_err() {
        LibraryError::Source { cid, failed } => {
            assert_eq!(cid, chat());
            let failed = failed.into_iter();
            failed
                .map(|failure| (failure.name, failure.reason))
                .collect()
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_module_of_a_peer_is_stored_in_the_cache_and_found_there() {
    for conduct in [Conduct::Has(guests::CHAT), Conduct::OneByteARead] {
        let dir = tempfile::tempdir().unwrap();
        let bob = peer("bob", conduct);
        let asked = Arc::clone(&bob.asked);
        let library = CodeLibrary::new(dir.path().join("data")).source(bob);
        for _ in 0..2 {
            let found = library.find(&chat()).unwrap().unwrap();
            let cached = dir.path().join("data/wasm").join(chat().to_string());
            assert_eq!(fs::read(&cached).unwrap(), guests::CHAT);
            assert_eq!(found.wasm, guests::CHAT);
            assert_eq!(found.place, Place::Cache(cached));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(files(&dir.path().join("data")), [chat().to_string()]);
    }
}

#[test]
fn a_stream_that_is_not_the_module_is_an_error_and_leaves_no_file() {
    let limit = u64::try_from(MAX_CODE_BYTES).unwrap();
    let length = u64::try_from(guests::CHAT.len()).unwrap();
    let cases = [
        (Conduct::Truncated, "Short", length - 1),
        (Conduct::Extended, "Long", length + 1),
        (Conduct::ExtendedHonestly, "Differs", length + 1),
        (Conduct::Flipped, "Differs", length),
        (Conduct::Endless, "Long", length + 1),
        (Conduct::Length(0), "Length", 0),
        (Conduct::Length(1), "Long", 2),
        (Conduct::Length(limit), "Short", length),
        (Conduct::Length(limit + 1), "Length", 0),
        (Conduct::Length(u64::MAX), "Length", 0),
        (Conduct::FailsInTheMiddle, "Read", length / 2),
        (Conduct::Refuses, "Open", 0),
        (
            Conduct::Has(guests::CHAT_HOTFIX),
            "Differs",
            u64::try_from(guests::CHAT_HOTFIX.len()).unwrap(),
        ),
    ];
    for (conduct, expected, read) in cases {
        let dir = tempfile::tempdir().unwrap();
        let bob = peer("bob", conduct);
        let sent = Arc::clone(&bob.sent);
        let library = CodeLibrary::new(dir.path()).source(bob);
        let failed = failures(&library);
        let [(name, reason)] = &failed[..] else {
            panic!("{failed:?}");
        };
        assert_eq!(name, "bob");
        let variant = format!("{reason:?}");
        assert!(variant.starts_with(expected), "{conduct:?}: {variant}");
        assert_eq!(sent.load(Ordering::SeqCst), read, "{conduct:?}");
        assert_eq!(files(dir.path()), <[String; 0]>::default(), "{conduct:?}");
    }
}

#[test]
fn the_length_is_checked_before_a_byte_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path()).source(peer("bob", Conduct::Length(u64::MAX)));
    let failed = failures(&library);
    let offered = u64::MAX;
    assert!(
        matches!(failed[0].1, SourceError::Length { offered: found } if found == offered),
        "{failed:?}"
    );
    // Not even the directory is created.
    assert!(!dir.path().join("wasm").exists());
}

#[test]
fn a_failure_is_reported_only_if_no_later_source_has_the_module() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path())
        .source(peer("ann", Conduct::Flipped))
        .source(peer("bob", Conduct::HasNothing))
        .source(peer("eve", Conduct::Refuses));
    let error = library.find(&chat()).unwrap_err().to_string();
    assert!(error.contains("ann: it sent other bytes"), "{error}");
    assert!(
        error.ends_with("; eve: it cannot answer: no answer"),
        "{error}"
    );
    assert!(!error.contains("bob"), "{error}");

    let late = peer("late", Conduct::Has(guests::CHAT));
    let never = peer("never", Conduct::Has(guests::CHAT));
    let asked = Arc::clone(&never.asked);
    let library = library.source(late).source(never);
    assert!(library.find(&chat()).unwrap().is_some());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(files(dir.path()), [chat().to_string()]);
}

#[test]
fn peers_are_asked_after_files_and_directories() {
    let (dir, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = others.path().join("chat.wasm");
    fs::write(&file, guests::CHAT).unwrap();
    let bob = peer("bob", Conduct::Has(guests::CHAT));
    let asked = Arc::clone(&bob.asked);
    let library = CodeLibrary::new(dir.path())
        .source(bob)
        .search_path([others.path().to_path_buf()]);
    assert_eq!(
        library.find(&chat()).unwrap().unwrap().place,
        Place::Path(file)
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // The directory is read in place.
    assert!(!dir.path().join("wasm").exists());
    assert_eq!(library.sources().last().unwrap(), "bob");
}

#[test]
fn peers_without_the_module_are_named_as_searched() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path()).source(peer("bob", Conduct::HasNothing));
    let missing = library.code(&chat(), &of(CHAT)).unwrap_err();
    let LibraryError::Missing { looked_in, .. } = &missing else {
        panic!("{missing:?}");
    };
    assert_eq!(looked_in.last().unwrap(), "bob");
}

#[test]
fn a_store_opens_with_a_module_of_a_peer_once_the_user_trusts_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = support::Place::new(one.path());
    place.add(guests::CHAT);
    let id = place.manager.create(&of(CHAT)).unwrap();
    post(&*place.open(id), "tea", "Anyone here?");
    place.manager.close_all().unwrap();

    let library = CodeLibrary::new(two.path()).source(peer("bob", Conduct::Has(guests::CHAT)));
    let other = support::Place::of(two.path(), library, Registry::new());
    let to = other.manager.store_path(id);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(place.manager.store_path(id), &to).unwrap();
    other.manager.open(id, Access::ReadOnly).unwrap_err();
    let refused = other.library.code(&chat(), &of(CHAT)).unwrap_err();
    let cached = two.path().join("wasm").join(chat().to_string());
    let named = cached.display().to_string();
    assert!(
        matches!(&refused, LibraryError::NotTrusted { found, .. } if *found == named),
        "{refused:?}"
    );
    other.add(&fs::read(cached).unwrap());
    assert_eq!(texts(&*other.open(id), "tea"), ["Anyone here?"]);
}

/// An unreachable peer must not keep a program from creating stores of other types.
#[test]
fn new_stores_use_modules_that_are_here() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path()).source(peer("eve", Conduct::Refuses));
    let place = support::Place::of(dir.path(), library, Registry::new());
    place.add(guests::CHAT);
    let lost = place.add(guests::TALLY);
    fs::remove_file(dir.path().join("wasm").join(lost.to_string())).unwrap();
    place.manager.create(&of(CHAT)).unwrap();
}
