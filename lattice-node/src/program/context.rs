//! State shared by all commands.

use std::cell::RefCell;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use lattice_meta::{MetaInfo, StoreId, StoreType};
use lattice_registry::{Found, TypedStore};

use super::args::{Command, Encoding, Global, Trusting, Writing};
use super::config::Settings;
use super::failure::{Failure, Step};
use super::interrupt::{self, Effect, Interruption};
use super::log;
use super::output::{Output, echo, escape};
use super::progress::Progress;
use super::store_ref::{For, resolve};
use crate::{
    Access, Alias, AliasError, Aliases, IfCopied, IfUnverified, Node, NodeError, Registry,
    StoreHandle,
};

/// Commands for one store type: another command that refuses a store of that type names them.
pub(super) const COMMANDS: [(&str, &[&str]); 2] = [
    (
        lattice_kvstore::STORE_TYPE,
        &["put", "get", "exists", "del", "scan", "conflicts"],
    ),
    (lattice_logstore::STORE_TYPE, &["append", "tail"]),
];

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// In its own process: it owns signals and standard input.
    Process,
    /// In the tour, which owns both.
    Tour,
    /// For a shell that completes a word: it asks nothing.
    Completion,
}

/// State shared by all commands.
pub(super) struct Context<'a> {
    pub(super) host: Host,
    pub(super) data_dir: PathBuf,
    /// The path of the store that the command works on.
    place: RefCell<Option<PathBuf>>,
    /// Finds and reads stores. Creates nothing until the command makes it a writer.
    pub(super) node: Node,
    /// Whether the command takes stores unverified.
    trusts: bool,
    pub(super) settings: Settings,
    /// The store types of the program's native code.
    pub(super) native: Registry,
    /// The module files of the command line.
    #[cfg(feature = "wasm")]
    #[cfg_attr(not(feature = "shell"), expect(dead_code))]
    pub(super) code_files: Vec<PathBuf>,
    /// The code of modules.
    #[cfg(feature = "wasm")]
    pub(super) code: std::sync::Arc<lattice_code::CodeLibrary>,
    pub(super) out: Output<'a>,
    pub(super) progress: Progress,
    /// The signals that the process has received.
    pub(super) interruption: Arc<Interruption>,
}

/// The caches of the stores that a process exchanges, which it reads and writes mostly in order.
#[cfg(feature = "sync")]
const EXCHANGE_CACHE_BYTES: usize = 64 << 20;

impl<'a> Context<'a> {
    pub(super) fn new(
        host: Host,
        global: &Global,
        registry: Registry,
        mut out: Output<'a>,
    ) -> Result<Self, Failure> {
        let data_dir = global.data_dir.clone().or_else(default_data_dir);
        let data_dir = data_dir.ok_or_else(|| {
            Failure::usage("no data directory: give --data-dir, or set LATTICE_DATA_DIR or HOME")
        })?;
        let native = registry.clone();
        #[cfg(feature = "wasm")]
        let (code, registry) = library(host, &data_dir, global, registry)?;
        let progress = match out.shows_progress() {
            true => Progress::on_stderr(),
            false => Progress::default(),
        };
        out.set_progress(progress.clone());
        let settings = global.settings.clone();
        let unverified = match settings.trusts() {
            true => IfUnverified::Trust,
            false => IfUnverified::Verify,
        };
        let node = Node::builder(&data_dir)
            .registry(registry)
            .wait(global.wait())
            .unverified(unverified)
            .progress(progress.sink());
        Ok(Self {
            host,
            node: node.open_reader()?,
            data_dir,
            place: RefCell::default(),
            trusts: settings.trusts(),
            settings,
            native,
            #[cfg(feature = "wasm")]
            code_files: global.code.clone(),
            #[cfg(feature = "wasm")]
            code,
            out,
            progress,
            interruption: Arc::default(),
        })
    }

