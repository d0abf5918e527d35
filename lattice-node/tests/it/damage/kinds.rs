//! What can happen to the bytes of a file.

use lattice_backend::conformance::Rng;

/// The engine's pages.
const PAGE: usize = 4096;
/// Where its header keeps its flags.
const FLAGS: usize = 9;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// One bit is another.
    Flip,
    /// Some bytes, anywhere.
    Bytes,
    /// A few bits of the engine's header.
    Header,
    /// A bit of its flags, one of which says which of two commits is the last.
    Flags,
    /// Pages hold zeroes or noise.
    Page,
    /// A page holds what another page of the file holds.
    OtherPage,
    /// Pages hold those of another store's file.
    ForeignPage,
    /// The file ends early.
    Cut,
    /// Something stands behind its end.
    Longer,
    /// Another file stands in its place.
    OtherFile,
}

impl Damage {
    pub(super) const ALL: [Self; 10] = [
        Self::Flip,
        Self::Bytes,
        Self::Header,
        Self::Flags,
        Self::Page,
        Self::OtherPage,
        Self::ForeignPage,
        Self::Cut,
        Self::Longer,
        Self::OtherFile,
    ];

    /// One of them; the commonest are flips.
    pub(super) fn any(rng: &mut Rng) -> Self {
        let common = [Self::Flip, Self::Flip, Self::Bytes, Self::OtherPage];
        match rng.one_in(3) {
            true => *rng.pick(&common).unwrap(),
            false => *rng.pick(&Self::ALL).unwrap(),
        }
    }

    /// Does it to a file, of which `foreign` is one of another store.
    pub(super) fn does(self, file: &mut Vec<u8>, foreign: &[u8], rng: &mut Rng) {
        let end = file.len();
        match self {
            Self::Flip => flip(file, rng.below(end), rng),
            Self::Header => (0..=rng.below(3)).for_each(|_| flip(file, rng.below(512), rng)),
            Self::Flags => flip(file, FLAGS, rng),
            Self::Bytes => {
                for _ in 0..=rng.below(64) {
                    file[rng.below(end)] = rng.array::<1>()[0];
                }
            }
            Self::Page => {
                for _ in 0..=rng.below(3) {
                    let noise = match rng.one_in(2) {
                        true => vec![0; PAGE],
                        false => rng.bytes(PAGE),
                    };
                    put(file, rng.below(end / PAGE), &noise);
                }
            }
            Self::OtherPage => {
                let from = rng.below(end / PAGE) * PAGE;
                let page = file[from..from + PAGE].to_vec();
                put(file, rng.below(end / PAGE), &page);
            }
            Self::ForeignPage => {
                for _ in 0..=rng.below(3) {
                    let number = rng.below(foreign.len().min(end) / PAGE);
                    put(file, number, &foreign[number * PAGE..(number + 1) * PAGE]);
                }
            }
            Self::Cut => file.truncate(rng.below(end)),
            Self::Longer => {
                let more = rng.below(3 * PAGE) + 1;
                file.extend(rng.bytes(more));
            }
            Self::OtherFile => {
                *file = match rng.below(4) {
                    0 => Vec::new(),
                    1 => rng.bytes(end),
                    // With the header of the file before.
                    2 => [&file[..PAGE], &foreign[PAGE..]].concat(),
                    _ => foreign.to_vec(),
                }
            }
        }
    }
}

fn flip(file: &mut [u8], at: usize, rng: &mut Rng) {
    file[at] ^= 1 << rng.below(8);
}

fn put(file: &mut [u8], page: usize, bytes: &[u8]) {
    file[page * PAGE..(page + 1) * PAGE].copy_from_slice(bytes);
}
