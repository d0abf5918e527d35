//! The row `copied`: the store is a copy, and some authors may have written more than it has.

use std::collections::BTreeMap;

use lattice_meta::PubKey;

use crate::backend::{BackendError, ReadTx, Result, Table, WriteTx};
use crate::history::system::COPIED;

/// The length of an entry in bytes: its kind and a public key.
const ENTRY_BYTES: usize = 1 + 32;

/// What the row says about an author that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The author may have written ops that the copy lacks, even if the copy has none of its ops.
    MayLack,
    /// The author wrote its first op to this copy, so its ops here say nothing about others.
    Began,
}

impl Standing {
    const fn to_byte(self) -> u8 {
        match self {
            Self::MayLack => 0,
            Self::Began => 1,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::MayLack),
            1 => Some(Self::Began),
            _ => None,
        }
    }
}

/// The decoded row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    authors: BTreeMap<PubKey, Standing>,
}

impl Copied {
    /// Reads the row; `None` if the store has none.
    pub(crate) fn read(tx: &dyn ReadTx) -> Result<Option<Self>> {
        match tx.get(Table::System, COPIED)? {
            Some(row) => Self::decode(&row).map(Some),
            None => Ok(None),
        }
    }

    fn decode(row: &[u8]) -> Result<Self> {
        let expected = "authors in a row `copied`, ascending, 33 bytes each";
        let wrong = |found: String| BackendError::row(Table::System, expected, found);
        let (entries, rest) = row.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(wrong(format!("{} bytes", row.len())));
        }
        let mut authors = BTreeMap::new();
        for [kind, key @ ..] in entries {
            let author = PubKey::from_bytes(*key);
            let standing = Standing::from_byte(*kind)
                .ok_or_else(|| wrong(format!("an entry of the kind {kind}")))?;
            if authors
                .last_key_value()
                .is_some_and(|(last, _)| author <= *last)
            {
                return Err(wrong(format!("{author} out of order")));
            }
            authors.insert(author, standing);
        }
        Ok(Self { authors })
    }

    pub(crate) fn write(&self, tx: &mut dyn WriteTx) -> Result<()> {
        let mut row = Vec::with_capacity(self.authors.len() * ENTRY_BYTES);
        for (author, standing) in &self.authors {
            row.push(standing.to_byte());
            row.extend_from_slice(author.as_bytes());
        }
        tx.put(Table::System, COPIED, &row)
    }

    /// What the row says about an author, if it names the author.
    pub(crate) fn standing(&self, author: &PubKey) -> Option<Standing> {
        self.authors.get(author).copied()
    }

    /// Notes that an author wrote its first op to this copy.
    pub(crate) fn note_began(&mut self, author: PubKey) {
        self.authors.insert(author, Standing::Began);
    }

    /// Notes that an author may have written ops that the copy lacks.
    pub(crate) fn note_may_lack(&mut self, author: PubKey) {
        self.authors.insert(author, Standing::MayLack);
    }

    /// The row of a copy of this copy: who began here may write more here.
    pub(crate) fn copied_again(mut self) -> Self {
        self.authors
            .retain(|_, standing| *standing == Standing::MayLack);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> [u8; 32] {
        [byte; 32]
    }

    fn row(entries: &[(u8, u8)]) -> Vec<u8> {
        let entries = entries.iter();
        entries
            .flat_map(|(kind, byte)| [&[*kind][..], &key(*byte)].concat())
            .collect()
    }

    #[test]
    fn a_row_is_ascending_entries_of_33_bytes() {
        let read = Copied::decode(&row(&[(0, 1), (1, 2)])).unwrap();
        let standing = |byte| read.standing(&PubKey::from_bytes(key(byte)));
        assert_eq!(standing(1), Some(Standing::MayLack));
        assert_eq!(standing(2), Some(Standing::Began));
        assert_eq!(standing(3), None);
        assert_eq!(Copied::decode(&[]).unwrap(), Copied::default());
        for wrong in [
            row(&[(0, 2), (0, 1)]),
            row(&[(0, 1), (1, 1)]),
            row(&[(2, 1)]),
            row(&[(0, 1)])[..32].to_vec(),
            [row(&[(0, 1)]), vec![0]].concat(),
        ] {
            let refused = Copied::decode(&wrong);
            assert!(
                matches!(refused, Err(BackendError::Row { .. })),
                "{wrong:?} was read as {refused:?}"
            );
        }
    }
}
