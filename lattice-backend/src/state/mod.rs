//! The state hash: the sum of a state's elements, and the effect of one op on it.

pub(crate) mod data_table;
mod gather;
pub mod lthash;
pub(crate) mod reads;
pub(crate) mod staging;
mod xof;

pub use staging::{CountedHistory, Staged};

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lattice_meta::{GenesisHash, StateHash};

use crate::backend::{BackendError, Result};
pub(crate) use crate::state::gather::Gathered;
use crate::state::gather::Gathering;
use crate::state::lthash::{LTHASH_BYTES, LtHash};
use crate::state::xof::ShortXof;

const ELEMENT_CONTEXT: &str = "lattice 2026 state element v1";
const HASH_CONTEXT: &str = "lattice 2026 state hash v1";
const EFFECT_CONTEXT: &str = "lattice 2026 effect v1";

/// Bytes of an [`EffectHash`].
pub const EFFECT_BYTES: usize = 16;

/// The first 16 bytes of a BLAKE3 hash of an op's net change to the sum of the elements. A replay
/// in the order of application reproduces it.
pub type EffectHash = [u8; EFFECT_BYTES];

/// One op's changes to a state's elements. They are hashed as they come, and only their sum is
/// kept. An element that is removed and inserted again leaves no trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct ElementChanges {
    inserted: u64,
    removed: u64,
    sum: LtHash,
    /// Bytes of keys and values that were hashed.
    bytes: u64,
}

impl ElementChanges {
    /// The number of elements hashed, and the bytes of their keys and values.
    pub(crate) fn hashed(&self) -> (u64, u64) {
        (self.inserted + self.removed, self.bytes)
    }

    /// The hash of the net change: the change of the element count (`i64`, little endian), then the
    /// sum of the inserted elements less that of the removed ones.
    pub(crate) fn effect(&self) -> EffectHash {
        let mut hasher = blake3::Hasher::new_derive_key(EFFECT_CONTEXT);
        hasher.update(&self.inserted.wrapping_sub(self.removed).to_le_bytes());
        hasher.update(&self.sum.to_bytes());
        let mut effect = [0; EFFECT_BYTES];
        effect.copy_from_slice(&hasher.finalize().as_bytes()[..EFFECT_BYTES]);
        effect
    }
}

/// The length of a key or value. It fits: an op, and so everything it writes, is far shorter than 4
/// GiB.
fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a key or value of the state is shorter than 4 GiB")
}

/// The sum and the number of a state's elements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accumulator {
    pub(crate) elements: u64,
    pub(crate) sum: LtHash,
}

impl Accumulator {
    /// Elements in the state.
    pub fn element_count(&self) -> u64 {
        self.elements
    }

    /// Adds one element.
    pub fn insert(&mut self, hasher: &ElementHasher, key: &[u8], value: &[u8]) {
        let mut changes = hasher.gather();
        changes.insert(key, value);
        self.elements += 1;
        self.sum.add_all(&changes.sum().sum);
    }

    /// Removes one element.
    ///
    /// # Errors
    /// [`BackendError::Damaged`] if the count of elements is already 0.
    pub fn remove(&mut self, hasher: &ElementHasher, key: &[u8], value: &[u8]) -> Result<()> {
        let mut changes = hasher.gather();
        changes.remove(key, value);
        self.change(&changes.sum())
    }

    /// Applies the changes of one op.
    pub(crate) fn change(&mut self, changes: &ElementChanges) -> Result<()> {
        let more = self.elements.checked_add(changes.inserted);
        let left = more.and_then(|more| more.checked_sub(changes.removed));
        self.elements = left.ok_or_else(|| BackendError::Damaged {
            detail: "the state has more elements than were counted".into(),
        })?;
        self.sum.add_all(&changes.sum);
        Ok(())
    }

    /// The hash of the whole state of the store with this genesis.
    pub fn state_hash(&self, genesis: &GenesisHash) -> StateHash {
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        hasher.update(genesis.as_bytes());
        hasher.update(&self.elements.to_le_bytes());
        hasher.update(&self.sum.to_bytes());
        StateHash::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// How elements of at most one chunk are expanded. Both variants produce the same lanes. Which is
/// faster depends on the processor and on the build: `Library` with AVX-512 and in unoptimised
/// builds, `Vectors` with AVX2, NEON and below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expansion {
    /// Each element by the crate `blake3`.
    Library,
    /// Eight elements at a time, by `xof.rs`.
    Vectors,
}

impl Expansion {
    /// Both variants, for tests that must hold for either.
    pub const EACH: [Self; 2] = [Self::Library, Self::Vectors];

    /// The faster variant on this machine, measured on first use. Rounds of both alternate, so that
    /// what else the machine does slows both down.
    fn fastest() -> Self {
        static FASTEST: OnceLock<Expansion> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let hashers = Self::EACH.map(ElementHasher::by);
            let mut least = [Duration::MAX; 2];
            for _ in 0..12 {
                for (hasher, least) in hashers.iter().zip(&mut least) {
                    *least = Self::round(hasher).min(*least);
                }
                // In unoptimised builds, one takes far longer.
                if least[0].max(least[1]) / 4 > least[0].min(least[1]) {
                    break;
                }
            }
            Self::EACH[usize::from(least[1] < least[0])]
        })
    }

    /// The time of eight elements.
    fn round(hasher: &ElementHasher) -> Duration {
        let began = Instant::now();
        let mut elements = hasher.gather();
        for number in 0..8_u8 {
            elements.insert(&[number; 48], &[number; 80]);
        }
        elements.sum();
        began.elapsed()
    }
}

/// Expands elements. The derivation context is hashed only once.
#[derive(Clone, Debug)]
pub struct ElementHasher {
    short: ShortXof,
    long: blake3::Hasher,
    /// `None` for the faster one, which is measured when it is first needed: most processes that
    /// only read hash nothing.
    expansion: Option<Expansion>,
}

impl Default for ElementHasher {
    /// A hasher with the variant that is faster on this machine.
    fn default() -> Self {
        Self::with(None)
    }
}

impl ElementHasher {
    /// A hasher that expands short elements in this way.
    pub fn by(expansion: Expansion) -> Self {
        Self::with(Some(expansion))
    }

    fn with(expansion: Option<Expansion>) -> Self {
        Self {
            short: ShortXof::new(ELEMENT_CONTEXT),
            long: blake3::Hasher::new_derive_key(ELEMENT_CONTEXT),
            expansion,
        }
    }

    /// Takes changes of elements; many together cost less work.
    pub(crate) fn gather(&self) -> Gathering<'_> {
        Gathering::new(self)
    }

    /// Expands an element: BLAKE3's extendable output over the key's length (`u32`, little endian),
    /// the key and the value.
    pub fn expand(&self, key: &[u8], value: &[u8]) -> [u8; LTHASH_BYTES] {
        let mut alone = Accumulator::default();
        alone.insert(self, key, value);
        alone.sum.to_bytes()
    }
}
