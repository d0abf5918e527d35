//! The extendable output of BLAKE3 over a short input, many blocks at once.
//!
//! A leaf of the state is expanded to 32 blocks, each the same compression under another counter: lanes of a
//! vector take as many of them as fit (BLAKE3 specification, sections 2.2 to 2.6). The library does so with
//! AVX-512 alone, and one after another elsewhere, which was a third of the work of a batch of writes. Inputs
//! of more than one chunk are left to the library, and all of them in builds without optimisation, where
//! lanes are calls.

use core::array;

use fearless_simd::{Level, Simd, SimdBase, dispatch, u32x8};

use crate::lthash::{LTHASH_BYTES, Words};

/// Bytes of a chunk: the longest input.
pub(crate) const CHUNK_LEN: usize = 1024;
const BLOCK_LEN: usize = 64;
/// Blocks that are made at a time.
const LANES: usize = 8;

const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 1 << 1;
const ROOT: u32 = 1 << 3;
const DERIVE_KEY_MATERIAL: u32 = 1 << 6;

const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/// Which word of the block each round takes where.
const SCHEDULE: [[usize; 16]; 7] = schedule();

const fn schedule() -> [[usize; 16]; 7] {
    let mut rounds = [[0; 16]; 7];
    let mut place = 0;
    while place < 16 {
        rounds[0][place] = place;
        let mut round = 1;
        while round < 7 {
            let mut word = place;
            let mut times = 0;
            while times < round {
                word = PERMUTATION[word];
                times += 1;
            }
            rounds[round][place] = word;
            round += 1;
        }
        place += 1;
    }
    rounds
}

/// BLAKE3 in its key derivation mode under one context.
#[derive(Debug, Clone)]
pub(crate) struct ShortXof {
    key: [u32; 8],
    level: Level,
}

impl ShortXof {
    pub(crate) fn new(context: &str) -> Self {
        let key = blake3::hazmat::hash_derive_key_context(context);
        let (words, _) = key.as_chunks();
        Self {
            key: array::from_fn(|place| u32::from_le_bytes(words[place])),
            level: Level::new(),
        }
    }

    /// The output over an input of at most [`CHUNK_LEN`] bytes.
    pub(crate) fn expand(&self, input: &[u8]) -> Words {
        debug_assert!(input.len() <= CHUNK_LEN, "longer inputs are the library's");
        let last = input.len().saturating_sub(1) / BLOCK_LEN * BLOCK_LEN;
        let (front, last) = input.split_at(last);
        let mut chain = self.key;
        let mut flags = DERIVE_KEY_MATERIAL | CHUNK_START;
        for block in front.chunks(BLOCK_LEN) {
            chain = compress(&chain, &words(block), flags);
            flags = DERIVE_KEY_MATERIAL;
        }
        let root = Root {
            chain,
            block: words(last),
            len: u32::try_from(last.len()).expect("a block has 64 bytes at the most"),
            flags: flags | CHUNK_END | ROOT,
        };
        let mut output = [[0; LANES]; LTHASH_BYTES / (4 * LANES)];
        dispatch!(self.level, simd => root.fill(simd, &mut output));
        output
    }
}

/// The words of a block, zeroes behind a short one.
fn words(block: &[u8]) -> [u32; 16] {
    let mut bytes = [0; BLOCK_LEN];
    bytes[..block.len()].copy_from_slice(block);
    let (words, _) = bytes.as_chunks();
    array::from_fn(|place| u32::from_le_bytes(words[place]))
}

/// What goes around in a compression: a word, or as many as a vector has lanes.
trait Word: Copy {
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn rotate(self, bits: u32) -> Self;
}

impl Word for u32 {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn rotate(self, bits: u32) -> Self {
        self.rotate_right(bits)
    }
}

/// A vector of words.
#[derive(Clone, Copy)]
struct Lanes<S: Simd>(u32x8<S>);

impl<S: Simd> Word for Lanes<S> {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    #[inline(always)]
    fn rotate(self, bits: u32) -> Self {
        Self((self.0 >> bits) | (self.0 << (32 - bits)))
    }
}

/// The quarter round.
#[inline(always)]
fn mix<W: Word>(state: &mut [W; 16], [a, b, c, d]: [usize; 4], x: W, y: W) {
    state[a] = state[a].add(state[b]).add(x);
    state[d] = state[d].xor(state[a]).rotate(16);
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotate(12);
    state[a] = state[a].add(state[b]).add(y);
    state[d] = state[d].xor(state[a]).rotate(8);
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotate(7);
}

