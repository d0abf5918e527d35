//! BLAKE3's extendable output over short inputs, many blocks at once.
//!
//! An element of the state is expanded to 32 blocks. Each is the same compression with another
//! counter, so the lanes of a vector compute as many of them as fit (BLAKE3 specification, sections
//! 2.2 to 2.6). The crate `blake3` does so with AVX-512 only, and computes them one by one
//! elsewhere; that was a third of the work of a batch of writes. The blocks of one input depend on
//! each other, so for input blocks each lane takes another input. The crate expands all inputs
//! longer than one chunk, and all inputs where it is faster ([`Expansion`]): with AVX-512 it does
//! the same, and in unoptimised builds the lane operations here are function calls.
//!
//! [`Expansion`]: crate::state::Expansion

use alloc::vec::Vec;
use core::array;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x32, u16x16, u32x8};

use crate::state::lthash::Words;

/// Bytes of a chunk, which is the longest input.
pub(crate) const CHUNK_LEN: usize = 1024;
const BLOCK_LEN: usize = 64;
/// Blocks that are computed at a time.
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
/// The order in which each round takes the words of the block.
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

/// BLAKE3 in key derivation mode, for one context.
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

    /// An empty batch.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch {
            xof: self,
            count: 0,
            front: Vec::new(),
            last: [const { Last::NONE }; LANES],
        }
    }
}

/// Inputs whose outputs are added to a sum or removed from it; the outputs are never stored. Up to
/// eight inputs with equal numbers of blocks are processed together, since each block of an input
/// depends on the previous one.
pub(crate) struct Batch<'a> {
    xof: &'a ShortXof,
    /// The number of queued inputs.
    count: usize,
    /// All their blocks except the last ones: words, each with one lane per input.
    front: Vec<[[u32; LANES]; 16]>,
    last: [Last; LANES],
}

/// The last block of an input.
#[derive(Clone, Copy)]
struct Last {
    block: [u32; 16],
    len: u32,
    change: Change,
}

impl Last {
    const NONE: Self = Self {
        block: [0; 16],
        len: 0,
        change: Change::Add,
    };
}

impl Batch<'_> {
    /// Queues an input of at most [`CHUNK_LEN`] bytes, and processes the queue if it is full or its
    /// inputs have another number of blocks.
    pub(crate) fn change(&mut self, input: &[u8], sum: &mut Words, change: Change) {
        debug_assert!(input.len() <= CHUNK_LEN, "longer inputs are the library's");
        let front = input.len().saturating_sub(1) / BLOCK_LEN;
        if self.count == LANES || front != self.front.len() {
            self.finish(sum);
            self.front.resize(front, [[0; LANES]; 16]);
        }
        let (blocks, last) = input.split_at(front * BLOCK_LEN);
        for (lanes, block) in self.front.iter_mut().zip(blocks.chunks(BLOCK_LEN)) {
            for (lanes, word) in lanes.iter_mut().zip(words(block)) {
                lanes[self.count] = word;
            }
        }
        self.last[self.count] = Last {
            block: words(last),
            len: u32::try_from(last.len()).expect("a block has at most 64 bytes"),
            change,
        };
        self.count += 1;
    }

    /// Processes the queued inputs. Until then the sum does not include them.
    pub(crate) fn finish(&mut self, sum: &mut Words) {
        if self.count > 0 {
            dispatch!(self.xof.level, simd => self.work(simd, sum));
            self.count = 0;
        }
    }

    #[inline(always)]
    fn work<S: Simd>(&self, simd: S, sum: &mut Words) {
        let mut flags = DERIVE_KEY_MATERIAL | CHUNK_START;
        let all = |word: u32| Lanes::<S>(u32x8::splat(simd, word));
        let mut chain = self.xof.key.map(all);
        for block in &self.front {
            let block = array::from_fn(|word| Lanes(u32x8::from_slice(simd, &block[word])));
            chain = compress(simd, &chain, &block, flags);
            flags = DERIVE_KEY_MATERIAL;
        }
        let chain = chain.map(|lanes| {
            let mut words = [0; LANES];
            lanes.0.store_slice(&mut words);
            words
        });
        for (lane, last) in self.last[..self.count].iter().enumerate() {
            let root = Root {
                chain: chain.map(|words| words[lane]),
                block: last.block,
                len: last.len,
                flags: flags | CHUNK_END | ROOT,
            };
            root.change(simd, sum, last.change);
        }
    }
}

