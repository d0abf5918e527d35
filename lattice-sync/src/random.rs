//! Numbers from the seed.

/// A source of tokens and of jitter: the same seed gives the same numbers.
#[derive(Debug)]
pub(crate) struct Random {
    key: [u8; 32],
    count: u64,
}

impl Random {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self {
            key: seed,
            count: 0,
        }
    }

    /// A token that no peer can guess.
    pub(crate) fn token(&mut self) -> [u8; 16] {
        self.count += 1;
        let hash = blake3::keyed_hash(&self.key, &self.count.to_le_bytes());
        let first = hash.as_bytes().first_chunk();
        *first.expect("32 bytes begin with 16")
    }

    pub(crate) fn number(&mut self) -> u64 {
        let token = self.token();
        u64::from_le_bytes(*token.first_chunk().expect("16 bytes begin with 8"))
    }

    /// Between half and one and a half times as much.
    pub(crate) fn around(&mut self, ms: u64) -> u64 {
        let spread = ms.max(1);
        ms / 2 + self.number() % spread
    }
}