    /// Lets signals interrupt a command, which says what stands then.
    pub(super) fn expect_signals(&mut self, command: &Command) {
        self.interruption = interrupt::installed();
        let mut story = interrupt::story_of(command);
        story.next = story.next.map(|next| self.out.hints().completed(&next));
        if story.effect == Effect::Reads {
            self.out.end_at_signal(&self.interruption);
        }
        self.interruption.set_progress(self.progress.clone());
        log::set_progress(&self.progress);
        self.interruption.tell(story);
    }

    /// Flushes the command's output.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.clear_progress();
        self.out.flush()
    }

    /// Clears the line of progress before something is printed directly.
    pub(super) fn clear_progress(&self) {
        self.progress.clear();
    }

    pub(super) fn registry(&self) -> &Registry {
        self.node.manager().registry()
    }

    /// The path of the store that a command reads.
    pub(super) fn path(&self, store: &OsStr) -> Result<PathBuf, Failure> {
        self.path_for(store, For::Reading)
    }

    /// The path of the store that a command writes, replaces or removes.
    pub(super) fn path_to_change(&self, store: &OsStr) -> Result<PathBuf, Failure> {
        self.path_for(store, For::Changing)
    }

    fn path_for(&self, store: &OsStr, purpose: For) -> Result<PathBuf, Failure> {
        let path = resolve(self.node.manager(), store, purpose)?;
        self.place.replace(Some(path.clone()));
        self.out.hints().set_store(store);
        Ok(path)
    }

    /// Completes a failure of one store among several, which `name` names.
    pub(super) fn complete(&self, failure: Failure, name: &OsStr) -> Failure {
        failure.complete(&self.out.hints().of_store(name), Step::Other)
    }

    /// The path of the store that the command works on, once it is found.
    pub(super) fn place(&self) -> Option<PathBuf> {
        self.place.borrow().clone()
    }

    /// Sets what a command that writes does about copies and unverified stores.
    pub(super) fn allow(&mut self, writing: Writing) {
        if writing.continue_copy {
            self.node.set_continue_copy(IfCopied::Continue);
        }
        self.trust(writing.trusting);
    }

    /// Sets what a command does about unverified stores.
    pub(super) fn trust(&mut self, trusting: Trusting) {
        if trusting.trust {
            self.trusts = true;
            self.node.set_unverified(IfUnverified::Trust);
        }
    }

    /// Gives the node away, to threads; a reader of the same data directory stays.
    #[cfg(feature = "sync")]
    pub(super) fn share_node(&mut self) -> Result<Arc<Node>, Failure> {
        let reader = Node::builder(&self.data_dir).registry(self.registry().clone());
        let mut node = std::mem::replace(&mut self.node, reader.open_reader()?);
        node.set_cache_budget_bytes(EXCHANGE_CACHE_BYTES);
        Ok(Arc::new(node))
    }

    /// Uses the identity of the data directory, if it has one, for a command that signs nothing and
    /// works without: who copies a store of another user cannot read that user's key.
    pub(super) fn use_identity(&mut self) {
        if let Err(error) = self.node.use_identity() {
            let error = super::failure::chain(&error);
            self.out.note(&format!(
                "the identity of the data directory is not used: {error}"
            ));
        }
    }

    /// Says what is about to happen to a store that this data directory does not vouch for.
    pub(super) fn note_use(&mut self, path: &Path) {
        if self.is_unverified(path) {
            let path = path.display();
            let note = match self.trusts {
                true => format!(
                    "{path} was not verified: no signature, op or row of it was checked; `lattice \
                     verify STORE` does that later"
                ),
                false => format!(
                    "{path} was not created, verified or restored here; verifying it first (--trust \
                     skips that)"
                ),
            };
            self.out.note(&note);
        }
    }

    /// Says that a store is read that this data directory does not vouch for.
    pub(super) fn note_read(&mut self, store: &OsStr, path: &Path) {
        if self.is_unverified(path) {
            let hints = self.out.hints().of_store(store);
            let note = "this store is unverified; `lattice verify STORE` verifies it";
            self.out.note(&hints.complete(note));
        }
    }

    /// An error is not reported here: the command meets it again.
    fn is_unverified(&self, path: &Path) -> bool {
        !self.out.is_json() && matches!(self.node.manager().is_known(path), Ok(false))
    }

    /// The aliases; if their file cannot be read, prints a note and returns an empty set.
    pub(super) fn aliases(&mut self) -> Aliases {
        Aliases::load(&self.data_dir).unwrap_or_else(|error| {
            self.out
                .note(&format!("lattice: {}", super::failure::chain(&error)));
            Aliases::none()
        })
    }

    /// Refuses an alias that names another store than `of`, before the command creates anything.
    pub(super) fn check_alias(
        &self,
        alias: Option<&Alias>,
        of: Option<StoreId>,
    ) -> Result<(), Failure> {
        let aliases = Aliases::load(&self.data_dir)?;
        match alias.and_then(|alias| Some((alias.clone(), aliases.store(alias.as_str())?))) {
            Some((alias, store_id)) if of != Some(store_id) => {
                Err(AliasError::Taken { alias, store_id }.into())
            }
            _ => Ok(()),
        }
    }

    /// Gives a store that is now in the data directory its alias.
    pub(super) fn set_alias(&self, alias: Option<&Alias>, id: StoreId) -> Result<(), Failure> {
        alias.map_or(Ok(()), |alias| {
            Aliases::set(&self.data_dir, alias, id).map_err(|error| {
                Failure::from(error).within(&format!("store {id} is in the data directory"))
            })
        })
    }

    /// Finds a store for a command that supports one store type only.
    fn find_typed(
        &self,
        store: &OsStr,
        expected: &StoreType,
        access: Access,
    ) -> Result<Found, Failure> {
        let path = match access {
            Access::ReadOnly => self.path(store)?,
            _ => self.path_to_change(store)?,
        };
        let found = self.node.manager().find(path, access)?;
        if found.meta().store_type == *expected {
            return Ok(found);
        }
        self.registry().resolve(found.recorded())?;
        Err(other_type(found.meta(), expected))
    }

    /// Opens a store of a type for reading.
    pub(super) fn read<T: TypedStore>(
        &mut self,
        store: &OsStr,
        expected: &StoreType,
    ) -> Result<T, Failure> {
        let access = Access::ReadOnly;
        let found = self.find_typed(store, expected, access)?;
        self.note_read(store, found.path());
        self.open_typed(found, access)
    }

    /// Opens a store as the handle of the program's native code.
    pub(super) fn open_typed<T: TypedStore>(
        &self,
        found: Found,
        access: Access,
    ) -> Result<T, Failure> {
        self.node.open_found_as(found, access).map_err(|error| match error {
            NodeError::OtherType { store_id, .. } => Failure::usage(format!(
                "--code opens store {store_id} with a module, and this command works only with the \
                 program's own code; omit --code, or use `lattice call STORE METHOD`"
            )),
            error => error.into(),
        })
    }

    /// Opens a store of a type for writing.
    pub(super) fn write<T: TypedStore>(
        &mut self,
        store: &OsStr,
        expected: &StoreType,
    ) -> Result<T, Failure> {
        let access = Access::ReadWrite;
        let found = self.find_typed(store, expected, access)?;
        self.note_use(found.path());
        // A store of the wrong type is refused before an identity is created.
        self.node.become_writer()?;
        self.open_typed(found, access)
    }

    /// Reads all of standard input. Refuses a terminal: a forgotten value would look like a hang.
    pub(super) fn read_stdin(&self, missing: &str) -> Result<Vec<u8>, Failure> {
        self.check_stdin(missing)?;
        let mut value = Vec::new();
        // One byte beyond the limit, so that the store reports the error.
        let limit = u64::try_from(lattice_backend::op::MAX_OP_BYTES + 1).expect("16 MiB");
        io::stdin().lock().take(limit).read_to_end(&mut value)?;
        Ok(value)
    }

    /// Refuses to read from a terminal.
    pub(super) fn check_stdin(&self, missing: &str) -> Result<(), Failure> {
        if self.host != Host::Process || io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "no {missing}: give one, or pipe it to standard input"
            )));
        }
        Ok(())
    }
}

