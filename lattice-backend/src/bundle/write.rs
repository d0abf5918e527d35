//! Writes bundles.

use std::io::{self, Write};

use lattice_meta::Genesis;

use crate::backend::BackendError;
use crate::bundle::{BundleCounts, BundleError, END_MARK, MAGIC, Total, checked, length};
use crate::op::OpHasher;

/// Writes a bundle. `ops` must be in causal order. `out` is written front to back, so it can be a
/// pipe; it gets many short writes, so wrap a file in a [`BufWriter`](io::BufWriter). The next op
/// is taken from `ops` after the previous one has been written. The writer first checks each op's
/// form and signature, so that no reader refuses the bundle.
///
/// # Errors
/// See [`BundleError`]. The bytes written so far are then a truncated bundle.
pub fn write_bundle<W: Write + ?Sized>(
    out: &mut W,
    genesis: &Genesis,
    ops: &mut dyn Iterator<Item = Result<Vec<u8>, BackendError>>,
) -> Result<BundleCounts, BundleError> {
    let record = genesis.encode();
    out.write_all(&MAGIC)
        .and_then(|()| write_record(out, &record))
        .map_err(BundleError::Write)?;
    let mut total = Total::new(&record);
    let hasher = OpHasher::new(&genesis.hash());
    for op in ops {
        let index = total.counts.ops;
        let op = checked(op?, &hasher).map_err(|source| BundleError::BadOp { index, source })?;
        total.add(op.bytes());
        write_record(out, op.bytes()).map_err(BundleError::Write)?;
    }
    write_end(out, &total).map_err(BundleError::Write)?;
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
