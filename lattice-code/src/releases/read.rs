//! Reads releases from the rows of a registry.

use core::ops::{Bound, ControlFlow};

use alloc::string::String;
use alloc::vec::Vec;

use lattice_backend::backend::{Direction, PrefixSpan, Result};
use lattice_backend::machine::DataRead;
use lattice_meta::{Cid, PubKey, StoreType};

use crate::releases::rows::{self, ReleaseRow};
use crate::releases::{Filter, Release};

/// Receives releases until it breaks.
pub(crate) type Each<'a> = &'a mut dyn FnMut(Release) -> ControlFlow<()>;

/// Passes the selected releases to `each`, in the order of (type, publisher, number, op id).
pub(crate) fn releases(data: &dyn DataRead, filter: &Filter, each: Each<'_>) -> Result<()> {
    if let Some(store_type) = &filter.store_type {
        return of_type(data, store_type, filter, each).map(drop);
    }
    let mut last = None;
    while let Some(store_type) = next_type(data, last.as_ref())? {
        if of_type(data, &store_type, filter, each)?.is_break() {
            break;
        }
        last = Some(store_type);
    }
    Ok(())
}

fn of_type(
    data: &dyn DataRead,
    store_type: &StoreType,
    filter: &Filter,
    each: Each<'_>,
) -> Result<ControlFlow<()>> {
    let prefix = match (&filter.publisher, filter.release) {
        (Some(publisher), Some(release)) => rows::of_release(store_type, publisher, release),
        (Some(publisher), None) => rows::of_publisher(store_type, publisher),
        (None, _) => rows::of_type(store_type),
    };
    let has_number = |row: &ReleaseRow| {
        let number = filter.release;
        number.is_none_or(|number| number == row.published.release)
    };
    scan(data, &prefix, &has_number, each)
}

/// Passes all releases that name a module to `each`, in the order of [`releases`]. Reads the rows
/// of all releases.
pub(crate) fn naming(data: &dyn DataRead, cid: &Cid, each: Each<'_>) -> Result<()> {
    let names = |row: &ReleaseRow| row.published.cid == *cid;
    scan(data, &rows::RELEASES, &names, each).map(drop)
}

/// Passes the releases to `each` whose rows have a prefix and are kept.
fn scan(
    data: &dyn DataRead,
    prefix: &[u8],
    keeps: &dyn Fn(&ReleaseRow) -> bool,
    each: Each<'_>,
) -> Result<ControlFlow<()>> {
    let mut rows = data.range(PrefixSpan::new(prefix).span(), Direction::Forward)?;
    // Releases of one publisher, type and number are adjacent, so this is computed once for them.
    let (mut group, mut is_conflicting) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        let release = ReleaseRow::from_row(row)?;
        if !keeps(&release) {
            continue;
        }
        if group != rows::without_op(row.key) {
            group = rows::without_op(row.key).to_vec();
            is_conflicting = has_other_module(data, &group, &release.published.cid)?;
        }
        let ReleaseRow {
            published,
            publisher,
            op,
            hlc,
        } = release;
        let release = Release {
            withdrawn: withdrawn(data, &published.cid, &publisher)?,
            published,
            publisher,
            op,
            time: hlc,
            is_conflicting,
        };
        if each(release).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Whether a row with this prefix names a different module.
fn has_other_module(data: &dyn DataRead, prefix: &[u8], cid: &Cid) -> Result<bool> {
    let mut rows = data.range(PrefixSpan::new(prefix).span(), Direction::Forward)?;
    while let Some(row) = rows.next()? {
        if ReleaseRow::from_row(row)?.published.cid != *cid {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The reason of the first withdrawal of a module by an author.
fn withdrawn(data: &dyn DataRead, cid: &Cid, author: &PubKey) -> Result<Option<String>> {
    let span = PrefixSpan::new(&rows::of_module(cid, author));
    let mut rows = data.range(span.span(), Direction::Forward)?;
    rows.next()?.map(rows::reason).transpose()
}

/// The first type after `last` that has a release. It reads one row, however many releases the
/// types have.
pub(crate) fn next_type(
    data: &dyn DataRead,
    last: Option<&StoreType>,
) -> Result<Option<StoreType>> {
    let start = last.map_or_else(|| rows::RELEASES.to_vec(), rows::after_type);
    let span = (
        Bound::Included(&start[..]),
        Bound::Excluded(&rows::AFTER_RELEASES[..]),
    );
    let mut rows = data.range(span, Direction::Forward)?;
    rows.next()?.map(|row| rows::type_of(row.key)).transpose()
}
