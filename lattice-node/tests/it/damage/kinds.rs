//! Kinds of damage to the bytes of a file.

use lattice_backend::conformance::Rng;

/// The backend's page size.
const PAGE: usize = 4096;
/// The offset of the flags in redb's header.
const FLAGS: usize = 9;

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// One bit is flipped.
    Flip,
    /// Some bytes change, anywhere.
    Bytes,
    /// A few bits of redb's header are flipped.
    Header,
    /// A bit of the header's flags is flipped; one of them selects the current commit slot.
    Flags,
    /// Pages contain zeroes or noise.
    Page,
    /// A page contains a copy of another page of the file.
    OtherPage,
    /// Pages contain those of another store's file.
    ForeignPage,
    /// The file is truncated.
    Cut,
    /// Bytes are appended to the file.
    Longer,
    /// Another file replaces it.
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

    /// A random kind; flips are the most common.
    pub(super) fn any(rng: &mut Rng) -> Self {
        let common = [Self::Flip, Self::Flip, Self::Bytes, Self::OtherPage];
        match rng.one_in(3) {
            true => *rng.pick(&common).unwrap(),
            false => *rng.pick(&Self::ALL).unwrap(),
        }
    }

    /// Damages a file; `foreign` is the file of another store.
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
                    // With the header of the original file.
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