/// The direction of a change to a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The element is added.
    Add,
    /// The element is removed.
    Remove,
}

/// The words of a block; a short block is padded with zeroes.
fn words(block: &[u8]) -> [u32; 16] {
    let mut bytes = [0; BLOCK_LEN];
    bytes[..block.len()].copy_from_slice(block);
    let (words, _) = bytes.as_chunks();
    array::from_fn(|place| u32::from_le_bytes(words[place]))
}

/// A vector of words, one per compression.
#[derive(Clone, Copy)]
struct Lanes<S: Simd>(u32x8<S>);

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    #[inline(always)]
    fn rotate<const BITS: u32>(self) -> Self {
        // Rotations by whole bytes take one instruction.
        Self(match BITS {
            8 | 16 if cfg!(target_endian = "little") => {
                let places = u8x32::from_slice(self.0.simd, const { &rotation(BITS) });
                u32x8::from_bytes(self.0.to_bytes().swizzle_dyn_within_blocks(places))
            }
            _ => (self.0 >> BITS) | (self.0 << (32 - BITS)),
        })
    }
}

/// The source position of each byte when words are rotated right by whole bytes, for vectors with
/// blocks of 16 bytes.
const fn rotation(bits: u32) -> [u8; 32] {
    let bytes = if bits == 8 { 1 } else { 2 };
    let mut places = [0; 32];
    let (mut place, mut byte) = (0, 0);
    while place < 32 {
        places[place] = byte / 4 * 4 + (byte + bytes) % 4;
        place += 1;
        byte = (byte + 1) % 16;
    }
    places
}

/// Sixteen words: the state of a compression, or a block.
type State<S> = [Lanes<S>; 16];

/// The quarter round.
#[inline(always)]
fn mix<S: Simd>(state: &mut State<S>, [a, b, c, d]: [usize; 4], x: Lanes<S>, y: Lanes<S>) {
    state[a] = state[a].add(state[b]).add(x);
    state[d] = state[d].xor(state[a]).rotate::<16>();
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotate::<12>();
    state[a] = state[a].add(state[b]).add(y);
    state[d] = state[d].xor(state[a]).rotate::<8>();
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotate::<7>();
}

