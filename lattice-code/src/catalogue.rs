//! What publishers announce, and what the user has decided about them.

use std::collections::BTreeSet;
use std::fmt;

use lattice_backend::backend::Cause;
use lattice_meta::{Cid, PubKey, StoreId, StoreType};
use lattice_registry::Recorded;

use crate::decide::Because;
use crate::decisions::{Decision, Decisions, Outcome};
use crate::error::LibraryError;
use crate::library::CodeLibrary;
use crate::releases::Release;
use crate::trust::{Trusted, TypeTrust};

/// The releases that a node knows. They are claims: the library compares their publishers with
/// those that the user trusts.
pub trait Catalogue: fmt::Debug + Send + Sync {
    /// The releases of a type, of all publishers, in any order.
    ///
    /// # Errors
    /// Why none can be read.
    fn releases(&self, store_type: &StoreType) -> Result<Announced, Cause>;
}

/// What a catalogue knows of a type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announced {
    /// The releases.
    pub releases: Vec<Release>,
    /// What could not be read, and why: it may withdraw releases, or conflict with them. Until it
    /// can be read, no release is chosen for a store that does not record it.
    pub unreadable: Vec<String>,
}

/// A newer release than the one that a store uses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Newer {
    /// The number of the release.
    pub release: u64,
    /// The module.
    pub cid: Cid,
    /// What its publisher says has changed.
    pub notes: String,
    /// Whether a source has the module.
    pub is_found: bool,
}

impl CodeLibrary {
    /// The releases of a type that the catalogue knows; without a catalogue there are none. Leaves
    /// out numbers that `code.toml`, whose numbers are signed, could not keep.
    ///
    /// # Errors
    /// [`LibraryError::Catalogue`].
    pub fn releases(&self, store_type: &StoreType) -> Result<Vec<Release>, LibraryError> {
        Ok(self.announced(store_type)?.releases)
    }

    pub(crate) fn announced(&self, store_type: &StoreType) -> Result<Announced, LibraryError> {
        let Some(catalogue) = &self.catalogue else {
            return Ok(Announced::default());
        };
        let announced = catalogue.releases(store_type);
        let mut announced = announced.map_err(|source| LibraryError::Catalogue {
            store_type: store_type.clone(),
            source,
        })?;
        let is_kept = |release: &Release| i64::try_from(release.published.release).is_ok();
        announced.releases.retain(is_kept);
        Ok(announced)
    }

    /// Why a module of a type may run; `None` if it may not.
    ///
    /// # Errors
    /// As for [`Trusted::load`] and [`releases`](Self::releases).
    pub fn because(
        &self,
        cid: &Cid,
        store_type: &StoreType,
    ) -> Result<Option<Because>, LibraryError> {
        let trusted = self.trusted()?;
        if let Some(because) = self.without_publisher(cid, &trusted) {
            let pin = trusted.of_type(store_type).pin;
            let is_other = pin.is_some_and(|pin| pin != *cid) && because != Because::EqualToNative;
            return Ok((!is_other).then_some(because));
        }
        if trusted.of_type(store_type).pin.is_some() {
            return Ok(None);
        }
        let Some(publisher) = trusted.of_type(store_type).publisher else {
            return Ok(None);
        };
        let releases = self.releases(store_type)?;
        Ok(published_by(&releases, &publisher, cid))
    }

    /// Why a module may run, without regard to publishers.
    pub(crate) fn without_publisher(&self, cid: &Cid, trusted: &Trusted) -> Option<Because> {
        if self.pinned.contains_key(cid) {
            Some(Because::EqualToNative)
        } else if trusted.is_pin(cid) {
            Some(Because::Pinned)
        } else {
            trusted.contains(cid).then_some(Because::Added)
        }
    }

    /// The release that `lattice upgrade` would take for a store: the newest one of the
    /// trusted publisher, if the store does not use it yet and it has not been refused.
    ///
    /// # Errors
    /// As for [`releases`](Self::releases), and for reading the log of decisions.
    pub fn newer(&self, recorded: &Recorded<'_>) -> Result<Option<Newer>, LibraryError> {
        let trusted = self.trusted()?;
        let trust = trusted.of_type(recorded.store_type);
        if trust.publisher.is_none() || trust.pin.is_some() {
            return Ok(None);
        }
        let releases = self.releases(recorded.store_type)?;
        let refused = match recorded.store_id {
            Some(store_id) => self.decisions(store_id)?.refused(),
            None => Default::default(),
        };
        let schema = recorded.schema_version.map(|schema| schema.get());
        let newest = newest_first(&releases, &trust).find(|release| {
            let is_refused = refused.contains(&release.published.cid);
            release.may_be_chosen() && release.reads(schema) && !is_refused
        });
        let Some(release) = newest else {
            return Ok(None);
        };
        let published = &release.published;
        let used = recorded.logic.and_then(|logic| logic.parse::<Cid>().ok());
        let used = used.and_then(|cid| published_by(&releases, &release.publisher, &cid));
        if let Some(Because::Published { release: used, .. }) = used
            && used >= published.release
        {
            return Ok(None);
        }
        Ok(Some(Newer {
            release: published.release,
            cid: published.cid,
            notes: published.notes.clone(),
            is_found: self.find(&published.cid)?.is_some(),
        }))
    }

