//! The rows of a registry's `data`, schema 1: one for each op with a valid payload.
//!
//! | row | key | value |
//! | --- | --- | --- |
//! | release | `p`, store type, 0x00, publisher, release (u64 BE), op id | hlc, claim |
//! | withdrawal | `w`, cid, author, hlc (u64 BE), op id | reason |
//!
//! The hlc and the claim are in the strict codec, the reason is UTF-8. No store type contains a
//! byte 0x00, so the releases of a type, of its publishers and of their numbers are ranges. Each
//! row is an element of the state.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use lattice_backend::backend::{BackendError, Result, Row, Table};
use lattice_backend::op::{MAX_OP_BYTES, OpView};
use lattice_meta::{Cid, Hlc, OpId, PubKey, StoreType, codec};
use serde::{Deserialize, Serialize};

use crate::releases::claim::Claim;
use crate::releases::command::{check_publish, check_reason};
use crate::releases::{Publish, Withdraw};

const RELEASE: u8 = b'p';
const WITHDRAWAL: u8 = b'w';
/// Follows the store type. It is less than every byte of a store type.
const END: u8 = 0x00;

/// Prefix of the keys of releases.
pub(crate) const RELEASES: [u8; 1] = [RELEASE];
/// The end of the range of all releases, exclusive.
pub(crate) const AFTER_RELEASES: [u8; 1] = [RELEASE + 1];

/// The value of a release's row.
#[derive(Serialize, Deserialize)]
struct ReleaseValue<'a> {
    hlc: Hlc,
    #[serde(borrow)]
    claim: Claim<'a>,
}

/// A row of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReleaseRow {
    pub(crate) published: Publish,
    pub(crate) publisher: PubKey,
    pub(crate) op: OpId,
    pub(crate) hlc: Hlc,
}

/// The key and the value of the row of a release.
pub(crate) fn release(op: &OpView<'_>, publish: &Publish) -> (Vec<u8>, Vec<u8>) {
    let mut key = of_release(&publish.store_type, &op.reference.author, publish.release);
    key.extend_from_slice(op.reference.id.as_bytes());
    let value = ReleaseValue {
        hlc: op.hlc,
        claim: Claim::of(publish),
    };
    let value = codec::encode(&value).expect("a row is made of types that the codec supports");
    (key, value)
}

/// The key and the value of the row of a withdrawal.
pub(crate) fn withdrawal(op: &OpView<'_>, withdraw: Withdraw) -> (Vec<u8>, Vec<u8>) {
    let mut key = of_module(&withdraw.cid, &op.reference.author);
    key.extend_from_slice(&op.hlc.to_u64().to_be_bytes());
    key.extend_from_slice(op.reference.id.as_bytes());
    (key, withdraw.reason.into_bytes())
}

/// Prefix of the keys of all releases of a type.
pub(crate) fn of_type(store_type: &StoreType) -> Vec<u8> {
    [&[RELEASE], store_type.as_str().as_bytes(), &[END]].concat()
}

/// The least key that is greater than those of all releases of a type, and less than those of all
/// types after it.
pub(crate) fn after_type(store_type: &StoreType) -> Vec<u8> {
    [&[RELEASE], store_type.as_str().as_bytes(), &[END + 1]].concat()
}

/// Prefix of the keys of a publisher's releases of a type.
pub(crate) fn of_publisher(store_type: &StoreType, publisher: &PubKey) -> Vec<u8> {
    [&of_type(store_type)[..], publisher.as_bytes()].concat()
}

/// Prefix of the keys of what a publisher has published under a type and a number.
pub(crate) fn of_release(store_type: &StoreType, publisher: &PubKey, release: u64) -> Vec<u8> {
    let publisher = of_publisher(store_type, publisher);
    [&publisher[..], &release.to_be_bytes()].concat()
}

/// Prefix of the keys of an author's withdrawals of a module, the first of them first.
pub(crate) fn of_module(cid: &Cid, author: &PubKey) -> Vec<u8> {
    [&[WITHDRAWAL], &cid.to_bytes()[..], author.as_bytes()].concat()
}

impl ReleaseRow {
    /// Decodes a row.
    pub(crate) fn from_row(row: Row<'_>) -> Result<Self> {
        let (store_type, rest) = split_type(row.key)?;
        let key = || -> Option<_> {
            let (publisher, rest) = rest.split_first_chunk::<32>()?;
            let (release, op) = rest.split_first_chunk::<8>()?;
            let op = OpId::from_slice(op)?;
            Some((
                PubKey::from_bytes(*publisher),
                u64::from_be_bytes(*release),
                op,
            ))
        };
        let (publisher, release, op) =
            key().ok_or_else(|| damaged("the key of a release", row.key))?;
        let value: ReleaseValue<'_> = codec::decode(row.value, MAX_OP_BYTES)
            .map_err(|error| BackendError::row(Table::Data, "a release", error.to_string()))?;
        let published = value.claim.of_release(store_type, release);
        check_publish(&published)
            .map_err(|refusal| BackendError::row(Table::Data, "a release", refusal.to_string()))?;
        Ok(Self {
            published,
            publisher,
            op,
            hlc: value.hlc,
        })
    }
}

/// The store type in the key of a release.
pub(crate) fn type_of(row_key: &[u8]) -> Result<StoreType> {
    split_type(row_key).map(|(store_type, _)| store_type)
}

/// The key of a release without the id of its op: equal for all that a publisher has published
/// under a type and a number.
pub(crate) fn without_op(row_key: &[u8]) -> &[u8] {
    &row_key[..row_key.len().saturating_sub(OpId::LEN)]
}

/// The store type in the key of a release, and the bytes after its end.
fn split_type(row_key: &[u8]) -> Result<(StoreType, &[u8])> {
    let split = || {
        let rest = row_key.strip_prefix(&RELEASES)?;
        let end = rest.iter().position(|&byte| byte == END)?;
        let store_type = StoreType::from_bytes(&rest[..end]).ok()?;
        Some((store_type, &rest[end + 1..]))
    };
    split().ok_or_else(|| damaged("the key of a release", row_key))
}

/// Decodes the row of a withdrawal, found by its [prefix](of_module), to its reason.
pub(crate) fn reason(row: Row<'_>) -> Result<String> {
    const KEY_LEN: usize = 1 + Cid::LEN + PubKey::LEN + 8 + OpId::LEN;
    if row.key.len() != KEY_LEN {
        return Err(damaged("the key of a withdrawal", row.key));
    }
    let reason = core::str::from_utf8(row.value)
        .map_err(|error| BackendError::row(Table::Data, "a reason in UTF-8", error.to_string()))?;
    check_reason(reason)
        .map_err(|refusal| BackendError::row(Table::Data, "a reason", refusal.to_string()))?;
    Ok(reason.into())
}

fn damaged(expected: &'static str, found: &[u8]) -> BackendError {
    let shown = found[..found.len().min(16)].escape_ascii();
    let found = format!("{} bytes: {shown}", found.len());
    BackendError::row(Table::Data, expected, found)
}