/// The code library of a data directory. The registry asks it for code that this program lacks.
#[cfg(feature = "wasm")]
fn library(
    host: Host,
    data_dir: &std::path::Path,
    global: &Global,
    mut registry: Registry,
) -> Result<(std::sync::Arc<lattice_code::CodeLibrary>, Registry), Failure> {
    // The tour demonstrates a missing module, so it ignores the user's code path.
    let dirs = env::var_os("LATTICE_CODE_PATH").filter(|_| host != Host::Tour);
    let dirs = dirs.iter().flat_map(env::split_paths);
    let dirs = dirs.filter(|dir| !dir.as_os_str().is_empty());
    let library = lattice_code::CodeLibrary::new(data_dir)
        .files(global.code.iter().cloned())
        .search_path(dirs)
        .catalogue(crate::releases::LocalReleases::new(data_dir))
        .pinned_by(&registry);
    let library = match host == Host::Process && !global.json && super::prompt::can_ask() {
        true => library.ask(trusts_publisher),
        false => library,
    };
    library.prefer_files(&mut registry)?;
    let library = std::sync::Arc::new(library);
    library.attach(&mut registry);
    Ok((library, registry))
}

/// Asks whether the publisher of a release is to be trusted for its type.
#[cfg(feature = "wasm")]
fn trusts_publisher(release: &lattice_code::releases::Release) -> bool {
    let published = &release.published;
    let notes = match published.notes.is_empty() {
        true => String::new(),
        false => format!(" ({})", published.notes),
    };
    let question = format!(
        "{} is published by {}, newest release {}{notes}. Compare the key with its owner. Run the \
         code of this publisher for this type?",
        published.store_type,
        lattice_code::fingerprint(&release.publisher),
        published.release
    );
    super::prompt::is_yes(&question).unwrap_or(false)
}

