//! Finds the code of a store, and decides whether it may run.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lattice_backend::backend::Cause;
use lattice_meta::{Cid, StoreType};
use lattice_registry::{Converting, Migration, Recorded, Registry, Resolver, StoreOpener};
use lattice_wasm::{Code, WasmMachine, WasmStoreOpener, read_manifest, wasm_store_opener};

use crate::cache::{Cache, read_module};
use crate::error::LibraryError;
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
    cache: Cache,
    files: Vec<PathBuf>,
    path: Vec<PathBuf>,
    /// Modules that native code declares equal to itself, each with the logic versions that compute
    /// the same state.
    pinned: BTreeMap<Cid, Vec<String>>,
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
            pinned: BTreeMap::new(),
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
        self.cache.put(&cid, wasm)?;
        let is_new = Trusted::add(&self.data_dir, &cid)?;
        drop(locked);
        Ok((code, is_new))
    }

    /// Checks a module and caches it, without trusting it: a source supplies bytes, and the user
    /// decides which of them may run. `name` is for messages. Waits like [`add`](Self::add).
    ///
    /// # Errors
    /// See [`LibraryError`]; then nothing is stored.
    pub fn keep(&self, wasm: &[u8], name: &str) -> Result<Code, LibraryError> {
        let code = self.check(wasm, name)?;
        let locked = self.cache.lock()?;
        self.cache.put(&code.cid(), wasm)?;
        drop(locked);
        Ok(code)
    }

    /// Revokes the trust in a module and removes it from the cache. Returns whether it was trusted.
    /// A store that records it does not open here until it is added again.
    ///
    /// # Errors
    /// [`LibraryError::File`] and [`LibraryError::Trust`].
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
        if store_type.as_str().starts_with("core:") && !self.pinned.contains_key(&cid) {
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

    /// Whether a module may run: the user added it, or native code declares itself equal to it.
    ///
    /// # Errors
    /// As for [`Trusted::load`].
    pub fn is_trusted(&self, cid: &Cid) -> Result<bool, LibraryError> {
        Ok(self.pinned.contains_key(cid) || Trusted::load(&self.data_dir)?.contains(cid))
    }

    /// The modules that the user has added.
    ///
    /// # Errors
    /// As for [`Trusted::load`].
    pub fn trusted(&self) -> Result<Trusted, LibraryError> {
        Trusted::load(&self.data_dir)
    }

    /// The modules in the cache.
    ///
    /// # Errors
    /// [`LibraryError::File`].
    pub fn cached(&self) -> Result<Vec<Cid>, LibraryError> {
        self.cache.list()
    }

    /// Searches for a module: in the cache, in the named files, and on the search path.
    ///
    /// # Errors
    /// [`LibraryError::File`]. Unreadable files on the search path are skipped.
    pub fn find(&self, cid: &Cid) -> Result<Option<Located>, LibraryError> {
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

    /// The trusted code with a content id, for stores of a type.
    ///
    /// # Errors
    /// [`LibraryError::Missing`], [`LibraryError::NotTrusted`], [`LibraryError::Refused`].
    pub fn code(&self, cid: &Cid, store_type: &StoreType) -> Result<Code, LibraryError> {
        let found = self.find(cid)?.ok_or_else(|| LibraryError::Missing {
            store_type: store_type.clone(),
            cid: *cid,
            looked_in: self.sources(),
        })?;
        if !self.is_trusted(cid)? {
            return Err(LibraryError::NotTrusted {
                store_type: store_type.clone(),
                cid: *cid,
                found: found.place.file().display().to_string(),
            });
        }
        let code = self.check(&found.wasm, &cid.to_string())?;
        match code.store_type() == store_type {
            true => Ok(code),
            false => Err(LibraryError::Refused {
                name: cid.to_string(),
                source: lattice_wasm::CodeError::OtherType {
                    asked: store_type.clone(),
                    found: code.store_type().clone(),
                },
            }),
        }
    }

    /// The added code for a type, most recently added first.
    ///
    /// # Errors
    /// [`LibraryError::File`], [`LibraryError::Refused`], [`LibraryError::Trust`].
    pub fn of_type(&self, store_type: &StoreType) -> Result<Vec<Code>, LibraryError> {
        let mut all = Vec::new();
        for cid in self.trusted()?.newest_first() {
            if let Some(found) = self.find(cid)? {
                let name = cid.to_string();
                // Modules of other types are not compiled.
                let manifest = read_manifest(&found.wasm)
                    .map_err(|source| LibraryError::refused(&name, source))?;
                if manifest.store_type == *store_type {
                    all.push(self.check(&found.wasm, &name)?);
                }
            }
        }
        Ok(all)
    }

    /// An opener that runs stores with this module.
    pub fn opener(&self, code: &Code) -> WasmStoreOpener {
        let equal = self.pinned.get(&code.cid());
        let equal: Vec<&str> = equal.into_iter().flatten().map(String::as_str).collect();
        let opener = wasm_store_opener(code.clone(), &equal);
        opener.expect("the versions are those of registered logic")
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
    /// [`LibraryError::File`], [`LibraryError::Trust`], and as for [`check`](Self::check).
    pub fn prefer_files(&self, registry: &mut Registry) -> Result<(), LibraryError> {
        for module in self.modules_of_files() {
            let (_, code) = module?;
            if self.is_trusted(&code.cid())? {
                registry.replace(code.store_type().clone(), self.opener(&code));
            }
        }
        Ok(())
    }

    /// Reports an error if a named file has a module of this type that is not trusted.
    fn named_of_type(&self, store_type: &StoreType) -> Result<(), LibraryError> {
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
        [cache].into_iter().chain(others).collect()
    }

    fn resolve_code(&self, recorded: &Recorded<'_>) -> Result<Option<Code>, LibraryError> {
        let store_type = recorded.store_type;
        match recorded.logic.map(str::parse::<Cid>) {
            Some(Ok(cid)) => self.code(&cid, store_type).map(Some),
            // Other code computed the state: a replay with code of this type would prove it equal.
            Some(Err(_)) | None => {
                self.named_of_type(store_type)?;
                // New stores use the most recently added code.
                Ok(self.of_type(store_type)?.into_iter().next())
            }
        }
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

/// Resolves the code of stores that no registered code computes.
#[derive(Debug, Clone)]
struct Shared(Arc<CodeLibrary>);

impl Resolver for Shared {
    fn resolve(&self, recorded: &Recorded<'_>) -> Result<Option<Arc<dyn StoreOpener>>, Cause> {
        let Some(code) = self.0.resolve_code(recorded)? else {
            return Ok(None);
        };
        Ok(Some(Arc::new(self.0.opener(&code))))
    }

    fn migration(
        &self,
        from: &StoreType,
        to: &StoreType,
    ) -> Result<Option<Arc<dyn Migration>>, Cause> {
        let converts = |code: &Code| code.manifest().converts.contains(from);
        let code = self.0.of_type(to)?.into_iter().find(converts);
        let Some(code) = code else {
            return Ok(None);
        };
        let machine = WasmMachine::new(code, &[])?;
        let convert = move |step| Ok(machine.convert(step)?);
        Ok(Some(Arc::new(Converting::new(convert))))
    }
}

impl CodeLibrary {
    /// Makes a registry ask this library for the code of stores that no registered opener computes.
    pub fn attach(self: &Arc<Self>, registry: &mut Registry) {
        registry.add_resolver(Shared(Arc::clone(self)));
    }
}
