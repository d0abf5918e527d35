//! LtHash16: a hash of a set that takes elements in and out one at a time, in any order.
//!
//! The sum, lane by lane and modulo 2^16, of 1,024 pseudo-random lanes for each element
//! (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997; Lewi, Kim, Maykov
//! and Weis, "Securing Update Propagation with Homomorphic Hashing", 2019, which gives these
//! parameters more than 200 bits of security).

use alloc::boxed::Box;
use core::fmt;

/// Lanes of a sum.
pub const LANES: usize = 1024;
/// Bytes of a sum: each lane as a `u16`, little endian.
pub const LTHASH_BYTES: usize = 2 * LANES;

/// A sum of elements.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash(Box<[u16; LANES]>);

impl Default for LtHash {
    /// The empty set.
    fn default() -> Self {
        Self(Box::new([0; LANES]))
    }
}

impl LtHash {
    /// Reads a sum as [`Self::to_bytes`] wrote it.
    pub fn from_bytes(bytes: &[u8; LTHASH_BYTES]) -> Self {
        let mut sum = Self::default();
        for (lane, pair) in sum.0.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = u16::from_le_bytes([pair[0], pair[1]]);
        }
        sum
    }

    /// The sum's bytes.
    pub fn to_bytes(&self) -> [u8; LTHASH_BYTES] {
        let mut bytes = [0; LTHASH_BYTES];
        for (pair, lane) in bytes.chunks_exact_mut(2).zip(self.0.iter()) {
            pair.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// Takes in the element that was expanded to these bytes.
    pub fn add(&mut self, element: &[u8; LTHASH_BYTES]) {
        for (lane, pair) in self.0.iter_mut().zip(element.chunks_exact(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]));
        }
    }

    /// Takes out the element that was expanded to these bytes.
    pub fn remove(&mut self, element: &[u8; LTHASH_BYTES]) {
        for (lane, pair) in self.0.iter_mut().zip(element.chunks_exact(2)) {
            *lane = lane.wrapping_sub(u16::from_le_bytes([pair[0], pair[1]]));
        }
    }
}

impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LtHash({:04x}..)", self.0[0])
    }
}
