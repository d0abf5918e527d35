//! Makes signed ops of any number of authors, with parents that the test chooses.

use std::collections::BTreeMap;

use lattice_meta::{Genesis, Hlc, Nonce, OpId, PubKey, StoreType};

use crate::op::{Op, OpDraft, OpHasher, OpKind, OpRef, SecretKey};

/// The timestamp of the first op, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// Signs ops of numbered authors. Each op has a later timestamp than those made before it.
#[derive(Debug)]
pub struct Forge {
    genesis: Genesis,
    hasher: OpHasher,
    made: u64,
    /// The last op of each author that [`next_op`](Self::next_op) made.
    last: BTreeMap<u64, Op>,
}

impl Forge {
    /// A forge for a new store of a type.
    pub fn for_store(store_type: StoreType) -> Self {
        let hlc = Hlc::from_parts(BEGINNING_MS, 0).expect("it is within 48 bits");
        let owner = Self::secret(u64::MAX).public();
        let genesis = Genesis::new(store_type, owner, Nonce::from_bytes([7; 16]), hlc, None);
        Self {
            hasher: OpHasher::new(&genesis.hash()),
            genesis,
            made: 0,
            last: BTreeMap::new(),
        }
    }

    /// The store's genesis record.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The public key of an author.
    pub fn author(author: u64) -> PubKey {
        Self::secret(author).public()
    }

    fn secret(author: u64) -> SecretKey {
        let mut seed = [0xc0; 32];
        seed[..8].copy_from_slice(&author.to_le_bytes());
        SecretKey::from_bytes(&seed)
    }

    /// Signs an application op of an author with the given `prev` and `deps`. `deps` must ascend.
    ///
    /// # Panics
    /// If the op would break a rule of ops.
    pub fn op(&mut self, author: u64, prev: Option<&Op>, deps: &[OpRef], payload: &[u8]) -> Op {
        let hlc = Hlc::from_parts(BEGINNING_MS, 0).expect("it is within 48 bits");
        self.made += 1;
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: prev.map_or(0, |prev| prev.reference().seq + 1),
            prev: prev.map_or(OpId::ZERO, |prev| prev.reference().id),
            hlc: Hlc::from_u64(hlc.to_u64() + self.made),
            deps: deps.to_vec(),
            payload,
        };
        draft
            .sign(&self.hasher, &Self::secret(author))
            .expect("the test keeps the rules of ops")
    }

    /// Signs the author's next op, after the last one that this method made.
    ///
    /// # Panics
    /// As [`op`](Self::op).
    pub fn next_op(&mut self, author: u64, payload: &[u8]) -> Op {
        let prev = self.last.remove(&author);
        let op = self.op(author, prev.as_ref(), &[], payload);
        self.last.insert(author, op.clone());
        op
    }
}