#[inline(always)]
fn round<W: Word>(mut state: [W; 16], block: &[W; 16], order: [usize; 16]) -> [W; 16] {
    let word = |place: usize| block[order[place]];
    mix(&mut state, [0, 4, 8, 12], word(0), word(1));
    mix(&mut state, [1, 5, 9, 13], word(2), word(3));
    mix(&mut state, [2, 6, 10, 14], word(4), word(5));
    mix(&mut state, [3, 7, 11, 15], word(6), word(7));
    mix(&mut state, [0, 5, 10, 15], word(8), word(9));
    mix(&mut state, [1, 6, 11, 12], word(10), word(11));
    mix(&mut state, [2, 7, 8, 13], word(12), word(13));
    mix(&mut state, [3, 4, 9, 14], word(14), word(15));
    state
}

/// All rounds. Their orders are constants, so that the state stays in registers.
#[inline(always)]
fn rounds<W: Word>(state: [W; 16], block: &[W; 16]) -> [W; 16] {
    let state = round(state, block, const { SCHEDULE[0] });
    let state = round(state, block, const { SCHEDULE[1] });
    let state = round(state, block, const { SCHEDULE[2] });
    let state = round(state, block, const { SCHEDULE[3] });
    let state = round(state, block, const { SCHEDULE[4] });
    let state = round(state, block, const { SCHEDULE[5] });
    round(state, block, const { SCHEDULE[6] })
}

/// The chaining value behind a whole block of the first chunk.
fn compress(chain: &[u32; 8], block: &[u32; 16], flags: u32) -> [u32; 8] {
    let state = array::from_fn(|place| match place {
        0..8 => chain[place],
        8..12 => IV[place - 8],
        // The length of a block; the counter, which stands in front of it, is 0.
        14 => 64,
        15 => flags,
        _ => 0,
    });
    let state = rounds(state, block);
    array::from_fn(|place| state[place] ^ state[place + 8])
}

/// What every block of the output is made of.
struct Root {
    chain: [u32; 8],
    block: [u32; 16],
    len: u32,
    flags: u32,
}

impl Root {
    /// Makes eight blocks at a time: each word of them is a row of the output.
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, output: &mut Words) {
        let all = |word: u32| Lanes::<S>(u32x8::splat(simd, word));
        let block = self.block.map(all);
        let chain = self.chain.map(all);
        let (groups, _) = output.as_chunks_mut::<16>();
        let mut counters = [0, 1, 2, 3, 4, 5, 6, 7];
        for rows in groups {
            let state = array::from_fn(|place| match place {
                0..8 => chain[place],
                8..12 => all(IV[place - 8]),
                12 => Lanes(u32x8::from_slice(simd, &counters)),
                14 => all(self.len),
                15 => all(self.flags),
                _ => all(0),
            });
            let state = rounds(state, &block);
            for place in 0..8 {
                let (low, high) = (state[place], state[place + 8]);
                low.xor(high).0.store_slice(&mut rows[place]);
                let high = high.xor(chain[place]);
                high.0.store_slice(&mut rows[place + 8]);
            }
            counters = counters.map(|counter| counter + 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lthash::bytes_of;

    /// Lengths up to a chunk, with the vectors of this processor and with the least.
    #[test]
    fn gives_what_the_library_gives() {
        let context = "lattice tests of extended output";
        let short = ShortXof::new(context);
        let input: [u8; CHUNK_LEN] = array::from_fn(|place| {
            let mixed = place.wrapping_mul(0x9e37_79b9) >> 7;
            mixed.to_le_bytes()[0]
        });
        for level in [Level::new(), Level::baseline()] {
            let short = ShortXof {
                level,
                ..short.clone()
            };
            for len in (0..=200)
                .chain((201..=CHUNK_LEN).step_by(7))
                .chain([CHUNK_LEN])
            {
                let mut library = blake3::Hasher::new_derive_key(context);
                library.update(&input[..len]);
                let mut expected = [0; LTHASH_BYTES];
                library.finalize_xof().fill(&mut expected);
                let found = bytes_of(&short.expand(&input[..len]));
                assert!(found == expected, "{len} bytes at {level:?}");
            }
        }
    }
}
