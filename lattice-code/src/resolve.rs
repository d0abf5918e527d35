//! Chooses the code that opens a store.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use lattice_backend::backend::Cause;
use lattice_meta::{Cid, PubKey, StoreType};
use lattice_registry::{Converting, Migration, Recorded, Registry, Resolver, StoreOpener};
use lattice_wasm::{Code, WasmMachine, WasmStoreOpener, read_manifest, wasm_store_opener};

use crate::attempts::{Attempt, Attempts};
use crate::catalogue::{Announced, newest_first, published_by};
use crate::decide::{Because, Candidate, Choice, Refusal, Situation, decide};
use crate::error::LibraryError;
use crate::library::CodeLibrary;
use crate::releases::Release;
use crate::trust::Trusted;

/// A module to try: the choice, its bytes (empty if the store records it), and its code.
type Chosen = (Choice, Vec<u8>, Code);

/// Asks the user whether the publisher of a release is to be trusted for its type.
#[derive(Clone)]
pub(crate) struct Ask(pub(crate) Arc<dyn Fn(&Release) -> bool + Send + Sync>);

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl CodeLibrary {
    /// The code with a content id, for stores of a type, if it may run.
    ///
    /// # Errors
    /// [`LibraryError::Missing`], [`LibraryError::NotTrusted`], [`LibraryError::Refused`].
    pub fn code(&self, cid: &Cid, store_type: &StoreType) -> Result<Code, LibraryError> {
        let Some(found) = self.find(cid)? else {
            return Err(self.missing(cid, store_type));
        };
        if self.because(cid, store_type)?.is_none() {
            return Err(LibraryError::NotTrusted {
                store_type: store_type.clone(),
                cid: *cid,
                found: found.place.file().display().to_string(),
            });
        }
        self.checked(cid, &found.wasm, store_type)
    }

    fn checked(
        &self,
        cid: &Cid,
        wasm: &[u8],
        store_type: &StoreType,
    ) -> Result<Code, LibraryError> {
        let code = self.check(wasm, &cid.to_string())?;
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

    /// Checks a module and caches it, without trusting it: a source supplies bytes, and the user
    /// decides which of them may run. `name` is for messages.
    ///
    /// # Errors
    /// As for [`check`](Self::check), and [`LibraryError::Files`].
    pub fn keep(&self, wasm: &[u8], name: &str) -> Result<Code, LibraryError> {
        let code = self.check(wasm, name)?;
        // Without a lock: the file gets its name when it is complete, and is no garbage yet.
        self.cache.put(&code.cid(), wasm)?;
        Ok(code)
    }

    fn missing(&self, cid: &Cid, store_type: &StoreType) -> LibraryError {
        let mut looked_in = self.sources();
        if let (Some(cache), true) = (looked_in.first_mut(), self.cache.has_damaged(cid)) {
            cache.push_str(", whose file of it is damaged and was set aside as .bad");
        }
        LibraryError::Missing {
            store_type: store_type.clone(),
            cid: *cid,
            looked_in,
        }
    }

    /// The added code for a type, most recently added first. Skips modules that are missing, and
    /// does not request them from added sources: other types may need none of them.
    ///
    /// # Errors
    /// [`LibraryError::Files`], [`LibraryError::Refused`], [`LibraryError::Trust`].
    pub fn of_type(&self, store_type: &StoreType) -> Result<Vec<Code>, LibraryError> {
        let mut all = Vec::new();
        for cid in self.trusted()?.newest_first() {
            if let Some(found) = self.find_file(cid)? {
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

    /// The modules of a type that may run, in the order of preference: the pin, releases of the
    /// trusted publisher from the newest to the oldest that may still be chosen, added modules from
    /// the newest. `schema` is the layout of the rows of a store.
    fn candidates(
        &self,
        store_type: &StoreType,
        schema: Option<u64>,
        trusted: &Trusted,
        releases: &[Release],
    ) -> Result<Vec<Candidate>, LibraryError> {
        let trust = trusted.of_type(store_type);
        let mut all: Vec<Candidate> = Vec::new();
        let known = |all: &[Candidate], cid: &Cid| all.iter().any(|it| it.cid == *cid);
        if let Some(pin) = trust.pin {
            all.push(Candidate {
                cid: pin,
                because: Some(Because::Pinned),
                is_found: self.find(&pin)?.is_some(),
                fits: true,
                may_be_chosen: true,
            });
        }
        for release in newest_first(releases, &trust) {
            let cid = release.published.cid;
            if known(&all, &cid) {
                continue;
            }
            all.push(Candidate {
                cid,
                because: Some(Because::Published {
                    release: release.published.release,
                    publisher: release.publisher,
                }),
                is_found: self.find(&cid)?.is_some(),
                fits: release.reads(schema),
                may_be_chosen: release.may_be_chosen(),
            });
        }
        for code in self.of_type(store_type)? {
            let cid = code.cid();
            if !known(&all, &cid) {
                let schemas = &code.manifest().schemas;
                let fits =
                    |schema: u64| (schemas.start().get()..=schemas.end().get()).contains(&schema);
                all.push(Candidate {
                    cid,
                    because: Some(Because::Added),
                    is_found: true,
                    fits: schema.is_none_or(fits),
                    may_be_chosen: true,
                });
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

    /// The modules to open a store with, in the order of attempts. If the type has one publisher
    /// and the user trusts none yet, asks the user.
    fn choose(&self, recorded: &Recorded<'_>) -> Result<Vec<Chosen>, LibraryError> {
        let chosen = self.choose_from_trusted(recorded);
        let publisher = match &chosen {
            Err(LibraryError::NoPublisher { publishers, .. }) if publishers.len() == 1 => {
                publishers[0]
            }
            Err(LibraryError::OtherPublisher { publisher, .. }) => *publisher,
            _ => return chosen,
        };
        let store_type = recorded.store_type;
        let mut trust = self.trusted()?.of_type(store_type);
        let Some(ask) = self.ask.as_ref().filter(|_| trust.publisher.is_none()) else {
            return chosen;
        };
        trust.publisher = Some(publisher);
        let releases = self.releases(store_type)?;
        // A store must not select the publisher that is asked about.
        if publishers(&releases).len() > 1 {
            return chosen;
        }
        let mut newest = newest_first(&releases, &trust);
        let Some(newest) = newest.find(|release| release.may_be_chosen()) else {
            return chosen;
        };
        if !(ask.0)(newest) {
            return chosen;
        }
        self.change_type(store_type, |trust| {
            if trust.publisher.is_none() && trust.pin.is_none() {
                trust.publisher = Some(publisher);
            }
        })?;
        self.choose_from_trusted(recorded)
    }

    /// The modules to open a store with, in the order of attempts.
    fn choose_from_trusted(&self, recorded: &Recorded<'_>) -> Result<Vec<Chosen>, LibraryError> {
        let store_type = recorded.store_type;
        let cid = recorded.logic.and_then(|logic| logic.parse::<Cid>().ok());
        let trusted = self.trusted()?;
        let trust = trusted.of_type(store_type);
        let schema = recorded.schema_version.map(|schema| schema.get());
        let found = cid.map(|cid| self.find(&cid)).transpose()?.flatten();
        // The usual case needs no catalogue.
        if let (Some(cid), Some(found), None) = (cid, &found, trust.pin)
            && let Some(because) = self.without_publisher(&cid, &trusted)
        {
            let code = self.checked(&cid, &found.wasm, store_type)?;
            return Ok(vec![(Choice { cid, because }, Vec::new(), code)]);
        }
        let Announced {
            releases,
            unreadable,
        } = self.announced(store_type)?;
        // The logic of a store that does not exist yet is a claim of a bundle's sender, who must
        // not choose for the user.
        let is_claim = recorded.store_id.is_none();
        let may_be_chosen = |cid: &Cid| {
            newest_first(&releases, &trust).any(|it| it.published.cid == *cid && it.may_be_chosen())
        };
        let own = cid.map(|cid| Candidate {
            cid,
            because: self.without_publisher(&cid, &trusted).or_else(|| {
                let publisher = trust.publisher?;
                let because = published_by(&releases, &publisher, &cid)?;
                (!is_claim || may_be_chosen(&cid)).then_some(because)
            }),
            is_found: found.is_some(),
            fits: true,
            may_be_chosen: true,
        });
        // A store that records a module which may run needs no other. Reading all modules of its
        // type at every open would be wasted.
        let is_settled = own.as_ref().is_some_and(Candidate::opens) && trust.pin.is_none();
        let candidates = match is_settled {
            true => Vec::new(),
            false => self.candidates(store_type, schema, &trusted, &releases)?,
        };
        // Without the log, what was refused is proven again.
        let decisions = recorded.store_id.map(|store_id| self.decisions(store_id));
        let refused = match decisions {
            Some(Ok(decisions)) => decisions.refused(),
            Some(Err(_)) | None => BTreeSet::new(),
        };
        let decided = decide(&Situation {
            recorded: own.as_ref(),
            trust: &trust,
            candidates: &candidates,
            refused: &refused,
        });
        let is_recorded = |choice: &Choice| !is_claim && cid == Some(choice.cid);
        let needs_releases = match &decided {
            Ok(choices) => choices.iter().any(|choice| {
                matches!(choice.because, Because::Published { .. }) && !is_recorded(choice)
            }),
            Err(Refusal::NotTrusted(_) | Refusal::Nothing) => trust.publisher.is_some(),
            Err(Refusal::Missing(_) | Refusal::PinMissing(_)) => false,
        };
        if needs_releases && !unreadable.is_empty() {
            return Err(LibraryError::Unreadable {
                store_type: store_type.clone(),
                stores: unreadable,
            });
        }
        let choices = match decided {
            Ok(choices) => choices,
            Err(Refusal::Nothing) => {
                self.named_of_type(store_type)?;
                if let Some((cid, release)) = candidates.iter().find_map(Candidate::lacks_bytes) {
                    return Err(LibraryError::ReleaseMissing {
                        store_type: store_type.clone(),
                        release,
                        cid,
                        looked_in: self.sources(),
                    });
                }
                let is_by = |publisher| releases.iter().any(|it| it.publisher == publisher);
                return match trust.publisher.filter(|publisher| is_by(*publisher)) {
                    Some(publisher) => Err(LibraryError::NoRelease {
                        store_type: store_type.clone(),
                        publisher,
                        newest: trust.release,
                    }),
                    None if releases.is_empty() => Ok(Vec::new()),
                    None => Err(not_published(store_type, &releases)),
                };
            }
            Err(Refusal::Missing(cid)) => return Err(self.missing(&cid, store_type)),
            Err(Refusal::PinMissing(cid)) => {
                return Err(LibraryError::PinMissing {
                    store_type: store_type.clone(),
                    cid,
                    looked_in: self.sources(),
                });
            }
            Err(Refusal::NotTrusted(cid)) => {
                let publishes = |release: &&Release| release.published.cid == cid;
                let of_it: Vec<Release> = releases.iter().filter(publishes).cloned().collect();
                let found = found.map(|found| found.place.file().display().to_string());
                let of_it_publishers = publishers(&of_it);
                if let Some(publisher) = trust.publisher
                    && of_it_publishers.contains(&publisher)
                {
                    return Err(LibraryError::NoRelease {
                        store_type: store_type.clone(),
                        publisher,
                        newest: trust.release,
                    });
                }
                return Err(match &of_it_publishers[..] {
                    [] => LibraryError::NotTrusted {
                        store_type: store_type.clone(),
                        cid,
                        found: found.unwrap_or_else(|| cid.to_string()),
                    },
                    [publisher] => LibraryError::OtherPublisher {
                        store_type: store_type.clone(),
                        cid,
                        publisher: *publisher,
                    },
                    // Which of them the user means is not known.
                    _ => not_published(store_type, &of_it),
                });
            }
        };
        let (mut codes, mut refusal) = (Vec::new(), None);
        for choice in choices {
            let found = self.find(&choice.cid)?;
            let found = found.ok_or_else(|| self.missing(&choice.cid, store_type))?;
            match self.checked(&choice.cid, &found.wasm, store_type) {
                Ok(code) => codes.push((choice, found.wasm, code)),
                // What its publisher says of a module need not be true: the next one may do.
                Err(error) => refusal = refusal.or(Some(error)),
            }
            if is_claim && !codes.is_empty() {
                // A new store has no history by which others could be proven.
                break;
            }
        }
        match refusal {
            Some(error) if codes.is_empty() => Err(error),
            _ => Ok(codes),
        }
    }

    /// Makes a registry ask this library for the code of stores that no registered opener computes.
    pub fn attach(self: &Arc<Self>, registry: &mut Registry) {
        registry.add_resolver(Shared(Arc::clone(self)));
    }
}

fn not_published(store_type: &StoreType, releases: &[Release]) -> LibraryError {
    LibraryError::NoPublisher {
        store_type: store_type.clone(),
        publishers: publishers(releases),
    }
}

fn publishers(releases: &[Release]) -> Vec<PubKey> {
    let all: BTreeSet<PubKey> = releases.iter().map(|release| release.publisher).collect();
    all.into_iter().collect()
}

/// Resolves the code of stores that no registered code computes.
#[derive(Debug, Clone)]
struct Shared(Arc<CodeLibrary>);

impl Resolver for Shared {
    fn resolve(&self, recorded: &Recorded<'_>) -> Result<Option<Arc<dyn StoreOpener>>, Cause> {
        let choices = self.0.choose(recorded)?;
        if choices.is_empty() {
            return Ok(None);
        }
        // A choice may have changed `code.toml`, whose lock comes before the lease.
        let lease = self.0.lease()?;
        for (choice, wasm, _) in &choices {
            self.0.cache.renew(&choice.cid);
            if recorded.logic != Some(&*choice.cid.to_string()) {
                // It may have been collected before the lease; the store will record it.
                self.0.cache.put(&choice.cid, wasm)?;
            }
        }
        let attempts = choices.into_iter().map(|(choice, _, code)| Attempt {
            opener: self.0.opener(&code),
            choice,
        });
        Ok(Some(Arc::new(Attempts {
            library: Arc::clone(&self.0),
            attempts: attempts.collect(),
            _lease: lease,
        })))
    }

    fn migration(
        &self,
        from: &StoreType,
        to: &StoreType,
    ) -> Result<Option<Arc<dyn Migration>>, Cause> {
        let trusted = self.0.trusted()?;
        let releases = self.0.releases(to)?;
        let pin = trusted.of_type(to).pin;
        let mut refusal = None;
        for candidate in self.0.candidates(to, None, &trusted, &releases)? {
            if pin.is_some_and(|pin| pin != candidate.cid) || !candidate.may_be_chosen {
                continue;
            }
            let Some(found) = self.0.find(&candidate.cid)? else {
                continue;
            };
            let code = match self.0.checked(&candidate.cid, &found.wasm, to) {
                Ok(code) => code,
                Err(error) => {
                    refusal = refusal.or(Some(error));
                    continue;
                }
            };
            if code.manifest().converts.contains(from) {
                let machine = WasmMachine::new(code, &[])?;
                let convert = move |step| Ok(machine.convert(step)?);
                return Ok(Some(Arc::new(Converting::new(convert))));
            }
        }
        match refusal {
            Some(error) => Err(error.into()),
            None => Ok(None),
        }
    }
}
