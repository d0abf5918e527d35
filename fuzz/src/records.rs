//! Records that are decoded in one call, and rows of files.

use lattice_backend::machine::Value;
use lattice_backend::machine::manifest::Manifest;
use lattice_backend::op::{ApplyIndex, Op, OpHasher};
use lattice_meta::{Genesis, Hlc, MetaInfo, MetaKey, Nonce, PubKey};
use lattice_node::program::fuzzing;

use crate::frames::pairs;

/// The genesis of the store that the op target decodes for.
pub(crate) fn fixed_genesis(store_type: lattice_meta::StoreType) -> Genesis {
    let owner = PubKey::from_bytes([7; 32]);
    Genesis::new(
        store_type,
        owner,
        Nonce::from_bytes([1; 16]),
        Hlc::ZERO,
        None,
    )
}

/// Rows of a `meta` table. A row that decodes must encode to the same bytes.
pub(crate) fn meta(bytes: &[u8]) {
    let rows = pairs(bytes);
    for (key, _) in &rows {
        if let Ok(Some(known)) = MetaKey::from_bytes(key) {
            assert_eq!(known.to_bytes(), *key);
        }
    }
    if let Ok(meta) = MetaInfo::from_rows(rows.clone()) {
        for row in meta.rows() {
            assert!(rows.contains(&row), "a row was read that was not there");
        }
    }
}

/// A genesis record: decoding is the inverse of encoding.
pub(crate) fn genesis(bytes: &[u8]) {
    if let Ok(genesis) = Genesis::decode(bytes) {
        assert_eq!(genesis.encode(), bytes);
        let _ = genesis.store_id();
    }
}

/// An op of one fixed store; the target writes the store id at its place.
pub(crate) fn op(bytes: &[u8]) {
    let genesis = fixed_genesis(lattice_kvstore::store_type());
    let hasher = OpHasher::new(&genesis.hash());
    let mut bytes = bytes.to_vec();
    if let Some(place) = bytes.get_mut(2..18) {
        place.copy_from_slice(genesis.store_id().as_bytes());
    }
    if let Ok(op) = Op::decode(bytes.clone(), &hasher) {
        assert_eq!(op.bytes(), bytes);
        let _ = (
            op.verify(),
            op.view(ApplyIndex::FIRST).payload.len(),
            op.kind(),
        );
        assert!(op.parents().count() <= 1 + lattice_backend::op::MAX_DEPS);
    }
}

/// A file of rows: the first byte selects format, store type and columns.
pub(crate) fn import(bytes: &[u8]) {
    if let Some((choice, file)) = bytes.split_first() {
        let _ = fuzzing::import(*choice, file);
    }
}

/// JSON as a value of a dynamic call, and back.
pub(crate) fn value(bytes: &[u8]) {
    fuzzing::value(bytes);
}

/// A value as it is passed between host and module: decoding is the inverse of encoding.
pub(crate) fn value_bytes(bytes: &[u8]) {
    if let Ok(value) = Value::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes);
    }
}

/// The manifest of a module: decoding is the inverse of encoding.
pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes);
    }
}