#[inline(always)]
fn round<S: Simd>(mut state: State<S>, block: &State<S>, order: [usize; 16]) -> State<S> {
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

/// All rounds. The schedules are constants, so that the state stays in registers.
#[inline(always)]
fn rounds<S: Simd>(state: State<S>, block: &State<S>) -> State<S> {
    let state = round(state, block, const { SCHEDULE[0] });
    let state = round(state, block, const { SCHEDULE[1] });
    let state = round(state, block, const { SCHEDULE[2] });
    let state = round(state, block, const { SCHEDULE[3] });
    let state = round(state, block, const { SCHEDULE[4] });
    let state = round(state, block, const { SCHEDULE[5] });
    round(state, block, const { SCHEDULE[6] })
}

/// The chaining values after the full blocks of the first chunk.
#[inline(always)]
fn compress<S: Simd>(
    simd: S,
    chain: &[Lanes<S>; 8],
    block: &State<S>,
    flags: u32,
) -> [Lanes<S>; 8] {
    let all = |word: u32| Lanes(u32x8::splat(simd, word));
    let state = array::from_fn(|place| match place {
        0..8 => chain[place],
        8..12 => all(IV[place - 8]),
        // Word 14 is the length of a block. The counter before it is 0.
        14 => all(64),
        15 => all(flags),
        _ => all(0),
    });
    let state = rounds(state, block);
    array::from_fn(|place| state[place].xor(state[place + 8]))
}

/// The inputs of every output block.
struct Root {
    chain: [u32; 8],
    block: [u32; 16],
    len: u32,
    flags: u32,
}

impl Root {
    /// Computes eight blocks at a time; each of their words is a row of the sum.
    #[inline(always)]
    fn change<S: Simd>(&self, simd: S, sum: &mut Words, change: Change) {
        let change = |row: &mut [u32; LANES], element: Lanes<S>| {
            let sum = u32x8::from_slice(simd, row).bitcast::<u16x16<S>>();
            let element = element.0.bitcast::<u16x16<S>>();
            let sum = match change {
                Change::Add => sum + element,
                Change::Remove => sum - element,
            };
            sum.bitcast::<u32x8<S>>().store_slice(row);
        };
        let all = |word: u32| Lanes::<S>(u32x8::splat(simd, word));
        let block = self.block.map(all);
        let chain = self.chain.map(all);
        let (groups, _) = sum.as_chunks_mut::<16>();
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
                change(&mut rows[place], low.xor(high));
                change(&mut rows[place + 8], high.xor(chain[place]));
            }
            counters = counters.map(|counter| counter + 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::state::lthash::{LTHASH_BYTES, LtHash};

    const CONTEXT: &str = "lattice tests of extended output";

    fn input(len: usize) -> Vec<u8> {
        let mixed = |place: usize| place.wrapping_mul(0x9e37_79b9).wrapping_add(len) >> 7;
        (0..len)
            .map(|place| mixed(place).to_le_bytes()[0])
            .collect()
    }

    /// The output of the crate `blake3`.
    fn expected(input: &[u8]) -> [u8; LTHASH_BYTES] {
        let mut library = blake3::Hasher::new_derive_key(CONTEXT);
        library.update(input);
        let mut expanded = [0; LTHASH_BYTES];
        library.finalize_xof().fill(&mut expanded);
        expanded
    }

    /// With this processor's vectors, and with the baseline's.
    fn levels() -> [ShortXof; 2] {
        let xof = ShortXof::new(CONTEXT);
        [Level::new(), Level::baseline()].map(|level| ShortXof {
            level,
            ..xof.clone()
        })
    }

    /// All short lengths, and longer ones up to a chunk in steps.
    #[test]
    fn output_equals_that_of_the_blake3_crate() {
        for xof in levels() {
            for len in (0..=200)
                .chain((201..=CHUNK_LEN).step_by(7))
                .chain([CHUNK_LEN])
            {
                let (mut sum, mut batch) = (LtHash::default(), xof.batch());
                batch.change(&input(len), sum.words_mut(), Change::Add);
                batch.finish(sum.words_mut());
                let is_same = sum.to_bytes() == expected(&input(len));
                assert!(is_same, "{len} bytes at {:?}", xof.level);
            }
        }
    }

    /// Inputs of many lengths in a row; runs of equal lengths are longer and shorter than a batch.
    #[test]
    fn several_inputs_are_hashed_together() {
        let lens = [64, 65, 65, 100, 128, 129, 0, 1024, 5, 6].into_iter();
        let lens = lens.chain(130..150).chain([140; 9]).chain([130; 8]);
        for xof in levels() {
            let (mut sum, mut batch) = (LtHash::default(), xof.batch());
            let mut alone = LtHash::default();
            for (nth, len) in lens.clone().enumerate() {
                let element = expected(&input(len));
                let change = if nth % 3 == 2 {
                    alone.remove(&element);
                    Change::Remove
                } else {
                    alone.add(&element);
                    Change::Add
                };
                batch.change(&input(len), sum.words_mut(), change);
            }
            batch.finish(sum.words_mut());
            assert_eq!(sum, alone, "at {:?}", xof.level);
        }
    }
}
