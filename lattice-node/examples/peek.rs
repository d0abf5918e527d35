//! Reads the self-description of a store with plain redb and `lattice-meta`: no Lattice engine, no
//! knowledge of the store's type.

use lattice_meta::MetaInfo;
use lattice_node::prelude::*;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

const META: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("meta");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let log = Node::open(home.path())?.open_or_create::<LogStore>("events")?;
    log.append("hello")?;
    log.close()?;

    let file = redb::Builder::new().open_read_only(log.path())?;
    let mut rows = Vec::new();
    for row in file.begin_read()?.open_table(META)?.iter()? {
        let (key, value) = row?;
        rows.push((key.value().to_vec(), value.value().to_vec()));
    }
    let meta = MetaInfo::from_rows(rows)?;
    println!("{} is a {}", meta.store_id, meta.store_type);
    assert_eq!((meta.store_id, meta.tips.len()), (log.store_id(), 1));
    Ok(())
}