/// `$LATTICE_DATA_DIR`, else `lattice` in the user's data directory (XDG base directories).
pub(super) fn default_data_dir() -> Option<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let xdg = || set("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
    let home = || set("HOME").map(|home| home.join(".local/share"));
    set("LATTICE_DATA_DIR").or_else(|| xdg().or_else(home).map(|data| data.join("lattice")))
}

fn other_type(meta: &MetaInfo, expected: &StoreType) -> Failure {
    let own = COMMANDS
        .iter()
        .find(|(store_type, _)| *store_type == meta.store_type.as_str());
    let commands = own.map_or("`describe` and `call`".to_owned(), |(_, commands)| {
        let commands = commands.iter().map(|name| format!("`{name}`"));
        commands.collect::<Vec<_>>().join(", ")
    });
    Failure::usage(format!(
        "store {} is of type {}, and this command is for {expected} stores; use {commands}",
        meta.store_id, meta.store_type
    ))
}

/// Returns the bytes of an argument, decoded if the arguments are base64.
pub(super) fn given(argument: OsString, encoding: Encoding) -> Result<Vec<u8>, Failure> {
    let bytes = argument.into_encoded_bytes();
    if !encoding.b64 {
        return Ok(bytes);
    }
    from_base64(&bytes).map_err(|reason| Failure::usage(format!("{}: {reason}", echo(&bytes))))
}

/// Decodes base64. The error says why the text is not base64.
pub(super) fn from_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    BASE64
        .decode(text)
        .map_err(|error| format!("expected padded base64, found {error}"))
}

/// Formats bytes for one line of output.
pub(super) fn shown(bytes: &[u8], encoding: Encoding) -> String {
    if encoding.b64 {
        BASE64.encode(bytes)
    } else {
        escape(bytes)
    }
}

/// Closes a store after writes; the command fails if closing fails.
pub(super) fn close(store: &impl StoreHandle) -> Result<(), Failure> {
    Ok(store.close()?)
}
