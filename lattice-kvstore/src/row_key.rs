//! The key that a row belongs to, for people who look at rows.

use crate::rows::{self, RowKind};

/// The key of the store that a row of its table `data` belongs to; `None` if the row belongs to no
/// single key, or is not a row of this type.
pub fn key_of_row(row_key: &[u8]) -> Option<&[u8]> {
    match rows::kind(row_key).ok()? {
        RowKind::Cell => rows::key_of_cell(row_key).ok(),
        RowKind::Value => rows::split_value_key(row_key).ok().map(|(key, _)| key),
        RowKind::Sibling => rows::key_of_sibling(row_key).ok(),
        RowKind::Mark => None,
    }
}

#[cfg(test)]
mod tests {
    use lattice_backend::op::ApplyIndex;

    use super::*;

    #[test]
    fn rows_of_a_key_name_it() {
        assert_eq!(key_of_row(&rows::cell_key(b"apple")), Some(&b"apple"[..]));
        let value = rows::value_key(b"apple", ApplyIndex::new(7));
        assert_eq!(key_of_row(&value), Some(&b"apple"[..]));
        assert_eq!(key_of_row(b""), None);
        assert_eq!(key_of_row(b"?"), None);
    }
}
