//! Which releases of a registry are read.

use lattice_meta::{PubKey, StoreType};

/// Selects releases of a registry: those that have every given field. The default selects all.
///
/// A type and a publisher bound the rows that are read; a number alone does not.
///
/// ```
/// use lattice_code::releases::Filter;
///
/// let chat = Filter {
///     store_type: Some("org.example.chat".parse()?),
///     ..Filter::default()
/// };
/// # assert_ne!(chat, Filter::default());
/// # Ok::<(), lattice_meta::StoreTypeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only releases of this store type.
    pub store_type: Option<StoreType>,
    /// Only releases of this publisher.
    pub publisher: Option<PubKey>,
    /// Only releases with this number.
    pub release: Option<u64>,
}
