//! Data shared by all checks of a history.

use lattice_meta::{Genesis, PubKey};

use crate::op::{Op, OpRef, SecretKey};

/// The number of honest authors.
const AUTHORS: usize = 3;

/// The keys for all histories. Making a key takes longer than making an op.
pub(super) struct Keys(Vec<(PubKey, SecretKey)>);

impl Keys {
    pub(super) fn new() -> Self {
        let key = |author: usize| {
            let mut seed = [0x5a; 32];
            seed[0] = u8::try_from(author).expect("there are few");
            let secret = SecretKey::from_bytes(&seed);
            (secret.public(), secret)
        };
        // The last key is the forger's.
        Self((0..=AUTHORS).map(key).collect())
    }

    /// The owner of all stores.
    pub(super) fn owner(&self) -> PubKey {
        self.0[0].0
    }

    /// The honest authors and the forger.
    pub(super) fn authors(&self) -> Vec<PubKey> {
        self.0.iter().map(|(public, _)| *public).collect()
    }

    /// Signs ops of these authors.
    pub(super) fn sign(&self, ops: &[Op]) -> Vec<Op> {
        let sign = |op: &Op| {
            let mut op = op.clone();
            let OpRef { author, id, .. } = op.reference();
            if let Some((_, secret)) = self.0.iter().find(|(public, _)| *public == author) {
                op.set_signature(&secret.sign(&id));
            }
            op
        };
        ops.iter().map(sign).collect()
    }
}

/// Data shared by all cases of a history.
pub(super) struct Context<'a, M> {
    pub(super) make: &'a dyn Fn() -> M,
    pub(super) genesis: &'a Genesis,
    pub(super) keys: &'a Keys,
}
