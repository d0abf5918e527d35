//! Writes bundles.

use std::io::{self, Write};

use lattice_meta::Genesis;

use crate::backend::BackendError;
use crate::bundle::{
    BundleCode, BundleCounts, BundleError, END_MARK, Follows, Format, MAGIC, Total, checked, length,
};
use crate::op::OpHasher;

/// Writes a bundle of format 1. `ops` must be in causal order. `out` is written front to back, so
/// it can be a pipe; it gets many short writes, so wrap a file in a [`BufWriter`](io::BufWriter).
/// The next op is taken from `ops` after the previous one has been written. The writer first checks
/// each op's form and signature, so that no reader refuses the bundle.
///
/// # Errors
/// See [`BundleError`]. The bytes written so far are then a truncated bundle.
pub fn write_bundle<W: Write + ?Sized>(
    out: &mut W,
    genesis: &Genesis,
    ops: &mut dyn Iterator<Item = Result<Vec<u8>, BackendError>>,
) -> Result<BundleCounts, BundleError> {
    let mut total = Total::new(Format::History);
    write_magic(out, Format::History).map_err(BundleError::Write)?;
    write_history(out, genesis, ops, &mut total)
}

/// Writes a bundle of format 2, which carries code. Otherwise as [`write_bundle`].
///
/// # Errors
/// See [`BundleError`].
pub fn write_bundle_with_code<W: Write + ?Sized>(
    out: &mut W,
    genesis: &Genesis,
    code: &BundleCode,
    ops: &mut dyn Iterator<Item = Result<Vec<u8>, BackendError>>,
) -> Result<BundleCounts, BundleError> {
    let mut total = Total::new(Format::Code);
    write_magic(out, Format::Code)
        .and_then(|()| write_code(out, code, &mut total))
        .map_err(BundleError::Write)?;
    write_history(out, genesis, ops, &mut total)
}

/// Writes a bundle of format 3, which says what it follows: a part of a chain of backups. Otherwise
/// as [`write_bundle`].
///
/// # Errors
/// See [`BundleError`].
pub fn write_bundle_after<W: Write + ?Sized>(
    out: &mut W,
    genesis: &Genesis,
    follows: &Follows,
    ops: &mut dyn Iterator<Item = Result<Vec<u8>, BackendError>>,
) -> Result<BundleCounts, BundleError> {
    let mut total = Total::new(Format::After);
    let record = follows.encode();
    total.record(&record);
    write_magic(out, Format::After)
        .and_then(|()| write_record(out, &record))
        .map_err(BundleError::Write)?;
    write_history(out, genesis, ops, &mut total)
}

fn write_magic<W: Write + ?Sized>(out: &mut W, format: Format) -> io::Result<()> {
    out.write_all(&MAGIC)?;
    out.write_all(&[format.number()])
}

fn write_code<W: Write + ?Sized>(
    out: &mut W,
    code: &BundleCode,
    total: &mut Total,
) -> io::Result<()> {
    let claims = code.claims().encode();
    total.record(&claims);
    write_record(out, &claims)?;
    let modules = u8::try_from(code.modules().len()).expect("at most 4 modules");
    total.fixed(&[modules]);
    out.write_all(&[modules])?;
    for module in code.modules() {
        let cid = module.cid().to_bytes();
        total.fixed(&cid);
        total.record(module.bytes());
        out.write_all(&cid)?;
        write_record(out, module.bytes())?;
    }
    Ok(())
}

/// Writes everything from the genesis record on.
fn write_history<W: Write + ?Sized>(
    out: &mut W,
    genesis: &Genesis,
    ops: &mut dyn Iterator<Item = Result<Vec<u8>, BackendError>>,
    total: &mut Total,
) -> Result<BundleCounts, BundleError> {
    let record = genesis.encode();
    total.record(&record);
    write_record(out, &record).map_err(BundleError::Write)?;
    let hasher = OpHasher::new(&genesis.hash());
    for op in ops {
        let index = total.counts.ops;
        let op = checked(op?, &hasher).map_err(|source| BundleError::BadOp { index, source })?;
        total.add(op.bytes());
        write_record(out, op.bytes()).map_err(BundleError::Write)?;
    }
    write_end(out, total).map_err(BundleError::Write)?;
    Ok(total.counts)
}

fn write_record<W: Write + ?Sized>(out: &mut W, record: &[u8]) -> io::Result<()> {
    out.write_all(&length(record).to_le_bytes())?;
    out.write_all(record)
}

fn write_end<W: Write + ?Sized>(out: &mut W, total: &Total) -> io::Result<()> {
    out.write_all(&END_MARK.to_le_bytes())?;
    out.write_all(&total.counts.ops.to_le_bytes())?;
    out.write_all(&total.counts.op_bytes.to_le_bytes())?;
    out.write_all(&total.digest())?;
    out.flush()
}
