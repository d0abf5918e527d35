//! Finds the code of a store, and decides whether it may run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lattice_meta::{Cid, StoreType};
use lattice_registry::Registry;
use lattice_wasm::{Code, read_manifest};

use crate::cache::{Cache, read_module};
use crate::catalogue::Catalogue;
use crate::decide::Because;
use crate::decisions::Log;
use crate::error::LibraryError;
use crate::garbage::{self, Collector, Garbage};
use crate::lease::Lease;
use crate::releases::Release;
use crate::resolve::Ask;
use crate::source::{CodeSource, SourceFailure, receive};
use crate::trust::Trusted;

/// Where a module was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the cache of the data directory.
    Cache(PathBuf),
    /// In a named file.
    File(PathBuf),
    /// In a directory of the search path.
    Path(PathBuf),
}

impl Place {
    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Self::Cache(file) | Self::File(file) | Self::Path(file) => file,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file().display();
        match self {
            Self::Cache(_) => write!(f, "the cache ({file})"),
            Self::File(_) | Self::Path(_) => write!(f, "{file}"),
        }
    }
}

/// A module and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its bytes; their hash is the requested content id.
    pub wasm: Vec<u8>,
    /// Where they were found.
    pub place: Place,
}

/// The code that a data directory has and trusts, and the other sources of code.
#[derive(Debug)]
pub struct CodeLibrary {
    data_dir: PathBuf,
    pub(crate) cache: Cache,
    files: Vec<PathBuf>,
    path: Vec<PathBuf>,
    added: Vec<Box<dyn CodeSource>>,
    /// Modules that native code declares equal to itself, each with the logic versions that compute
    /// the same state.
    pub(crate) pinned: BTreeMap<Cid, Vec<String>>,
    /// The releases that the node knows.
    pub(crate) catalogue: Option<Arc<dyn Catalogue>>,
    pub(crate) ask: Option<Ask>,
    /// The only lock; no other lock is taken while it is held.
    compiled: Mutex<HashMap<Cid, Code>>,
}