    /// The modules that new stores and upgrades may need: the pins, and the last two releases of
    /// each trusted publisher. A collection of garbage keeps them.
    ///
    /// # Errors
    /// As for [`Trusted::load`] and [`releases`](Self::releases).
    pub fn wanted(&self) -> Result<BTreeSet<Cid>, LibraryError> {
        let mut wanted = BTreeSet::new();
        for (store_type, trust) in self.trusted()?.types() {
            wanted.extend(trust.pin);
            if trust.publisher.is_some() {
                let releases = self.releases(store_type)?;
                let usable = newest_first(&releases, trust).filter(|it| it.withdrawn.is_none());
                let mut last: Vec<Cid> = usable.map(|release| release.published.cid).collect();
                // Several registries may have the same release.
                last.dedup();
                wanted.extend(last.into_iter().take(2));
            }
        }
        Ok(wanted)
    }

    /// Notes that a store uses a module. If it is a release of the trusted publisher, older
    /// releases of the type are not chosen any more.
    ///
    /// # Errors
    /// As for [`Trusted::load`] and [`releases`](Self::releases); the file cannot be written.
    pub fn used(&self, cid: &Cid, store_type: &StoreType) -> Result<(), LibraryError> {
        let Some(publisher) = self.trusted()?.of_type(store_type).publisher else {
            return Ok(());
        };
        let releases = self.releases(store_type)?;
        let Some(Because::Published { release, .. }) = published_by(&releases, &publisher, cid)
        else {
            return Ok(());
        };
        let raise = |trust: &mut TypeTrust| {
            if trust.publisher == Some(publisher) && trust.release.is_none_or(|it| it < release) {
                trust.release = Some(release);
            }
        };
        self.change_type(store_type, raise).map(drop)
    }

    /// Changes what the user has decided about a type: `change` gets the present value, while no
    /// other process changes it. Returns whether that is a change.
    ///
    /// # Errors
    /// As for [`Trusted::load`]; the file cannot be written.
    pub fn change_type(
        &self,
        store_type: &StoreType,
        change: impl FnOnce(&mut TypeTrust),
    ) -> Result<bool, LibraryError> {
        let locked = self.cache.lock()?;
        let mut trust = self.trusted()?.of_type(store_type);
        change(&mut trust);
        let changed = Trusted::set_type(self.data_dir(), store_type, &trust)?;
        drop(locked);
        Ok(changed)
    }

    /// The decisions about a store's code.
    ///
    /// # Errors
    /// [`LibraryError::Files`].
    pub fn decisions(&self, store_id: StoreId) -> Result<Decisions, LibraryError> {
        self.log().read(store_id)
    }

    /// Records a decision about a store's code.
    ///
    /// # Errors
    /// [`LibraryError::Files`].
    pub fn decided(
        &self,
        store_id: StoreId,
        store_type: &StoreType,
        recorded: Option<&str>,
        logic: &str,
        outcome: Outcome,
    ) -> Result<(), LibraryError> {
        let decision = Decision::now(store_id, store_type, recorded, logic, outcome);
        self.log().append(&decision)
    }
}

/// The trusted publisher's release of a module.
pub(crate) fn published_by(releases: &[Release], publisher: &PubKey, cid: &Cid) -> Option<Because> {
    let of_it = releases
        .iter()
        .filter(|release| release.publisher == *publisher && release.published.cid == *cid);
    let release = of_it.map(|release| release.published.release).max()?;
    Some(Because::Published {
        release,
        publisher: *publisher,
    })
}

/// The releases of the trusted publisher, newest first, without those older than one already used.
pub(crate) fn newest_first<'a>(
    releases: &'a [Release],
    trust: &TypeTrust,
) -> impl Iterator<Item = &'a Release> + use<'a> {
    let (publisher, oldest) = (trust.publisher, trust.release.unwrap_or(0));
    let mut all: Vec<&Release> = releases
        .iter()
        .filter(|release| publisher == Some(release.publisher))
        .filter(|release| release.published.release >= oldest)
        .collect();
    all.sort_by_key(|release| {
        (
            std::cmp::Reverse(release.published.release),
            release.published.cid,
        )
    });
    all.into_iter()
}
