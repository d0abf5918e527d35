//! LtHash16: a set hash to which elements are added and from which they are removed one at a time,
//! in any order.
//!
//! The hash is the sum, lane by lane and modulo 2^16, of 1,024 pseudo-random lanes for each element
//! (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997; Lewi, Kim, Maykov
//! and Weis, "Securing Update Propagation with Homomorphic Hashing", 2019, which gives these
//! parameters more than 200 bits of security).

use alloc::boxed::Box;
#[cfg(test)]
use alloc::vec::Vec;
use core::fmt;

/// Lanes of a sum.
pub const LANES: usize = 1024;
/// Bytes of a sum: each lane as a `u16`, little endian.
pub const LTHASH_BYTES: usize = 2 * LANES;

/// Lanes in memory: two to a word, and the words in the order in which eight-lane vectors produce
/// them. BLAKE3's output comes in blocks of 16 words; row `16 * g + i` has word `i` of blocks
/// `8 * g` to `8 * g + 7`. Elements are added in this order; only sums are reordered.
pub(crate) type Words = [[u32; 8]; LANES / 16];

/// The position of a word of the output.
fn place(word: usize) -> (usize, usize) {
    let (block, word) = (word / 16, word % 16);
    (block / 8 * 16 + word, block % 8)
}

fn words_of(bytes: &[u8; LTHASH_BYTES]) -> Words {
    let mut words = [[0; 8]; LANES / 16];
    let (all, _) = bytes.as_chunks();
    for (word, bytes) in all.iter().enumerate() {
        let (row, lane) = place(word);
        words[row][lane] = u32::from_le_bytes(*bytes);
    }
    words
}

fn bytes_of(words: &Words) -> [u8; LTHASH_BYTES] {
    let mut bytes = [0; LTHASH_BYTES];
    let (all, _) = bytes.as_chunks_mut();
    for (word, bytes) in all.iter_mut().enumerate() {
        let (row, lane) = place(word);
        *bytes = words[row][lane].to_le_bytes();
    }
    bytes
}

/// The highest bit of each of the two lanes in a word. A carry into it does not leave its lane.
const HIGH: u32 = 0x8000_8000;

/// Adds two pairs of lanes.
#[inline(always)]
fn add_lanes(sum: u32, word: u32) -> u32 {
    (sum & !HIGH).wrapping_add(word & !HIGH) ^ ((sum ^ word) & HIGH)
}

/// A sum of elements.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash(Box<Words>);

impl Default for LtHash {
    /// The empty set.
    fn default() -> Self {
        Self(Box::new([[0; 8]; LANES / 16]))
    }
}

impl LtHash {
    /// Reads a sum that [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; LTHASH_BYTES]) -> Self {
        Self(Box::new(words_of(bytes)))
    }

    /// The sum's bytes.
    pub fn to_bytes(&self) -> [u8; LTHASH_BYTES] {
        bytes_of(&self.0)
    }

    /// Adds the element that was expanded to these bytes.
    pub fn add(&mut self, element: &[u8; LTHASH_BYTES]) {
        self.change(element, add_lanes);
    }

    /// Removes the element that was expanded to these bytes.
    pub fn remove(&mut self, element: &[u8; LTHASH_BYTES]) {
        self.change(element, |sum, word| {
            (sum | HIGH).wrapping_sub(word & !HIGH) ^ ((sum ^ !word) & HIGH)
        });
    }

    /// Adds all elements of another sum.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (sums, words) in self.0.iter_mut().zip(other.0.iter()) {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = add_lanes(*sum, *word);
            }
        }
    }

    /// The sum's representation in memory.
    pub(crate) fn words_mut(&mut self) -> &mut Words {
        &mut self.0
    }

    #[inline(always)]
    fn change(&mut self, element: &[u8; LTHASH_BYTES], lanes: impl Fn(u32, u32) -> u32) {
        for (sums, words) in self.0.iter_mut().zip(&words_of(element)) {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = lanes(*sum, *word);
            }
        }
    }
}

impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.to_bytes();
        write!(f, "LtHash({second:02x}{first:02x}..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lanes(bytes: &[u8; LTHASH_BYTES]) -> Vec<u16> {
        let (lanes, _) = bytes.as_chunks();
        lanes.iter().map(|lane| u16::from_le_bytes(*lane)).collect()
    }

    fn element() -> impl Strategy<Value = [u8; LTHASH_BYTES]> {
        let edges = prop_oneof![
            Just(0_u8),
            Just(1),
            Just(0x7f),
            Just(0x80),
            Just(0xff),
            any::<u8>()
        ];
        prop::collection::vec(edges, LTHASH_BYTES)
            .prop_map(|bytes| bytes.try_into().expect("so many were made"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn lanes_are_added_one_by_one(a in element(), b in element()) {
            let mut sum = LtHash::from_bytes(&a);
            prop_assert_eq!(sum.to_bytes(), a);
            sum.add(&b);
            let added: Vec<u16> = lanes(&a).iter().zip(lanes(&b)).map(|(a, b)| a.wrapping_add(b)).collect();
            prop_assert_eq!(lanes(&sum.to_bytes()), added);
            sum.remove(&b);
            prop_assert_eq!(sum.to_bytes(), a);
            sum.remove(&b);
            let taken: Vec<u16> = lanes(&a).iter().zip(lanes(&b)).map(|(a, b)| a.wrapping_sub(b)).collect();
            prop_assert_eq!(lanes(&sum.to_bytes()), taken);
        }
    }
}