impl CodeLibrary {
    /// The library of a data directory. This neither reads nor creates files.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            cache: Cache::new(&data_dir),
            data_dir,
            files: Vec::new(),
            path: Vec::new(),
            added: Vec::new(),
            pinned: BTreeMap::new(),
            catalogue: None,
            ask: None,
            compiled: Mutex::default(),
        }
    }

    /// Adds files to search for modules, after the cache.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.files.extend(files);
        self
    }

    /// Adds directories to search for modules, after the files: for `<content id>`,
    /// `<content id>.wasm`, and any other file that ends in `.wasm`.
    #[must_use]
    pub fn search_path(mut self, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.path.extend(dirs);
        self
    }

    /// Sets where releases are found.
    #[must_use]
    pub fn catalogue(mut self, catalogue: impl Catalogue + 'static) -> Self {
        self.catalogue = Some(Arc::new(catalogue));
        self
    }

    /// Asks the user on first use: `ask` gets the newest release of the only publisher of a type of
    /// which no publisher is trusted yet, and says whether to trust that publisher for the type.
    /// Without it, such a type is an error.
    #[must_use]
    pub fn ask(mut self, ask: impl Fn(&Release) -> bool + Send + Sync + 'static) -> Self {
        self.ask = Some(Ask(Arc::new(ask)));
        self
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn log(&self) -> Log {
        Log::new(&self.data_dir)
    }

    /// Adds a source, which is asked after the search path and after the sources that were added
    /// before. A module that it supplies is stored in the cache.
    #[must_use]
    pub fn source(mut self, source: impl CodeSource + 'static) -> Self {
        self.added.push(Box::new(source));
        self
    }

    /// Trusts the modules that a registered opener declares equal to its own code, so that they run
    /// without being added.
    #[must_use]
    pub fn pinned_by(mut self, registry: &Registry) -> Self {
        for logic in registry.logics() {
            let own = logic.version().as_str();
            let all = || logic.equals().iter().map(|version| version.as_str());
            for version in all() {
                if let Ok(cid) = version.parse::<Cid>() {
                    let others = all().filter(|other| *other != version);
                    let equal = [own].into_iter().chain(others).map(str::to_owned);
                    self.pinned.insert(cid, equal.collect());
                }
            }
        }
        self
    }

    /// Checks a module, caches it, and trusts it. Returns its code, and whether it was not trusted
    /// before. `name` is for messages.
    ///
    /// Waits at most ten seconds for another process that adds a module.
    ///
    /// # Errors
    /// See [`LibraryError`]; then nothing is stored.
    pub fn add(&self, wasm: &[u8], name: &str) -> Result<(Code, bool), LibraryError> {
        let code = self.check(wasm, name)?;
        let cid = code.cid();
        let locked = self.cache.lock()?;
        self.cache.clear_unfinished();
        self.cache.put(&cid, wasm)?;
        let is_new = Trusted::add(&self.data_dir, &cid)?;
        drop(locked);
        Ok((code, is_new))
    }

    /// Revokes the trust in a module and removes it from the cache. Returns whether it was trusted.
    /// A store that records it does not open here until it is added again.
    ///
    /// # Errors
    /// [`LibraryError::Files`] and [`LibraryError::Trust`].
    pub fn remove(&self, cid: &Cid) -> Result<bool, LibraryError> {
        let locked = self.cache.lock()?;
        let was_trusted = Trusted::remove(&self.data_dir, cid)?;
        self.cache.remove(cid)?;
        drop(locked);
        Ok(was_trusted)
    }

    /// Checks a module. It may run only if it is [trusted](Self::is_trusted). Each module is
    /// checked and compiled once; `name` is for messages.
    ///
    /// # Errors
    /// [`LibraryError::Refused`] and [`LibraryError::Reserved`].
    pub fn check(&self, wasm: &[u8], name: &str) -> Result<Code, LibraryError> {
        let cid = Cid::of(wasm);
        if let Some(code) = self.compiled().get(&cid) {
            return Ok(code.clone());
        }
        let code = Code::new(wasm).map_err(|source| LibraryError::refused(name, source))?;
        let store_type = code.store_type();
        let is_core = store_type.as_str().starts_with("core:");
        if is_core && !self.pinned.contains_key(&cid) && !self.trusted()?.is_pin(&cid) {
            return Err(LibraryError::Reserved {
                store_type: store_type.clone(),
                cid,
            });
        }
        Ok(self.compiled().entry(cid).or_insert(code).clone())
    }

    /// The guarded map is consistent after every statement, so a poisoned lock is safe to use.
    fn compiled(&self) -> MutexGuard<'_, HashMap<Cid, Code>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a module may run: the user added or pinned it, native code declares itself equal to
    /// it, or the trusted publisher of its type has published it.
    ///
    /// # Errors
    /// As for [`because`](Self::because).
    pub fn is_trusted(&self, cid: &Cid) -> Result<bool, LibraryError> {
        Ok(self.why_trusted(cid)?.is_some())
    }

    /// Why a module may run; `None` if it may not, or if no source has it and only a publisher
    /// could be trusted for it.
    ///
    /// # Errors
    /// As for [`because`](Self::because).
    pub fn why_trusted(&self, cid: &Cid) -> Result<Option<Because>, LibraryError> {
        let manifest = self.find(cid)?.map(|found| read_manifest(&found.wasm));
        match manifest {
            Some(Ok(manifest)) => self.because(cid, &manifest.store_type),
            Some(Err(_)) | None => Ok(self.without_publisher(cid, &self.trusted()?)),
        }
    }

    /// What the user trusts.
    ///
    /// # Errors
    /// As for [`Trusted::load`].
    pub fn trusted(&self) -> Result<Trusted, LibraryError> {
        Trusted::load(&self.data_dir)
    }

    /// The modules in the cache.
    ///
    /// # Errors
    /// [`LibraryError::Files`].
    pub fn cached(&self) -> Result<Vec<Cid>, LibraryError> {
        self.cache.list()
    }

    /// Keeps the modules of the cache from being [collected](Self::collector) until the lease is
    /// dropped. The openers that the library returns as a resolver have one.
    ///
    /// Waits at most ten seconds for a process that collects.
    ///
    /// # Errors
    /// [`LibraryError::Files`] if that process still collects.
    pub fn lease(&self) -> Result<Lease, LibraryError> {
        self.cache.lease()
    }

    /// The files of the cache that can be removed, in the order of their names. Keeps a module
    ///
    /// * that is in `roots`: the modules that the stores of the data directory record. If one of
    ///   the stores cannot be read, it may record any module, and the caller removes none;
    /// * that the user has added;
    /// * that was used in the 90 days before `now`.
    ///
    /// A module is used when it is added and when a store is resolved to it. The use renews the
    /// modification time of the file if that is older than a day. A failure to renew it is ignored,
    /// as in a directory that this process can only read.
    ///
    /// This takes no lock; [`Collector::collect`] computes it again.
    ///
    /// # Errors
    /// [`LibraryError::Files`] and [`LibraryError::Trust`].
    pub fn garbage(
        &self,
        roots: &BTreeSet<Cid>,
        now: SystemTime,
    ) -> Result<Vec<Garbage>, LibraryError> {
        garbage::find(self.cache.dir(), &self.trusted()?, roots, now)
    }

    /// Takes the locks for collection. Creates the directory of the cache if it is missing.
    ///
    /// Waits at most ten seconds for a process that adds or removes modules, then as long for those
    /// that open stores.
    ///
    /// # Errors
    /// [`LibraryError::Files`] if a process still holds a lock.
    pub fn collector(&self) -> Result<Collector<'_>, LibraryError> {
        let changes = self.cache.lock()?;
        let leases = self.cache.exclude_leases()?;
        Ok(Collector::new(self, leases, changes))
    }

    /// Searches for a module: in the cache, in the named files, on the search path, and in the
    /// added sources. Stores a module of an added source in the cache.
    ///
    /// # Errors
    /// [`LibraryError::Files`]; [`LibraryError::Source`] if an added source failed and no other has
    /// the module. Unreadable files on the search path are skipped.
    pub fn find(&self, cid: &Cid) -> Result<Option<Located>, LibraryError> {
        match self.find_file(cid)? {
            Some(located) => Ok(Some(located)),
            None => self.fetch(cid),
        }
    }

    /// Requests a module from the added sources, and stores it in the cache.
    fn fetch(&self, cid: &Cid) -> Result<Option<Located>, LibraryError> {
        let mut failed = Vec::new();
        for source in &self.added {
            match receive(&**source, cid) {
                Ok(Some(wasm)) => {
                    self.cache.put(cid, &wasm)?;
                    let place = Place::Cache(self.cache.path(cid));
                    return Ok(Some(Located { wasm, place }));
                }
                Ok(None) => {}
                Err(reason) => failed.push(SourceFailure {
                    name: source.name(),
                    reason,
                }),
            }
        }
        match failed.is_empty() {
            true => Ok(None),
            false => Err(LibraryError::Source { cid: *cid, failed }),
        }
    }

    /// Searches for a module in the file system.
    pub(crate) fn find_file(&self, cid: &Cid) -> Result<Option<Located>, LibraryError> {
        if let Some(wasm) = self.cache.get(cid)? {
            let place = Place::Cache(self.cache.path(cid));
            return Ok(Some(Located { wasm, place }));
        }
        for file in &self.files {
            let wasm = read_module(file);
            let wasm = wasm.map_err(|error| LibraryError::file("read", file, error))?;
            if cid.is_of(&wasm) {
                let place = Place::File(file.clone());
                return Ok(Some(Located { wasm, place }));
            }
        }
        for file in self.path.iter().flat_map(|dir| candidates(dir, cid)) {
            if let Ok(wasm) = read_module(&file)
                && cid.is_of(&wasm)
            {
                let place = Place::Path(file);
                return Ok(Some(Located { wasm, place }));
            }
        }
        Ok(None)
    }

    /// The modules of the named files.
    fn modules_of_files(&self) -> impl Iterator<Item = Result<(&Path, Code), LibraryError>> {
        self.files.iter().map(|file| {
            let wasm = read_module(file);
            let wasm = wasm.map_err(|error| LibraryError::file("read", file, error))?;
            let code = self.check(&wasm, &file.display().to_string())?;
            Ok((file.as_path(), code))
        })
    }

    /// Makes a registry create new stores with the modules of the named files. Each file must exist
    /// and have a module that this program can run. A module that is not trusted is skipped: the
    /// error is reported when a store needs it.
    ///
    /// # Errors
    /// [`LibraryError::Files`], [`LibraryError::Trust`], and as for [`check`](Self::check).
    pub fn prefer_files(&self, registry: &mut Registry) -> Result<(), LibraryError> {
        for module in self.modules_of_files() {
            let (_, code) = module?;
            // A pin is the only code of its type, also beside a named file.
            let pin = self.trusted()?.of_type(code.store_type()).pin;
            let is_allowed = pin.is_none_or(|pin| pin == code.cid());
            if is_allowed && self.is_trusted(&code.cid())? {
                registry.replace(code.store_type().clone(), self.opener(&code));
            }
        }
        Ok(())
    }

    /// Reports an error if a named file has a module of this type that is not trusted.
    pub(crate) fn named_of_type(&self, store_type: &StoreType) -> Result<(), LibraryError> {
        for module in self.modules_of_files() {
            let (file, code) = module?;
            if code.store_type() == store_type && !self.is_trusted(&code.cid())? {
                return Err(LibraryError::NotTrusted {
                    store_type: store_type.clone(),
                    cid: code.cid(),
                    found: file.display().to_string(),
                });
            }
        }
        Ok(())
    }

    /// The sources of modules, in order, for messages.
    pub fn sources(&self) -> Vec<String> {
        let cache = format!("the cache ({})", self.cache.dir().display());
        let others = self.files.iter().chain(&self.path);
        let others = others.map(|path| path.display().to_string());
        let added = self.added.iter().map(|source| source.name());
        [cache].into_iter().chain(others).chain(added).collect()
    }
}

/// Files of a directory that may be the module: those named by its content id first.
fn candidates(dir: &Path, cid: &Cid) -> Vec<PathBuf> {
    let named = [dir.join(cid.to_string()), dir.join(format!("{cid}.wasm"))];
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut others: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    others.sort_unstable();
    // Reading a pipe would block.
    let all = named.into_iter().chain(others);
    all.filter(|path| path.is_file()).collect()
}
